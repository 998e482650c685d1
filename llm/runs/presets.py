"""The paper's experiments on language models as complete commands: data, models, and the grids of its tables 4 to 10.

A preset is a setting (data and policy) with a method: `alpacafarm-pythia-dpo`. Its commands run one after the other:
SFT, the scenario's pairs, the reward model, the method at every point of its grid, an evaluation of each. What the
paper does not say is said here: how often data is passed over, Skew Length's scale, the prompts of the evaluation.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from modeseek.checks import hint, require

Arguments = tuple[str, ...]

RATES = ("1e-7", "5e-7", "1e-6", "5e-6", "1e-5")
"""η of Table 6, Table 8, Table 9 and Table 10; Table 7 leaves the last out."""


class Grid(NamedTuple):
    """A method with the numbers of its table.

    Attributes:
        table: of the paper.
        method: a name of the registry.
        fixed: options at every point.
        axes: option → its values, all combined; a value may be several words.
        judged: whether a reward model judges.
        collections: of 64 prompts each.
    """

    table: str
    method: str
    fixed: Arguments
    axes: Mapping[str, tuple[str, ...]]
    judged: bool
    collections: int

    def points(self) -> Iterator[tuple[str, Arguments]]:
        """The name and the options of each point."""
        for values in itertools.product(*self.axes.values()):
            named = dict(zip(self.axes, values, strict=True))
            options = [word for option, value in named.items() for word in (f"--{option}", *value.split())]
            name = "-".join([self.method, *(value.split()[0] for value in values)])
            yield name, ("--method", self.method, *self.fixed, *options)


def _batch(responses: int, rows: int = 64) -> Arguments:
    """Table 4 (Table 5's sampling is `tune`'s own): a step on 64 prompts' responses, in parts of 8 rows."""
    size = str(rows * responses)
    parts = str(rows * responses // 8)
    options = {"samples-per-collection": size, "minibatch-size": size, "responses-per-prompt": str(responses)}
    return (*(word for option, value in options.items() for word in (f"--{option}", value)), "--accumulate", parts)


OFFLINE, ON_POLICY = 312, 625
"""Collections: one pass over 20 000 pairs, two over as many prompts."""

GRIDS = {
    "dpo": Grid(
        "6", "dpo", _batch(2), {"learning-rate": RATES, "beta": ("0.01", "0.05", "0.1", "0.5")}, False, OFFLINE
    ),
    "pref-ft": Grid("Table 7", "pref_ft", _batch(2), {"learning-rate": RATES[:4]}, False, OFFLINE),
    "binary-feedme": Grid("Table 7", "binary_feedme", _batch(2), {"learning-rate": RATES[:4]}, False, OFFLINE),
    "ppo": Grid(
        "Table 8",
        "ppo",
        (*_batch(1), "--kl-coefficient", "0.2", "--kl-target", "6", "--value-coefficient", "0.1"),
        {"learning-rate": RATES},
        True,
        ON_POLICY,
    ),
    "rwr": Grid(
        "Table 9", "rwr", _batch(1), {"learning-rate": RATES, "temperature": ("0.1", "1", "10", "20")}, True, ON_POLICY
    ),
    "best-of-4": Grid("Table 10", "best_of_n", _batch(4), {"learning-rate": RATES}, True, ON_POLICY),
    "best-of-10": Grid("Table 10", "best_of_n", _batch(10), {"learning-rate": RATES}, True, ON_POLICY),
    "on-policy-dpo": Grid(
        "6",
        "on_policy_dpo",
        _batch(2),
        {"learning-rate": RATES, "beta": ("0.01", "0.05", "0.1", "0.5")},
        True,
        ON_POLICY,
    ),
}
"""Method of a preset's name → its grid. On-policy DPO has no table: it takes DPO's. The target of PPO's KL is that of
the library that the paper used: Table 8's .1 is another number there (decision 65)."""


class Policy(NamedTuple):
    """What is tuned.

    Attributes:
        base: the model on the hub.
        scorer: what the reward model begins with; None for the policy after SFT (they must share a vocabulary).
        tuned: whether it has had SFT; if not, the preset's first command gives it.
        template: around prompts and responses.
        adapters: options of `tune`: all parameters, or adapters.
        scoring: options of `reward-model`.
    """

    base: str
    scorer: str | None
    tuned: bool
    template: str
    adapters: Arguments
    scoring: Arguments


POLICIES = {
    "pythia": Policy(
        "EleutherAI/pythia-1.4b", "EleutherAI/pythia-410m", False, "paper", (), ("--batch", "64", "--accumulate", "8")
    ),
    # 7 B parameters in float32 with their gradient and Adam are 116 GB: the policy's adapters are trained. The reward
    # model is trained whole, and on an H200 there is room for four pairs beside it, and none to add up parts.
    "mistral": Policy(
        "HuggingFaceH4/mistral-7b-sft-beta",
        None,
        True,
        "chat",
        ("--lora-rank", "64"),
        ("--batch", "4", "--accumulate", "1"),
    ),
}


class Task(NamedTuple):
    """What a policy is tuned on.

    Attributes:
        sft: where its completions come from.
        preferences: the data with preferences, or, for a scenario, with prompts.
        scenario: the scenario and its numbers; none for judged preferences.
        gold: options of `evaluate` where the gold reward is known.
    """

    sft: Arguments
    preferences: Arguments
    scenario: Arguments = ()
    gold: Arguments = ()


ALPACA = ("--data", "tatsu-lab/alpaca", "--limit", "10000")
PROMPTS = ("--data", "tatsu-lab/alpaca", "--limit", "20000")
ULTRAFEEDBACK = "HuggingFaceH4/ultrafeedback_binarized"
RELABELLED = "Asap7772/relabeled_alpacafarm_pythiasft_20K_preference_data"
EVALUATED = ("--data", ULTRAFEEDBACK, "--split", "test_prefs", "--limit", "512")
"""Prompts that no preset trains on."""

TASKS = {
    "alpacafarm": Task(ALPACA, ("--data", RELABELLED)),
    "ultrafeedback": Task(
        ("--data", ULTRAFEEDBACK, "--split", "train_sft"), ("--data", ULTRAFEEDBACK, "--split", "train_prefs")
    ),
    "min-length": Task(ALPACA, PROMPTS, ("min_length",), ("--gold", "min_length")),
    "mode-length": Task(ALPACA, PROMPTS, ("mode_length", "--mode", "203"), ("--gold", "mode_length", "--mode", "203")),
    "skew-length": Task(ALPACA, PROMPTS, ("skew_length", "--share", "0.95", "--scale", "50"), ("--gold", "min_length")),
}
"""AlpacaFarm's own set is a script that `datasets` runs no more: the first rows of Alpaca, which it is made of, stand
for its SFT split, and the paper's relabelled pairs for its preferences. A scenario's prompts are the first rows too, so
that SFT has seen half of them. Skew Length's scale, a quarter of the mode, is ours."""

NAMES = tuple("-".join(parts) for parts in itertools.product(TASKS, POLICIES, GRIDS))
"""Every preset."""


class Stage(NamedTuple):
    """A command of a preset.

    Attributes:
        name: of the stage.
        arguments: after `modeseek llm`.
        planned: the same for a dry run: models and data that earlier stages will have made are replaced by what they
            are made of; empty where a stage has no dry run.
    """

    name: str
    arguments: Arguments
    planned: Arguments


def stages(name: str, home: str = "runs") -> list[Stage]:
    """The commands of a preset, in order.

    Args:
        name: one of `NAMES`.
        home: the folder of all of them; presets of one setting share its first stages.

    Raises:
        ValueError: no such preset; the nearest name is told.
    """
    require(name in NAMES, f"the preset {name!r} is not known; {hint(name, NAMES)}")
    setting, policy_name, method = next(
        (task, policy, grid)
        for task in TASKS
        for policy in POLICIES
        for grid in GRIDS
        if name == f"{task}-{policy}-{grid}"
    )
    task, policy, grid = TASKS[setting], POLICIES[policy_name], GRIDS[method]
    root = f"{home}/{setting}-{policy_name}"
    common = ("--template", policy.template, "--dtype", "bfloat16", "--max-prompt", "128")
    read = (*common, "--max-response", "256")
    start = policy.base if policy.tuned else f"{root}/sft/policy"
    made: dict[str, Arguments] = {start: (policy.base,)}
    found: list[Stage] = []

    def add(stage: str, *arguments: str) -> None:
        planned = tuple(word for argument in arguments for word in made.get(argument, (argument,)))
        found.append(Stage(stage, arguments, () if stage == "evaluate" else (*planned, "--dry-run")))

    if not policy.tuned:
        sft = ("--batch", "64", "--accumulate", "8", "--epochs", "3", "--learning-rate", "1e-5")
        add(
            "sft",
            "sft",
            "--model",
            policy.base,
            *task.sft,
            *common,
            "--max-response",
            "384",
            *sft,
            "--out",
            f"{root}/sft",
        )
    preferences = task.preferences
    if task.scenario:
        sampled = ("--model", start, "--samples", "2", "--max-new-tokens", "256", "--batch", "256")
        add("scenario", "scenario", *task.scenario, *task.preferences, *sampled, *common, "--out", f"{root}/pairs")
        preferences = ("--data", f"{root}/pairs/pairs.jsonl")
        made[preferences[1]] = (preferences[1], "--rows", "20000")
    scorer = f"{root}/reward-model/reward_model"
    base = start if policy.scorer is None else policy.scorer
    out = ("--out", f"{root}/reward-model")
    add("reward-model", "reward-model", "--model", base, *preferences, *read, *policy.scoring, *out)
    made[scorer] = (policy.base if policy.scorer is None else policy.scorer,)
    for point, options in grid.points():
        folder = f"{root}/{point}"
        gold = ("--reward", *task.gold[1:]) if task.gold else ()  # measured beside the proxy
        judge = ("--reward-model", scorer, *gold) if grid.judged else ()
        count = ("--collections", str(grid.collections), "--max-new-tokens", "256", "--generation-batch", "64")
        tuned = ("--model", start, *preferences, *judge, *options, *policy.adapters, *count, *read)
        add("tune", "tune", *tuned, "--out", folder)
        prompts = (*EVALUATED, *common, "--max-new-tokens", "256", "--batch", "64")
        against = ("--reference", start, "--reward-model", scorer, *task.gold)
        add("evaluate", "evaluate", f"{folder}/policy", *prompts, *against, "--out", f"{folder}/evaluation.json")
    return found
