"""The registry: method name → objective, and where the method stands in the paper's Table 1.

The only place that knows methods by name. Each objective takes one `Batch`, the hyper-parameters and the options,
calls one function of this package and says what the mean runs over; everything it needs is an array.
"""

import dataclasses
import difflib
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import jax
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives import pairs, policy_gradient, preference, weighted_likelihood
from modeseek.bandit.objectives.log_probs import sequence_log_probs


@dataclasses.dataclass(frozen=True)
class HyperParameters:
    """Every number that may be swept. Leaves of a pytree: changing one never recompiles.

    Written as Python numbers in a configuration; inside a program each field holds a scalar array.

    Attributes:
        learning_rate: step size of Adam.
        beta: β of DPO, per nat of margin.
        tau: τ of IPO; its target margin is 1/(2τ) nats.
        temperature: β of RWR, in units of the standardised reward.
        clip_epsilon: ε of PPO.
        negative_weight: β of Best-of-N + negative gradient and of unlikelihood.
        negative_threshold: likelihood relative to the best response below which nothing is pushed down.
        top_k: responses a prompt that ReST keeps.
        reward_gap: smallest difference in reward that makes a pair.
        kl_coefficient: β of eq. 2, the weight of KL(policy ‖ reference), nats to reward.
    """

    learning_rate: float = 1e-3
    beta: float = 0.1
    tau: float = 0.05
    temperature: float = 0.1
    clip_epsilon: float = 0.2
    negative_weight: float = 1.0
    negative_threshold: float = 0.01
    top_k: float = 3.0
    reward_gap: float = 0.0
    kl_coefficient: float = 0.0


_HYPER_NAMES = tuple(field.name for field in dataclasses.fields(HyperParameters))


def _unflatten_hyper(_: None, leaves: Iterable[Any]) -> HyperParameters:
    """Past `__init__`: a pytree holds whatever JAX puts into it, arrays, tracers or axis numbers."""
    hyper = object.__new__(HyperParameters)
    hyper.__dict__.update(zip(_HYPER_NAMES, leaves, strict=True))
    return hyper


jax.tree_util.register_pytree_node(
    HyperParameters, lambda hyper: (tuple(getattr(hyper, n) for n in _HYPER_NAMES), None), _unflatten_hyper
)


@dataclasses.dataclass(frozen=True)
class ObjectiveOptions:
    """Static choices of the objectives.

    Attributes:
        pair_scheme: which responses of a prompt are compared.
        ties: whether equal rewards make a pair, or a negative (`keep` is the released code's way).
        ratio: PPO's importance ratio, of whole responses (paper) or of tokens (released code, most libraries).
        self_normalize: divide RWR's weights by their mean (see `exponential_weights`).
    """

    pair_scheme: pairs.PairScheme = "all"
    ties: pairs.Ties = "skip"
    ratio: Literal["sequence", "token"] = "sequence"
    self_normalize: bool = True


class Batch(NamedTuple):
    """What an objective may look at: P prompts, N responses each, T tokens. Log-probs in nats."""

    token_log_probs: Float[Array, "P N T"]
    behavior_token_log_probs: Float[Array, "P N T"]
    reference_token_log_probs: Float[Array, "P N T"]
    rewards: Float[Array, "P N"]
    advantages: Float[Array, "P N"]
    mask: Bool[Array, "P N T"] | None = None

    @property
    def log_probs(self) -> Float[Array, "P N"]:
        """log π(y | x) under the policy."""
        return sequence_log_probs(self.token_log_probs, self.mask)

    @property
    def behavior_log_probs(self) -> Float[Array, "P N"]:
        """log π(y | x) under the policy that sampled."""
        return sequence_log_probs(self.behavior_token_log_probs, self.mask)

    @property
    def reference_log_probs(self) -> Float[Array, "P N"]:
        """log π(y | x) under the reference."""
        return sequence_log_probs(self.reference_token_log_probs, self.mask)

    @property
    def log_ratios(self) -> Float[Array, "P N"]:
        """log policy - log reference."""
        return preference.log_ratios(self.log_probs, self.reference_log_probs)


class Losses(NamedTuple):
    """Unreduced losses, and how often each counts in the mean over them: 0, 1, or the pairs that it wins."""

    losses: Float[Array, "*B"]
    weights: Float[Array, "*B"]


Objective = Callable[[Batch, HyperParameters, ObjectiveOptions], Losses]


@dataclasses.dataclass(frozen=True)
class Method:
    """One row of Table 1.

    Attributes:
        name: how it is called in Python and on the command line.
        title: how figures call it.
        objective: `(batch, hyper, options) → Losses`.
        on_policy: whether the paper's default samples from the policy in training.
        negative_gradient: whether some responses are pushed down.
        min_responses: responses a prompt that it needs.
        policy_gradient: whether it is one (the released code adds its KL term to these alone).
        reads: whose log-probs its loss takes, besides the policy's.
        source: where it is defined.
    """

    name: str
    title: str
    objective: Objective
    on_policy: bool
    negative_gradient: bool
    source: str
    min_responses: int = 1
    policy_gradient: bool = False
    reads: Literal["behavior", "reference"] | None = None


def pair_weights(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Float[Array, "P N N"]:
    """The comparisons of a batch: 1 at [p, i, j] where response i of prompt p is preferred to j."""
    return pairs.PAIR_SCHEMES[options.pair_scheme](batch.rewards, hyper.reward_gap, options.ties)


def _per_response(losses: Array) -> Losses:
    return Losses(losses, jax.numpy.ones_like(losses))


def _selected(log_probs: Array, weights: Array) -> Losses:
    """Mean over the responses that F selects."""
    return Losses(weighted_likelihood.weighted_likelihood(log_probs, weights), (weights > 0).astype(weights.dtype))


def _reinforce(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
    return _per_response(policy_gradient.reinforce(batch.log_probs, batch.advantages))


def _ppo(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
    if options.ratio == "sequence":
        return _per_response(
            policy_gradient.ppo(batch.log_probs, batch.behavior_log_probs, batch.advantages, hyper.clip_epsilon)
        )
    policy, behavior = batch.token_log_probs, batch.behavior_token_log_probs
    if batch.mask is not None:  # before the ratio: a pad's log-prob may be -inf under both
        policy, behavior = (jax.numpy.where(batch.mask, a, 0.0) for a in (policy, behavior))
    advantages = jax.numpy.broadcast_to(batch.advantages[..., None], policy.shape)
    losses = policy_gradient.ppo(policy, behavior, advantages, hyper.clip_epsilon)
    return _per_response(sequence_log_probs(losses, batch.mask))


def _best_of_n(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
    return _selected(batch.log_probs, weighted_likelihood.best_of_n_weights(batch.rewards))


def _rest(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
    return _selected(batch.log_probs, weighted_likelihood.top_k_weights(batch.rewards, hyper.top_k))


def _rwr(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
    weights = weighted_likelihood.exponential_weights(batch.advantages, hyper.temperature, options.self_normalize)
    return _per_response(weighted_likelihood.weighted_likelihood(batch.log_probs, weights))


def _negative(negatives: Callable[[Array, pairs.Ties], Array]) -> Objective:
    def objective(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
        return _per_response(
            weighted_likelihood.best_of_n_negative_gradient(
                batch.log_probs,
                batch.rewards,
                negatives(batch.rewards, options.ties),
                hyper.negative_weight,
                hyper.negative_threshold,
            )
        )

    return objective


def _unlikelihood(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
    negatives = weighted_likelihood.summed_negatives(batch.rewards, options.ties)
    return _per_response(
        weighted_likelihood.unlikelihood(batch.log_probs, batch.rewards, negatives, hyper.negative_weight)
    )


def _pref_ft(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
    """The mean runs over pairs, so a response counts as often as it wins."""
    weights = pair_weights(batch, hyper, options)
    losses = weighted_likelihood.weighted_likelihood(batch.log_probs, jax.numpy.ones_like(batch.log_probs))
    return Losses(losses, weighted_likelihood.win_weights(weights))


def _binary_feedme(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
    weights = weighted_likelihood.binary_weights(pair_weights(batch, hyper, options))
    return _selected(batch.log_probs, weights)


def _dpo(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
    losses = preference.dpo(preference.margins(batch.log_ratios), hyper.beta)
    return Losses(losses, pair_weights(batch, hyper, options))


def _ipo(batch: Batch, hyper: HyperParameters, options: ObjectiveOptions) -> Losses:
    losses = preference.ipo(preference.margins(batch.log_ratios), hyper.tau)
    return Losses(losses, pair_weights(batch, hyper, options))


_ALL = (
    Method("best_of_n", "Best-of-N", _best_of_n, True, False, "paper I.2.1"),
    Method(
        "best_of_n_negative",
        "Best-of-N + neg. gradient",
        _negative(weighted_likelihood.summed_negatives),
        False,
        True,
        "paper I.2.1, sum over all others",
        2,
    ),
    Method(
        "best_of_n_negative_mean",
        "Best-of-N + neg. gradient (mean)",
        _negative(weighted_likelihood.averaged_negatives),
        False,
        True,
        "released code, mean over all others",
        2,
    ),
    Method(
        "best_of_n_negative_worst",
        "Best-of-N + neg. gradient (worst)",
        _negative(weighted_likelihood.worst_negatives),
        False,
        True,
        "released code, worst alone",
        2,
    ),
    Method("unlikelihood", "Unlikelihood", _unlikelihood, False, True, "Welleck et al., 2020", 2),
    Method("rwr", "RWR", _rwr, True, False, "paper I.2.5"),
    Method("rest", "ReST (top K)", _rest, True, False, "Gulcehre et al., 2023"),
    Method("reinforce", "REINFORCE", _reinforce, True, True, "paper I.2.3", policy_gradient=True),
    Method("ppo", "PPO", _ppo, True, True, "paper I.2.4", policy_gradient=True, reads="behavior"),
    Method("dpo", "DPO", _dpo, False, True, "paper eqs. 3-4", 2, reads="reference"),
    Method("ipo", "IPO", _ipo, False, True, "paper eq. 20", 2, reads="reference"),
    Method("pref_ft", "Pref-FT", _pref_ft, False, False, "Dubois et al., 2024", 2),
    Method("binary_feedme", "Binary FeedME", _binary_feedme, False, False, "Dubois et al., 2024", 2),
)

METHODS: dict[str, Method] = {method.name: method for method in _ALL}
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
