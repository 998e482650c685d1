"""Stops as text: whatever ids a model writes them with, the response ends there."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from llm_cases import command, copied, needs_transformers

from modeseek.llm.inference.generate import Generation, stop_table

pytestmark = needs_transformers

CHARACTERS = list("\n :.</>abcdefhinrstU")
MERGES = [
    ("\n", "\n"),
    (".", "<"),
    ("<", "/"),
    ("U", "s"),
    ("e", "r"),
    ("Us", "er"),
    (" ", "User"),
    (">", "."),
    (" ", "\n"),
]
PIECES = [*CHARACTERS, *map("".join, MERGES)]
"""Our own byte-level tokenizer's: neighbours join a stop, and two newlines are one token or two."""


def byte_level(folder: Path, characters: list[str], merges: list[tuple[str, str]]) -> None:
    """Write a tokenizer of an id for each character and each merge, that splits texts as GPT-2's does first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    spelt = lambda text: text.replace(" ", "Ġ").replace("\n", "Ċ")
    vocabulary = {spelt(text): i for i, text in enumerate([*characters, *map("".join, merges)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [(spelt(a), spelt(b)) for a, b in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


@pytest.fixture
def tokenizer(tmp_path):
    from modeseek.llm.inference.tokenizer import load_tokenizer

    byte_level(tmp_path, CHARACTERS, MERGES)
    return load_tokenizer(tmp_path)


def ends_in(ids: list[int], stops: list[list[int]]) -> bool:
    """Whether the decoding loop would have ended in these ids, by the definition of its stops."""
    return any(ids[i : i + len(s)] == s for s in stops for i in range(len(ids)))


@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("\n\n", "there\n\nabc"),  # two tokens before a word
        ("\n\n", "there \n\n"),
        ("\n\n", "there\n\n"),
        ("User:", "abc User: hi"),
        ("User:", "abc\nUser:"),
        ("</s>", "end.</s>"),
        ("</s>", "end</s>."),
        ("</s>", "end.</s>."),
    ],
)
def test_the_loop_ends_on_the_ordinary_tokenisations_of_a_stop(tokenizer, stop, text):
    from modeseek.llm.inference.stops import ordinary_ids
    from modeseek.llm.inference.tokenizer import decode_responses, encode_responses

    stops = ordinary_ids(tokenizer, stop)
    assert ends_in(encode_responses(tokenizer, [text])[0], stops)
    assert all(stop in written for written in decode_responses(tokenizer, stops))  # and on nothing else
    assert not ends_in(encode_responses(tokenizer, ["a User\n: </s\n"])[0], stops)
    stop_table(stops)


@pytest.mark.parametrize("stop", ["\n\n", "User:", ".</s>", "s"])
def test_text_ends_with_the_token_that_completes_a_stop_however_it_is_tokenised(tokenizer, stop):
    """All segmentations of a text into tokens, by enumeration."""
    from modeseek.llm.inference.stops import end_of_text
    from modeseek.llm.inference.tokenizer import decode_responses

    text = "ab. User: b\n\nend.</s>.s\n\nb"
    every = list(segmentations(text))
    assert len(every) == 144
    for ids in every:
        assert decode_responses(tokenizer, [ids]) == [text]
        written = list(itertools.accumulate(PIECES[i] for i in ids))
        assert end_of_text(tokenizer, ids, ["never there", stop]) == 1 + [stop in text for text in written].index(True)
    assert end_of_text(tokenizer, ids, ["never there"]) is None
    assert end_of_text(tokenizer, [], [stop]) is None


def segmentations(text: str):
    if not text:
        yield []
    for i, piece in enumerate(PIECES):
        if text.startswith(piece):
            for rest in segmentations(text[len(piece) :]):
                yield [i, *rest]


def test_a_response_is_cut_at_its_stop_where_the_loop_ran_on(tmp_path, monkeypatch, capsys):
    """Rows as the loop leaves them, of a text that the tokenizer itself would write with other ids."""
    folder = copied("pythia", tmp_path)
    byte_level(folder, CHARACTERS, MERGES)
    letters = {piece: i for i, piece in enumerate(PIECES)}
    rows = [[letters[c] for c in text] for text in ("ab. User: b\n", "a b </s> b\n\n", "ab ab ab ab ")]
    log_probs = -np.arange(1.0, 13.0, dtype=np.float32) * np.array([[1], [2], [3]], np.float32)
    out = Generation(np.array(rows), np.full(3, 12), np.array([False, True, False]), log_probs, log_probs)
    monkeypatch.setattr("modeseek.llm.inference.generate.generate", lambda *_, **__: out)
    file = tmp_path / "out.jsonl"
    options = ["--samples", "3", "--max-new-tokens", "12", "--stop", "User:", "</s>", "--out", str(file)]
    assert command("generate", str(folder), "ab", *options) == 0
    records = [json.loads(line) for line in file.read_text().splitlines()]
    assert [r["response"] for r in records] == ["ab. User:", "a b </s>", "ab ab ab ab "]
    assert [r["response_ids"] for r in records] == [rows[0][:9], rows[1][:8], rows[2]]
    assert [r["log_prob"] for r in records] == [-45.0, -72.0, -234.0]
    assert [r["stopped"] for r in records] == [True, True, False]
