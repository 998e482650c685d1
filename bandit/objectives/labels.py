"""Preferences as people give them: a ranking that is right more often, the further apart two rewards are."""

import jax
from jaxtyping import Array, Float


def noisy_labels(
    rewards: Float[Array, "*B"], temperature: Float[Array, ""] | float, *, key: jax.Array
) -> Float[Array, "*B"]:
    """What ranks responses in place of their rewards: r + temperature · g with g ~ Gumbel(0, 1); consumes the key.

    Two such labels compare as Bradley & Terry (1952) have it, P(i ≻ j) = σ((r_i - r_j) / temperature), and N of them
    rank as Plackett and Luce do. One draw for each response, so that its comparisons agree: of three responses none is
    preferred in a circle, as where one person ranks all (Ouyang et al., 2022, 3.5, who compare all pairs of a ranking).

    Args:
        rewards: of responses.
        temperature: in units of reward; 0 returns the rewards, to the bit.
        key: of the noise.
    """
    return rewards + temperature * jax.random.gumbel(key, rewards.shape)
