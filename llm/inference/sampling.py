"""One next token a row from its logits: greedy, or sampled after temperature, top-k and top-p."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from modeseek.llm.inference.chunked_logits import log_normalizer

LANES = 128
"""The vocabulary is laid out in this many lanes: entry v is in row v // 128 of lane v % 128."""

NEAREST = 128
"""What top-k and top-p leave is looked for among this many entries of each row first, on a CPU."""


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


class SampledTokens(NamedTuple):
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
    """Refuse what no distribution is drawn by, as float32 and int32 hold it.

    Raises:
        ValueError: a temperature below 0, or that float32 takes for 0, for infinity or for a number of fewer digits; a
            top_k below 0 or above 2³¹ - 1; a top_p outside (0, 1].
    """
    coldest, hottest = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    if not (sampling.temperature == 0 or coldest <= sampling.temperature <= hottest):
        raise ValueError(
            f"temperature must be a number of at least 0 (0 is greedy; all others are from {coldest:.1e} to "
            f"{hottest:.1e}), got {sampling.temperature}"
        )
    if not 0 <= sampling.top_k < 2**31 or sampling.top_k != int(sampling.top_k):
        raise ValueError(f"top_k must be a whole number of at least 0 (0 keeps all), below 2^31, got {sampling.top_k}")
    if not 0 < sampling.top_p <= 1:
        raise ValueError(f"top_p must be more than 0 and at most 1 (1 keeps all), got {sampling.top_p}")


def sample(logits: Float[Array, "B V"], sampling: Sampling, uniforms: Float[Array, "B 2"]) -> SampledTokens:
    """Choose a token for each row; a row's choice depends on its own logits and uniforms alone.

    Args:
        logits: of the next token.
        sampling: how.
        uniforms: two independent numbers in [0, 1) a row.
    """
    laid = _in_lanes(logits)
    bests = laid.max(axis=2)
    best = bests.max(axis=1)
    temperature = jnp.asarray(sampling.temperature, logits.dtype)

    def log_normalizers() -> Array:
        return log_normalizer(logits, best)

    def greedy() -> tuple[Array, Array, Array]:
        return _argmax(laid, bests, best), jnp.zeros_like(best), log_normalizers()

    def drawn() -> tuple[Array, Array, Array]:
        bounds = _bounds(logits, best, temperature, sampling)
        token, behavior, log_z = _sample_by_inversion(laid, best, temperature, bounds, uniforms)
        as_it_is = (temperature == 1) & jnp.isinf(bounds).all()
        return token, behavior, jax.lax.cond(as_it_is, lambda: log_z, log_normalizers)

    token, behavior, log_z = jax.lax.cond(temperature > 0, drawn, greedy)
    chosen = jnp.take_along_axis(logits, token[:, None], axis=1)[:, 0]
    return SampledTokens(token, chosen - best - log_z, behavior)


def _in_lanes(logits: Float[Array, "B V"]) -> Float[Array, "B R L"]:
    """Rows of LANES entries, the last one filled up with entries that nothing draws."""
    missing = -logits.shape[1] % LANES
    filled = jnp.pad(logits, ((0, 0), (0, missing)), constant_values=-jnp.inf) if missing else logits
    return filled.reshape(logits.shape[0], -1, LANES)


def _argmax(laid: Float[Array, "B R L"], bests: Float[Array, "B R"], best: Float[Array, "B"]) -> Int[Array, "B"]:
    """The first entry that is the best of all, in the first row of lanes whose best is: no second pass over all.

    argmax, which XLA computes on a CPU in fifty times as long as the maximum.
    """
    row = jnp.argmax(bests == best[:, None], axis=1)
    nearby = jnp.take_along_axis(laid, row[:, None, None], axis=1)[:, 0]
    return (row * LANES + jnp.argmax(nearby == best[:, None], axis=1)).astype(jnp.int32)


def _gaps(logits: Float[Array, "B *N"], best: Float[Array, "B"]) -> Float[Array, "B *N"]:
    """How far below the row's best, at least 0; each pass over the vocabulary makes them anew.

    Before the temperature: a difference has the same bits wherever it is computed, so that what is compared with a
    bound compares alike in every pass; a compiler may divide in one pass and multiply by the inverse in another.
    """
    return best.reshape(-1, *[1] * (logits.ndim - 1)) - logits


def _bounds(
    logits: Float[Array, "B V"], best: Float[Array, "B"], temperature: Array, sampling: Sampling
) -> Float[Array, "B"]:
    """The largest gap that top-k and top-p leave in each row; infinite where they keep all."""
    top_k, top_p = jnp.asarray(sampling.top_k, logits.dtype), jnp.asarray(sampling.top_p, logits.dtype)
    everything = jnp.full_like(best, jnp.inf)
    few, light = (top_k > 0) & (top_k < logits.shape[1]), top_p < 1

    def truncated() -> Array:
        gaps = _gaps(logits, best)
        near = _nearest(logits, best)

        def by_rank() -> Array:
            return _smallest(
                gaps, near, lambda gaps: jnp.isfinite(gaps).astype(gaps.dtype), jnp.broadcast_to(top_k, best.shape)
            )

        of_rank: Array = jax.lax.cond(few, by_rank, lambda: everything)

        def by_probability() -> Array:
            weigh = lambda gaps: _unnormalized(gaps, of_rank, temperature)
            return _smallest(gaps, near, weigh, top_p * weigh(gaps).sum(axis=1))

        of_both: Array = jax.lax.cond(light, by_probability, lambda: of_rank)
        return of_both

    bounds: Array = jax.lax.cond(few | light, truncated, lambda: everything)
    return bounds


def _unnormalized(gaps: Float[Array, "B *N"], bounds: Float[Array, "B"], temperature: Array) -> Float[Array, "B *N"]:
    """exp(-gap / temperature) of what is within a row's bound, 0 of the rest."""
    return jnp.where(gaps <= bounds.reshape(-1, *[1] * (gaps.ndim - 1)), jnp.exp(-gaps / temperature), 0.0)


def _nearest(logits: Float[Array, "B V"], best: Float[Array, "B"]) -> Float[Array, "B C"]:
    """The smallest gaps of each row in ascending order on a CPU; infinities, which weigh nothing, elsewhere.

    What top-k and top-p leave is mostly among them, and a CPU finds them in the time of five passes of bisection. A
    GPU sorts all entries for them.
    """
    count = min(NEAREST, logits.shape[1])
    largest: Array = jax.lax.platform_dependent(
        logits,
        cpu=lambda logits: jax.lax.top_k(logits, count)[0],
        default=lambda logits: jnp.full((logits.shape[0], count), -jnp.inf, logits.dtype),
    )
    return _gaps(largest, best)


def _smallest(
    gaps: Float[Array, "B V"], near: Float[Array, "B C"], weigh: Callable[[Array], Array], needed: Float[Array, "B"]
) -> Float[Array, "B"]:
    """The smallest bound in each row such that the entries within it weigh as much as is needed."""
    enough = jnp.cumsum(weigh(near), axis=1) >= needed[:, None]

    def among_the_nearest() -> Array:
        return jnp.take_along_axis(near, jnp.argmax(enough, axis=1)[:, None], axis=1)[:, 0]

    bounds: Array = jax.lax.cond(enough[:, -1].all(), among_the_nearest, lambda: _bisect(gaps, weigh(gaps), needed))
    return bounds


def _bisect(gaps: Float[Array, "B V"], weights: Float[Array, "B V"], needed: Float[Array, "B"]) -> Float[Array, "B"]:
    """As `_smallest`, whatever the bound.

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


def _sample_by_inversion(
    laid: Float[Array, "B R L"],
    best: Float[Array, "B"],
    temperature: Array,
    bounds: Float[Array, "B"],
    uniforms: Float[Array, "B 2"],
) -> tuple[Array, Array, Array]:
    """Draw by inverting cumulative sums, first among lanes and then within the lane: a uniform for each.

    Two numbers a token in place of one Gumbel variate an entry, and entries rarer than a float's last bit keep their
    share, since the second uniform divides one lane's weight alone. Also returns the token's log-prob, and the
    log-normalizer of all entries.
    """
    lanes = _unnormalized(_gaps(laid, best), bounds, temperature).sum(axis=1)
    lane = _first_above(lanes, uniforms[:, 0])
    within = _gaps(jnp.take_along_axis(laid, lane[:, None, None], axis=2)[:, :, 0], best)
    row = _first_above(_unnormalized(within, bounds, temperature), uniforms[:, 1])
    gap = jnp.take_along_axis(within, row[:, None], axis=1)[:, 0]
    log_z = jnp.log(lanes.sum(axis=1))
    return (row * LANES + lane).astype(jnp.int32), -gap / temperature - log_z, log_z


def _first_above(weights: Float[Array, "B N"], uniform: Float[Array, "B"]) -> Int[Array, "B"]:
    """The first entry whose cumulative weight exceeds u · total; never one of weight 0, however sums are rounded."""
    cumulative = jnp.cumsum(weights, axis=1)
    hit = (cumulative > uniform[:, None] * cumulative[:, -1:]) & (weights > 0)
    return jnp.where(hit.any(axis=1), jnp.argmax(hit, axis=1), jnp.argmax(weights, axis=1))
