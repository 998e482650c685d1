"""One stage of the measurements on an accelerator: `python benchmarks/device.py STAGE [--size tiny] [--out FOLDER]`.

`benchmarks/device.sh` runs all of them, each under a time limit of its own. Every stage writes FOLDER/STAGE.json as
soon as it has a number, so that one that is cut off leaves what it had. Weights are random. With `--size tiny` each
stage runs in seconds on a CPU: that is the rehearsal. Nothing is imported that such a machine does not have.
"""

import argparse
import dataclasses
import datetime
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.92")

import jax
import jax.numpy as jnp
import numpy as np
from llm_training import config as pythia
from llm_training import tokens as tokens_of

HERE = Path(__file__).parent
EXPECTED = HERE / "device" / "expected.json"
PEAKS = {"NVIDIA H200": (989e12, 4.8e12), "NVIDIA H100": (989e12, 3.35e12)}
"""Dense bfloat16 FLOP/s and bytes/s of memory by the maker's sheets, by the beginning of the device's name."""


class Record:
    """A stage's numbers, in a file that is replaced at each new one."""

    def __init__(self, folder, stage, size):
        device = jax.devices()[0]
        self.path = folder / f"{stage}.json"
        self.content = {
            "stage": stage,
            "size": size,
            "device": device.device_kind,
            "peak_flops": self.peaks[0],
            "peak_bytes_per_second": self.peaks[1],
            "versions": {"python": sys.version.split()[0], "jax": jax.__version__},
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "rows": [],
        }
        self.began = time.monotonic()

    @property
    def peaks(self):
        kind = jax.devices()[0].device_kind
        return next((both for name, both in PEAKS.items() if kind.startswith(name)), (None, None))

    def add(self, what, **numbers):
        memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
        row = {"what": what, **numbers, "peak_bytes_in_use": memory, "at": round(time.monotonic() - self.began, 1)}
        self.content["rows"].append(row)
        temporary = self.path.with_suffix(".partial")
        temporary.write_text(json.dumps(self.content, indent=1) + "\n")
        temporary.replace(self.path)
        print(json.dumps(row), flush=True)

    def share(self, value, which):
        """Of the device's peak; None where that is not known."""
        peak = self.peaks[which]
        return None if peak is None else round(value / peak, 4)


def seconds(work, repeats, warm=1):
    """Median of `repeats` calls after `warm` that are not counted."""
    times = []
    for _ in range(warm + repeats):
        began = time.perf_counter()
        jax.block_until_ready(work())
        times.append(time.perf_counter() - began)
    return statistics.median(times[warm:])


def shapes(size):
    """Pythia's shapes that are measured, by name."""
    return {name: pythia(name) for name in (("tiny",) if size == "tiny" else ("410m", "1.4b"))}


def random_weights(config, dtype="float32"):
    from modeseek.llm.models.parameters import init

    return jax.jit(lambda key: init(config, dtype=dtype, key=key))(jax.random.key(0))


def floors(record, size):
    """What the device gives a large product and a large copy: the floors of everything else."""
    side = 512 if size == "tiny" else 16_384
    a = jnp.ones((side, side), jnp.bfloat16)
    product = jax.jit(lambda a: jnp.matmul(a, a))
    rate = 2 * side**3 / seconds(lambda: product(a), 5)
    record.add("bfloat16 product", side=side, flops=rate, share=record.share(rate, 0))
    count = 2**22 if size == "tiny" else 2**31
    b = jnp.ones(count, jnp.bfloat16)
    copy = jax.jit(lambda b: b + jnp.bfloat16(1))
    rate = 2 * b.nbytes / seconds(lambda: copy(b), 5)
    record.add("copy", bytes=b.nbytes, bytes_per_second=rate, share=record.share(rate, 1))


def _bandit_numbers():
    """Two collections of on-policy IPO, one seed."""
    from modeseek.bandit.simulator.experiment import Experiment
    from modeseek.bandit.simulator.groups import GroupPrograms
    from modeseek.bandit.simulator.plan import make_plan

    experiment = Experiment(methods=("on_policy_ipo",), seeds=1)
    runs = make_plan(experiment).runs
    programs = GroupPrograms(experiment.static, 1)
    programs.compile_for(runs)
    run = programs.put(runs, np.zeros(1, int))
    state, *_ = programs("start", programs("pretrain", run.problem, run.seed).params, run)
    for _ in range(2):
        state, metrics = programs("collection", state, run)
    last = lambda name: float(np.asarray(getattr(metrics.training, name)).reshape(-1)[-1])
    return {f"bandit {name}": last(name) for name in ("loss", "gradient_norm")}


def _language_numbers():
    """A tiny GPT-NeoX: a log-prob, greedy tokens' sum, and the losses of three steps of DPO and PPO."""
    from modeseek.bandit.objectives.batch import HyperParameters
    from modeseek.bandit.objectives.registry import variant
    from modeseek.llm.models.model import Model
    from modeseek.llm.training.cross_entropy import CrossEntropy
    from modeseek.llm.training.objective import Labelled, make_method_step, make_scorer
    from modeseek.llm.training.optimizer import start
    from modeseek.llm.training.trainable import AllParameters

    config = shapes("tiny")["tiny"]
    params, loss, trainable = random_weights(config), CrossEntropy(Model(config)), AllParameters(config)
    rows, length = 4, 24
    ints = lambda value: np.full((rows, 2), value, np.int32)
    tokens = tokens_of((rows, 2, length), config.vocab_size)
    data = Labelled(tokens, ints(length), ints(8), np.ones((rows, 2), bool))
    log_probs = np.asarray(make_scorer(loss, trainable)(params, data).log_probs)
    rewards = np.tile(np.float32([1, 0]), (rows, 1))
    data = data._replace(
        behavior_log_probs=log_probs, reference_log_probs=log_probs, rewards=rewards, advantages=2 * rewards - 1
    )
    found = {"language log-probs": float(log_probs.sum())}
    for method in ("dpo", "ppo"):
        step = make_method_step(variant(method).method, loss, trainable)
        state, hyper = start(jax.tree.map(jnp.copy, params)), HyperParameters(learning_rate=1e-3)
        for number in range(3):
            state, numbers = step(state, data, hyper)
            found[f"language {method} loss {number}"] = float(numbers["loss"])
    return found


def smoke(record, size):
    """The numbers of a CPU come out here too, and cuDNN's attention is probed."""
    from modeseek.llm.models.attention import cudnn_works

    for head in (64, 128):
        record.add("cuDNN attention", head_size=head, works=cudnn_works(head, "bfloat16"))
    expected = json.loads(EXPECTED.read_text())["numbers"]
    with jax.default_matmul_precision("highest"):
        found = {**_bandit_numbers(), **_language_numbers()}
    for name, value in found.items():
        apart = abs(value - expected[name]) / max(1e-3, abs(expected[name]))
        record.add(name, value=value, expected=expected[name], relative=apart, agrees=bool(apart < 1e-3))


def sweep(record, size):
    """Milliseconds a run and gradient step of the bandit, by the number of runs at once."""
    from modeseek.bandit.simulator.experiment import Experiment
    from modeseek.bandit.simulator.groups import GroupPrograms
    from modeseek.bandit.simulator.plan import make_plan

    for count in (2,) if size == "tiny" else (64, 512, 4096, 10_000):
        experiment = Experiment(methods=("on_policy_ipo",), seeds=count)
        runs, steps = make_plan(experiment).runs, experiment.algorithm.steps_per_collection
        began = time.perf_counter()
        programs = GroupPrograms(experiment.static, count)
        programs.compile_for(runs)
        run = programs.put(runs, np.arange(count))
        state, *_ = programs("start", programs("pretrain", run.problem, run.seed).params, run)
        state, _ = jax.block_until_ready(programs("collection", state, run))
        ready, times = time.perf_counter() - began, []
        for _ in range(3):
            began = time.perf_counter()
            state, _ = jax.block_until_ready(programs("collection", state, run))
            times.append(time.perf_counter() - began)
        each = statistics.median(times) / steps
        record.add("bandit", runs=count, ms_per_step=1e3 * each, ms_per_run_and_step=1e3 * each / count, ready=ready)


def training(record, size):
    """MFU of a cross-entropy step: float32 master weights, bfloat16 computation, no FLOP counted twice."""
    from modeseek.llm.models.model import Compute, Model
    from modeseek.llm.parallel.roofline import training_flop
    from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
    from modeseek.llm.training.optimizer import Adam, start
    from modeseek.llm.training.step import make_step
    from modeseek.llm.training.trainable import AllParameters

    rows, length = (4, 32) if size == "tiny" else (64, 384)
    for name, config in shapes(size).items():
        for remat in ("dots",) if size == "tiny" else ("dots", "full"):
            step = make_step(CrossEntropy(Model(config, Compute("bfloat16", remat))), AllParameters(config))
            state = start(random_weights(config))
            tokens = jnp.asarray(tokens_of((rows, length + 1), config.vocab_size))
            batch, adam = TokenBatch(tokens, jnp.full(rows, length + 1, jnp.int32)), Adam(*map(jnp.float32, Adam(1e-4)))
            held = [state]

            def work(step=step, held=held, batch=batch, adam=adam):
                held[0], loss = step(held[0], batch, adam)
                return loss

            took = seconds(work, 5, warm=2)
            rate = training_flop(config, rows, length) / took
            numbers = {"tokens_per_second": rows * length / took, "flops": rate, "mfu": record.share(rate, 0)}
            record.add(f"training {name}", remat=remat, rows=rows, length=length, ms=1e3 * took, **numbers)
            held.clear()
            del state


def decoding(record, size):
    """Sampled tokens a second beside the memory roofline; the time of a token is that of a response's second half."""
    from modeseek.llm.inference.generate import generate, row_keys
    from modeseek.llm.models.model import Compute, Model
    from modeseek.llm.parallel.roofline import decoding_bytes

    prompt, new = (16, 16) if size == "tiny" else (128, 256)
    half = new // 2 + 1  # the same bucket as the whole, hence the same program
    for name, config in shapes(size).items():
        model = Model(config, Compute("bfloat16"))
        params = model.for_decoding(random_weights(config, "bfloat16"), donate=True)
        for rows in (4,) if size == "tiny" else (64, 512):
            read, lengths = tokens_of((rows, prompt), config.vocab_size), np.full(rows, prompt)
            keys = row_keys(jax.random.key(0), rows)
            work = functools.partial(generate, model, params, read, lengths, keys=keys)
            took = {count: seconds(functools.partial(work, new_tokens=count), 3) for count in (half, new)}
            token = (took[new] - took[half]) / (new - half)
            rate = decoding_bytes(config, rows, prompt + (half + new) // 2) / token
            numbers = {"tokens_per_second": rows / token, "bytes_per_second": rate, "share": record.share(rate, 1)}
            record.add(f"decoding {name}", rows=rows, ms_per_token=1e3 * token, whole=took[new], **numbers)


def methods(record, size):
    """Algorithm 1's collections by phase: offline DPO, on-policy RWR, DPO and PPO."""
    from modeseek.llm.data.tokenization import Example
    from modeseek.llm.inference.scoring import ModelWithParams
    from modeseek.llm.models.model import Compute, Model
    from modeseek.llm.training.algorithm1 import Algorithm1
    from modeseek.llm.training.tune_config import LANGUAGE_HYPER, TuneConfig

    batch, prompt, new = (8, 16, 16) if size == "tiny" else (64, 128, 256)
    shorter = lambda examples: np.array([[-float(len(y)) for y in e.responses] for e in examples])
    for name, config in shapes(size).items():
        model = Model(config, Compute("bfloat16"))
        ids = tokens_of((2 * batch, prompt + 2 * new), config.vocab_size)
        data = [Example(row[:prompt], (row[prompt : prompt + new], row[prompt + new :])) for row in ids]
        policy = ModelWithParams(model, random_weights(config))
        for method in ("dpo", "ppo") if size == "tiny" else ("dpo", "rwr", "on_policy_dpo", "ppo"):
            how = TuneConfig(
                method=method,
                samples_per_collection=batch,
                minibatch_size=batch,
                collections=4,
                max_new_tokens=new,
                hyper=dataclasses.replace(LANGUAGE_HYPER, learning_rate=1e-6),
                generation_batch=batch,
            )
            loop = Algorithm1(policy, data, how, reward=None if method == "dpo" else shorter, eos=(0,), pad=1)
            state, collections = loop.start(), []
            for _ in range(4):
                records = []
                began = time.perf_counter()
                state = loop.turn(state, records.append)
                spent = {key: sum(r.get(key, 0.0) for r in records) for key in PHASES}
                collections.append({**spent, "all_seconds": time.perf_counter() - began})
            middle = {key: statistics.median(c[key] for c in collections[2:]) for key in collections[0]}
            tokens = batch * (prompt + new)
            record.add(f"{method} {name}", rows=batch, tokens_per_second=tokens / middle["all_seconds"], **middle)
            del state, loop


PHASES = ("generate_seconds", "score_seconds", "update_seconds")


def mistral(record, size):
    """Mistral-7B's shape in 16 bits: written, loaded, scored with, decoded with, and trained by adapters."""
    from modeseek.llm.checkpoints.checkpoint import open_checkpoint
    from modeseek.llm.checkpoints.load import load
    from modeseek.llm.checkpoints.save import save
    from modeseek.llm.inference.generate import generate, row_keys
    from modeseek.llm.inference.scoring import ModelWithParams, score
    from modeseek.llm.models.hugging_face import config_from
    from modeseek.llm.models.model import Compute, Model
    from modeseek.llm.parallel.roofline import training_flop
    from modeseek.llm.training import lora
    from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
    from modeseek.llm.training.optimizer import Adam, start
    from modeseek.llm.training.step import make_step

    small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8, "intermediate_size": 128}
    raw = {
        "model_type": "mistral",
        "vocab_size": 32_000,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "intermediate_size": 14_336,
        "max_position_embeddings": 32_768,
        "sliding_window": 4096,
        "rms_norm_eps": 1e-5,
        **(small if size == "tiny" else {}),
    }
    config = config_from(raw)
    rows, length = (4, 32) if size == "tiny" else (16, 384)
    model = Model(config, Compute("bfloat16"))
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "model", config, random_weights(config, "bfloat16"), dtype="bfloat16")
        began = time.perf_counter()
        params = jax.block_until_ready(load(open_checkpoint(Path(folder) / "model"), dtype="bfloat16"))
        record.add("mistral loaded", seconds=time.perf_counter() - began)
    tokens, lengths = tokens_of((rows, length + 1), config.vocab_size), np.full(rows, length + 1)
    scores = jax.jit(lambda p, t, n: score(ModelWithParams(model, p), t, n, chunk=4096).sums)
    took = seconds(lambda: scores(params, tokens, lengths), 3)
    rate = training_flop(config, rows, length) / 3 / took
    record.add("mistral scoring", tokens_per_second=rows * length / took, flops=rate, mfu=record.share(rate, 0))
    adapters, adam = lora.init(config, 16, key=jax.random.key(1)), Adam(*map(jnp.float32, Adam(1e-4)))
    whole = dataclasses.replace(model, compute=dataclasses.replace(model.compute, remat="full"))
    held, step = [start(adapters)], make_step(CrossEntropy(whole), lora.Adapters(config))
    batch = TokenBatch(jnp.asarray(tokens), jnp.asarray(lengths, jnp.int32))

    def work():
        held[0], loss = step(held[0], batch, adam, lora.Frozen(params, jnp.float32(1)))
        return loss

    took = seconds(work, 3, warm=2)
    record.add("mistral LoRA step", rank=16, rows=rows, length=length, tokens_per_second=rows * length / took)
    held.clear()
    decoded = model.for_decoding(params, donate=True)
    keys, new = row_keys(jax.random.key(2), rows), 16 if size == "tiny" else 128
    prompts = tokens[:, :new]
    took = seconds(lambda: generate(model, decoded, prompts, np.full(rows, new), new, keys=keys), 2)
    record.add("mistral generating", rows=rows, new_tokens=new, tokens_per_second=rows * new / took)


STAGES = {each.__name__: each for each in (floors, smoke, sweep, training, decoding, methods, mistral)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stage", choices=(*STAGES, "expect"), help="expect: write what `smoke` compares with")
    parser.add_argument("--size", choices=("tiny", "full"), default="full")
    parser.add_argument("--out", type=Path, default=HERE / "device")
    options = parser.parse_args()
    if options.stage == "expect":
        with jax.default_matmul_precision("highest"):
            numbers = {**_bandit_numbers(), **_language_numbers()}
        content = {"device": jax.devices()[0].device_kind, "jax": jax.__version__, "numbers": numbers}
        EXPECTED.parent.mkdir(exist_ok=True)
        EXPECTED.write_text(json.dumps(content, indent=1) + "\n")
        return
    options.out.mkdir(parents=True, exist_ok=True)
    STAGES[options.stage](Record(options.out, options.stage, options.size), options.size)


if __name__ == "__main__":
    main()
