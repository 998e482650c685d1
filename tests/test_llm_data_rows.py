"""Rows of few shapes with their masks, and an order that any position resumes."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeseek.llm.data.order import Position, batches, order
from modeseek.llm.data.rows import pad_rows, padded_length, padding_share, row_lengths, split_by_length
from modeseek.llm.data.tokenization import Example

PAD, EOS = 1, 2


def example(prompt: list[int], *responses: list[int]) -> Example:
    return Example(np.array(prompt, np.int32), tuple(np.array(response, np.int32) for response in responses))


PAIR = example([7, 8], [5, EOS], [6, 6, 6, EOS])
SHORT = example([9], [5, EOS], [EOS])
PINNED = [9, 7, 8, 3, 5, 6, 4, 0, 10, 2, 1, 11]


def test_pairs_are_rows_chosen_first():
    rows = pad_rows([PAIR, SHORT], pad=PAD, prompts=3, multiple=4)
    P = PAD
    assert rows.tokens.tolist() == [
        [[7, 8, 5, EOS, P, P, P, P], [7, 8, 6, 6, 6, EOS, P, P]],
        [[9, 5, EOS, P, P, P, P, P], [9, EOS, P, P, P, P, P, P]],
        [[P] * 8, [P] * 8],
    ]
    assert rows.lengths.tolist() == [[4, 6], [3, 2], [1, 1]]
    assert rows.starts.tolist() == [[2, 2], [1, 1], [1, 1]]
    assert rows.real.tolist() == [[True, True], [True, True], [False, False]]
    assert [array.dtype for array in rows] == [np.int32, np.int32, np.int32, bool]


def test_targets_are_the_responses_with_their_eos():
    rows = pad_rows([PAIR, SHORT], pad=PAD, prompts=3)
    for p, made in enumerate([PAIR, SHORT]):
        for n, response in enumerate(made.responses):
            assert rows.tokens[p, n][rows.targets()[p, n]].tolist() == response.tolist()
    assert not rows.targets()[2].any()  # what fills a batch up trains nothing
    without = rows._replace(real=rows.real & (rows.lengths < 6))  # a response that is taken out has no targets either
    assert without.targets().sum(-1).tolist() == [[2, 0], [2, 1], [0, 0]]


def test_pads_that_equal_eos_are_no_targets():
    rows = pad_rows([SHORT], pad=EOS)
    assert rows.targets().sum(-1).tolist() == [[2, 1]]


def test_prompts_may_have_fewer_responses_than_others():
    rows = pad_rows([PAIR, example([9], [5, EOS])], pad=PAD)
    assert rows.real.tolist() == [[True, True], [True, False]]
    assert rows.targets()[1, 1].sum() == 0
    assert (rows.starts <= rows.lengths).all()
    assert rows.lengths.min() == 1  # the last real token can be gathered from any row


def test_rows_without_room_or_responses_are_refused():
    with pytest.raises(ValueError, match="2 examples of up to 6 tokens do not fit in 1 rows of 64 tokens"):
        pad_rows([PAIR, SHORT], prompts=1)
    with pytest.raises(ValueError, match="of up to 6 tokens do not fit in 2 rows of 5 tokens"):
        pad_rows([PAIR, SHORT], length=5)
    for examples in ([], [PAIR, example([7])]):
        with pytest.raises(ValueError, match="rows need examples that have responses"):
            pad_rows(examples)


def test_lengths_are_few():
    assert {padded_length(n) for n in range(1, 385)} == {64, 128, 192, 256, 320, 384}
    assert padded_length(64) == 64
    assert padded_length(5, 4) == 8
    assert pad_rows([PAIR]).tokens.shape == (1, 2, 64)
    assert row_lengths([PAIR, SHORT, example([7, 8, 9])]).tolist() == [6, 3, 3]
    with pytest.raises(ValueError, match="multiple must be a whole number of at least 1, got 0"):
        padded_length(5, 0)


def test_microbatches_hold_each_row_once_and_waste_less():
    lengths = np.random.default_rng(0).integers(20, 384, 61)
    groups = split_by_length(lengths, 8)
    assert [len(group) for group in groups] == [8] * 7 + [5]
    assert sorted(np.concatenate(groups).tolist()) == list(range(61))
    for group, following in itertools.pairwise(groups):
        assert lengths[group].min() >= lengths[following].max()
    as_drawn = [np.arange(i, min(i + 8, 61)) for i in range(0, 61, 8)]
    share = padding_share(lengths, groups)
    assert share < padding_share(lengths, as_drawn) / 2
    # The tokens that are there, against the room of eight groups at their own lengths.
    room = sum(len(group) * -(-lengths[group].max() // 64) * 64 for group in groups)
    assert share == pytest.approx(1 - lengths.sum() / room)


@given(seed=st.integers(0, 2**63 - 2), epoch=st.integers(0, 1000), n=st.integers(0, 200))
@settings(deadline=None, database=None)
def test_an_order_is_a_permutation_of_a_seed_and_an_epoch(seed, epoch, n):
    permutation = order(seed, epoch, n)
    assert sorted(permutation.tolist()) == list(range(n))
    assert permutation.tolist() == order(seed, epoch, n).tolist()
    if n > 30:
        assert permutation.tolist() != order(seed, epoch + 1, n).tolist()
        assert permutation.tolist() != order(seed + 1, epoch, n).tolist()


def test_an_order_is_kept_for_good():
    """Pinned: a run resumed under another version of NumPy or Python must go on in the order that it began."""
    assert order(3, 1, 12).tolist() == PINNED
    code = "from modeseek.llm.data.order import order; print(order(3, 1, 12).tolist())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == f"{PINNED}\n"


def test_orders_are_uniform():
    """Each row is first as often as any: 6 rows, 6000 epochs, within four standard errors of 1000."""
    counts = np.bincount([order(0, epoch, 6)[0] for epoch in range(6000)], minlength=6)
    assert np.abs(counts - 1000).max() < 4 * np.sqrt(6000 * (1 / 6) * (5 / 6))


@pytest.mark.parametrize("drop_last", [True, False])
def test_a_run_resumes_in_the_middle_of_an_epoch_in_the_same_order(drop_last):
    """accelerate#4071: the order of data after a resume in mid-epoch."""
    whole = list(itertools.islice(batches(10, 4, seed=5, drop_last=drop_last), 12))
    start = Position()
    for number, batch in enumerate(whole):
        rest = itertools.islice(batches(10, 4, seed=5, start=start, drop_last=drop_last), len(whole) - number)
        assert [b.rows.tolist() for b in rest] == [b.rows.tolist() for b in whole[number:]]
        start = batch.following
    per_epoch = 2 if drop_last else 3
    first = np.concatenate([batch.rows for batch in whole[:per_epoch]])
    assert len(set(first.tolist())) == len(first) == (8 if drop_last else 10)
    assert whole[per_epoch - 1].following == Position(1, 0)


def test_positions_that_are_not_there():
    with pytest.raises(ValueError, match="3 rows do not fill a batch of 4"):
        next(batches(3, 4, seed=0))
    assert len(next(batches(3, 4, seed=0, drop_last=False)).rows) == 3
    with pytest.raises(ValueError, match="an epoch has 2 batches: there is no batch 3 of epoch 0"):
        next(batches(10, 4, seed=0, start=Position(0, 3)))
    with pytest.raises(ValueError, match="size must be a whole number of at least 1, got 0"):
        next(batches(10, 0, seed=0))
