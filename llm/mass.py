"""The mass of a row of logits, log Σ exp: what makes log-probs of them."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def log_mass(logits: Float[Array, "*B V"], best: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """log Σ_v exp(logit_v - best), nats; differentiable in the logits.

    Summed as a product with ones, which XLA computes on all of a CPU's cores where a sum of exponentials keeps to one
    (`benchmarks/llm_results.md`); in full precision also where products are rounded by default.

    Args:
        logits: of the next token.
        best: what is taken off first, usually each row's largest.
    """
    powers = jnp.exp(logits - best[..., None])
    ones = jnp.ones(logits.shape[-1], logits.dtype)
    return jnp.log(jnp.einsum("...v,v->...", powers, ones, precision="highest"))
