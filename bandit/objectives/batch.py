"""What an objective takes and gives: a batch of responses, the numbers that may be swept, static options, losses."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives import pairs
from modeseek.bandit.objectives.log_probs import kept, log_ratios, sequence_log_probs, token_counts
from modeseek.checks import finite, positive, require, typed


class HyperRange(NamedTuple):
    """Which values a hyper-parameter takes: all that are allowed, and those that a slider offers.

    Attributes:
        label: its name in words.
        low: where a slider begins.
        high: where a slider ends.
        unit: of its values; empty where they have none.
        log: whether a slider is logarithmic.
        zero: whether 0 is allowed; anything above it that float32 holds is, from `least` on.
        least: below it, values mean nothing.
        below: from it on, values mean nothing.
    """

    label: str
    low: float
    high: float
    unit: str = ""
    log: bool = True
    zero: bool = False
    least: float = 0.0
    below: float = math.inf

    def check(self, name: str, value: float) -> None:
        """Require a value that is allowed.

        Raises:
            ValueError: it is not finite, in float32 too, negative, or zero where zero means nothing.
        """
        if self.zero:
            require(finite(value) and value >= 0, f"{name} must be zero or more, got {value!r}")
        if not (self.zero and value == 0):
            positive(name, value)
        require(value >= self.least, f"{name} must be at least {self.least:g}, got {value!r}")
        require(value < self.below, f"{name} must be less than {self.below:g}, got {value!r}")


def _swept(default: float, allowed: HyperRange) -> Any:
    """A field with its default and its range."""
    return dataclasses.field(default=default, metadata={"range": allowed})


@dataclasses.dataclass(frozen=True)
class HyperParameters:
    """Every number that may be swept. Leaves of a pytree: changing one never recompiles.

    Written as Python numbers in a configuration; inside a program each field holds a scalar array. `HYPER_RANGES` says
    which values each of them takes.

    Attributes:
        learning_rate: step size of Adam.
        beta: β of DPO and of its relatives, per nat of margin.
        tau: τ of IPO; its target margin is 1/(2τ) nats.
        temperature: β of RWR, in units of the standardised reward.
        clip_epsilon: ε of PPO.
        negative_weight: β of Best-of-N + negative gradient and of unlikelihood; λ_U/λ_D of KTO.
        negative_threshold: likelihood relative to the best response below which nothing is pushed down.
        top_k: responses a prompt that ReST keeps; a fraction counts as the next whole number.
        reward_gap: smallest difference in reward that makes a pair.
        kl_coefficient: β of eq. 2, the weight of KL(policy ‖ reference), nats to reward.
        target_margin: nats that a chosen response is to be likelier by: δ of SLiC-HF, γ/β of SimPO.
        sft_weight: weight of -log π(y_w | x), a token, beside a preference loss: α of RPO, λ of SLiC-HF, 1/λ of ORPO.
        label_noise: ε, the share of pairs whose label is taken to be wrong.
        positive_weight: λ of DPO-Positive.
        reward_bound: R_max of χPO, the largest reward that is believed; in units of β times nats.
        clip_epsilon_high: ε above 1 where DAPO's clip has two of them; `clip_epsilon` is then the one below.
        eta: η of SPPO, nats that a win rate of one moves a response by.
        mixture: α of Nash-MD's and IPO-MD's mixture π^(1-α) π_ref^α: the reference's share in what is sampled.
        label_temperature: of Bradley-Terry preferences, in units of reward; 0 prefers the better response always.
    """

    learning_rate: float = _swept(1e-3, HyperRange("learning rate", 1e-5, 1e-1))
    beta: float = _swept(0.1, HyperRange("β of DPO", 0.01, 10.0, "a nat"))
    tau: float = _swept(0.05, HyperRange("τ of IPO", 0.005, 5.0, "a nat"))
    temperature: float = _swept(0.1, HyperRange("β of RWR", 0.01, 10.0, "standardised reward"))
    clip_epsilon: float = _swept(0.2, HyperRange("ε of PPO", 0.01, 2.0, "ratio"))
    negative_weight: float = _swept(1.0, HyperRange("β of neg. gradient", 0.01, 10.0, zero=True))
    negative_threshold: float = _swept(0.01, HyperRange("threshold of neg. gradient", 1e-4, 1.0, "ratio", zero=True))
    top_k: float = _swept(3.0, HyperRange("K of ReST", 1.0, 20.0, "responses", log=False, least=1.0))
    reward_gap: float = _swept(0.0, HyperRange("least gap of a pair", 0.0, 1.0, "reward", log=False, zero=True))
    kl_coefficient: float = _swept(0.0, HyperRange("β of the KL", 0.0, 1.0, "reward a nat", log=False, zero=True))
    target_margin: float = _swept(1.0, HyperRange("target margin", 0.0, 10.0, "nats", log=False, zero=True))
    sft_weight: float = _swept(1.0, HyperRange("weight of SFT", 0.01, 100.0, zero=True))
    label_noise: float = _swept(0.1, HyperRange("ε of noisy labels", 0.0, 0.45, log=False, zero=True, below=0.5))
    positive_weight: float = _swept(50.0, HyperRange("λ of DPO-Positive", 0.5, 500.0, zero=True))
    reward_bound: float = _swept(1.0, HyperRange("R_max of χPO", 0.1, 100.0, "reward"))
    clip_epsilon_high: float = _swept(0.28, HyperRange("ε above 1 of DAPO", 0.01, 2.0, "ratio"))
    eta: float = _swept(10.0, HyperRange("η of SPPO", 0.1, 1000.0, "nats"))
    mixture: float = _swept(0.125, HyperRange("α of the mixture", 0.0, 0.9, "share", log=False, zero=True, below=1.0))
    label_temperature: float = _swept(
        0.0, HyperRange("temperature of labels", 0.0, 1.0, "reward", log=False, zero=True)
    )

    def check(self) -> None:
        """Require values that are allowed, as `HYPER_RANGES` has them.

        Raises:
            ValueError: for the first one that is not.
        """
        for name, allowed in HYPER_RANGES.items():
            allowed.check(name, getattr(self, name))


HYPER_RANGES: dict[str, HyperRange] = {f.name: f.metadata["range"] for f in dataclasses.fields(HyperParameters)}
"""Hyper-parameter → its range, in the order of the fields."""


def _unflatten_hyper(_: None, leaves: Iterable[Any]) -> HyperParameters:
    """Past `__init__`: a pytree holds whatever JAX puts into it, arrays, tracers or axis numbers."""
    hyper = object.__new__(HyperParameters)
    hyper.__dict__.update(zip(HYPER_RANGES, leaves, strict=True))
    return hyper


jax.tree_util.register_pytree_node(
    HyperParameters, lambda hyper: (tuple(getattr(hyper, n) for n in HYPER_RANGES), None), _unflatten_hyper
)

Unit = Literal["sequence", "token"]
"""What a likelihood is taken of: a whole response, or one token of it."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Static choices of the objectives.

    The three `Unit`s are right at `sequence` for ten tokens, where they are the paper's formulas, and at `token` for
    three hundred, where a product of so many probabilities is 0 or a ratio of them without bound. They are three and
    not one because the field chooses them apart: a language model is commonly trained by PPO with ratios of tokens, by
    IPO with margins of means, and by DPO with margins of sums at any length. At one token both units are the same.

    Attributes:
        pair_scheme: which responses of a prompt are compared.
        ties: whether equal rewards make a pair, or a negative (`keep` is the released code's way).
        ratio: PPO's and TOPR's importance ratio: π(y | x)/π_gen(y | x) of a response (paper), or
            π(y_t | y_<t)/π_gen(y_t | y_<t) of each token (released code, most libraries).
        margin: DPO's and IPO's log-ratios: Σ_t log π(y_t | y_<t)/π_ref(y_t | y_<t) (paper), or its mean over tokens; so
            those of their relatives, but SimPO and ORPO, which are of means.
        negatives: what pushes a response down: unlikelihood's log(1 - π(y | x)), or Σ_t log(1 - π(y_t | y_<t))
            (Welleck et al., 2020); and the likelihood that Best-of-N + negative gradient compares with the best
            response's, π(y | x) or its geometric mean over tokens, π(y | x)^(1/|y|).
        self_normalize: divide RWR's weights by their mean (see `exponential_weights`).
    """

    pair_scheme: pairs.PairScheme = "all"
    ties: pairs.Ties = "skip"
    ratio: Unit = "sequence"
    margin: Unit = "sequence"
    negatives: Unit = "sequence"
    self_normalize: bool = True

    def __post_init__(self) -> None:
        typed(self)


class Batch(NamedTuple):
    """What an objective may look at: P prompts, N responses each, T tokens. Log-probs in nats.

    An array that no method in use needs may be None. Whatever stands where a mask is false, NaN included, reaches no
    loss, no gradient and no metric.

    Attributes:
        token_log_probs: log π(y_t | x, y_<t) under the policy.
        behavior_token_log_probs: under the policy that sampled.
        reference_token_log_probs: under the reference.
        rewards: of responses, or anything that ranks them (1 for a chosen, 0 for a rejected one).
        advantages: standardised rewards; for policy gradients also of single tokens (those of a value function).
        mask: which tokens are real; None if all are.
        response_mask: which responses are real, where prompts have fewer than N; None if all are.
        opponents: which responses the others play against, where a game has two sides: they are no learners themselves.
            None if all play against all.
    """

    token_log_probs: Float[Array, "P N T"]
    behavior_token_log_probs: Float[Array, "P N T"] | None
    reference_token_log_probs: Float[Array, "P N T"] | None
    rewards: Float[Array, "P N"] | None
    advantages: Float[Array, "P N"] | Float[Array, "P N T"] | None
    mask: Bool[Array, "P N T"] | None = None
    response_mask: Bool[Array, "P N"] | None = None
    opponents: Bool[Array, "P N"] | None = None

    def required(self, name: str) -> Any:
        """The array of that name.

        Raises:
            ValueError: the batch has None in its place.
        """
        array = getattr(self, name)
        if array is None:
            raise ValueError(f"this batch has no {name}")
        return array

    @property
    def token_mask(self) -> Bool[Array, "P N T"] | None:
        """Which tokens are real tokens of real responses; None if all are."""
        if self.response_mask is None:
            return self.mask
        responses = jnp.broadcast_to(self.response_mask[..., None], self.token_log_probs.shape)
        return responses if self.mask is None else responses & self.mask

    @property
    def log_probs(self) -> Float[Array, "P N"]:
        """log π(y | x) under the policy."""
        return sequence_log_probs(self.token_log_probs, self.token_mask)

    @property
    def behavior_log_probs(self) -> Float[Array, "P N"]:
        """log π(y | x) under the policy that sampled."""
        return sequence_log_probs(self.required("behavior_token_log_probs"), self.token_mask)

    @property
    def reference_log_probs(self) -> Float[Array, "P N"]:
        """log π(y | x) under the reference."""
        return sequence_log_probs(self.required("reference_token_log_probs"), self.token_mask)

    @property
    def log_ratios(self) -> Float[Array, "P N"]:
        """log policy - log reference."""
        return log_ratios(self.log_probs, self.reference_log_probs)

    @property
    def lengths(self) -> Float[Array, "P N"]:
        """Real tokens of each response, and at least 1: a divisor."""
        return jnp.maximum(token_counts(self.token_log_probs, self.token_mask), 1.0)


class Losses(NamedTuple):
    """Unreduced losses, and the weights of the mean over them: of prompts `[P]`, responses `[P, N]`, pairs `[P, N, N]`
    or tokens `[P, N, T]`.

    Weights say how often a loss counts: 0 for a tie or a pad, 1, the pairs that a response wins, or the share that
    a token has in its response. A method's own coefficients belong into the loss.
    """

    losses: Float[Array, "*B"]
    weights: Float[Array, "*B"]


def per_response(losses: Float[Array, "P N"], batch: Batch) -> Losses:
    """Every real response counts once."""
    weights = jnp.ones_like(losses)
    return Losses(losses, kept(weights, batch.response_mask))


def per_prompt(losses: Float[Array, "P"], batch: Batch) -> Losses:
    """Every prompt with a real response counts once."""
    weights = jnp.ones_like(losses)
    return Losses(losses, kept(weights, None if batch.response_mask is None else batch.response_mask.any(axis=-1)))


def pair_weights(batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, "P N N"]:
    """The comparisons of a batch: 1 at [p, i, j] where response i of prompt p is preferred to j."""
    scheme = pairs.PAIR_SCHEMES[options.pair_scheme]
    return scheme(batch.required("rewards"), hyper.reward_gap, options.ties, batch.response_mask)
