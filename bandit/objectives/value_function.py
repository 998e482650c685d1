"""The loss of a value function that is trained beside the policy, and what says how good it is.

V_t is what a value function expects of a response's reward from token t on, before y_t is drawn. An objective sees the
parameters through log-probs, and this one sees them through the values alone: its weights are taken in the same way
(`value_weights`, as `reduce.token_weights`), and what was learnt from them is added up in parts of any size.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives.log_probs import kept, sequence_log_probs
from modeseek.bandit.objectives.reduce import weighted_mean


class ValueNumbers(NamedTuple):
    """The numbers of the value function's loss; data, so that other ones are no other program.

    Attributes:
        coefficient: c, its weight beside the policy's loss.
        clip: ε, in units of reward; infinity clips nothing.
    """

    coefficient: float | Float[Array, ""] = 0.1
    clip: float | Float[Array, ""] = 0.2


class ValueBatch(NamedTuple):
    """Values of P prompts' N responses of T tokens, in units of reward.

    Attributes:
        values: V of the value function in training.
        behavior_values: V when the responses were sampled; constants.
        returns: what V is drawn towards (`token_advantages.Estimate`); constants.
        mask: which tokens are real tokens of real responses.
    """

    values: Float[Array, "P N T"]
    behavior_values: Float[Array, "P N T"]
    returns: Float[Array, "P N T"]
    mask: Bool[Array, "P N T"]


def clipped_value_loss(
    values: Float[Array, "*B"],
    behavior_values: Float[Array, "*B"],
    returns: Float[Array, "*B"],
    clip: Float[Array, ""] | float,
) -> Float[Array, "*B"]:
    """Squared error of a value that may not gain by leaving the one that sampled (Schulman et al., 2017's code).

    ℓ = ½ max((V - R)², (clip(V, V_old - ε, V_old + ε) - R)²)

    Once V is more than ε from V_old and nearer to R than the clipped value is, its gradient is 0: the value function is
    held back as PPO holds the policy back. At V = V_old it is ½ (V - R)².

    Args:
        values: V.
        behavior_values: V_old, when the response was sampled; constants.
        returns: R; constants.
        clip: ε > 0, in units of reward.

    Returns:
        The loss of each element, unreduced.
    """
    behavior_values, returns = jax.lax.stop_gradient((behavior_values, returns))
    bounded = jnp.clip(values, behavior_values - clip, behavior_values + clip)
    return 0.5 * jnp.maximum(jnp.square(values - returns), jnp.square(bounded - returns))


def _losses(batch: ValueBatch, clip: Float[Array, ""] | float) -> Array:
    values, behavior, returns = (kept(a, batch.mask) for a in batch[:3])  # a pad may hold anything
    return clipped_value_loss(values, behavior, returns, clip)


def value_objective(batch: ValueBatch, numbers: ValueNumbers) -> Float[Array, ""]:
    """c times the mean over responses of the sums of their tokens' losses, as `policy_gradient.ppo_losses` are reduced.

    The two are reduced alike so that c means the same at any length: a mean over tokens here and a sum over them there
    would make it c/T. Sums or means of both, the ratio is the one of PPO's paper and of the libraries.
    """
    responses = sequence_log_probs(_losses(batch, numbers.clip), batch.mask)
    real = batch.mask.any(axis=-1).astype(responses.dtype)
    return numbers.coefficient * weighted_mean(responses, real)


def value_weights(batch: ValueBatch, numbers: ValueNumbers) -> Float[Array, "P N T"]:
    """u = ∂(c L_V)/∂V_t, 0 where the mask is false: Σ u V, u constant, has c L_V's gradient in all parameters."""
    weights: Array = jax.grad(lambda values: value_objective(batch._replace(values=values), numbers))(batch.values)
    return weights


def explained_variance(batch: ValueBatch) -> Float[Array, ""]:
    """1 - Var(R - V_old)/Var(R) over real tokens: 1 if V foresees every return, 0 if no better than their mean.

    Of the values that advantages were taken from. NaN where all returns are equal: there is nothing to foresee.
    """
    values, returns = (kept(a, batch.mask) for a in (batch.behavior_values, batch.returns))
    spread, left = returns.var(where=batch.mask), (returns - values).var(where=batch.mask)
    return jnp.where(spread > 0, 1.0 - left / jnp.where(spread > 0, spread, 1.0), jnp.nan)


def value_metrics(batch: ValueBatch, numbers: ValueNumbers) -> dict[str, Float[Array, ""]]:
    """The value function's numbers before a gradient step.

    - `value_loss`: L_V of a token, the mean over real tokens, reward squared; without c.
    - `value`: mean of V over real tokens.
    - `explained_variance`: see there.
    - `fraction_values_clipped`: share of real tokens with V more than ε from V_old.
    """
    real = batch.mask.astype(batch.values.dtype)
    left = jnp.abs(batch.values - batch.behavior_values) > numbers.clip
    return {
        "value_loss": weighted_mean(_losses(batch, numbers.clip), real),
        "value": weighted_mean(batch.values, real),
        "explained_variance": explained_variance(batch),
        "fraction_values_clipped": weighted_mean(left.astype(real.dtype), real),
    }
