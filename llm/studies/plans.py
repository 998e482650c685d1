"""What a target would take: sizes, steps and estimated hours; for the paper's own policies the commands themselves."""

from collections.abc import Iterable
from typing import NamedTuple

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.protocol import Protocol
from modeseek.llm.parallel.accelerators import accelerator
from modeseek.llm.runs.known import model_sizes
from modeseek.llm.runs.plans import Model, Rate, plan_tune
from modeseek.llm.runs.presets import POLICIES as PRESET
from modeseek.llm.runs.presets import RELABELLED, ULTRAFEEDBACK
from modeseek.llm.runs.sizes import policy_config
from modeseek.llm.studies.cells import LanguageCell
from modeseek.llm.studies.scales import PAPER, SCALES
from modeseek.llm.training.tune_config import TuneConfig

RATE = Rate(accelerator("h200"))
"""What hours are counted by."""

STEPS = 500
"""Gradient steps of a run of the paper's policies; the paper does not say how many it took."""

PROMPT, RESPONSE = 128, 256
"""The most tokens of the paper's prompts and responses."""


class Policies(NamedTuple):
    """One of the paper's policies with its data, by the hub's names.

    Attributes:
        policy: what SFT begins with.
        scorer: what the reward model begins with.
        sft: data of SFT.
        preferences: pairs.
        gold: options of `evaluate` that name the gold reward.
    """

    policy: str
    scorer: str
    sft: str
    preferences: str
    gold: str


def _pythia(preferences: str, gold: str) -> Policies:
    preset = PRESET["pythia"]
    assert preset.scorer is not None
    return Policies(preset.base, preset.scorer, "tatsu-lab/alpaca --limit 10000", preferences, gold)


POLICIES = {
    "min_length": _pythia(f"{RELABELLED}_minlength", "--gold min_length"),
    "mode_length": _pythia(f"{RELABELLED}_modelength", "--gold mode_length --mode 203"),
    "skew_length": _pythia("Asap7772/alpaca_skewexp_minlength_merged", "--gold min_length"),
    "plain_words": _pythia(RELABELLED, '--reward-model "$GOLD"'),
    "ultrafeedback": Policies(
        *("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-v0.1", "HuggingFaceH4/ultrachat_200k"),
        ULTRAFEEDBACK,
        '--reward-model "$GOLD"',
    ),
}
"""Scenario → the paper's policy and data. What the hub has no one name for, the script asks for."""


def paper_commands(cells: Iterable[LanguageCell]) -> str:
    """A shell script: SFT and a reward model for each scenario, then every rate and seed of every cell."""
    cells = list(cells)
    lines = ["set -eu", ': "${PROMPTS:?data with prompts that nothing was trained on}"']
    if any("$GOLD" in POLICIES[cell.scenario].gold for cell in cells):
        lines.append(': "${GOLD:?the folder of the gold reward model (AlpacaFarm, UltraRM)}"')
    for scenario in dict.fromkeys(cell.scenario for cell in cells):
        at, base = POLICIES[scenario], scenario
        lines += [
            "",
            f"# {scenario}",
            f"modeseek llm sft --model {at.policy} --data {at.sft} --template paper --out {base}/sft",
            f"modeseek llm reward-model --model {at.scorer} --data {at.preferences} --template paper "
            f"--out {base}/reward",
        ]
        lines += [line for cell in cells if cell.scenario == scenario for line in _cell_commands(cell, at, base)]
    return "\n".join(lines)


def paper_config(cell: LanguageCell) -> TuneConfig:
    """A cell's knobs with the paper's minibatches of 64 (Table 4)."""
    return TuneConfig(
        method=cell.method,
        samples_per_collection=64 * cell.staleness,
        responses_per_prompt=4 if variant(cell.method).on_policy else 2,
        inner_steps=cell.inner_steps,
        collections=max(1, STEPS // (cell.staleness * cell.inner_steps)),
        accumulate=8,
        max_new_tokens=RESPONSE,
        conventions=cell.conventions,
    )


def _cell_commands(cell: LanguageCell, at: Policies, base: str) -> list[str]:
    """The grid on the tuning seeds; the rate that ends highest, RATE, on the fresh ones."""
    config = paper_config(cell)
    judged = config.variant.on_policy or "advantages" in config.variant.method.needs
    tune = [
        f"modeseek llm tune --method {cell.method} --model {base}/sft/policy --data {at.preferences}",
        "--template paper --dtype bfloat16",
        f"--samples-per-collection {config.samples_per_collection} "
        f"--responses-per-prompt {config.responses_per_prompt} --minibatch-size {config.minibatch_size}",
        f"--inner-steps {config.inner_steps} --collections {config.collections}",
        f"--accumulate {config.accumulate} --max-response {RESPONSE} --max-new-tokens {RESPONSE}",
        f"--learning-rate $rate --seed $seed --out {base}/{cell.name}/$rate-$seed",
    ]
    if judged:
        tune.insert(2, f"--reward-model {base}/reward/reward_model")
    c = cell.conventions
    tune += [] if c.train_first_token else ["--no-train-first-token"]
    tune += [] if c.train_eos else ["--no-train-eos"]
    measure = [
        f"modeseek llm evaluate {base}/{cell.name}/$rate-$seed/policy --reference {base}/sft/policy",
        f'--data "$PROMPTS" --template paper --limit 512 {at.gold} --seed $seed',
    ]
    tuning, first = range(PAPER.tuning_seeds), PAPER.first_judged_seed
    fresh = range(first, first + PAPER.fresh_seeds)
    loop = lambda rates, seeds: f"for rate in {rates}; do for seed in {' '.join(map(str, seeds))}; do"
    body = [" \\\n    ".join(tune), " \\\n    ".join(measure), "done; done"]
    rates = " ".join(f"{rate:g}" for rate in PAPER.learning_rates)
    chosen = f"RATE= # of {rates} the one that ends highest; empty runs none"
    return ["", f"# {cell.name}", loop(rates, tuning), *body, chosen, loop("$RATE", fresh), *body]


class Work(NamedTuple):
    """What a cell takes.

    Attributes:
        config: of a run.
        runs: how many.
        seconds: of one run on one H200.
    """

    config: TuneConfig
    runs: int
    seconds: float


def work_of(scale: str, cell: LanguageCell) -> Work:
    """What a cell's runs take at a scale, `paper` among them."""
    if scale == "paper":
        config, prompt, response, protocol = paper_config(cell), PROMPT, RESPONSE, PAPER
        model = Model(model_sizes(POLICIES[cell.scenario].policy), "bfloat16", fused=True)
    else:
        own = SCALES[scale]
        sizes, protocol = own.sizes, own.protocol
        config, prompt, response = cell.config(own), sizes.max_prompt, sizes.max_response
        model = Model(policy_config(sizes, sizes.vocab_size), "float32", fused=False)
    # A run reads as many prompts as it asks for: hours do not depend on how many there are.
    plan = plan_tune(model, config, config.prompts_per_collection, prompt, response, RATE)
    return Work(config, _runs(protocol), plan.hours * 3600)


def _runs(protocol: Protocol) -> int:
    return len(protocol.learning_rates) * protocol.tuning_seeds + protocol.fresh_seeds


def dry_run(scale: str, cells: Iterable[LanguageCell]) -> str:
    """A table of cells: B, T, steps, runs and estimated hours of one H200."""
    from modeseek.markdown import markdown_table

    rows, total = [], 0.0
    for cell in cells:
        work = work_of(scale, cell)
        hours, config = work.seconds * work.runs / 3600, work.config
        total += hours
        counts = (config.samples_per_collection, config.inner_steps, config.gradient_steps, work.runs)
        rows.append((cell.name, *map(str, counts), f"{hours:.2f}"))
    names = ("cell", "B", "T", "steps", "runs", "hours")
    table = markdown_table([(name, "left" if name == "cell" else "right") for name in names], rows)
    note = f"At least {total:.1f} hours: so long if one H200 reaches 36 % of its arithmetic, 40 % of its bandwidth."
    return f"{table}\n\n{note}" if rows else "Nothing is trained but the reference, whose samples are counted."
