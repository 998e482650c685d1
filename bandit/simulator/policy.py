"""Policies as pure functions of a parameter pytree: GPT-Nano, a tabular one with exact answers, and a small MLP."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.gpt import GPTNano, init_params
from modeseek.bandit.simulator.mlp import CONTEXT_SIZE, ContextMLP, contexts

Params = Any
"""A pytree of arrays."""


class Policy(NamedTuple):
    """What Algorithm 1 needs of a policy.

    Attributes:
        init: `(key) → params`; consumes the key.
        logits: `(params, tokens [B, S]) → [B, S, V]`: next-token logits at every position.
        train_logits: the same with dropout, `(params, tokens, key)`.
        empty_cache: `(batch) → cache` for sampling.
        step: `(params, token [B], position [], cache) → (logits [B, V], cache)`.
    """

    init: Callable[[jax.Array], Params]
    logits: Callable[[Params, Array], Any]
    train_logits: Callable[[Params, Array, jax.Array], Any]
    empty_cache: Callable[[int], Any]
    step: Callable[[Params, Array, Array, Any], tuple[Array, Any]]


@functools.lru_cache
def gpt_policy(
    vocab_size: int, length: int, layers: int = 3, heads: int = 3, width: int = 48, dropout: float = 0.0
) -> Policy:
    """GPT-Nano over V tokens, reading at most `length` of them."""
    module = GPTNano(vocab_size, length, layers, heads, width, dropout)

    def init(key: jax.Array) -> Params:
        return init_params(module, key=key)

    def logits(params: Params, tokens: Array) -> Any:
        return module.apply({"params": params}, tokens)

    def train_logits(params: Params, tokens: Array, key: jax.Array) -> Any:
        if dropout == 0:
            return logits(params, tokens)
        return module.apply({"params": params}, tokens, key)

    def step(params: Params, token: Array, position: Array, cache: Any) -> tuple[Array, Any]:
        return module.apply({"params": params}, token, position, cache, method="step")

    return Policy(init, logits, train_logits, module.empty_cache, step)


@functools.lru_cache
def tabular_policy(vocab_size: int, length: int) -> Policy:
    """Independent logits θ_t at each position: reads neither the prompt nor earlier tokens.

    Its KLs, entropies and optima are sums over positions of closed forms; starts uniform.
    """

    def init(key: jax.Array) -> Params:
        return {"logits": jnp.zeros((length, vocab_size))}

    def logits(params: Params, tokens: Array) -> Array:
        used = params["logits"][: tokens.shape[1]]
        return jnp.broadcast_to(used[None], (*tokens.shape, vocab_size))

    def step(params: Params, token: Array, position: Array, cache: Any) -> tuple[Array, Any]:
        row = params["logits"][position]
        return jnp.broadcast_to(row[None], (token.shape[0], vocab_size)), cache

    return Policy(init, logits, lambda params, tokens, key: logits(params, tokens), lambda batch: (), step)


@functools.lru_cache
def mlp_policy(vocab_size: int, layers: int = 2, width: int = 256) -> Policy:
    """A network of `layers` hidden layers for responses of one token; a prompt is the number of its context."""
    module = ContextMLP(vocab_size, layers, width)

    def init(key: jax.Array) -> Params:
        return module.init(key, jnp.zeros((1, CONTEXT_SIZE)))["params"]

    def logits(params: Params, tokens: Array) -> Any:
        of_contexts: Any = module.apply({"params": params}, contexts(tokens[:, 0]))
        return of_contexts[:, None]

    def step(params: Params, token: Array, position: Array, cache: Any) -> tuple[Array, Any]:
        return logits(params, token[:, None])[:, 0], cache

    return Policy(init, logits, lambda params, tokens, key: logits(params, tokens), lambda batch: (), step)


def make_policy(config: Static) -> Policy:
    """The policy that the configuration asks for."""
    length = config.input_length
    if config.policy.kind == "tabular":
        return tabular_policy(config.vocab_size, length)
    sizes = config.policy
    if sizes.kind == "mlp":
        return mlp_policy(config.vocab_size, sizes.layers, sizes.width)
    return gpt_policy(config.vocab_size, length, sizes.layers, sizes.heads, sizes.width, config.conventions.dropout)


def parameter_count(params: Params) -> int:
    """Numbers in a parameter pytree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
