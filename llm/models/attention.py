"""How a block attends: to all earlier positions at once, or from one position to a cache."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from modeseek.foreign import reason

Implementation = Literal["auto", "xla", "cudnn"]


class LayerCache(NamedTuple):
    """One layer's keys and values: position s of row b is meaningful where s < the row's length.

    Heads before positions: a step's products then read a head's keys as they lie, where `[B, S, K, H]` would be
    transposed anew at every token (its two products measured 5 times slower on a CPU).
    """

    keys: Float[Array, "B K S H"]
    values: Float[Array, "B K S H"]


Attend = Callable[[Array, Array, Array], tuple[Array, Any]]
"""`(queries [B, S, N, H], keys [B, S, K, H], values [B, S, K, H]) → (mixed [B, S, N, H], what to keep)`."""


def causal(window: int | None, implementation: Implementation, segments: Int[Array, "B S"] | None = None) -> Attend:
    """Every position attends to itself and to earlier ones, the nearest `window` of them; keeps nothing.

    Right padding needs no mask here: what comes later is hidden from every real position anyway, and a broadcast
    mask would shut cuDNN's kernel out (jax#28974). So `segments` are computed by XLA, whatever is asked for.

    Args:
        window: positions that one sees, itself included; None for all.
        implementation: of attention.
        segments: of rows that hold several sequences, which one each position belongs to: others are hidden.
    """

    def attend(q: Float[Array, "B S N H"], k: Float[Array, "B S K H"], v: Float[Array, "B S K H"]) -> tuple[Array, Any]:
        if segments is None:
            return _attend_causally(q, k, v, window, implementation), None
        same = (segments[:, :, None] == segments[:, None, :])[:, None]  # [B, 1, S, S], for all heads
        return _attend_causally(q, k, v, window, "xla", mask=same), None

    return attend


def filling(cache: LayerCache, window: int | None, implementation: Implementation) -> Attend:
    """As `causal`, and writes keys and values into the first positions of the layer's cache."""

    def attend(
        q: Float[Array, "B S N H"], k: Float[Array, "B S K H"], v: Float[Array, "B S K H"]
    ) -> tuple[Array, LayerCache]:
        length = k.shape[1]
        into = lambda kept, new: kept.at[:, :, :length].set(new.swapaxes(1, 2).astype(kept.dtype))
        filled = LayerCache(into(cache.keys, k), into(cache.values, v))
        return _attend_causally(q, k, v, window, implementation), filled

    return attend


def stepping(cache: LayerCache, positions: Int[Array, "B"], window: int | None) -> Attend:
    """One position a row: writes its key and value at the row's own position and attends to all up to it.

    What lies beyond a row's position (another row's later tokens, a prompt's padding) is masked, and overwritten
    when the row gets there. Always XLA: one query is a product with a matrix, which no fused kernel makes faster,
    and the mask is each row's own. A row whose cache is full writes nothing.
    """

    def attend(
        q: Float[Array, "B 1 N H"], k: Float[Array, "B 1 K H"], v: Float[Array, "B 1 K H"]
    ) -> tuple[Array, LayerCache]:
        rows = jnp.arange(q.shape[0])
        # Two indices around a slice: what is written is [B, K, H].
        into = lambda kept, new: kept.at[rows, :, positions].set(new[:, 0].astype(kept.dtype), mode="drop")
        keys, values = into(cache.keys, k), into(cache.values, v)
        at, now = jnp.arange(keys.shape[2])[None, :], positions[:, None]
        seen = at <= now  # [B, S]
        if window is not None and window < keys.shape[2]:
            seen &= at > now - window
        return _attend_once(q, keys, values, seen), LayerCache(keys, values)

    return attend


def _attend_once(
    q: Float[Array, "B 1 N H"], keys: Float[Array, "B K S H"], values: Float[Array, "B K S H"], seen: Bool[Array, "B S"]
) -> Float[Array, "B 1 N H"]:
    """Softmax attention of one query a head with scale 1/√H; softmax in float32, or wider if the model is."""
    wide = jnp.float64 if q.dtype == jnp.float64 else jnp.float32
    grouped = q.reshape(q.shape[0], keys.shape[1], -1, q.shape[-1])  # [B, K, N/K, H]
    scores = jnp.einsum("bkgh,bksh->bkgs", grouped, keys, preferred_element_type=wide) / q.shape[-1] ** 0.5
    # Finite, so that a row whose window lies beyond its cache gives numbers and not NaN.
    weights = jax.nn.softmax(jnp.where(seen[:, None, None], scores, jnp.finfo(wide).min), axis=-1)
    return jnp.einsum("bkgs,bksh->bkgh", weights.astype(values.dtype), values).reshape(q.shape)


def _attend_causally(
    q: Array, k: Array, v: Array, window: int | None, implementation: Implementation, mask: Array | None = None
) -> Array:
    """Softmax attention with scale 1/√H; a window that covers the sequence is left out."""
    window = None if window is None or window >= q.shape[1] else window
    if implementation == "cudnn" or (implementation == "auto" and cudnn_works(q.shape[-1], str(q.dtype))):
        around = None if window is None else (window - 1, 0)
        return _attention(q, k, v, mask=mask, is_causal=True, local_window_size=around, implementation="cudnn")
    return _attend_head_by_head(q, k, v, window, mask)


def _attend_head_by_head(
    q: Float[Array, "B S N H"],
    k: Float[Array, "B S K H"],
    v: Float[Array, "B S K H"],
    window: int | None,
    mask: Bool[Array, "B 1 S S"] | None,
) -> Float[Array, "B S N H"]:
    """Softmax attention as plain products, softmax in float32; heads stand before positions.

    On a CPU it takes two thirds of the time of `jax.nn.dot_product_attention`, whose gradient turns products over in
    memory (`benchmarks/llm_results.md`).
    """
    wide = jnp.float64 if q.dtype == jnp.float64 else jnp.float32
    batch, length, heads, size = q.shape
    # The queries that share a key head stand together: [B, K, N/K, S, H].
    queries = q.reshape(batch, length, k.shape[2], -1, size).transpose(0, 2, 3, 1, 4)
    keys, values = k.swapaxes(1, 2), v.swapaxes(1, 2)
    scores = jnp.einsum("bkgqh,bksh->bkgqs", queries, keys, preferred_element_type=wide) / size**0.5
    at = jnp.arange(length)
    seen = at[None, :] <= at[:, None]
    if window is not None:
        seen &= at[None, :] > at[:, None] - window
    seen = seen[None, None, None] if mask is None else seen[None, None, None] & mask[:, :, None]
    weights = jax.nn.softmax(jnp.where(seen, scores, jnp.finfo(wide).min), axis=-1).astype(v.dtype)
    mixed = jnp.einsum("bkgqs,bksh->bkgqh", weights, values)
    return mixed.transpose(0, 3, 1, 2, 4).reshape(batch, length, heads, size)


def _attention(q: Array, k: Array, v: Array, **how: Any) -> Array:
    # JAX's own function promotes 16-bit floats implicitly: strict promotion is lifted for it alone.
    with jax.numpy_dtype_promotion("standard"):
        mixed: Array = jax.nn.dot_product_attention(q, k, v, **how)
    return mixed


@functools.lru_cache
def cudnn_works(head_size: int, dtype: str) -> bool:
    """Whether cuDNN's fused attention runs here, forward and backward, for this head size; tried once and remembered.

    It exists on NVIDIA devices for 16-bit floats. A trial tells more than a version number: drivers, containers and
    head sizes each can rule it out. A failed trial on a GPU is said on standard error, since it costs speed and memory.
    """
    if jax.default_backend() != "gpu" or dtype not in ("bfloat16", "float16"):
        return False

    def loss(x: Array) -> Array:
        return _attention(x, x, x, is_causal=True, implementation="cudnn").astype(jnp.float32).sum()

    try:
        with jax.ensure_compile_time_eval():
            gradient = jax.jit(jax.grad(loss))(jnp.ones((1, 64, 2, head_size), dtype))
            return bool(jnp.isfinite(gradient.astype(jnp.float32)).all())
    except Exception as error:  # whatever the driver says: the other path is right, only slower
        import sys

        print(
            f"modeseek: cuDNN attention does not run for heads of {head_size}; XLA's is used ({reason(error)})",
            file=sys.stderr,
        )
        return False
