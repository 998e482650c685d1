"""What is to be learned: a target over K categories, and the reference, rewards and data it comes from."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.simplex import Vector, check_distribution, check_positive, check_rewards, log_of


class Problem(NamedTuple):
    """A problem as arrays; every field is data, so a batch of problems is a stack and sweeping compiles nothing.

    Attributes:
        log_target: log q; -inf where the target has no mass.
        log_reference: log π_ref, also the usual start.
        log_behavior: log μ, of the distribution that off-policy data comes from.
        rewards: r. For a target without rewards: those it is the optimum of, β log(q/π_ref) (Rafailov et al., 2023).
        beta: β of reward - β KL(policy ‖ reference), of DPO, and the temperature of RWR.
        tau: τ of IPO.
        alpha: of the α-divergence.
        draws: N of Best-of-N, any positive number.
        negative_weight: β of Best-of-N + negative gradient.
        negative_threshold: its threshold on π(y)/π(best).
        clip_epsilon: ε of PPO.
    """

    log_target: Vector
    log_reference: Vector
    log_behavior: Vector
    rewards: Vector
    beta: Any
    tau: Any
    alpha: Any
    draws: Any
    negative_weight: Any = 1.0
    negative_threshold: Any = 0.01
    clip_epsilon: Any = 0.2

    @property
    def categories(self) -> int:
        """K."""
        return int(self.log_target.shape[-1])

    def astype(self, dtype: Any) -> "Problem":
        """The same problem with NumPy arrays of one floating type."""
        return Problem(*(np.asarray(field, dtype) for field in self))


@dataclasses.dataclass(frozen=True)
class Knobs:
    """The numbers of the objectives; each is read by the objectives that its name belongs to.

    Attributes:
        beta: weight of KL(policy ‖ reference) against the reward, β of DPO, temperature of RWR.
        tau: τ of IPO: the target margin is 1/(2τ).
        alpha: order of the α-divergence: 1 is reverse KL, 0 forward KL, 1/2 Hellinger, 2 Pearson's χ².
        draws: N of Best-of-N.
        negative_weight: β of Best-of-N + negative gradient, paper I.2.1.
        negative_threshold: likelihood relative to the best response below which nothing is pushed down.
        clip_epsilon: ε of PPO.
    """

    beta: float = 0.1
    tau: float = 0.1
    alpha: float = 0.5
    draws: float = 4.0
    negative_weight: float = 1.0
    negative_threshold: float = 0.01
    clip_epsilon: float = 0.2

    def __post_init__(self) -> None:
        for name in ("beta", "tau", "draws", "negative_weight", "negative_threshold", "clip_epsilon"):
            check_positive(name, getattr(self, name))
        if not math.isfinite(self.alpha):
            raise ValueError(f"alpha must be a finite number, got {self.alpha!r}")


def optimal_policy(reference: Any, rewards: Any, beta: float) -> np.ndarray:
    """Log of π*(y) = π_ref(y) exp(r(y)/β)/Z, the policy that maximises E[r] - β KL(policy ‖ reference). Lemma E.1.

    Returned as log-probabilities: at small β most of them have no float64 probability other than 0.

    Raises:
        ValueError: the vectors are no distribution and rewards of one length, or β is not positive.
    """
    reference = check_distribution("reference", reference)
    rewards = check_rewards(rewards, reference.size)
    logits = log_of(reference) + rewards / check_positive("beta", beta)
    shifted = logits - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def from_rewards(reference: Any, rewards: Any, knobs: Knobs | None = None, behavior: Any = None) -> Problem:
    """The problem whose target is the regularised optimum of these rewards.

    Args:
        reference: π_ref, K probabilities.
        rewards: r, K numbers.
        knobs: β and the other objectives' numbers.
        behavior: μ of off-policy data; the reference if not given. Zeros truncate the data's support.

    Raises:
        ValueError: as `optimal_policy`; or behavior is no distribution over the same K categories.
    """
    knobs = knobs or Knobs()
    reference = check_distribution("reference", reference)
    return _problem(optimal_policy(reference, rewards, knobs.beta), reference, rewards, knobs, behavior)


def from_target(
    target: Any, reference: Any = None, rewards: Any = None, knobs: Knobs | None = None, behavior: Any = None
) -> Problem:
    """The problem with any target; the reference is uniform if not given.

    Without rewards they are the implied ones, β log(q/π_ref), whose optimum the target is; where q = 0 they would be
    -inf, which no expectation survives, so q is floored at 1e-12 in them (in them alone).

    Raises:
        ValueError: a vector is no distribution, lengths differ, or without rewards the reference misses mass that the
            target has, so that no reward makes it the optimum.
    """
    knobs = knobs or Knobs()
    target = check_distribution("target", target)
    k = target.size
    reference = np.full(k, 1 / k) if reference is None else check_distribution("reference", reference, k)
    if rewards is None:
        missed = np.flatnonzero((reference == 0) & (target > 0))
        if missed.size:
            raise ValueError(f"the reference must have mass where the target has, got 0 for category {missed[0]}")
        present = np.where(reference > 0, reference, 1.0)
        # As a difference of logarithms: over a subnormal reference the ratio itself is beyond all numbers.
        rewards = knobs.beta * (np.log(np.maximum(target, 1e-12)) - np.log(present))
    return _problem(log_of(target), reference, rewards, knobs, behavior)


def _problem(log_target: np.ndarray, reference: np.ndarray, rewards: Any, knobs: Knobs, behavior: Any) -> Problem:
    k = reference.size
    data = reference if behavior is None else check_distribution("behavior", behavior, k)
    return Problem(
        log_target=log_target,
        log_reference=log_of(reference),
        log_behavior=log_of(data),
        rewards=check_rewards(rewards, k),
        **{name: np.float64(value) for name, value in dataclasses.asdict(knobs).items()},
    )


def mixture(components: Any, weights: Any) -> np.ndarray:
    """Σ_m w_m q_m, a distribution over K categories.

    Args:
        components: distributions `[M, K]`.
        weights: `[M]`, themselves a distribution.

    Raises:
        ValueError: a component or the weights are no distribution, or their numbers differ.
    """
    parts = [check_distribution(f"component {m}", part) for m, part in enumerate(components)]
    if len(weights) != len(parts):
        raise ValueError(f"a mixture of {len(parts)} components needs {len(parts)} weights, got {len(weights)}")
    shares = np.ones(1) if len(parts) == 1 else check_distribution("mixture weights", weights)
    for m, part in enumerate(parts):
        check_distribution(f"component {m}", part, parts[0].size)
    return np.asarray(sum(share * part for share, part in zip(shares, parts, strict=True)))


def bump(categories: int, center: float, width: float) -> np.ndarray:
    """A discretised Gaussian, p_j ∝ exp(-((j - center)/width)²): building block of mixtures.

    Raises:
        ValueError: fewer than 2 categories, or a width that is not positive.
    """
    if categories < 2:
        raise ValueError(f"a bump needs at least 2 categories, got {categories}")
    exponent = -(((np.arange(categories) - center) / check_positive("width", width)) ** 2)
    weights = np.exp(exponent - exponent.max())
    return np.asarray(weights / weights.sum())


def dirichlet(categories: int, concentration: float, *, seed: int) -> np.ndarray:
    """A random distribution: uniform on the simplex at concentration 1, sparse below, flat above.

    Raises:
        ValueError: fewer than 2 categories, or a concentration that is not positive.
    """
    if categories < 2:
        raise ValueError(f"a random distribution needs at least 2 categories, got {categories}")
    check_positive("concentration", concentration)
    # log-gamma by Marsaglia's boost: at small concentrations gamma draws themselves underflow to 0.
    rng = np.random.default_rng(seed)
    logs = np.log(rng.standard_gamma(concentration + 1, categories)) + np.log(rng.random(categories)) / concentration
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())
