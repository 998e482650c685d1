"""Min, Mode and Skew Length: gold rewards, truncation to exponential lengths, and pairs that follow the reward."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeseek.llm.data.scenarios import (
    PAPER_MODE,
    PAPER_SHARE,
    WORDS,
    Groups,
    Pair,
    Scenario,
    by_prompt,
    first_words,
    id_unit,
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
    lengths = np.array([words(y) for y in skew_lengths([text(1000)] * n, scale=mean, seed=0)])
    share = (lengths == 1000).mean()
    assert abs(share - (1 - PAPER_SHARE)) < 4 * math.sqrt(0.05 * 0.95 / n)
    cut = lengths[lengths < 1000]
    for k in (1, 5, 20, 60):
        probability = math.exp(-k / mean)
        assert abs((cut > k).mean() - probability) < 4 * math.sqrt(probability * (1 - probability) / len(cut))
    assert cut.min() == 1


def test_skewing_shortens_and_nothing_else():
    responses = [text(n) for n in range(50)]
    skewed = skew_lengths(responses, scale=5.0, seed=1)
    assert skewed == skew_lengths(responses, scale=5.0, seed=1)
    assert skewed != skew_lengths(responses, scale=5.0, seed=2)
    assert all(whole.startswith(short) for whole, short in zip(responses, skewed, strict=True))
    assert skew_lengths(responses, scale=5.0, seed=1, share=0.0) == responses
    assert max(words(y) for y in skew_lengths(responses, scale=1e-9, seed=1, share=1.0, least=3)) == 3
    for options, message in (
        ({"scale": 0.0}, "scale must be a positive number"),
        ({"share": 1.1}, "share must be between"),
    ):
        with pytest.raises(ValueError, match=message):
            skew_lengths(responses, **{"scale": 5.0, "seed": 1} | options)


GROUPS = [[text(3), text(1), text(2)], [text(5), text(5)], [text(4), text(4), text(9)]]


def test_pairs_follow_the_gold_reward():
    labelled = label_pairs(["p", "q", "r"], GROUPS, min_length(), "all")
    pairs, tied = labelled.pairs, labelled.tied
    # Of 3 + 1 + 3 comparisons two are tied.
    assert (len(pairs), tied) == (5, 2)
    assert Pair("p", text(1), text(3), (-1.0, -3.0)) in pairs
    for pair in pairs:
        assert pair.scores == (min_length()(pair.chosen), min_length()(pair.rejected))
        assert pair.scores[0] > pair.scores[1]
    labelled = label_pairs(["p", "q", "r"], GROUPS, min_length(), "best and worst")
    assert [(words(pair.chosen), words(pair.rejected)) for pair in labelled.pairs] == [(1, 3), (4, 9)]
    assert labelled.tied == 1


def test_all_pairs_are_every_two_responses_once():
    group = [text(n) for n in (4, 1, 3, 2)]
    pairs = label_pairs(["p"], [group], mode_length(2.4), "all").pairs
    compared = {frozenset((pair.chosen, pair.rejected)) for pair in pairs}
    assert compared == set(map(frozenset, itertools.combinations(group, 2)))
    assert len(pairs) == 6


def test_too_few_responses_are_named():
    with pytest.raises(ValueError, match="prompt 2 needs two responses or more to compare, got 1"):
        label_pairs(["p", "q"], [["a", "b"], ["a"]], min_length(), "all")
    with pytest.raises(ValueError, match="2 prompts have 1 groups of responses"):
        label_pairs(["p", "q"], [["a", "b"]], min_length(), "all")


def test_ids_are_cut_as_texts_are_and_keep_their_end():
    unit = id_unit((9, 8))
    assert [unit.length(ids) for ids in ([], [9], [1, 2, 8], [1, 2])] == [0, 0, 2, 2]
    assert unit.cut([1, 2, 3, 8], 2) == [1, 2, 8]  # by the EOS that it had
    assert unit.cut([1, 2, 3], 2) == [1, 2, 9]
    assert unit.cut([1, 2, 8], 2) == [1, 2, 8]
    assert unit.cut([1, 2], 5) == [1, 2]  # not cut: it did not end


def test_words_and_ids_of_one_word_each_build_the_same_scenario():
    """A vocabulary of one word: as many ids as words, so both units must choose, cut and tie alike."""
    lengths = [[3, 1, 7], [5, 5], [40, 2, 9, 9]]
    as_text = [[text(n) for n in group] for group in lengths]
    as_ids = [[[5] * n + [0] for n in group] for group in lengths]
    for scenario in (
        Scenario("min_length"),
        Scenario("mode_length", mode=6.0),
        Scenario("skew_length", scale=4.0, seed=3, which="best and worst"),
    ):
        told = scenario.build("abc", as_text, WORDS)
        counted = scenario.build("abc", as_ids, id_unit((0,)))
        assert (told.tied, told.truncated, told.responses) == (counted.tied, counted.truncated, 9)
        for one, other in zip(told.pairs, counted.pairs, strict=True):
            assert one.prompt == other.prompt
            assert one.scores == other.scores
            assert [words(one.chosen), words(one.rejected)] == [len(other.chosen) - 1, len(other.rejected) - 1]


def test_skew_length_is_min_length_of_what_was_truncated():
    groups = [[text(50 + i), text(90 - i), text(70)] for i in range(20)]
    built = Scenario("skew_length", scale=5.0, seed=1).build(range(20), groups)
    flat = skew_lengths([response for group in groups for response in group], scale=5.0, seed=1)
    cut = [flat[i : i + 3] for i in range(0, 60, 3)]
    assert built.pairs == label_pairs(range(20), cut, min_length(), "all").pairs
    assert built.truncated == sum(
        words(short) < words(long) for short, long in zip(flat, itertools.chain(*groups), strict=True)
    )
    assert Scenario("min_length").build(range(20), groups).truncated == 0
    with pytest.raises(ValueError, match="skew_length needs a scale"):
        Scenario("skew_length")


def test_responses_of_one_prompt_come_together():
    answered = [("p", ("a", "b")), ("q", ("c",)), ("p", ("b", "d")), ("r", ("e", "e"))]
    assert by_prompt(answered) == Groups(["p"], [["a", "b", "d"]], 2)
