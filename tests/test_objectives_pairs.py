"""Which responses are compared: counts, ties, gaps, and properties that hold for all rewards."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeseek.bandit.objectives.pairs import (
    PAIR_SCHEMES,
    adjacent,
    all_pairs,
    best_against_rest,
    best_against_worst,
    ranks,
)

DISTINCT = jnp.asarray([[0.3, 0.9, 0.1, 0.5], [4.0, 3.0, 2.0, 1.0]])


@functools.cache
def _compiled(scheme, ties):
    return jax.jit(functools.partial(PAIR_SCHEMES[scheme], ties=ties))


rewards_with_ties = st.lists(st.integers(-2, 2), min_size=10, max_size=10).map(
    lambda values: jnp.asarray(values, jnp.float32).reshape(2, 5) / 4
)
every_scheme = st.sampled_from([(s, t) for s in PAIR_SCHEMES for t in ("skip", "keep")])
properties = settings(max_examples=60, deadline=None, derandomize=True)


def test_ranks_of_distinct_rewards():
    np.testing.assert_array_equal(ranks(DISTINCT), [[2, 0, 3, 1], [0, 1, 2, 3]])


def test_of_equal_rewards_the_earlier_ranks_better():
    np.testing.assert_array_equal(ranks(jnp.asarray([1.0, 2.0, 1.0, 2.0])), [2, 0, 3, 1])


@properties
@given(rewards_with_ties)
def test_ranks_are_a_permutation_that_sorts_the_rewards(rewards):
    rank = np.asarray(jax.jit(ranks)(rewards)).astype(int)
    np.testing.assert_array_equal(np.sort(rank), [range(5)] * 2)
    in_order = np.take_along_axis(np.asarray(rewards), np.argsort(rank), axis=-1)
    assert (np.diff(in_order) <= 0).all()


def test_all_pairs_of_distinct_rewards():
    # rewards .3, .9, .1, .5: 0 beats 2; 1 beats all; 3 beats 0 and 2: 6 = 4·3/2.
    expected = [[0, 0, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0]]
    np.testing.assert_array_equal(all_pairs(DISTINCT)[0], expected)
    np.testing.assert_array_equal(all_pairs(DISTINCT).sum(axis=(1, 2)), [6, 6])


def test_ties_are_skipped_or_kept_with_the_later_preferred():
    rewards = jnp.asarray([1.0, 2.0, 1.0])
    np.testing.assert_array_equal(all_pairs(rewards, ties="skip"), [[0, 0, 0], [1, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(all_pairs(rewards, ties="keep"), [[0, 0, 0], [1, 0, 1], [1, 0, 0]])


@properties
@given(rewards_with_ties)
def test_keeping_ties_always_makes_every_pair(rewards):
    np.testing.assert_array_equal(_compiled("all", "keep")(rewards).sum(axis=(1, 2)), [10, 10])  # 5·4/2


@pytest.mark.parametrize(("gap", "pairs"), [(0.0, 6), (0.125, 6), (0.25, 5), (0.5, 3), (0.75, 1), (1.0, 0)])
def test_pairs_below_the_minimal_gap_are_left_out(gap, pairs):
    # rewards 0, ⅛, ½, ¾ (exact in binary): differences ⅛, ¼, ⅜, ½, ⅝, ¾; one that equals the gap stays in.
    assert all_pairs(jnp.asarray([0.0, 0.125, 0.5, 0.75]), gap).sum() == pairs


def test_best_against_worst_is_one_pair_a_prompt():
    weights = best_against_worst(DISTINCT)
    np.testing.assert_array_equal(np.argwhere(weights), [[0, 1, 2], [1, 0, 3]])


def test_adjacent_pairs_are_neighbours_in_the_ranking():
    # ranking 1 > 3 > 0 > 2 of the first prompt, 0 > 1 > 2 > 3 of the second: N - 1 = 3 pairs each.
    expected = [[0, 0, 2], [0, 1, 3], [0, 3, 0], [1, 0, 1], [1, 1, 2], [1, 2, 3]]
    np.testing.assert_array_equal(np.argwhere(adjacent(DISTINCT)), expected)


def test_the_best_stands_against_each_of_the_rest():
    expected = [[0, 1, 0], [0, 1, 2], [0, 1, 3], [1, 0, 1], [1, 0, 2], [1, 0, 3]]
    np.testing.assert_array_equal(np.argwhere(best_against_rest(DISTINCT)), expected)


@pytest.mark.parametrize(("scheme", "kept"), [("all", 6), ("best_worst", 1), ("best_rest", 3), ("adjacent", 3)])
def test_equal_rewards_make_no_pair_unless_ties_are_kept(scheme, kept):
    rewards = jnp.full((2, 4), 0.5)
    assert (_compiled(scheme, "skip")(rewards) == 0).all()
    np.testing.assert_array_equal(_compiled(scheme, "keep")(rewards).sum(axis=(1, 2)), [kept, kept])


@pytest.mark.parametrize(("scheme", "left"), [("best_worst", 1), ("best_rest", 3), ("adjacent", 1)])
def test_the_gap_holds_for_every_scheme(scheme, left):
    # ranking .9 > .5 > .3 > .1: the only adjacent difference of at least .3 is .4; the best's are .4, .6 and .8.
    assert PAIR_SCHEMES[scheme](DISTINCT[:1], 0.3).sum() == left
    assert PAIR_SCHEMES[scheme](DISTINCT[:1], 0.81).sum() == 0


@properties
@given(rewards_with_ties, every_scheme, st.sampled_from([0.0, 0.25, 0.6]))
def test_what_holds_for_every_scheme(rewards, scheme, gap):
    """No pair counts twice or both ways, none is of a response with itself, and the chosen is never the worse."""
    weights = np.asarray(_compiled(*scheme)(rewards, gap))
    assert set(np.unique(weights)) <= {0.0, 1.0}
    assert (weights + weights.swapaxes(1, 2) <= 1).all()
    prompt, chosen, rejected = np.nonzero(weights)
    assert (chosen != rejected).all()
    difference = np.asarray(rewards)[prompt, chosen] - np.asarray(rewards)[prompt, rejected]
    assert (difference >= gap).all()
    assert scheme[1] == "keep" or (difference > 0).all()


@properties
@given(rewards_with_ties)
def test_the_other_schemes_are_subsets_of_all_pairs(rewards):
    every = _compiled("all", "skip")(rewards)
    assert (_compiled("best_worst", "skip")(rewards) <= every).all()
    assert (_compiled("best_rest", "skip")(rewards) <= every).all()
    assert (_compiled("adjacent", "skip")(rewards) <= every).all()


def test_an_unknown_rule_for_ties_is_named_in_the_error():
    with pytest.raises(ValueError, match="ties must be 'skip' or 'keep', got 'drop'"):
        inspect.unwrap(all_pairs)(DISTINCT, 0.0, "drop")
