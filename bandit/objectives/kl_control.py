"""A KL coefficient that is turned up or down until the policy is as far from the reference as is wanted."""

import jax.numpy as jnp
from jaxtyping import Array, Float

LARGEST_ERROR = 0.2
"""Beyond 20 % of its target the KL counts as 20 % off it."""


def adapted_coefficient(
    coefficient: Float[Array, ""],
    kl: Float[Array, ""],
    target: Float[Array, ""] | float,
    samples: int,
    horizon: int,
) -> Float[Array, ""]:
    """The coefficient after one more collection: a proportional controller of log β.

    e = clip(KL/KL_target - 1, -0.2, 0.2),    β ← β (1 + K e)            Ziegler et al., 2019, section 2.2

    with K = samples / horizon, as in their code and its descendants: how fast β moves does not depend on how many
    samples a collection has. It rests where KL = KL_target, whatever β is there. Where the KL is on one side all the
    time, β changes by a factor of e within 5 horizons of samples. An estimate from samples may be negative: e = -0.2.

    Args:
        coefficient: β, reward a nat.
        kl: KL(policy ‖ reference) of the collection, nats a response (not a token): the mean of Σ_t log π/π_ref.
        target: KL_target > 0, in the same unit.
        samples: responses of the collection.
        horizon: samples; at least `samples`, commonly 10 000.
    """
    error = jnp.clip(kl / target - 1.0, -LARGEST_ERROR, LARGEST_ERROR)
    return coefficient * (1.0 + error * samples / horizon)
