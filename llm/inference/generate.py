"""Generation: the prompts are read at once, then one compiled loop decodes with a cache until every row is done."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from modeseek.checks import whole
from modeseek.llm.inference.padding import bucket
from modeseek.llm.inference.sampling import Sampling, check_sampling, sample
from modeseek.llm.models.model import KeyValueCache, Model, last
from modeseek.llm.models.parameters import Params

AS_IT_IS = Sampling()
"""The model's own distribution."""

ANY, NEVER = -1, -2
"""In a table of stops: matches every id (what stands before a short sequence), matches none (an unused line)."""


class Generation(NamedTuple):
    """Responses, on the device; T is the bucket of the number of tokens that was asked for.

    Attributes:
        tokens: ids, `[B, T]`; after a row's length, `pad_id`.
        lengths: tokens of each row, the one that stopped it included, `[B]`.
        stopped: whether a stop ended the row; otherwise it was cut at the number of tokens asked for, `[B]`.
        log_probs: of each token under the model itself (no temperature, no truncation), nats, `[B, T]`; 0 after a
            row's length. This is what scoring gives.
        behavior_log_probs: of each token under the distribution that it was drawn from (tempered, truncated,
            renormalised): the denominators of importance ratios. Equal to `log_probs` at temperature 1 without
            truncation, 0 for greedy tokens.
    """

    tokens: Int[Array, "B T"]
    lengths: Int[Array, "B"]
    stopped: Bool[Array, "B"]
    log_probs: Float[Array, "B T"]
    behavior_log_probs: Float[Array, "B T"]


class _State(NamedTuple):
    """What a turn of the loop hands on; `hidden` is each row's state after its last token, `recent` its tail."""

    turn: Int[Array, ""]
    hidden: Float[Array, "B D"]
    cache: KeyValueCache
    recent: Int[Array, "B L"]
    out: Generation


def row_keys(key: Array, rows: int, first: int = 0) -> Array:
    """A key for each of the rows `first`, `first + 1`, …, the same however many rows there are beside it."""
    return jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(first, first + rows))


def stop_table(stops: Sequence[Sequence[int]]) -> np.ndarray:
    """Sequences of ids that end a row, as the loop reads them: `[Q, L]`, each at the right end of its line.

    Q and L are bucketed, so that other stops are seldom another program.

    Raises:
        ValueError: an empty sequence, which would stop before the first token, or ids below 0.
    """
    for stop in stops:
        if len(stop) == 0 or min(stop) < 0:
            raise ValueError(f"a stop must be a sequence of at least one id, none below 0, got {list(stop)}")
    lines = bucket(len(stops), least=4)
    table = np.full((lines, bucket(max(map(len, stops), default=1), least=4)), ANY, np.int32)
    table[len(stops) :] = NEVER
    for line, stop in zip(table, stops, strict=False):
        line[-len(stop) :] = stop
    return table


def generate(
    model: Model,
    params: Params,
    tokens: Int[np.ndarray, "B S"] | Int[Array, "B S"],
    lengths: Int[np.ndarray, "B"] | Int[Array, "B"],
    new_tokens: int,
    *,
    keys: Array,
    sampling: Sampling = AS_IT_IS,
    stops: Sequence[Sequence[int]] = (),
    pad_id: int = 0,
) -> Generation:
    """Continue each prompt by at most `new_tokens` tokens.

    Compiled once for a batch size and the buckets of S and `new_tokens`; temperature, top-k, top-p, stops, keys,
    lengths and the number of tokens are data. Nothing comes to the host: the results are still being computed when
    this returns. A row's tokens depend on its own prompt and key, not on its neighbours, the number of rows or the
    padding (but for the rounding of products of another shape).

    Args:
        model: with a language-model head.
        params: as `model.for_decoding` gives them.
        tokens: prompts, padded on the right, ids checked (`modeseek.llm.inference.padding.check_ids`).
        lengths: real tokens of each prompt, at least 1.
        new_tokens: the most that are added to a row.
        keys: one a row (`row_keys`); consumed.
        sampling: temperature, top-k and top-p.
        stops: sequences of ids; a row ends with the first that it has generated, which stays part of it. EOS is one.
        pad_id: stands after a row's end.

    Raises:
        ValueError: `new_tokens` below 1, one key a row is not given, an impossible sampling or stop.
    """
    whole("new_tokens", new_tokens, 1)
    if keys.shape != (tokens.shape[0],):
        raise ValueError(f"keys must be one a row, ({tokens.shape[0]},), got {keys.shape}")
    if not any(isinstance(number, jax.core.Tracer) for number in sampling):
        check_sampling(sampling)
    missing = bucket(tokens.shape[1]) - tokens.shape[1]
    if missing:
        pad = np.pad if isinstance(tokens, np.ndarray) else jnp.pad
        tokens = pad(tokens, ((0, 0), (0, missing)))
    # NumPy's numbers of fixed types: Python's would be weakly typed, and another program than arrays.
    fixed: Any = (np.float32, np.int32, np.float32)
    numbers = Sampling(*(kind(x) for kind, x in zip(fixed, sampling, strict=True)))
    generation: Generation = _generate(
        model,
        bucket(new_tokens),
        params,
        tokens,
        lengths,
        np.int32(new_tokens),
        keys,
        numbers,
        stop_table(stops),
        np.int32(pad_id),
    )
    return generation


@functools.partial(jax.jit, static_argnums=(0, 1))
def _generate(
    model: Model,
    room: int,
    params: Params,
    tokens: Array,
    lengths: Array,
    limit: Any,
    keys: Array,
    sampling: Sampling,
    stops: Array,
    pad_id: Any,
) -> Generation:
    """Prefill and loop; the cache is made here, stays in place through the loop, and is gone afterwards."""
    batch, prompt = tokens.shape
    uniforms = jax.vmap(lambda key: _uniforms(key, room))(keys)  # [B, T, 2]
    hidden, cache = model.prefill(params, tokens, lengths, model.empty_cache(batch, prompt + room))

    def unfinished(state: _State) -> Array:
        more: Array = (state.turn < limit) & ~state.out.stopped.all()
        return more

    def advance(state: _State) -> _State:
        turn, out = state.turn, state.out
        logits = model.logits(params, state.hidden)
        drawn = sample(logits, sampling, jax.lax.dynamic_index_in_dim(uniforms, turn, axis=1, keepdims=False))
        alive = ~out.stopped
        token = jnp.where(alive, drawn.token, pad_id)
        write = lambda rows, column: jax.lax.dynamic_update_index_in_dim(rows, column, turn, axis=1)
        recent = jnp.concatenate([state.recent[:, 1:], token[:, None]], axis=1)
        out = Generation(
            tokens=write(out.tokens, token),
            lengths=out.lengths + alive.astype(jnp.int32),
            stopped=out.stopped | (alive & _matches(recent, stops)),
            log_probs=write(out.log_probs, jnp.where(alive, drawn.log_probs, 0.0)),
            behavior_log_probs=write(out.behavior_log_probs, jnp.where(alive, drawn.behavior_log_probs, 0.0)),
        )
        hidden, cache = model.step(params, token, state.cache)
        return _State(turn + 1, hidden, cache, recent, out)

    wide = jnp.float64 if hidden.dtype == jnp.float64 else jnp.float32
    start = Generation(
        tokens=jnp.full((batch, room), pad_id, jnp.int32),
        lengths=jnp.zeros(batch, jnp.int32),
        stopped=jnp.zeros(batch, bool),
        log_probs=jnp.zeros((batch, room), wide),
        behavior_log_probs=jnp.zeros((batch, room), wide),
    )
    # An id below 0 before the first token: no stop reaches back into the prompt.
    recent = jnp.full((batch, stops.shape[1]), NEVER - 1, jnp.int32)
    state = _State(jnp.int32(0), last(hidden, lengths), cache, recent, start)
    return jax.lax.while_loop(unfinished, advance, state).out


def _uniforms(key: Array, turns: int) -> Float[Array, "T 2"]:
    """Two numbers for each turn; a turn's do not depend on how many there are."""
    at = jax.vmap(lambda turn: jax.random.fold_in(key, turn))(jnp.arange(turns))
    return jax.vmap(lambda key: jax.random.uniform(key, (2,)))(at)


def _matches(recent: Int[Array, "B L"], stops: Int[Array, "Q L"]) -> Bool[Array, "B"]:
    same = (stops[None] == ANY) | (stops[None] == recent[:, None])
    return same.all(axis=2).any(axis=1)
