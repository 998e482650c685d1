"""Min, Mode and Skew Length: gold rewards, truncation to exponential lengths, and pairs that follow the reward."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeseek.llm.data.records import PreferencePair
from modeseek.llm.data.scenarios import (
    PAPER_MODE,
    PAPER_SHARE,
    first_words,
    label_pairs,
    min_length,
    mode_length,
    skew_lengths,
    words,
)


def text(count: int) -> str:
    return " ".join(["word"] * count)


def test_gold_rewards():
    assert [min_length()(text(n)) for n in (0, 1, 7)] == [0, -1, -7]
    gold = mode_length(PAPER_MODE)
    assert [gold(text(n)) for n in (202, 203, 204, 0)] == [-1, 0, -1, -203]
    assert min_length(len)("abc") == -3  # another length: characters here, tokens by a tokenizer
    assert mode_length(2.0, len)("abc") == -1
    assert words(" a\n b\t\tc ") == 3
    with pytest.raises(ValueError, match=r"mode must be a positive number, got 0.0"):
        mode_length(0.0)


@given(parts=st.lists(st.text(" \n\tab,", max_size=6), max_size=8), count=st.integers(0, 12))
@settings(deadline=None, database=None)
def test_first_words_is_a_beginning_with_so_many_words(parts, count):
    whole = " ".join(parts)
    cut = first_words(whole, count)
    assert whole.startswith(cut)
    assert words(cut) == min(count, words(whole))
    assert words(whole) <= count or cut == cut.rstrip()


def test_skewed_lengths_are_exponential():
    """A share of .95 keeps L = 1 + floor(X) words, X ~ Exp(mean): P(L > k) = exp(-k / mean), the others 1000 words."""
    n, mean = 4000, 20.0
    lengths = np.array([words(y) for y in skew_lengths([text(1000)] * n, mean=mean, seed=0)])
    share = (lengths == 1000).mean()
    assert abs(share - (1 - PAPER_SHARE)) < 4 * math.sqrt(0.05 * 0.95 / n)
    cut = lengths[lengths < 1000]
    for k in (1, 5, 20, 60):
        probability = math.exp(-k / mean)
        assert abs((cut > k).mean() - probability) < 4 * math.sqrt(probability * (1 - probability) / len(cut))
    assert cut.min() == 1


def test_skewing_shortens_and_nothing_else():
    responses = [text(n) for n in range(50)]
    skewed = skew_lengths(responses, mean=5.0, seed=1)
    assert skewed == skew_lengths(responses, mean=5.0, seed=1)
    assert skewed != skew_lengths(responses, mean=5.0, seed=2)
    assert all(whole.startswith(short) for whole, short in zip(responses, skewed, strict=True))
    assert skew_lengths(responses, mean=5.0, seed=1, share=0.0) == responses
    assert max(words(y) for y in skew_lengths(responses, mean=1e-9, seed=1, share=1.0, least=3)) == 3
    for options, message in (
        ({"mean": 0.0}, "mean must be a positive number"),
        ({"share": 1.1}, "share must be between"),
    ):
        with pytest.raises(ValueError, match=message):
            skew_lengths(responses, **{"mean": 5.0, "seed": 1} | options)


GROUPS = [[text(3), text(1), text(2)], [text(5), text(5)], [text(4), text(4), text(9)]]


def test_pairs_follow_the_gold_reward():
    pairs, tied = label_pairs(["p", "q", "r"], GROUPS, min_length())
    # Of 3 + 1 + 3 comparisons two are tied.
    assert (len(pairs), tied) == (5, 2)
    assert PreferencePair("p", text(1), text(3), scores=(-1.0, -3.0)) in pairs
    for pair in pairs:
        assert pair.scores == (min_length()(pair.chosen), min_length()(pair.rejected))
        assert pair.scores[0] > pair.scores[1]
    best, tied = label_pairs(["p", "q", "r"], GROUPS, min_length(), which="best and worst")
    assert [(words(pair.chosen), words(pair.rejected)) for pair in best] == [(1, 3), (4, 9)]
    assert tied == 1


def test_all_pairs_are_every_two_responses_once():
    group = [text(n) for n in (4, 1, 3, 2)]
    pairs = label_pairs(["p"], [group], mode_length(2.4)).pairs
    compared = {frozenset((pair.chosen, pair.rejected)) for pair in pairs}
    assert compared == set(map(frozenset, itertools.combinations(group, 2)))
    assert len(pairs) == 6


def test_too_few_responses_are_named():
    with pytest.raises(ValueError, match="prompt 2 needs two responses or more to compare, got 1"):
        label_pairs(["p", "q"], [["a", "b"], ["a"]], min_length())
    with pytest.raises(ValueError, match="2 prompts have 1 groups of responses"):
        label_pairs(["p", "q"], [["a", "b"]], min_length())
