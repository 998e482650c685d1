"""Samples of a geometric mixture of policy and reference, π^(1-α) π_ref^α, for the methods that ask for them.

The mixture is taken of each next-token distribution and normalised there, which is what can be sampled. Over whole
responses it is another distribution than the normalised product of responses' probabilities, unless tokens are
independent of each other; the papers take it token by token too (Munos et al., 2024; Calandriello et al., 2024).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives.games import last_half
from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.run import Run


def geometric_mixture(
    log_probs: Float[Array, "B V"], reference_log_probs: Float[Array, "V"], shares: Float[Array, "B"]
) -> Float[Array, "B V"]:
    """log of π^(1-α) π_ref^α/Z, a row with its own α in [0, 1]; at α = 0 π itself, to the bit.

    Args:
        log_probs: log π of the next token, nats.
        reference_log_probs: log π_ref of the next token, the same for all rows.
        shares: α.
    """
    share = shares[:, None]
    reference = jnp.where(share > 0, reference_log_probs[None], 0.0)  # 0 · -inf would be NaN
    policy = jnp.where(share < 1, log_probs, 0.0)
    mixed = jax.nn.log_softmax((1.0 - share) * policy + share * reference, axis=-1)
    return jnp.where(share > 0, mixed, log_probs)


def mixes(config: Static) -> bool:
    """Whether a method that is compiled in draws from the mixture."""
    return any(method.drawn_from != "policy" for method in config.methods)


def opponents(run: Run, config: Static) -> Bool[Array, "N"]:
    """Which responses of a prompt the others play against: the last half, if the run's method has opponents."""
    of_methods = jnp.asarray([method.drawn_from == "policy and mixture" for method in config.methods])
    return of_methods[run.method] & last_half(config.algorithm.responses_per_prompt)


def learners_mix(run: Run, config: Static) -> Callable[[Float[Array, "B V"]], Float[Array, "B V"]] | None:
    """From the policy's next-token distributions, those of the responses that are learnt from; None for the policy's.

    Of Nash-MD these are the policy's own: the mixture draws its opponents alone, and no loss has their log-probs.
    """
    if not mixes(config):
        return None
    share = mixture_shares(run, config)[0]  # opponents are the last ones
    return lambda log_probs: geometric_mixture(
        log_probs, run.problem.reference_log_probs, jnp.broadcast_to(share, log_probs.shape[:1])
    )


def mixture_shares(run: Run, config: Static) -> Float[Array, "N"]:
    """α of each response of a prompt: 0 where it is drawn from the policy."""
    of_methods = jnp.asarray([method.drawn_from == "mixture" for method in config.methods])
    return run.hyper.mixture * (of_methods[run.method] | opponents(run, config)).astype(jnp.float32)
