"""Sampling responses with a cache, and scoring them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from modeseek.bandit.objectives.log_probs import Scoring, gather, shift
from modeseek.bandit.simulator.policy import Params, Policy


class Rollout(NamedTuple):
    """Sampled responses.

    Attributes:
        tokens: `[B, 1 + T]`, the prompt first.
        all_log_probs: `[B, T, V]`, log π(· | prefix) that each new token was drawn from.
    """

    tokens: Int[Array, "B S"]
    all_log_probs: Float[Array, "B T V"]

    @property
    def token_log_probs(self) -> Float[Array, "B T"]:
        """log π of the tokens that were drawn."""
        return gather(self.all_log_probs, self.tokens[:, 1:])


class _Carry(NamedTuple):
    token: Int[Array, "B"]
    cache: Any


def draw(log_probs: Float[Array, "B V"], uniform: Float[Array, "B"]) -> Int[Array, "B"]:
    """Draw a token by inverting the cumulative distribution at u ∈ [0, 1).

    One uniform a token in place of V Gumbel variates. A token of zero mass is never drawn: u · total < total.
    The cumulative sum is a product with a triangle, which a CPU runs faster than a scan.
    """
    vocab_size = log_probs.shape[-1]
    triangle = jnp.asarray(np.triu(np.ones((vocab_size, vocab_size))), log_probs.dtype)
    # Full precision by name: an accelerator's default would draw from a distribution that is off by a thousandth.
    cumulative = jnp.matmul(jnp.exp(log_probs), triangle, precision=jax.lax.Precision.HIGHEST)
    below = cumulative <= uniform[:, None] * cumulative[:, -1:]
    return jnp.minimum(below.sum(axis=-1), vocab_size - 1).astype(jnp.int32)


def sample(
    policy: Policy,
    params: Params,
    prompts: Int[Array, "B"],
    new_tokens: int,
    *,
    key: jax.Array,
    mix: Callable[[Float[Array, "B V"]], Float[Array, "B V"]] | None = None,
) -> Rollout:
    """Sample one response of `new_tokens` tokens for each prompt; the key is consumed.

    Args:
        policy: its functions.
        params: its parameters.
        prompts: the first token of each sequence.
        new_tokens: how many follow.
        key: of the tokens.
        mix: from the policy's log-probs of the next token to those that it is drawn from; None for the same ones.
    """
    uniforms = jax.random.uniform(key, (new_tokens, prompts.shape[0]))

    def advance(carry: _Carry, step: tuple[Array, Array]) -> tuple[_Carry, tuple[Array, Array]]:
        position, uniform = step
        logits, cache = policy.step(params, carry.token, position, carry.cache)
        log_probs = jax.nn.log_softmax(logits, axis=-1)
        log_probs = log_probs if mix is None else mix(log_probs)
        token = draw(log_probs, uniform)
        return _Carry(token, cache), (token, log_probs)

    start = _Carry(prompts.astype(jnp.int32), policy.empty_cache(prompts.shape[0]))
    _, (new, log_probs) = jax.lax.scan(advance, start, (jnp.arange(new_tokens), uniforms))
    tokens = jnp.concatenate([start.token[:, None], new.T], axis=1)
    return Rollout(tokens=tokens, all_log_probs=log_probs.swapaxes(0, 1))


def sample_table(
    log_probs: Float[Array, "V"], prompts: Int[Array, "B"], new_tokens: int, *, key: jax.Array
) -> Int[Array, "B S"]:
    """Sample one response for each prompt, every token from the same distribution; the prompt comes first.

    Consumes the key, and takes the same uniform numbers from it as `sample`.
    """
    uniforms = jax.random.uniform(key, (new_tokens, prompts.shape[0]))
    cumulative = jnp.cumsum(jnp.exp(log_probs))
    # As in `draw`: a token of zero mass is never drawn, u · total < total.
    new = jnp.searchsorted(cumulative, uniforms * cumulative[-1], side="right").astype(jnp.int32)
    return jnp.concatenate([prompts.astype(jnp.int32)[:, None], new.T], axis=1)


def score(
    policy: Policy, params: Params, tokens: Int[Array, "B S"], scoring: Scoring = "next_token"
) -> Float[Array, "B T"]:
    """log π of each token of given responses, nats; the shift is `modeseek.bandit.objectives.log_probs.shift`'s."""
    inputs, targets = shift(tokens, scoring)
    return gather(jax.nn.log_softmax(policy.logits(params, inputs), axis=-1), targets)
