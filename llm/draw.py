"""One next token a row from its logits: greedy, or drawn after temperature, top-k and top-p."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

LANES = 128
"""To be drawn from, the vocabulary is laid out in this many lanes: entry v is in row v // 128 of lane v % 128."""


class Sampling(NamedTuple):
    """How a token is drawn. All three are data: other numbers are no other program.

    The order is that of transformers: temperature, then top-k, then top-p on what is left. Entries that tie with the
    last one that is kept are kept too.

    Attributes:
        temperature: divides the logits; 0 takes the largest (the first of equal ones), whatever the other two say.
        top_k: how many of the largest may be drawn; 0 for all.
        top_p: the largest entries that together have at least this probability may be drawn; 1 for all.
    """

    temperature: float | Array = 1.0
    top_k: int | Array = 0
    top_p: float | Array = 1.0


class Drawn(NamedTuple):
    """One token a row.

    Attributes:
        token: its id, `[B]`.
        log_probs: under the model, softmax(logits), `[B]`, nats.
        behavior_log_probs: under what it was drawn from: tempered, truncated, renormalised; 0 for a greedy token.
    """

    token: Int[Array, "B"]
    log_probs: Float[Array, "B"]
    behavior_log_probs: Float[Array, "B"]


def check_sampling(sampling: Sampling) -> None:
    """Refuse what no distribution is drawn by.

    Raises:
        ValueError: a temperature below 0, a top_k below 0, a top_p outside (0, 1].
    """
    if not 0 <= sampling.temperature < float("inf"):
        raise ValueError(f"temperature must be a number of at least 0 (0 is greedy), got {sampling.temperature}")
    if sampling.top_k < 0 or sampling.top_k != int(sampling.top_k):
        raise ValueError(f"top_k must be a whole number of at least 0 (0 keeps all), got {sampling.top_k}")
    if not 0 < sampling.top_p <= 1:
        raise ValueError(f"top_p must be more than 0 and at most 1 (1 keeps all), got {sampling.top_p}")


def draw(logits: Float[Array, "B V"], sampling: Sampling, uniforms: Float[Array, "B 2"]) -> Drawn:
    """Choose a token for each row; a row's choice depends on its own logits and uniforms alone.

    Args:
        logits: of the next token.
        sampling: how.
        uniforms: two independent numbers in [0, 1) a row.
    """
    best = logits.max(axis=1)
    log_normalisers = jnp.log(jnp.exp(logits - best[:, None]).sum(axis=1))
    temperature = jnp.asarray(sampling.temperature, logits.dtype)

    def greedy() -> tuple[Array, Array]:
        return jnp.argmax(logits, axis=1).astype(jnp.int32), jnp.zeros_like(best)

    def drawn() -> tuple[Array, Array]:
        gaps = (best[:, None] - logits) / temperature  # ≥ 0: how far below the best
        return _invert(gaps, _bounds(gaps, sampling), uniforms)

    token, behavior = jax.lax.cond(temperature > 0, drawn, greedy)
    chosen = jnp.take_along_axis(logits, token[:, None], axis=1)[:, 0]
    return Drawn(token, chosen - best - log_normalisers, behavior)


def _bounds(gaps: Float[Array, "B V"], sampling: Sampling) -> Float[Array, "B"]:
    """The largest gap that top-k and top-p leave in each row; either is skipped where it keeps all."""
    top_k, top_p = jnp.asarray(sampling.top_k, gaps.dtype), jnp.asarray(sampling.top_p, gaps.dtype)

    def by_rank(bounds: Array) -> Array:
        return _smallest(gaps, jnp.ones_like(gaps), jnp.full_like(bounds, top_k))

    def by_mass(bounds: Array) -> Array:
        masses = jnp.where(gaps <= bounds[:, None], jnp.exp(-gaps), 0.0)
        return _smallest(gaps, masses, top_p * masses.sum(axis=1))

    everything = jnp.full(gaps.shape[0], jnp.inf, gaps.dtype)
    bounds = jax.lax.cond((top_k > 0) & (top_k < gaps.shape[1]), by_rank, lambda bounds: bounds, everything)
    return jax.lax.cond(top_p < 1, by_mass, lambda bounds: bounds, bounds)


def _smallest(gaps: Float[Array, "B V"], weights: Float[Array, "B V"], needed: Float[Array, "B"]) -> Float[Array, "B"]:
    """The smallest bound in each row such that the entries within it weigh as much as is needed, by bisection.

    Floats that are not negative are ordered as their bits are, so the bound is exact after as many turns as a float
    has bits: passes that a processor does on its vectors, where sorting 50 000 entries would take longer than a model.
    """
    whole = jnp.int64 if gaps.dtype == jnp.float64 else jnp.int32
    infinity = jax.lax.bitcast_convert_type(jnp.asarray(jnp.inf, gaps.dtype), whole)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends  # bits of a bound that is not enough, and of one that is
        middle = high - (high - low) // 2
        bound = jax.lax.bitcast_convert_type(middle, gaps.dtype)
        enough = jnp.where(gaps <= bound[:, None], weights, 0.0).sum(axis=1) >= needed
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    # -1 stands below the bits of 0, so that 0 itself is tried.
    ends = jnp.full(gaps.shape[0], -1, whole), jnp.full(gaps.shape[0], infinity)
    high = jax.lax.fori_loop(0, 8 * gaps.dtype.itemsize - 1, halve, ends)[1]
    return jax.lax.bitcast_convert_type(high, gaps.dtype)


def _invert(gaps: Float[Array, "B V"], bounds: Float[Array, "B"], uniforms: Float[Array, "B 2"]) -> tuple[Array, Array]:
    """Draw by inverting cumulative sums, first among lanes and then within the lane: a uniform for each.

    Two numbers a token in place of one Gumbel variate an entry, and entries rarer than a float's last bit keep their
    share, since the second uniform divides one lane's mass alone.
    """
    missing = -gaps.shape[1] % LANES
    filled = jnp.pad(gaps, ((0, 0), (0, missing)), constant_values=jnp.inf) if missing else gaps
    laid = filled.reshape(gaps.shape[0], -1, LANES)
    lanes = jnp.where(laid <= bounds[:, None, None], jnp.exp(-laid), 0.0).sum(axis=1)
    lane = _first_above(lanes, uniforms[:, 0])
    within = jnp.take_along_axis(laid, lane[:, None, None], axis=2)[:, :, 0]
    row = _first_above(jnp.where(within <= bounds[:, None], jnp.exp(-within), 0.0), uniforms[:, 1])
    gap = jnp.take_along_axis(within, row[:, None], axis=1)[:, 0]
    return (row * LANES + lane).astype(jnp.int32), -gap - jnp.log(lanes.sum(axis=1))


def _first_above(masses: Float[Array, "B N"], uniform: Float[Array, "B"]) -> Int[Array, "B"]:
    """The first entry whose cumulative mass exceeds u · total; never one without mass, however sums are rounded."""
    cumulative = jnp.cumsum(masses, axis=1)
    hit = (cumulative > uniform[:, None] * cumulative[:, -1:]) & (masses > 0)
    return jnp.where(hit.any(axis=1), jnp.argmax(hit, axis=1), jnp.argmax(masses, axis=1))
