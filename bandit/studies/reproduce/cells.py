"""The cells of every figure, as data: one method, one reward, one setting of Algorithm 1."""

import dataclasses
from typing import Any, Literal, NamedTuple

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig
from modeseek.bandit.simulator.conventions import PAPER, RELEASED_CODE, Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.studies.cells import Cell
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce.measures import EARLY_STEPS, KL_BUDGET
from modeseek.bandit.studies.reproduce.protocols import EVERY, FULL, MORE, MORE_OF_SHORT, QUICK, TEN

REWARDS = ("R1", "R2")


@dataclasses.dataclass(frozen=True)
class BanditCell(Cell):
    """One method on one reward under one setting of Algorithm 1.

    Attributes:
        name: in file names and tables; its reward is its last part.
        method: as `modeseek.bandit.objectives.registry.variant` reads it.
        reward: R1 or R2.
        algorithm: Algorithm 1's knobs in the paper's protocol.
        response_tokens: tokens of a response; the policy samples one fewer where the prompt counts as one.
        hyper: changed hyper-parameters, name and value.
        conventions: changed conventions, name and value.
        stretch: how many times as many collections as the protocol has.
        interval: gradient steps between evaluations; 0 means once a collection.
        implicit_rewards: of which pairs they are measured, as `EvaluationConfig` names them.
        policy: the network.
        as_released: what the released code has in its place, and is run under its conventions; None if the same.
        protocols: those that run it.
        tuned_for: name of the measure that its learning rate maximises on the tuning seeds.
        tuned_with: if given, the cell whose runs on the tuning seeds it shares: the same but for what it is tuned for.
    """

    method: str
    reward: str
    algorithm: AlgorithmConfig = dataclasses.field(default_factory=AlgorithmConfig)
    response_tokens: int = 10
    hyper: tuple[tuple[str, float], ...] = ()
    conventions: tuple[tuple[str, Any], ...] = ()
    stretch: int = 1
    interval: int = 0
    implicit_rewards: Literal["compared", "best_rest"] = "compared"
    policy: PolicyConfig = dataclasses.field(default_factory=PolicyConfig)
    as_released: "BanditCell | None" = None
    protocols: frozenset[Protocol] = dataclasses.field(default=EVERY, kw_only=True)
    tuned_for: str = "final_reward"
    tuned_with: "BanditCell | None" = None

    @property
    def tuned_for_another(self) -> bool:
        """Whether its learning rate is chosen for another measure than where its runs end."""
        return self.tuned_for != "final_reward"

    def within_budget(self) -> "BanditCell":
        """The same cell at the rate that is best within the budget of KL."""
        method, reward = self.name.rsplit("-", 1)
        return dataclasses.replace(
            self,
            name=f"{method}-within-{KL_BUDGET:g}-nats-{reward}",
            protocols=frozenset({FULL}),
            tuned_for="reward_within_budget",
            tuned_with=self,
        )

    def experiment(self, base: Conventions, protocol: Protocol) -> Experiment:
        """The cell's runs at the default learning rate, one seed; `running.run_cell` sets both."""
        if self.as_released is not None and base == RELEASED_CODE:
            return self.as_released.experiment(base, protocol)
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
            policy=self.policy,
            algorithm=algorithm,
            evaluation=EvaluationConfig(interval=self.interval, implicit_rewards=self.implicit_rewards),
            hyper=dataclasses.replace(HyperParameters(), **dict(self.hyper)),
        )


def staleness(samples: int) -> AlgorithmConfig:
    """Figure 4: B samples a collection, one pass in minibatches of 100; data and gradient steps the same for each B."""
    return AlgorithmConfig(
        samples_per_collection=samples, inner_steps=1, collections=1000 * 100 // samples, prompts=max(BATCHES) // 10
    )


def reuse(inner_steps: int) -> AlgorithmConfig:
    """Figure 14: T passes over each collection, as many gradient steps for each T as whole collections allow."""
    return AlgorithmConfig(inner_steps=inner_steps, collections=REUSE_STEPS // inner_steps)


def offline(prompts: int, steps: int = 100) -> AlgorithmConfig:
    """Figures 16 and 18: 100 gradient steps, each on the whole data set of 10 responses to every prompt."""
    samples = 10 * prompts
    return AlgorithmConfig(
        samples_per_collection=samples, minibatch_size=samples, inner_steps=10, collections=steps // 10
    )


BATCHES = (100, 200, 500, 1000)
"""B of figure 4."""
INNER_STEPS = (1, 2, 5, 7, 10)
"""T of figure 14; the text names 2, 5, 7 and 10."""
REUSE_STEPS = 500
PROMPTS = (5, 10, 20, 50, 100, 200)
"""Sizes of the prompt set of figure 18, the released scripts' own."""
FEWER_PROMPTS = (5, 20, 100)
"""Those that the quick protocol has, and figure 18 on R2."""
OFFLINE_METHODS = ("offline_best_of_n", "offline_rwr", "best_of_n_negative", "ipo")
HEADLINE_METHODS = ("on_policy_ipo", "ipo", "rwr", "ppo")
ONE_TOKEN_METHODS = ("offline_best_of_n", "ipo")

STALENESS = {
    (b, r): BanditCell(
        f"best_of_n-B{b}-{r}",
        "best_of_n",
        r,
        staleness(b),
        protocols=EVERY if b in (min(BATCHES), max(BATCHES)) else EVERY - {QUICK},
    )
    for b in BATCHES
    for r in REWARDS
}
"""Figure 4: B and reward → on-policy Best-of-N."""

REUSE = {
    (m, t): BanditCell(f"{m}-T{t}-R1", m, "R1", reuse(t))
    for m, times in (("rwr", INNER_STEPS), ("best_of_n", (1, 10)), ("ppo", (1, 10)))
    for t in times
}
"""Figure 14: method and T → R1."""

OFFLINE = {
    # A reward within 10 nats is read off the curve, and offline IPO is beyond them within ten steps.
    (m, r): BanditCell(f"{m}-100-steps-{r}", m, r, offline(10), interval=1)
    for m in OFFLINE_METHODS
    for r in REWARDS
}
"""Figure 16: method and reward."""
OFFLINE_WITHIN = {key: cell.within_budget() for key, cell in OFFLINE.items()}
"""The same, tuned for the trade-off of reward and KL."""

DISPLACEMENT = {
    (p, "R1"): BanditCell(
        f"ipo-{p}-prompts-R1", "ipo", "R1", offline(p), protocols=EVERY if p in FEWER_PROMPTS else EVERY - {QUICK}
    )
    for p in PROMPTS
} | {
    (p, "R2"): BanditCell(
        f"ipo-{p}-prompts-best-rest-R2",
        "ipo",
        "R2",
        offline(p),
        implicit_rewards="best_rest",
        protocols=EVERY - {TEN},
    )
    for p in FEWER_PROMPTS
}
"""Figure 18: number of prompts and reward → offline IPO. On R1 implicit rewards are of all pairs, as IPO compares them;
on R2 of each prompt's best response against its others, as the released script has both."""

HEADLINES = {(m, r): BanditCell(f"{m}-{r}", m, r) for m in HEADLINE_METHODS for r in REWARDS}
"""Figure 19: method and reward; on R1 they are Table 3's."""
HEADLINES_WITHIN = {key: cell.within_budget() for key, cell in HEADLINES.items()}
"""The same, tuned for the trade-off of reward and KL."""

FIRST_STEPS = {
    (m, r): BanditCell(
        f"{m}-{EARLY_STEPS}-steps-{r}",
        m,
        r,
        AlgorithmConfig(collections=EARLY_STEPS // AlgorithmConfig().steps_per_collection),
        protocols=frozenset({MORE, FULL}),
        tuned_for="early_reward",
    )
    for m, rewards in (("on_policy_ipo", REWARDS), ("ipo", REWARDS), ("ppo", ("R1",)))
    for r in rewards
}
"""Figure 19's first gradient steps alone, each method at the rate that is best for these."""

ONE_TOKEN_RELEASED = (
    ("prompt_in_response", False),
    ("scoring", "next_token"),
    ("reference_model", "exact"),
    ("frozen_copies", "whole"),
    ("pretraining", "prompt_set"),
    ("dropout", 0.0),
)
"""Conventions of the released one-token bandit, a program of its own: none of the sequences' slips is in it."""


def _one_token_released(method: str, reward: str) -> BanditCell:
    """As its scripts have it: 200 steps, on 5 prompts for Best-of-N and on 100 for IPO, whose pairs differ by .2."""
    ipo = method == "ipo"
    return BanditCell(
        f"{method}-one-token-{reward}",
        method,
        reward,
        offline(100 if ipo else 5, steps=200),
        response_tokens=1,
        hyper=(("reward_gap", 0.2),) if ipo else (),
        conventions=ONE_TOKEN_RELEASED,
        policy=PolicyConfig(kind="mlp", layers=2, heads=1, width=256),
    )


ONE_TOKEN = {
    (m, r): BanditCell(
        f"{m}-one-token-{r}", m, r, offline(10), response_tokens=1, as_released=_one_token_released(m, r)
    )
    for m in ONE_TOKEN_METHODS
    for r in REWARDS
}
"""Paper J.3: method and reward, responses of one token."""

MENDED_METHODS = ("best_of_n", "rwr", "ppo", "on_policy_ipo")
SCATTERED = ("rwr", "ppo")
"""Those whose mends six seeds leave undecided and twenty may decide; of the others six decide, or twenty would not."""


def _protocols_of_mended(method: str) -> frozenset[Protocol]:
    return EVERY if method in SCATTERED else EVERY - {MORE_OF_SHORT}


class Mend(NamedTuple):
    """What is brought from the released code to the paper's text, and the methods that it touches.

    Attributes:
        conventions: fields that take the paper's value.
        methods: those that read them.
        response_length: tokens, the prompt included where it counts as one.
    """

    conventions: tuple[str, ...]
    methods: tuple[str, ...] = MENDED_METHODS
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


RELEASED = {m: BanditCell(f"{m}-released-R1", m, "R1", protocols=_protocols_of_mended(m)) for m in MENDED_METHODS}
"""Method → R1 under the released conventions, which are the base of the mended cells too."""

MENDED = {
    (m, name): BanditCell(
        f"{m}-{name}-R1",
        m,
        "R1",
        conventions=tuple((field, getattr(PAPER, field)) for field in mend.conventions),
        response_tokens=mend.response_length,
        protocols=_protocols_of_mended(m),
    )
    for name, mend in MENDS.items()
    for m in mend.methods
}
"""Method and mend → R1 with that one difference mended."""


class Remedy(NamedTuple):
    """What might restore on-policy IPO on R1 under the paper's conventions.

    Attributes:
        title: in words.
        cell: with the remedy.
    """

    title: str
    cell: BanditCell


def _remedy(name: str, title: str, method: str = "on_policy_ipo", **change: Any) -> tuple[str, Remedy]:
    return name, Remedy(title, BanditCell(f"remedy-{name}-R1", method, "R1", **change))


REMEDIES = dict(
    (
        _remedy("none", "as it is: τ = .05, margin 10 nats"),
        _remedy("gap", "pairs at least .05 of reward apart", hyper=(("reward_gap", 0.05),)),
        _remedy("best-worst", "best against worst alone", algorithm=AlgorithmConfig(pair_scheme="best_worst")),
        _remedy("small-margin", "τ = .5, margin 1 nat", hyper=(("tau", 0.5),)),
        _remedy("large-margin", "τ = .01, margin 50 nats", hyper=(("tau", 0.01),)),
        # The loss of means over N tokens, (h/N - 1/(2τ))², is that of sums with margin N/(2τ), divided by N²: Adam
        # does not mind the factor. So the authors' language-model trainer has it.
        _remedy("per-token", "τ = .05 on means over tokens: margin 100 nats", hyper=(("tau", 0.005),)),
        _remedy(
            "moving",
            "reference = policy of each collection",
            conventions=(("reference_model", "behavior"), ("frozen_copies", "whole")),
        ),
        _remedy("longer", "four times as many collections", stretch=4),
        _remedy("dpo", "DPO instead", method="on_policy_dpo"),
    )
)
"""By name; `none` is without any."""

REGULARISED_BETA = {"R1": 0.0294, "R2": 0.0324}
"""β at which KL-regularised RL has its optimum as far away as IPO at τ = .05, 7.00 nats (`frontier.beta_at`)."""

REGULARISED = {
    (name, r): BanditCell(f"regularised-{name}-{r}", "ppo", r, hyper=(("kl_coefficient", beta),), conventions=changed)
    for name, changed in {
        "kl-in-reward": (("kl_placement", "reward"),),
        # Rewards as they are: of standardised ones β would be another multiple in every batch.
        "exact-kl": (("kl_placement", "exact"), ("standardization", "none")),
    }.items()
    for r, beta in REGULARISED_BETA.items()
} | {("ipo", "R1"): REMEDIES["none"].cell, ("ipo", "R2"): BanditCell("regularised-ipo-R2", "on_policy_ipo", "R2")}
"""Where KL acts and reward → PPO with it, and on-policy IPO beside it."""

CONTRASTIVE_METHODS = ("on_policy_dpo", "on_policy_ipo")
SHORT_STEPS = 500
WHOLE_RUN = 100 * SHORT_STEPS
"""Samples that a whole run of as many steps learns from, 100 a step: as one collection, all are the reference's."""


def freshness(samples: int) -> AlgorithmConfig:
    """B samples a collection, each learnt from once: B = 100 draws those of every step from the policy at that step."""
    return AlgorithmConfig(
        samples_per_collection=samples, inner_steps=1, collections=WHOLE_RUN // samples, prompts=WHOLE_RUN // 10
    )


FRESHNESS = {
    (m, b): BanditCell(f"{m}-B{b}-R1", m, "R1", freshness(b), interval=1 if b == 100 else 10, protocols=EVERY - {QUICK})
    for m in CONTRASTIVE_METHODS
    for b in (100, 1000, 10_000, WHOLE_RUN)
}
"""Appendix C: method and B. As many samples and gradient steps for each, none of them used twice."""
