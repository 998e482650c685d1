"""One token drawn from a row of logits, against distributions that are computed exactly."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.llm.inference.sampling import NEAREST, Sampling, check_sampling, sample

# --- one token --------------------------------------------------------------------------------------------------------

LOGITS = np.log(np.array([0.05, 0.3, 0.1, 0.02, 0.25, 0.08, 0.2]))
DISTRIBUTIONS = [
    Sampling(),
    Sampling(0.5),
    Sampling(2.0),
    Sampling(1.0, 3),
    Sampling(1.0, 0, 0.6),
    Sampling(1.7, 5, 0.8),
]


def exact(logits: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Temperature, then the top_k largest, then the fewest of the largest that reach top_p: sorted, in float64."""
    probs = np.exp(logits / sampling.temperature)
    order = np.argsort(-probs)
    if sampling.top_k:
        probs[order[sampling.top_k :]] = 0
    probs /= probs.sum()
    enough = int(np.argmax(np.cumsum(probs[order]) >= sampling.top_p - 1e-9))
    probs[order[enough + 1 :]] = 0
    return probs / probs.sum()


@functools.lru_cache
def drawing():
    return jax.jit(sample)


@pytest.mark.parametrize("sampling", DISTRIBUTIONS)
@pytest.mark.parametrize("spread", [1, 60])
def test_frequencies_are_those_of_the_exact_distribution(sampling, spread):
    """χ² of 40 000 draws, below its mean + 5 standard deviations; with `spread`, over several rows of lanes."""
    logits = np.full(7 * spread, -np.inf)
    logits[::spread] = LOGITS
    expected = exact(logits, sampling)
    count = 40_000
    uniforms = jax.random.uniform(jax.random.key(3), (count, 2))
    rows = jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (count, len(logits)))
    drawn = drawing()(rows, sampling, uniforms)
    seen = np.bincount(drawn.token, minlength=len(logits))
    kept = expected > 0
    assert seen[~kept].sum() == 0
    chi2 = ((seen - count * expected)[kept] ** 2 / (count * expected[kept])).sum()
    freedom = kept.sum() - 1
    assert chi2 < freedom + 5 * math.sqrt(2 * freedom)
    np.testing.assert_allclose(drawn.behavior_log_probs, np.log(expected[drawn.token]), atol=1e-5)
    np.testing.assert_allclose(drawn.log_probs, logits[drawn.token], atol=1e-5)  # they were normalised


def test_truncation_over_a_large_vocabulary_keeps_exactly_the_right_set():
    """What can be drawn at all, by the support of the log-probs, against sorting in float64."""
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(16, 1000)).astype(np.float32) * 3
    few = Sampling(1.0, 40), Sampling(0.7, 0, 0.9), Sampling(1.3, 100, 0.5), Sampling(1.0, 1)
    many = Sampling(1.0, 300), Sampling(5.0, 0, 0.95), Sampling(3.0, 400, 0.8)  # more than NEAREST: by bisection
    for sampling in (*few, *many):
        drawn = drawing()(jnp.asarray(logits), sampling, jax.random.uniform(jax.random.key(1), (16, 2)))
        probs = np.array([exact(row.astype(np.float64), sampling) for row in logits])
        chosen = probs[np.arange(16), drawn.token]
        assert chosen.min() > 0
        np.testing.assert_allclose(drawn.behavior_log_probs, np.log(chosen), atol=1e-4)
    assert max((exact(row.astype(np.float64), how) > 0).sum() for row in logits for how in few) <= NEAREST
    assert min((exact(row.astype(np.float64), how) > 0).sum() for row in logits for how in many) > NEAREST


def test_rows_that_need_few_entries_and_many_are_drawn_from_side_by_side():
    """In one batch: a row whose nearest entries suffice gets the same bound as its neighbour that needs bisection."""
    rng = np.random.default_rng(6)
    logits = rng.normal(size=(8, 1000)).astype(np.float32) * np.array([[6.0], [0.3]] * 4, np.float32)
    for sampling in (Sampling(1.0, 0, 0.9), Sampling(1.0, 500, 0.9)):
        probs = np.array([exact(row.astype(np.float64), sampling) for row in logits])
        assert sorted((probs > 0).sum(axis=1) <= NEAREST) == [False] * 4 + [True] * 4
        drawn = drawing()(jnp.asarray(logits), sampling, jax.random.uniform(jax.random.key(2), (8, 2)))
        np.testing.assert_allclose(drawn.behavior_log_probs, np.log(probs[np.arange(8), drawn.token]), atol=1e-4)


def test_the_largest_uniform_draws_what_can_be_drawn():
    """1 - 2^-24, with lanes at both ends that have no mass: sums that are rounded otherwise never lead there."""
    rows = np.random.default_rng(8).normal(size=(2000, 2, 128)).astype(np.float32)
    rows[:, :, :3] = rows[:, :, 100:] = -np.inf
    rows = rows.reshape(2000, 256)
    largest = np.nextafter(np.float32(1), np.float32(0))
    drawn = drawing()(jnp.asarray(rows), Sampling(), jnp.full((2000, 2), largest))
    assert np.isfinite(rows[np.arange(2000), drawn.token]).all()
    assert np.isfinite(drawn.behavior_log_probs).all()


def test_temperature_zero_takes_the_first_largest():
    logits = jnp.asarray([[0.0, 2.0, 2.0, -jnp.inf], [5.0, 5.0, 1.0, 0.0]])
    drawn = drawing()(logits, Sampling(0.0), jnp.full((2, 2), 0.999))
    np.testing.assert_array_equal(drawn.token, [1, 0])
    np.testing.assert_array_equal(drawn.behavior_log_probs, 0.0)
    np.testing.assert_allclose(drawn.log_probs, jax.nn.log_softmax(logits)[jnp.arange(2), drawn.token], rtol=1e-6)


@pytest.mark.parametrize("entries", [50, 256, 300])
def test_greedy_is_argmax_of_whole_numbers(entries):
    """Ties within a row of lanes, among rows, and in a last row that is not full; negative numbers alone at the end."""
    logits = np.random.default_rng(9).integers(-3, 3, (200, entries)).astype(np.float32)
    logits[100:] -= 10
    logits[:, : entries // 2] -= 1  # so that many of the best stand in the second half
    drawn = drawing()(jnp.asarray(logits), Sampling(0.0), jnp.zeros((200, 2)))
    np.testing.assert_array_equal(drawn.token, logits.argmax(axis=1))


def test_ties_are_kept_and_extremes_are_finite():
    logits = jnp.asarray([[1.0, 1.0, 1.0, 0.0], [1e4, -1e4, 0.0, 0.0]])
    for first, second in ((0.0, 0.0), (0.34, 0.5), (0.9999, 0.9999)):
        drawn = drawing()(logits, Sampling(1.0, 2), jnp.asarray([[first, second]] * 2))
        assert int(drawn.token[0]) in (0, 1, 2)
        np.testing.assert_allclose(drawn.behavior_log_probs, [-np.log(3), 0.0], atol=1e-6)
    assert drawing()._cache_size() <= 10  # one for each shape above: numbers are data


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (Sampling(-0.1), "temperature must be a number of at least 0"),
        (Sampling(float("nan")), "temperature must be"),
        (Sampling(1e-40), r"all others are from 1\.2e-38 to 3\.4e\+38\), got 1e-40"),
        (Sampling(1e-50), r"got 1e-50"),
        (Sampling(1e39), r"got 1e\+39"),
        (Sampling(1.0, 10**10), r"top_k must be .* below 2\^31, got 10000000000"),
        (Sampling(1.0, float("inf")), "top_k must be"),
        (Sampling(1.0, -1), "top_k must be a whole number of at least 0"),
        (Sampling(1.0, 0, 0.0), "top_p must be more than 0 and at most 1"),
    ],
)
def test_impossible_sampling_is_refused(sampling, message):
    with pytest.raises(ValueError, match=message):
        check_sampling(sampling)
