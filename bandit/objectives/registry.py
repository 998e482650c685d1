"""The registry: one row a method, which says what its objective reads and where it stands in the paper's Table 1.

The only place that knows methods by name. A row's objective stands beside the losses of its family.
"""

import difflib
import functools
from typing import NamedTuple

from modeseek.bandit.objectives import likelihood, policy_gradient, policy_gradient_rows, preference, preference_rows
from modeseek.bandit.objectives.method import Method, Seeking


def _with_negatives(name: str, title: str, negatives: likelihood.Negatives, source: str) -> Method:
    return Method(
        name=name,
        title=title,
        objective=functools.partial(likelihood.best_of_n_negative_losses, negatives),
        on_policy=False,
        sample_reuse=None,
        negative_gradient=True,
        seeking="mass",
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
        seeking="mass",
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
        seeking="mass",
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
        seeking="mass",
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
        seeking="mass",
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
        seeking="mass",
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
        seeking="mode",
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
        seeking="mass",
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
        seeking="mass",
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
        seeking="mass",
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
        seeking="mass",
        source="Dubois et al., 2024",
        hyper=("reward_gap",),
        needs=frozenset({"pairs"}),
        min_responses=2,
    ),
    *preference_rows.ROWS,
    *policy_gradient_rows.ROWS,
)

METHODS: dict[str, Method] = {method.name: method for method in _ROWS}
"""Every method by name; `own.own_method` adds those of a person to the running process, and to no file."""


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
    def seeking(self) -> Seeking | None:
        """What its flow seeks: of its own samples a policy has the fewer, the less likely they are, so modes."""
        return "mode" if self.on_policy and self.method.seeking else self.method.seeking

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
    own = " (one of your own is known once modeseek.own_method was called with it)"
    raise ValueError(f"unknown method {name!r}; {hint or 'known methods: ' + ', '.join(METHODS)}{own}")
