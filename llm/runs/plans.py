"""What a run would take, from sizes alone: steps, tokens, memory by part, hours. Nothing is loaded or compiled.

Hours are arithmetic over an assumed rate. A gradient step on N parameters and D tokens is 6 N D FLOP, a forward pass
2 N D, attention's products beside them (`roofline.training_flop`), at `mfu` of the device's peak. Decoding reads all
weights and the cache once a token (`roofline.decoding_bytes`), at `decoding` of the memory's bandwidth. Rows count as
full, so hours and memory are upper bounds of what this code needs; compiling, loading and evaluating are not in them.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

from modeseek.checks import positive, require, whole
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.model import Compute
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.accelerators import Accelerator
from modeseek.llm.parallel.mesh import MeshShape
from modeseek.llm.parallel.roofline import decoding_bytes, training_flop
from modeseek.llm.training.settings import EpochsConfig
from modeseek.llm.training.tune_config import TuneConfig
from modeseek.memory import readable

WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclasses.dataclass(frozen=True)
class Rate:
    """How fast a device is taken to be.

    Attributes:
        device: with its peaks.
        mfu: the share of its peak FLOP/s that a model's own FLOP are done at.
        decoding: the share of its memory's bandwidth that decoding is done at.
    """

    device: Accelerator
    mfu: float = 0.36
    decoding: float = 0.4

    def __post_init__(self) -> None:
        """Raises ValueError for shares that are none."""
        for name in ("mfu", "decoding"):
            value = getattr(self, name)
            positive(name, value)
            require(value <= 1, f"{name} must be at most 1, got {value!r}")


class Plan(NamedTuple):
    """What a run would take.

    Attributes:
        sizes: what → how much, in the order in which they are printed.
        held: bytes that are there all the time, by part.
        phases: phase → bytes beside those, by part.
        seconds: by phase.
    """

    sizes: dict[str, int | float | str]
    held: dict[str, int]
    phases: dict[str, dict[str, int]]
    seconds: dict[str, float]

    @property
    def peak(self) -> int:
        """Bytes of the phase that needs most, with what is held."""
        most = max((sum(parts.values()) for parts in self.phases.values()), default=0)
        return sum(self.held.values()) + most

    @property
    def hours(self) -> float:
        """Those of all phases."""
        return sum(self.seconds.values()) / 3600


class Model(NamedTuple):
    """A model and how it is computed.

    Attributes:
        config: its sizes.
        dtype: of computing.
        fused: whether attention is one kernel.
    """

    config: ModelConfig
    dtype: str
    fused: bool

    @property
    def compute(self) -> Compute:
        """As memory is counted; a fused kernel is for 16-bit numbers."""
        fused = self.fused and self.dtype != "float32"
        return Compute(self.dtype, attention="cudnn" if fused else "xla")

    @property
    def parameters(self) -> int:
        """How many."""
        return memory.parameter_count(self.config)


def plan_epochs(
    model: Model,
    config: EpochsConfig,
    rows: int,
    length: int,
    rate: Rate,
    *,
    responses: int = 1,
    chunk: int = 4096,
) -> Plan:
    """SFT, or, with two responses a row, a reward model.

    Args:
        model: that is trained, all its parameters.
        config: of the run.
        rows: to train on.
        length: tokens of a full row, prompt and response.
        rate: of the device.
        responses: a row.
        chunk: tokens whose logits exist at once; 1 where there are none.

    Raises:
        ValueError: the rows do not fill a batch.
    """
    steps, at_once = config.steps(rows), config.batch * responses
    needed = memory.training(
        model.config, model.compute, MeshShape(), at_once, length, chunk=chunk, accumulate=config.accumulate
    ).parts
    held = ("parameters", memory.ADAM.name)
    return Plan(
        sizes={
            "parameters": model.parameters,
            "rows to train on": rows,
            "gradient steps": steps,
            "tokens, at most": steps * at_once * length,
        },
        held={name: needed[name] for name in held},
        phases={"update": {name: count for name, count in needed.items() if name not in held}},
        seconds={"update": steps * training_flop(model.config, at_once, length) / (rate.mfu * rate.device.flops)},
    )


def plan_tune(
    model: Model, config: TuneConfig, rows: int, prompt: int, response: int, rate: Rate, scorer: Model | None = None
) -> Plan:
    """Algorithm 1: generate, score, update.

    Args:
        model: the policy; the reference is another copy of it, where all parameters are trained.
        config: of the run.
        rows: prompts of the data.
        prompt: the most tokens of one.
        response: the most tokens of a response in the data.
        rate: of the device.
        scorer: a reward model.

    Raises:
        ValueError: too few prompts for a collection.
    """
    per = config.prompts_per_collection
    require(rows >= per, f"a collection takes {per} prompts, but there are {rows}")
    sampled = config.sampled_prompts * config.responses_per_prompt
    longest = max(config.max_new_tokens if sampled else 0, response if sampled < config.samples_per_collection else 0)
    length, collected, minibatch = prompt + longest, config.samples_per_collection, config.minibatch_size
    work = (model.config, model.compute, MeshShape())
    chunk, accumulate = config.chunk, config.accumulate
    number = model.parameters
    if config.lora_rank:
        needed = memory.training_adapters(
            *work, minibatch, length, config.lora_rank, chunk=chunk, accumulate=accumulate
        ).parts
        held = {"policy and reference": needed["parameters"]}
        held |= {name: needed[name] for name in ("adapters", memory.ADAM.name)}
        update = {name: count for name, count in needed.items() if name not in (*held, "parameters")}
    else:
        needed = memory.training(*work, minibatch, length, chunk=chunk, accumulate=accumulate).parts
        held = {"policy": needed["parameters"], memory.ADAM.name: needed[memory.ADAM.name], "reference": 4 * number}
        update = {name: count for name, count in needed.items() if name not in ("parameters", memory.ADAM.name)}
    if scorer is not None:
        held["reward model"] = WIDTH[scorer.dtype] * scorer.parameters
    at_once = -(-collected // (accumulate * (collected // minibatch)))
    scoring = dict(memory.scoring(*work, at_once, length, chunk).parts)
    scoring.pop("parameters")
    phases = {"score": scoring, "update": update}
    forward = lambda config, rows: training_flop(config, rows, length) / 3
    flops = rate.mfu * rate.device.flops
    passes = 2 if sampled else 1  # the reference, and the policy where it has sampled
    judged = 0.0 if scorer is None else forward(scorer.config, collected)
    steps, count = config.gradient_steps, config.collections
    seconds = {
        "score": count * (passes * forward(model.config, collected) + judged) / flops,
        # before it learns, a step scores its rows
        "update": steps * (training_flop(model.config, minibatch, length) + forward(model.config, minibatch)) / flops,
    }
    if sampled:
        batch = min(config.generation_batch, sampled)
        generate = dict(memory.inference(*work, batch, prompt + config.max_new_tokens, prompt).parts)
        generate["policy for decoding"] = generate.pop("parameters")
        phases = {"generate": generate, **phases}
        seconds = {
            "generate": count * generation_seconds(model, sampled, batch, prompt, config.max_new_tokens, rate),
            **seconds,
        }
    return Plan(
        sizes={
            "parameters": number,
            "prompts": rows,
            "collections": count,
            "passes over the prompts": round(count * per / rows, 2),
            "gradient steps": steps,
            "responses sampled": count * sampled,
            "tokens sampled, at most": count * sampled * config.max_new_tokens,
            "tokens trained on, at most": steps * minibatch * length,
        },
        held=held,
        phases=phases,
        seconds=seconds,
    )


def plan_samples(
    model: Model, prompts: int, samples: int, batch: int, prompt: int, new_tokens: int, rate: Rate
) -> Plan:
    """Answers to prompts, of a model that is there for decoding alone.

    Args:
        model: that answers.
        prompts: how many.
        samples: to each.
        batch: at once.
        prompt: the most tokens of a prompt.
        new_tokens: the most of an answer.
        rate: of the device.
    """
    count = prompts * samples
    size = min(batch, count)
    needed = dict(memory.inference(model.config, model.compute, MeshShape(), size, prompt + new_tokens, prompt).parts)
    return Plan(
        sizes={
            "parameters": model.parameters,
            "prompts": prompts,
            "answers": count,
            "tokens sampled, at most": count * new_tokens,
        },
        held={"policy for decoding": needed.pop("parameters")},
        phases={"generate": needed},
        seconds={"generate": generation_seconds(model, count, size, prompt, new_tokens, rate)},
    )


def generation_seconds(model: Model, count: int, batch: int, prompt: int, new_tokens: int, rate: Rate) -> float:
    """Reading prompts at `mfu`, then each token at the memory's rate, for `count` responses, `batch` at once."""
    whole("batch", batch, 1)
    read = training_flop(model.config, count, prompt) / 3 / (rate.mfu * rate.device.flops)
    filled = prompt + new_tokens // 2  # on average
    token = decoding_bytes(model.config, batch, filled, WIDTH[model.dtype]) / (rate.decoding * rate.device.bandwidth)
    return read + math.ceil(count / batch) * new_tokens * token


def table(plan: Plan, rate: Rate, name: str) -> str:
    """The plan as lines: sizes, memory by part, hours, and whether it fits.

    Args:
        plan: of a run.
        rate: that hours are counted by.
        name: of the device.
    """
    lines = [_line(what, _number(count)) for what, count in plan.sizes.items()]
    lines += ["", _line("memory, held all the time", readable(sum(plan.held.values()))), *_parts(plan.held)]
    for phase, parts in plan.phases.items():
        lines += [_line(f"memory, beside it to {phase}", readable(sum(parts.values()))), *_parts(parts)]
    room = readable(int(rate.device.memory))
    fits = "fits" if plan.peak <= 0.95 * rate.device.memory else "does NOT fit"
    lines += [_line(f"memory, most at once: {fits} one {name} of {room}", readable(plan.peak)), ""]
    lines += [_line(f"hours to {phase}", f"{spent / 3600:.2f}") for phase, spent in plan.seconds.items()]
    lines.append(_line("hours in all", f"{plan.hours:.2f}"))
    peak = f"{rate.device.flops / 1e12:g} TFLOP/s at {100 * rate.mfu:g} %"
    lines.append(
        f"assumed: {peak}, {rate.device.bandwidth / 1e9:g} GB/s at {100 * rate.decoding:g} % to decode; full rows"
    )
    return "\n".join(lines)


def _parts(parts: Mapping[str, int]) -> list[str]:
    return [_line(f"  {name}", readable(count)) for name, count in parts.items()]


def _line(what: str, value: str) -> str:
    return f"{what:<58}{value:>16}"


def _number(count: int | float | str) -> str:
    return f"{count:,}" if isinstance(count, int) else str(count)
