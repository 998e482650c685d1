"""Advantages of single tokens from a value function: rewards of tokens, generalised advantage estimation, whitening.

Where every token of a response gets the response's own advantage, none of this is needed. Column t of an array `[…, T]`
is of token y_t; `mask` says which tokens are real, None that all are. What is not real counts for nothing, is skipped
in the order of the others, and has 0 in every result.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives.advantages import standardize
from modeseek.bandit.objectives.log_probs import kept


def token_rewards(
    rewards: Float[Array, "*B"],
    log_ratios: Float[Array, "*B T"],
    coefficient: Float[Array, ""] | float,
    mask: Bool[Array, "*B T"] | None = None,
) -> Float[Array, "*B T"]:
    """A response's reward at its last token, and the KL of eq. 2 at every token.

    r_t = -β log π(y_t | y_<t)/π_ref(y_t | y_<t)  +  r at the last real token          Ziegler et al., 2019, section 2.2

    Their sum over a response is r - β log π(y | x)/π_ref(y | x), `advantages.kl_shaped_rewards`: the same penalty, and
    each token bears its own part of it. A response that was cut off ends at its last token all the same. r_t of a token
    that the reference cannot give is -inf, unless β = 0.

    Args:
        rewards: r of each response.
        log_ratios: log π/π_ref of each token under the policy that sampled, nats; constants.
        coefficient: β, reward a nat.
        mask: which tokens are real.
    """
    log_ratios = jnp.where(coefficient != 0, kept(jax.lax.stop_gradient(log_ratios), mask), 0.0)
    return jnp.where(_last(log_ratios, mask), rewards[..., None], 0.0) - coefficient * log_ratios


def _last(tokens: Array, mask: Array | None) -> Array:
    """Whether a token is the last real one of its response."""
    real = jnp.ones(tokens.shape, bool) if mask is None else mask
    still_to_come = jnp.cumsum(real[..., ::-1], axis=-1)[..., ::-1]
    return real & (still_to_come == 1)


class Estimate(NamedTuple):
    """What generalised advantage estimation gives, both without a gradient.

    Attributes:
        advantages: Â_t.
        returns: Â_t + V_t, what the value function is drawn towards.
    """

    advantages: Float[Array, "*B T"]
    returns: Float[Array, "*B T"]


def generalized_advantages(
    rewards: Float[Array, "*B T"],
    values: Float[Array, "*B T"],
    gamma: Float[Array, ""] | float = 1.0,
    lam: Float[Array, ""] | float = 0.95,
    mask: Bool[Array, "*B T"] | None = None,
) -> Estimate:
    """Generalised advantage estimation (Schulman et al., 2016).

    Â_t = Σ_l (γλ)^l δ_{t+l},    δ_t = r_t + γ V_{t+1} - V_t,    V = 0 after the last token

    λ = 0 is the error δ_t of one step: little variance, and as wrong as V is. λ = 1 is the return that followed less
    V_t: right whatever V is, with all of the return's variance.

    Args:
        rewards: r_t.
        values: V_t, what was expected from t on before y_t was drawn.
        gamma: γ in [0, 1].
        lam: λ in [0, 1].
        mask: which tokens are real.
    """
    rewards, values = (kept(jax.lax.stop_gradient(a), mask) for a in (rewards, values))
    real = jnp.ones(rewards.shape, bool) if mask is None else mask

    def back(later: tuple[Array, Array], now: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        value_after, advantage_after = later
        reward, value, there = now
        advantage = reward + gamma * value_after - value + gamma * lam * advantage_after
        carried = jnp.where(there, value, value_after), jnp.where(there, advantage, advantage_after)
        return carried, kept(advantage, there)

    along = lambda a: jnp.moveaxis(a, -1, 0)
    steps = along(rewards), along(values), along(real)
    nothing = jnp.zeros(rewards.shape[:-1], rewards.dtype)
    _, advantages = jax.lax.scan(back, (nothing, nothing), steps, reverse=True)
    advantages = jnp.moveaxis(advantages, 0, -1)
    return Estimate(advantages, advantages + values)


def whiten(
    advantages: Float[Array, "*B T"], mask: Bool[Array, "*B T"] | None = None, *, shift: bool = True
) -> Float[Array, "*B T"]:
    """(Â - mean)/σ over all real tokens together, σ with divisor n - 1: eq. 19's standardisation, of tokens.

    Args:
        advantages: Â_t.
        mask: which tokens are real.
        shift: whether the mean becomes 0; else it is added again, and only the spread is changed: signs of advantages,
            and with them who is pushed down, are then nearly what they were.

    Raises:
        ValueError: there is room for one token alone.
    """
    whitened = standardize(advantages, mask)
    if shift:
        return whitened
    return kept(whitened + kept(advantages, mask).mean(where=mask), mask)
