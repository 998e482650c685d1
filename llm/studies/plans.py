"""What a target would take: sizes, steps and estimated hours; for the paper's own policies the commands themselves."""

import dataclasses
from collections.abc import Iterable

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.protocol import Protocol
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.parallel.roofline import decoding_bytes, training_flop
from modeseek.llm.runs.sizes import CONTEXT
from modeseek.llm.studies.cells import LanguageCell
from modeseek.llm.studies.scales import PAPER, SCALES, Scale

FLOPS, BYTES = 989e12 * 0.36, 4.8e12 * 0.4
"""A second of one H200 at the utilisations that are hoped for: 36 % of its arithmetic, 40 % of its bandwidth."""

STEPS = 500
"""Gradient steps of a run of the paper's policies; the paper does not say how many it took."""


@dataclasses.dataclass(frozen=True)
class Policies:
    """One of the paper's policies with its data, by the hub's names.

    Attributes:
        policy: what SFT begins with.
        scorer: what the reward model begins with.
        sft: data of SFT.
        preferences: pairs.
        gold: options of `evaluate` that name the gold reward.
        config: sizes of the policy.
    """

    policy: str
    scorer: str
    sft: str
    preferences: str
    gold: str
    config: ModelConfig


def _neox(width: int, layers: int, heads: int, vocab: int, context: int) -> ModelConfig:
    return ModelConfig(
        architecture="gpt_neox",
        vocab_size=vocab,
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=heads,
        head_size=width // heads,
        mlp_width=4 * width,
        context=context,
        activation="gelu",
        norm_epsilon=1e-5,
        rotary_fraction=0.25,
        parallel_residual=True,
        attention_bias=True,
        mlp_bias=True,
    )


_PYTHIA = _neox(2048, 24, 16, 50304, 2048)
_MISTRAL = ModelConfig(
    architecture="mistral",
    vocab_size=32000,
    width=4096,
    layers=32,
    heads=32,
    kv_heads=8,
    head_size=128,
    mlp_width=14336,
    context=32768,
    activation="silu",
    norm_epsilon=1e-5,
)
_PAIRS = "Asap7772/relabeled_alpacafarm_pythiasft_20K_preference_data"


def _pythia(preferences: str, gold: str) -> Policies:
    names = ("EleutherAI/pythia-1.4b", "EleutherAI/pythia-410m", "tatsu-lab/alpaca_farm")
    return Policies(*names, preferences, gold, _PYTHIA)


POLICIES = {
    "min_length": _pythia(f"{_PAIRS}_minlength", "--gold min_length"),
    "mode_length": _pythia(f"{_PAIRS}_modelength", "--gold mode_length --mode 203"),
    "skew_length": _pythia("Asap7772/alpaca_skewexp_minlength_merged", "--gold min_length"),
    "plain_words": _pythia(_PAIRS, '--reward-model "$GOLD"'),
    "ultrafeedback": Policies(
        *("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-v0.1", "HuggingFaceH4/ultrachat_200k"),
        "HuggingFaceH4/ultrafeedback_binarized",
        '--reward-model "$GOLD"',
        _MISTRAL,
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


def _cell_commands(cell: LanguageCell, at: Policies, base: str) -> list[str]:
    """The grid on the tuning seeds; the rate that ends highest, RATE, on the fresh ones."""
    on_policy = variant(cell.method).on_policy
    judged = on_policy or "advantages" in variant(cell.method).method.needs
    batch = 64 * cell.staleness
    tune = [
        f"modeseek llm tune --method {cell.method} --model {base}/sft/policy --data {at.preferences}",
        "--template paper --dtype bfloat16",
        f"--samples-per-collection {batch} --responses-per-prompt {4 if on_policy else 2} --minibatch-size 64",
        f"--inner-steps {cell.inner_steps} --collections {STEPS // (cell.staleness * cell.inner_steps)}",
        "--accumulate 8 --max-response 256 --max-new-tokens 256",
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


@dataclasses.dataclass(frozen=True)
class Work:
    """What runs of one policy take.

    Attributes:
        config: of the policy.
        minibatch_size: M.
        steps: gradient steps of a run.
        prompt: tokens.
        response: tokens.
        protocol: how many runs a cell has.
    """

    config: ModelConfig
    minibatch_size: int
    steps: int
    prompt: int
    response: int
    protocol: Protocol

    @property
    def runs(self) -> int:
        """How many a cell has."""
        p = self.protocol
        return len(p.learning_rates) * p.tuning_seeds + p.fresh_seeds

    def seconds(self, cell: LanguageCell) -> float:
        """An estimate of one run on one H200: a step's arithmetic with three more forward passes that score, and what
        decoding reads.
        """
        length = self.prompt + self.response
        steps = training_flop(self.config, self.minibatch_size, length) * 2 * self.steps / FLOPS
        if not variant(cell.method).on_policy:
            return steps
        collections = max(1, self.steps // (cell.staleness * cell.inner_steps))
        rows = self.minibatch_size * cell.staleness
        middle = self.prompt + self.response // 2
        return steps + collections * self.response * decoding_bytes(self.config, rows, middle) / BYTES


def work_of(scale: str, cell: LanguageCell) -> Work:
    """What a cell's runs take at a scale, `paper` among them."""
    if scale == "paper":
        return Work(POLICIES[cell.scenario].config, 64, STEPS, 128, 256, PAPER)
    own: Scale = SCALES[scale]
    s = own.sizes
    config = _neox(s.width, s.layers, s.width // 32, s.vocab_size, CONTEXT)
    return Work(config, own.minibatch_size, own.steps, s.max_prompt, s.max_response, own.protocol)


def dry_run(scale: str, cells: Iterable[LanguageCell]) -> str:
    """A table of cells: B, T, steps, runs and estimated hours of one H200."""
    from modeseek.markdown import markdown_table

    rows, total = [], 0.0
    for cell in cells:
        work = work_of(scale, cell)
        hours = work.seconds(cell) * work.runs / 3600
        total += hours
        batch = work.minibatch_size * cell.staleness
        rows.append((cell.name, str(batch), str(cell.inner_steps), str(work.steps), str(work.runs), f"{hours:.2f}"))
    names = ("cell", "B", "T", "steps", "runs", "hours")
    table = markdown_table([(name, "left" if name == "cell" else "right") for name in names], rows)
    note = f"At least {total:.1f} hours: so long if one H200 reaches 36 % of its arithmetic, 40 % of its bandwidth."
    return f"{table}\n\n{note}" if rows else "Nothing is trained but the reference, whose samples are counted."
