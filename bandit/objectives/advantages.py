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
        if present is None:
            n, mean = jnp.asarray(float(rewards.size)), rewards.mean()
        else:
            n = present.sum().astype(rewards.dtype)
            mean = kept(rewards, present).sum() / jnp.maximum(n, 1.0)
        squares = jnp.square(kept(rewards - mean, present)).sum()
        count = self.seen + n
        delta = mean - self.mean
        divisor = count if present is None else jnp.maximum(count, 1.0)  # a batch of nothing changes nothing
        return RunningMoments(
            seen=count,
            mean=self.mean + delta * n / divisor,
            squares=self.squares + squares + jnp.square(delta) * self.seen * n / divisor,
        )


def _divide(centered: Array, scale: Array, rewards: Array) -> Array:
    """Centered / scale, and 0 where all rewards are equal: then nothing is better than anything else.

    "Equal" is to rounding: the mean of a constant batch may miss it by an ulp, and dividing that by its own size
    would turn rounding into advantages of order one.
    """
    floor = 1e-6 * jnp.abs(rewards).max() + jnp.finfo(rewards.dtype).tiny
    return jnp.where(scale > floor, centered / jnp.maximum(scale, floor), 0.0)


def standardize(rewards: Float[Array, "*B"], present: Bool[Array, "*B"] | None = None) -> Float[Array, "*B"]:
    """Reward standardisation over the whole batch: r̄ = (r - μ̂)/σ̂, σ̂ with divisor B-1. Paper F.1, eq. 19.

    Raises:
        ValueError: there is room for one reward alone.
    """
    if rewards.size < 2:
        raise ValueError(f"eq. 19 divides by B - 1: at least 2 rewards are needed, got {rewards.size}")
    rewards = kept(rewards, present)
    centered = kept(rewards - rewards.mean(where=present), present)
    return _divide(centered, rewards.std(ddof=1, where=present), rewards)


def standardize_per_prompt(
    rewards: Float[Array, "P N"], present: Bool[Array, "P N"] | None = None
) -> Float[Array, "P N"]:
    """Like `standardize`, but each prompt's N responses among themselves and with divisor N (released code)."""
    rewards = kept(rewards, present)
    centered = kept(rewards - rewards.mean(axis=-1, keepdims=True, where=present), present)
    return _divide(centered, rewards.std(axis=-1, keepdims=True, where=present), rewards)


def standardize_running(
    rewards: Float[Array, "P N"], moments: RunningMoments, present: Bool[Array, "P N"] | None = None
) -> tuple[Float[Array, "P N"], RunningMoments]:
    """Like `standardize`, but with the mean and variance (divisor n) of all rewards seen so far, these included.

    The released code means to do this for PPO and REINFORCE; there its counter is overwritten by the minibatch
    loop, so that a second collection takes the root of a negative variance. This is the intended form.
    """
    rewards = kept(rewards, present)
    moments = moments.update(rewards, present)
    scale = jnp.sqrt(moments.squares / moments.seen)
    return _divide(kept(rewards - moments.mean, present), scale, rewards), moments


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
    rewards = kept(rewards, present)
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
    """
    return rewards - coefficient * jax.lax.stop_gradient(behavior_log_probs - reference_log_probs)
