"""The cells of every figure, as data: one method, one reward, one setting of Algorithm 1."""

import dataclasses
from typing import Any, NamedTuple

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.reproduce.protocol import FULL, MORE, MORE_OF_SHORT, QUICK, SHORT, Protocol
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig
from modeseek.bandit.simulator.conventions import PAPER, Conventions
from modeseek.bandit.simulator.experiment import Experiment

REWARDS = ("R1", "R2")


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is tuned and judged as one: a curve of a figure.

    Attributes:
        name: in file names and claims; its reward is its last part.
        method: as `modeseek.bandit.objectives.registry.variant` reads it.
        reward: R1 or R2.
        algorithm: Algorithm 1's knobs in the paper's protocol.
        response_tokens: tokens of a response; the policy samples one fewer where the prompt counts as one.
        hyper: changed hyper-parameters, name and value.
        conventions: changed conventions, name and value.
        quick: whether the quick protocol runs it too.
        more: whether the protocol with more seeds runs it too.
        stretch: how many times as many collections as the protocol has.
        interval: gradient steps between evaluations; 0 means once a collection.
    """

    name: str
    method: str
    reward: str
    algorithm: AlgorithmConfig = dataclasses.field(default_factory=AlgorithmConfig)
    response_tokens: int = 10
    hyper: tuple[tuple[str, float], ...] = ()
    conventions: tuple[tuple[str, Any], ...] = ()
    quick: bool = True
    more: bool = True
    stretch: int = 1
    interval: int = 0

    def experiment(self, base: Conventions, protocol: Protocol) -> Experiment:
        """The cell's runs at the default learning rate, one seed; `cells.run_cell` sets both."""
        algorithm = dataclasses.replace(
            self.algorithm,
            collections=protocol.collections(
                self.algorithm.collections, self.algorithm.steps_per_collection, self.stretch
            ),
        )
        conventions = dataclasses.replace(base, **dict(self.conventions))
        # The released code counts the prompt as one of the 10 tokens; of a response of one token there is no less.
        length = max(self.response_tokens, 1 + conventions.prompt_in_response)
        return Experiment(
            methods=(self.method,),
            rewards=(self.reward,),
            response_length=length,
            conventions=conventions,
            algorithm=algorithm,
            evaluation=EvaluationConfig(interval=self.interval),
            hyper=dataclasses.replace(HyperParameters(), **dict(self.hyper)),
        )


def _both(name: str, method: str, **kwargs: Any) -> list[Cell]:
    return [Cell(f"{name}-{reward}", method, reward, **kwargs) for reward in REWARDS]


def staleness(samples: int) -> AlgorithmConfig:
    """Figure 4: B samples a collection, one pass in minibatches of 100; data and gradient steps the same for each B."""
    return AlgorithmConfig(
        samples_per_collection=samples, inner_steps=1, collections=1000 * 100 // samples, prompts=max(BATCHES) // 10
    )


def reuse(inner_steps: int) -> AlgorithmConfig:
    """Figure 14: T passes over each collection, as many gradient steps for each T as whole collections allow."""
    return AlgorithmConfig(inner_steps=inner_steps, collections=REUSE_STEPS // inner_steps)


def offline(prompts: int) -> AlgorithmConfig:
    """Figures 16 and 18: 100 gradient steps, each on the whole data set of 10 responses to every prompt."""
    samples = 10 * prompts
    return AlgorithmConfig(samples_per_collection=samples, minibatch_size=samples, inner_steps=10, collections=10)


BATCHES = (100, 200, 500, 1000)
"""B of figure 4."""
INNER_STEPS = (1, 2, 5, 7, 10)
"""T of figure 14; the text names 2, 5, 7 and 10."""
REUSE_STEPS = 500
PROMPTS = (5, 10, 20, 50, 100, 200)
"""Sizes of the prompt set of figure 18, the released scripts' own."""
FIG16_METHODS = ("offline_best_of_n", "offline_rwr", "best_of_n_negative", "ipo")
FIG19_METHODS = ("on_policy_ipo", "ipo", "rwr", "ppo")

HEADLINES = ("best_of_n", "rwr", "ppo", "on_policy_ipo")
SCATTERED = ("rwr", "ppo")
"""Those whose mends six seeds leave undecided and twenty may decide; of the others six decide, or twenty would not."""


class Mend(NamedTuple):
    """What is brought from the released code to the paper's text, and the methods that it touches.

    Attributes:
        conventions: fields that take the paper's value.
        methods: those that read them.
        response_length: tokens, the prompt included where it counts as one.
    """

    conventions: tuple[str, ...]
    methods: tuple[str, ...] = HEADLINES
    response_length: int = 10


MENDS: dict[str, Mend] = {
    "scoring": Mend(("scoring",)),
    "prompt": Mend(("prompt_in_response",)),
    "length": Mend((), response_length=11),
    "recipe": Mend(("reference_recipe",)),
    "frozen": Mend(("frozen_copies",), ("ppo", "on_policy_ipo")),
    "reference": Mend(("reference_model", "frozen_copies"), ("on_policy_ipo",)),
    "pretraining": Mend(("pretraining",), ("best_of_n", "on_policy_ipo")),
    "dropout": Mend(("dropout",)),
    "standardization": Mend(("standardization", "self_normalize"), ("rwr", "ppo")),
    "ratio": Mend(("ratio",), ("ppo",)),
    "kl": Mend(("kl_placement", "policy_gradient_kl"), ("ppo",)),
    "ties": Mend(("ties",), ("on_policy_ipo",)),
    "everything": Mend(tuple(field.name for field in dataclasses.fields(Conventions))),
}
"""By name. `length` samples ten tokens as the paper does and still counts the prompt: 11 in all."""


def _ablation() -> tuple[Cell, ...]:
    """R1 under the released conventions, and with one difference mended at a time; run with those as the base."""
    cells = [Cell(f"{method}-released-R1", method, "R1") for method in HEADLINES]
    for name, mend in MENDS.items():
        changed = tuple((field, getattr(PAPER, field)) for field in mend.conventions)
        cells += [
            Cell(f"{method}-{name}-R1", method, "R1", conventions=changed, response_tokens=mend.response_length)
            for method in mend.methods
        ]
    return tuple(dataclasses.replace(cell, more=cell.method in SCATTERED) for cell in cells)


REMEDIES: dict[str, dict[str, Any]] = {
    "none": {},
    "gap": {"hyper": (("reward_gap", 0.05),)},
    "best-worst": {"algorithm": AlgorithmConfig(pair_scheme="best_worst")},
    "small-margin": {"hyper": (("tau", 0.5),)},
    "large-margin": {"hyper": (("tau", 0.01),)},
    "moving": {"conventions": (("reference_model", "behavior"), ("frozen_copies", "whole"))},
    "longer": {"stretch": 4},
    "dpo": {"method": "on_policy_dpo"},
}
"""What might restore on-policy IPO on R1 under the paper's conventions."""

REMEDY_TITLES = {
    "none": "as it is: τ = .05, margin 10 nats",
    "gap": "pairs at least .05 of reward apart",
    "best-worst": "best against worst alone",
    "small-margin": "τ = .5, margin 1 nat",
    "large-margin": "τ = .01, margin 50 nats",
    "moving": "reference = policy of each collection",
    "longer": "four times as many collections",
    "dpo": "DPO instead",
}


def _remedies() -> tuple[Cell, ...]:
    return tuple(
        Cell(**{"name": f"remedy-{name}-R1", "method": "on_policy_ipo", "reward": "R1"} | change)
        for name, change in REMEDIES.items()
    )


FIGURES: dict[str, tuple[Cell, ...]] = {
    "fig2": (),
    "fig4": tuple(
        cell
        for b in BATCHES
        for cell in _both(
            f"best_of_n-B{b}", "best_of_n", algorithm=staleness(b), quick=b in (min(BATCHES), max(BATCHES))
        )
    ),
    "fig14": (
        *(Cell(f"rwr-T{t}-R1", "rwr", "R1", reuse(t)) for t in INNER_STEPS),
        *(Cell(f"{m}-T{t}-R1", m, "R1", reuse(t)) for m in ("best_of_n", "ppo") for t in (1, 10)),
    ),
    # A reward within 10 nats is read off the curve, and offline IPO is beyond them within ten steps.
    "fig16": tuple(c for m in FIG16_METHODS for c in _both(f"{m}-100-steps", m, algorithm=offline(10), interval=1)),
    "fig18": tuple(Cell(f"ipo-{p}-prompts-R1", "ipo", "R1", offline(p), quick=p in (5, 20, 100)) for p in PROMPTS),
    "fig19": tuple(c for m in FIG19_METHODS for c in _both(m, m)),
    "table3": tuple(Cell(f"{m}-R1", m, "R1") for m in FIG19_METHODS),
    "one-token": tuple(
        c
        for m in ("offline_best_of_n", "ipo")
        for c in _both(f"{m}-one-token", m, algorithm=offline(10), response_tokens=1)
    ),
    "ablation": _ablation(),
    "remedies": _remedies(),
}
"""Figure → cells. Cells of one name are one cell: Table 3 is a part of figure 19."""

OURS = {"ablation": "released_code", "remedies": "paper"}
"""Targets that are not the paper's, and the conventions that each is about."""


def protocols_of(target: str) -> tuple[Protocol, ...]:
    """Those that a target is run under, the fullest first: by cells, then by seeds. What is ours has none of the
    paper's, and figure 2 has no seeds."""
    if not FIGURES[target]:
        return (FULL,)
    return tuple(sorted(_offered(target), key=lambda protocol: -len(cells_of((target,), protocol))))


def protocol_called(name: str, target: str) -> Protocol:
    """The protocol that a name (`more`, `short`, `quick`) stands for where it is asked for with a target."""
    return next(protocol for protocol in _offered(target) if protocol.name == name)


def _offered(target: str) -> tuple[Protocol, ...]:
    return (MORE_OF_SHORT, SHORT, QUICK) if target in OURS else (MORE, FULL, SHORT, QUICK)


def whole(target: str) -> Protocol:
    """The protocol that a target is run under if no other is asked for."""
    return SHORT if target in OURS else FULL


def cells_of(figures: tuple[str, ...], protocol: Protocol) -> dict[str, Cell]:
    """Every cell that these figures need under a protocol, once, in order."""
    cells = {cell.name: cell for figure in figures for cell in FIGURES[figure]}
    return {name: cell for name, cell in cells.items() if getattr(cell, protocol.name, True)}  # `quick`, `more`
