"""From rewards to advantages: standardisation (eq. 19 and its relatives), baselines, KL-shaped rewards.

`present` says which responses are real, None that all are; an absent one enters no mean and has advantage 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from modeseek.bandit.objectives.log_probs import kept


class RunningMoments(NamedTuple):
    """Mean and sum of squared deviations of every reward seen so far (Welford; Chan et al.'s batch merge)."""

    seen: Float[Array, ""]
    mean: Float[Array, ""]
    squares: Float[Array, ""]

    @classmethod
    def empty(cls) -> "RunningMoments":
        """Nothing seen yet."""
        return cls(*(jnp.zeros(()) for _ in range(3)))

    def update(self, rewards: Float[Array, "*B"], present: Bool[Array, "*B"] | None = None) -> "RunningMoments":
        """Merge one batch of rewards."""
        n = jnp.asarray(float(rewards.size)) if present is None else present.sum().astype(rewards.dtype)
        centered, mean = _centered(rewards, None, present)
        mean = jnp.where(n > 0, mean.reshape(()), self.mean)
        squares = jnp.square(centered).sum()
        count = self.seen + n
        delta = mean - self.mean
        divisor = count if present is None else jnp.maximum(count, 1.0)  # a batch of nothing changes nothing
        return RunningMoments(
            seen=count,
            mean=self.mean + delta * n / divisor,
            squares=self.squares + squares + jnp.square(delta) * self.seen * n / divisor,
        )


def standardize(rewards: Float[Array, "*B"], present: Bool[Array, "*B"] | None = None) -> Float[Array, "*B"]:
    """Reward standardisation over the whole batch: r̄ = (r - μ̂)/σ̂, σ̂ with divisor B-1. Paper F.1, eq. 19.

    It forgets offset and scale, down to what a float holds: rewards near 1e6 are a sixteenth apart in float32, and that
    grid is what is standardised. 0 where all rewards are equal to their own rounding.

    Raises:
        ValueError: there is room for one reward alone.
    """
    if rewards.size < 2:
        raise ValueError(f"eq. 19 divides by B - 1: at least 2 rewards are needed, got {rewards.size}")
    return _standardized(rewards, None, present, ddof=1)


def standardize_per_prompt(
    rewards: Float[Array, "P N"], present: Bool[Array, "P N"] | None = None
) -> Float[Array, "P N"]:
    """Like `standardize`, but each prompt's N responses among themselves and with divisor N (released code)."""
    return _standardized(rewards, -1, present, ddof=0)


def center_per_prompt(rewards: Float[Array, "P N"], present: Bool[Array, "P N"] | None = None) -> Float[Array, "P N"]:
    """r less the mean of the prompt's responses, in units of reward; 0 where all are equal."""
    return _centered(rewards, -1, present)[0]


def standardize_running(
    rewards: Float[Array, "P N"], moments: RunningMoments, present: Bool[Array, "P N"] | None = None
) -> tuple[Float[Array, "P N"], RunningMoments]:
    """Like `standardize`, but with the mean and variance (divisor n) of all rewards seen so far, these included.

    The released code means to do this for PPO and REINFORCE; there its counter is overwritten by the minibatch
    loop, so that a second collection takes the root of a negative variance. This is the intended form.

    The moments are floats themselves: near 1e6 the mean is known to 1/32 in float32, by which all advantages of a
    collection may be off together, and spreads below 1e-19 or above 1e18, whose squares float32 has not, give 0.
    """
    rewards = kept(rewards, present)
    moments = moments.update(rewards, present)
    scale = jnp.sqrt(moments.squares / moments.seen)
    return _divide(kept(rewards - moments.mean, present), scale, _rounding(rewards, None, present)), moments


def _standardized(rewards: Array, axis: int | None, present: Array | None, ddof: int) -> Array:
    """(r - mean)/deviation along `axis` (all axes, if None), the deviation with divisor n - ddof."""
    centered, _ = _centered(rewards, axis, present)
    # Squares are taken near 1, where a power of two brings every scale without rounding: (1e-30)² is 0 in float32.
    _, exponent = jnp.frexp(jnp.abs(centered).max(axis=axis, keepdims=True))
    unit = jnp.ldexp(jnp.ones(exponent.shape, centered.dtype), exponent - 1)
    centered = centered / unit
    n = jnp.ones_like(centered) if present is None else present.astype(centered.dtype)
    total = jnp.square(centered).sum(axis=axis, keepdims=True)
    scale = jnp.sqrt(total / (n.sum(axis=axis, keepdims=True) - ddof))
    return _divide(centered, scale, _rounding(rewards, axis, present) / unit)


def _offset(rewards: Array, axis: int | None, present: Array | None) -> Array:
    """The largest reward along `axis` where it dwarfs the spread, elsewhere 0.

    To take it off is exact, where a mean of large numbers has rounding of its own, and leaves 0 of equal rewards.
    Where there is little to gain nothing is taken off, and no bit changes.
    """
    real = jnp.ones(rewards.shape, bool) if present is None else present
    low = rewards.min(axis=axis, keepdims=True, where=real, initial=jnp.inf)
    high = rewards.max(axis=axis, keepdims=True, where=real, initial=-jnp.inf)
    return jnp.where(high - low < 1e-3 * jnp.abs(high), high, 0.0)


def _centered(rewards: Array, axis: int | None, present: Array | None) -> tuple[Array, Array]:
    """Rewards less their mean along `axis`, 0 where absent, and that mean."""
    offset = _offset(rewards, axis, present)
    rewards = kept(rewards - offset, present)
    mean = rewards.mean(axis=axis, keepdims=True, where=present)
    return kept(rewards - mean, present), offset + mean


def _rounding(rewards: Array, axis: int | None, present: Array | None) -> Array:
    """Spread below which rewards are equal but for their own rounding: 4 ulp of the largest.

    The same ten tokens in another order have sums that are up to 3 ulp apart.
    """
    limits = jnp.finfo(rewards.dtype)
    return 4 * limits.eps * jnp.abs(kept(rewards, present)).max(axis=axis, keepdims=True) + limits.tiny


def _divide(centered: Array, scale: Array, floor: Array) -> Array:
    """Centered / scale, and 0 where all rewards are equal: then nothing is better than anything else.

    To divide rounding by its own size would turn it into advantages of order one.
    """
    return jnp.where(scale > floor, centered / jnp.maximum(scale, floor), 0.0)


STANDARDIZATIONS = ("none", "batch", "per_prompt", "running")
"""The names of the ways to standardise, in the order of `standardize_by`'s index."""


def standardize_by(
    index: Int[Array, ""],
    rewards: Float[Array, "P N"],
    moments: RunningMoments,
    present: Bool[Array, "P N"] | None = None,
) -> tuple[Float[Array, "P N"], RunningMoments]:
    """Standardise as `STANDARDIZATIONS[index]` says; the index is data, so runs that differ in it share a program."""
    running, updated = standardize_running(rewards, moments, present)
    choices = (
        kept(rewards, present),
        standardize(rewards, present),
        standardize_per_prompt(rewards, present),
        running,
    )
    return jax.lax.select_n(jnp.asarray(index, jnp.int32), *choices), updated


def leave_one_out(rewards: Float[Array, "*B N"], present: Bool[Array, "*B N"] | None = None) -> Float[Array, "*B N"]:
    """Advantage against the mean of the *other* responses: A_i = r_i - 1/(N-1) Σ_{j≠i} r_j.

    Unlike the batch mean it keeps the policy gradient unbiased. Kool et al. 2019; Ahmadian et al. 2024 (RLOO). A
    prompt's only real response has nothing to be compared with: advantage 0.

    Raises:
        ValueError: there is room for one response alone.
    """
    n = rewards.shape[-1]
    if n < 2:
        raise ValueError(f"leave-one-out needs at least 2 responses a prompt, got {n}")
    rewards = kept(rewards - _offset(rewards, -1, present), present)
    total = rewards.sum(axis=-1, keepdims=True)
    if present is None:
        return rewards - (total - rewards) / (n - 1)
    others = present.sum(axis=-1, keepdims=True).astype(rewards.dtype) - 1.0
    return kept(rewards - (total - rewards) / jnp.maximum(others, 1.0), present & (others > 0))


def kl_shaped_rewards(
    rewards: Float[Array, "*B"],
    behavior_log_probs: Float[Array, "*B"],
    reference_log_probs: Float[Array, "*B"],
    coefficient: Float[Array, ""] | float,
) -> Float[Array, "*B"]:
    """r - β [log π_behavior(y | x) - log π_ref(y | x)]: the KL of eq. 2 moved into the reward.

    With on-policy samples and the policy gradient this is the exact place for it: E[∇ log π (−β log π/π_ref)] is
    the gradient of −β KL(policy ‖ reference). Added to the loss instead, as the released code does, the
    log-ratio's gradient has mean zero and regularises nothing.

    -inf for a response that the reference cannot give; with β = 0 the reference is not asked, and r stays r.
    """
    log_ratios = jax.lax.stop_gradient(behavior_log_probs - reference_log_probs)
    return rewards - coefficient * jnp.where(coefficient != 0, log_ratios, 0.0)
