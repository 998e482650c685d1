"""Reward functions: what they are given, golds of lengths, and faults that name their row."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from test_llm_data_rows import EOS, PAD, PAIR, SHORT, example

from modeseek.llm.data.rows import pad_rows
from modeseek.llm.data.scenarios import min_length
from modeseek.llm.data.tokens import TextTokens
from modeseek.llm.rewards.functions import LengthGold, call, of_examples, of_ids, of_texts, responses_in, responses_of

WORDS = ["a", "b", "<eos>", "c", "d", "e", "f", "g", "h", "i"]


class Decoder:
    def decode_batch(self, rows, skip_special_tokens):
        assert not skip_special_tokens
        return [" ".join(WORDS[i] for i in row) for row in rows]


TOKENS = TextTokens(
    prefix=(),
    eos=EOS,
    pad=PAD,
    suffix=(),
    _beginning=Decoder(),
    _continuation=Decoder(),
    _whole=None,
    _swallows=False,
)
ROWS = pad_rows([PAIR, example([9], [EOS])], pad=EOS, prompts=3)
RAGGED = responses_in(ROWS, TOKENS)


def test_a_function_reads_ids_masks_and_texts_without_eos():
    """The prompt's ids apart; EOS is an id of the response and no part of its text; a pad is neither."""
    responses = responses_in(pad_rows([PAIR, SHORT], pad=EOS), TOKENS)
    assert [ids.tolist() for ids in responses.prompt_ids] == [[7, 8], [9]]
    real = [[ids[m].tolist() for ids, m in zip(*group, strict=True)] for group in zip(*responses[1:3], strict=True)]
    assert real == [[[5, EOS], [6, 6, 6, EOS]], [[5, EOS], [EOS]]]
    assert responses.texts == [["e", "f f f"], ["e", ""]]
    assert responses.mask.dtype == bool
    assert responses_of([[7]], [[[5, 6]]], TOKENS).texts == [["e f"]]  # cut, so that no EOS is there to take away


def test_rows_on_the_device_give_what_their_ids_give():
    on_device = type(ROWS)(*(jnp.asarray(array) for array in ROWS))
    theirs = responses_of([[7, 8], [9], []], [[[5, EOS], [6, 6, 6, EOS]], [[EOS], []], [[], []]], TOKENS)
    for ours in (RAGGED, responses_in(on_device, TOKENS)):
        np.testing.assert_array_equal(ours.response_ids, theirs.response_ids)
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        assert ours.texts == theirs.texts
        assert [ids.tolist() for ids in ours.prompt_ids] == [ids.tolist() for ids in theirs.prompt_ids]


def test_examples_are_judged_as_their_responses():
    judge = of_examples(LengthGold().function([EOS]), TOKENS, "gold")
    assert judge([PAIR, example([9], [EOS])]).tolist() == [[-1, -3], [0, 0]]
    with pytest.raises(ValueError, match=r"^gold must give 2"):
        of_examples(lambda *_: None, name="gold")([PAIR])
    several = responses_of([[7]], [[[5, 4], [6, EOS]]], TOKENS, eos=[4, EOS])  # as Llama 3 has
    assert several.texts == [["e", "f"]]


def test_golds_of_lengths_count_words_or_tokens_and_never_eos():
    """-|y| and -||y| - mode|: of 1 and 3 words, which are as many tokens here, and of none."""
    for unit in ("words", "tokens"):
        least = call(LengthGold("min_length", unit).function([EOS]), RAGGED)
        assert least.tolist() == [[-1, -3], [0, 0], [0, 0]]
        nearest = call(LengthGold("mode_length", unit, mode=2.0).function([EOS]), RAGGED)
        assert nearest.tolist() == [[-1, -1], [-2, 0], [0, 0]]  # 0 where there is no response
        assert nearest.dtype == np.float32
    cut = responses_of([[7]], [[[5, 6, 6]]], TOKENS)
    assert call(of_ids(min_length(len), [EOS]), cut).tolist() == [[-3]]
    with pytest.raises(ValueError, match=r"mode must be a positive number, got -1"):
        LengthGold("mode_length", mode=-1.0)


def test_anything_that_can_be_called_is_a_reward():
    def by(scale, prompt_ids, response_ids, mask, texts):
        return [tuple(scale * mask[p, n].sum() for n in range(2)) for p in range(len(prompt_ids))]

    class Reward:
        def __call__(self, prompt_ids, response_ids, mask, texts):
            return jnp.asarray(mask.sum(-1))

    wanted = [[2, 4], [1, 0], [0, 0]]
    assert call(functools.partial(by, 2), RAGGED).tolist() == [[2 * n for n in row] for row in wanted]
    assert call(Reward(), RAGGED).tolist() == wanted
    assert call(lambda *_: np.array([[True, False]] * 3), RAGGED).tolist() == [[1, 0], [1, 0], [0, 0]]


def test_what_stands_for_a_response_that_is_not_there_is_not_looked_at():
    """None, NaN: rewards of rows that fill a batch up are 0."""
    assert call(lambda *_: [[1, 2], [3, None], [float("nan"), "x"]], RAGGED).tolist() == [[1, 2], [3, 0], [0, 0]]

    def inverse(text):
        return 1 / len(text.split())

    there = responses_of([[7], [8]], [[[5], [6, 6]], [[5]]], TOKENS)
    assert call(of_texts(inverse), there).tolist() == [[1, 0.5], [1, 0]]


NAN, ROOM = float("nan"), "must give 2 reward(s) for each of 3 prompt(s), got "
FAULTS = {
    "None": (None, ROOM + "None"),
    "a number": (1.0, ROOM + "the shape ()"),
    "flat": (np.zeros(6), ROOM + "the shape (6,)"),
    "other way round": (np.zeros((2, 3)), ROOM + "the shape (2, 3)"),
    "a short row": ([[0, 0], [0], [0, 0]], ROOM + "[0] for prompt 1"),
    "no row": ([[0, 0], 0.5, [0, 0]], ROOM + "0.5 for prompt 1"),
    "too few rows": ([[0, 0], [0, 0]], ROOM + "the shape (2, 2)"),
    "NaN": (np.array([[0, NAN], [0, 0], [0, 0]]), "is np.float64(nan) for prompt 0, response 1 ('f f f'): not a"),
    "infinite": ([[0, 0], [-float("inf"), 0], [0, 0]], "is -inf for prompt 1, response 0 (''): not a finite number"),
    "beyond float32": ([[1e300, 0], [0, 0], [0, 0]], "is 1e+300 for prompt 0, response 0 ('e'): not a finite number"),
    "None within": ([[0, None], [0, 0], [0, 0]], "is None for prompt 0, response 1 ('f f f'): not a finite number"),
    "text within": ([[0, "1"], [0, 0], [0, 0]], "is '1' for prompt 0, response 1 ('f f f'): not a finite number"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_row(name):
    given, said = FAULTS[name]
    with pytest.raises(ValueError) as caught:
        call(lambda *_: given, RAGGED, "the gold reward")
    assert str(caught.value).startswith("the gold reward " + said)


def test_an_exception_names_the_response_that_it_comes_of():
    def strict(prompt_ids, response_ids, mask, texts):
        return [[{"e": 1.0, "": 2.0}[text] for text in group] for group in texts]

    with pytest.raises(ValueError, match=r"^gold raised KeyError for prompt 0, response 1 \('f f f'\): 'f f f'$"):
        call(strict, RAGGED, "gold")
    silent = responses_in(ROWS)
    with pytest.raises(ValueError, match=r"raised ValueError for prompt 0, response 0: it reads texts"):
        call(LengthGold().function([EOS]), silent)

    def together(prompt_ids, response_ids, mask, texts):
        assert len(prompt_ids) == 1
        return [[0.0]]

    with pytest.raises(ValueError, match="raised AssertionError for 3 prompts together"):
        call(together, RAGGED)


def test_an_interrupt_goes_through():
    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(interrupted, RAGGED)


def test_responses_without_prompts_are_refused():
    with pytest.raises(ValueError, match="1 prompts have 2 groups of responses"):
        responses_of([[7]], [[[5]], [[6]]])
    with pytest.raises(ValueError, match="there are no responses to reward"):
        responses_of([[7]], [[]])
