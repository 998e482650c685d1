"""The registry: one row a method, which says what its objective reads and where it stands in the paper's Table 1.

The only place that knows methods by name. A row's objective stands beside the losses of its family.
"""

import dataclasses
import difflib
import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

from modeseek.bandit.objectives import likelihood, policy_gradient, preference
from modeseek.bandit.objectives.batch import HYPER_RANGES, Batch, HyperParameters, Losses, Options

Objective = Callable[[Batch, HyperParameters, Options], Losses]

Need = Literal["behavior", "reference", "advantages", "groups", "pairs", "values", "unpaired labels"]
"""What a method needs beside the policy's own log-probs:

- `behavior`: log-probs under the policy that sampled;
- `reference`: log-probs under the reference;
- `advantages`: standardised rewards, comparable across prompts;
- `groups`: rewards that rank all of a prompt's responses;
- `pairs`: rewards that say which of two responses to a prompt is preferred, so one chosen and one rejected are enough;
- `values`: a value function, trained beside the policy;
- `unpaired labels`: single responses called good or bad.

No row has the last two yet.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """One row of Table 1, and what its objective reads.

    Attributes:
        name: how it is called in Python and on the command line.
        title: how figures call it.
        objective: `(batch, hyper, options) → Losses`.
        on_policy: whether the paper's default samples from the policy in training.
        sample_reuse: whether that default takes several gradient steps on a sample; None for offline methods, where
            Table 1 does not ask.
        negative_gradient: whether some responses are pushed down.
        source: where it is defined.
        hyper: the fields of `HyperParameters` that its loss reads. What the loop reads is every method's: the
            learning rate, and the KL coefficient.
        needs: what its loss reads, and so what a batch must hold.
        min_responses: responses a prompt that it needs.
        policy_gradient: whether it is one (the released code adds its KL term to these alone).
    """

    name: str
    title: str
    objective: Objective
    on_policy: bool
    sample_reuse: bool | None
    negative_gradient: bool
    source: str
    hyper: tuple[str, ...] = ()
    needs: frozenset[Need]
    min_responses: int = 1
    policy_gradient: bool = False

    def reads(self, name: str) -> bool:
        """Whether a hyper-parameter enters its training: its own, or one that the loop reads for every method.

        Raises:
            ValueError: there is no such hyper-parameter.
        """
        if name not in HYPER_RANGES:
            raise ValueError(f"{name!r} is not a hyper-parameter; they are {', '.join(HYPER_RANGES)}")
        return name in self.hyper or name in LOOP_HYPER


LOOP_HYPER = ("learning_rate", "kl_coefficient")
"""Hyper-parameters that the training loop reads, whatever the method."""


def _with_negatives(name: str, title: str, negatives: likelihood.Negatives, source: str) -> Method:
    return Method(
        name=name,
        title=title,
        objective=functools.partial(likelihood.best_of_n_negative_losses, negatives),
        on_policy=False,
        sample_reuse=None,
        negative_gradient=True,
        source=source,
        hyper=("negative_weight", "negative_threshold"),
        needs=frozenset({"groups"}),
        min_responses=2,
    )


_ROWS = (
    Method(
        name="best_of_n",
        title="Best-of-N",
        objective=likelihood.best_of_n_losses,
        on_policy=True,
        sample_reuse=True,
        negative_gradient=False,
        source="paper I.2.1",
        needs=frozenset({"groups"}),
    ),
    _with_negatives(
        "best_of_n_negative",
        "Best-of-N + neg. gradient",
        likelihood.summed_negatives,
        "paper I.2.1, sum over all others",
    ),
    _with_negatives(
        "best_of_n_negative_mean",
        "Best-of-N + neg. gradient (mean)",
        likelihood.averaged_negatives,
        "released code, mean over all others",
    ),
    _with_negatives(
        "best_of_n_negative_worst",
        "Best-of-N + neg. gradient (worst)",
        likelihood.worst_negatives,
        "released code, worst alone",
    ),
    Method(
        name="unlikelihood",
        title="Unlikelihood",
        objective=likelihood.unlikelihood_losses,
        on_policy=False,
        sample_reuse=None,
        negative_gradient=True,
        source="Welleck et al., 2020",
        hyper=("negative_weight",),
        needs=frozenset({"groups"}),
        min_responses=2,
    ),
    Method(
        name="rwr",
        title="RWR",
        objective=likelihood.rwr_losses,
        on_policy=True,
        sample_reuse=True,
        negative_gradient=False,
        source="paper I.2.5",
        hyper=("temperature",),
        needs=frozenset({"advantages"}),
    ),
    Method(
        name="rest",
        title="ReST (top K)",
        objective=likelihood.rest_losses,
        on_policy=True,
        sample_reuse=True,
        negative_gradient=False,
        source="Gulcehre et al., 2023",
        hyper=("top_k",),
        needs=frozenset({"groups"}),
    ),
    Method(
        name="reinforce",
        title="REINFORCE",
        objective=policy_gradient.reinforce_losses,
        on_policy=True,
        sample_reuse=False,
        negative_gradient=True,
        source="paper I.2.3",
        needs=frozenset({"advantages"}),
        policy_gradient=True,
    ),
    Method(
        name="ppo",
        title="PPO",
        objective=policy_gradient.ppo_losses,
        on_policy=True,
        sample_reuse=True,
        negative_gradient=True,
        source="paper I.2.4",
        hyper=("clip_epsilon",),
        needs=frozenset({"advantages", "behavior"}),
        policy_gradient=True,
    ),
    Method(
        name="dpo",
        title="DPO",
        objective=preference.dpo_losses,
        on_policy=False,
        sample_reuse=None,
        negative_gradient=True,
        source="paper eqs. 3-4",
        hyper=("beta", "reward_gap"),
        needs=frozenset({"pairs", "reference"}),
        min_responses=2,
    ),
    Method(
        name="ipo",
        title="IPO",
        objective=preference.ipo_losses,
        on_policy=False,
        sample_reuse=None,
        negative_gradient=True,
        source="paper eq. 20",
        hyper=("tau", "reward_gap"),
        needs=frozenset({"pairs", "reference"}),
        min_responses=2,
    ),
    Method(
        name="pref_ft",
        title="Pref-FT",
        objective=likelihood.pref_ft_losses,
        on_policy=False,
        sample_reuse=None,
        negative_gradient=False,
        source="Dubois et al., 2024",
        hyper=("reward_gap",),
        needs=frozenset({"pairs"}),
        min_responses=2,
    ),
    Method(
        name="binary_feedme",
        title="Binary FeedME",
        objective=likelihood.binary_feedme_losses,
        on_policy=False,
        sample_reuse=None,
        negative_gradient=False,
        source="Dubois et al., 2024",
        hyper=("reward_gap",),
        needs=frozenset({"pairs"}),
        min_responses=2,
    ),
)

METHODS: dict[str, Method] = {method.name: method for method in _ROWS}
"""Every method by name."""


class Variant(NamedTuple):
    """A method together with where its responses come from."""

    method: Method
    on_policy: bool

    @property
    def name(self) -> str:
        """The name that `variant` takes: with a prefix where it is not the paper's default."""
        if self.on_policy == self.method.on_policy:
            return self.method.name
        return ("on_policy_" if self.on_policy else "offline_") + self.method.name

    @property
    def title(self) -> str:
        """For legends: the method and its side."""
        return ("On-policy " if self.on_policy else "Offline ") + self.method.title


def variant(name: str) -> Variant:
    """Read `ppo`, `offline_ppo`, `on_policy_ipo`, …: a method name, with a prefix to leave Table 1's default side.

    Raises:
        ValueError: there is no such method; the message names the nearest ones.
    """
    key = name.strip().lower().replace("-", "_")
    for prefix, on_policy in (("on_policy_", True), ("offline_", False)):
        if key.startswith(prefix) and key.removeprefix(prefix) in METHODS:
            return Variant(METHODS[key.removeprefix(prefix)], on_policy)
    if key in METHODS:
        return Variant(METHODS[key], METHODS[key].on_policy)
    known = [p + m for m in METHODS for p in ("", "on_policy_", "offline_")]
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    raise ValueError(f"unknown method {name!r}; {hint or 'known methods: ' + ', '.join(METHODS)}")
