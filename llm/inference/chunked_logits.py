"""Log-probs and cross-entropy from logits in chunks: those of a whole batch would take more memory than the model."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import Params
from modeseek.llm.parallel.device_memory import chunk_counted


def columns_per_chunk(chunk: int, shape: tuple[int, ...]) -> int:
    """Columns in one chunk of at most `chunk` tokens, at least one, the chunks as even as they can be.

    Columns, not rows, are split: rows may be spread over devices.
    """
    rows, length = shape
    chunks = -(-length * rows // max(chunk_counted(chunk), rows))
    return -(-length // chunks)


def split_columns(columns: int, *arrays: Array) -> tuple[Array, ...]:
    """`[B, T, …]` to `[chunks, B, columns, …]`, the last chunk filled up with zeros."""

    def one(array: Array) -> Array:
        missing = -array.shape[1] % columns
        filled = jnp.pad(array, [(0, 0), (0, missing)] + [(0, 0)] * (array.ndim - 2))
        return jnp.moveaxis(filled.reshape(array.shape[0], -1, columns, *array.shape[2:]), 1, 0)

    return tuple(one(array) for array in arrays)


def join_columns(chunks: Array, length: int) -> Array:
    """`[chunks, B, columns, …]` to `[B, length, …]`."""
    return jnp.moveaxis(chunks, 0, 1).reshape(chunks.shape[1], -1, *chunks.shape[3:])[:, :length]


def log_normalizer(logits: Float[Array, "*B V"], best: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """log Σ_v exp(logit_v - best), nats: the log-sum-exp that makes log-probs of logits, less `best`; differentiable.

    Summed as a product with ones, which XLA computes on all of a CPU's cores where a sum of exponentials keeps to one
    (`benchmarks/llm_results.md`); in full precision also where products are rounded by default.

    Args:
        logits: of the next token.
        best: what is taken off first so that nothing overflows, usually each row's largest.
    """
    powers = jnp.exp(logits - best[..., None])
    ones = jnp.ones(logits.shape[-1], logits.dtype)
    return jnp.log(jnp.einsum("...v,v->...", powers, ones, precision="highest"))


def token_log_probs(logits: Float[Array, "*B V"], targets: Int[Array, "*B"]) -> Float[Array, "*B"]:
    """log softmax(logits)[target], without the other entries' log-probs."""
    best = jax.lax.stop_gradient(logits.max(axis=-1))
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return chosen - best - log_normalizer(logits, best)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def cross_entropy(
    model: Model,
    columns: int,
    head: Params,
    hidden: Float[Array, "B T D"],
    targets: Int[Array, "B T"],
    weights: Float[Array, "B T"],
) -> Float[Array, ""]:
    """-Σ w log softmax(logits)[target]: the logits of `columns` columns exist at once, and no more.

    The weights are known before the logits, so each chunk's gradient is taken while its logits are there: nothing is
    computed twice, as rematerialisation would.

    Args:
        model: whose unembedding is used.
        columns: of each row in a chunk.
        head: the part of the parameters that the unembedding reads.
        hidden: as `Model.hidden` gives them.
        targets: the token after each.
        weights: of each token's loss.
    """

    def add(total: Array, part: tuple[Array, ...]) -> tuple[Array, None]:
        return total + _chunk_loss(model, head, *part)[0], None

    total, _ = jax.lax.scan(add, jnp.zeros((), jnp.float32), split_columns(columns, hidden, targets, weights))
    return total


def _forward(
    model: Model, columns: int, head: Params, hidden: Array, targets: Array, weights: Array
) -> tuple[Array, tuple[Any, ...]]:
    differentiated = jax.value_and_grad(functools.partial(_chunk_loss, model), argnums=(0, 1), has_aux=True)

    def add(total: Any, part: tuple[Array, ...]) -> tuple[Any, tuple[Array, Array]]:
        (loss, losses), (of_head, of_hidden) = differentiated(head, *part)
        wide = jax.tree.map(lambda t, g: t + g.astype(jnp.float32), total[1], of_head)
        return (total[0] + loss, wide), (of_hidden, losses)

    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), head)
    start = (jnp.zeros((), jnp.float32), zeros)
    (loss, of_head), parts = jax.lax.scan(add, start, split_columns(columns, hidden, targets, weights))
    joined = (join_columns(part, targets.shape[1]) for part in parts)
    dtypes = jax.tree.map(lambda leaf: jnp.zeros((), leaf.dtype), head)
    return loss, (dtypes, of_head, *joined)


def _backward(model: Model, columns: int, saved: tuple[Any, ...], cotangent: Array) -> tuple[Any, ...]:
    dtypes, of_head, of_hidden, losses = saved
    of_head = jax.tree.map(lambda g, like: (cotangent * g).astype(like.dtype), of_head, dtypes)
    return of_head, cotangent.astype(of_hidden.dtype) * of_hidden, None, cotangent * losses


cross_entropy.defvjp(_forward, _backward)


def _chunk_loss(model: Model, head: Params, hidden: Array, targets: Array, weights: Array) -> tuple[Array, Array]:
    losses = -token_log_probs(model.logits(head, hidden), targets)
    return (weights * losses).sum(), losses
