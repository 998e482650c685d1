"""`modeseek llm scenario`: from data, or a policy's samples, to pairs that the training commands read."""

import json

import pytest
from llm_cases import command, copied, needs_transformers, write_word_tokenizer

from modeseek.llm.data.columns import normalize
from modeseek.llm.data.records import Prompt
from modeseek.llm.data.scenarios import words
from modeseek.llm.figures.lengths import lengths_figure
from modeseek.llm.runs.answers import answered_by_model

DATA = [
    {"prompt": "p", "chosen": "one two three", "rejected": "one two"},
    {"prompt": "p", "chosen": "one two", "rejected": "one"},
    {"prompt": "q", "chosen": "a b", "rejected": "c d"},
    {"prompt": "r", "chosen": "a b c d e f", "rejected": "a"},
    {"prompt": "r", "chosen": "x y", "rejected": " "},
]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in DATA))
    return str(tmp_path / "data.jsonl")


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_data_becomes_every_comparison_of_each_prompt(data, tmp_path, capsys):
    """p has three lengths: three pairs; q's two are tied; r's row with a blank response is dropped."""
    out = tmp_path / "out"
    assert command("scenario", "min_length", "--data", data, "--out", str(out)) == 0
    rows = lines(out / "pairs.jsonl")
    found = [(row["prompt"], words(row["chosen"]), words(row["rejected"])) for row in rows]
    assert found == [("p", 1, 2), ("p", 1, 3), ("p", 2, 3), ("r", 1, 6)]
    for row in rows:
        assert row["chosen_reward"] == -words(row["chosen"]) > row["rejected_reward"] == -words(row["rejected"])
    card = (out / "README.md").read_text()
    for wanted in (
        "# Min Length",
        "1 dropped: a response is empty",
        "| comparisons tied, left out | 1 |",
        "| pairs | 4 |",
    ):
        assert wanted in card
    assert "Chosen responses have 1.2 words on average" in card  # (2 + 1 + 1 + 1) / 4
    assert (out / "lengths.png").stat().st_size > 0
    assert "Chosen" in capsys.readouterr().out
    records = normalize(rows).records  # and is read as pairs, rewards and all
    assert [record.scores for record in records] == [(-1, -2), (-1, -3), (-2, -3), (-1, -6)]
    assert command("scenario", "min_length", "--data", data, "--out", str(out)) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err


def test_mode_and_skew_say_their_numbers(data, tmp_path):
    assert command("scenario", "mode_length", "--mode", "2", "--data", data, "--out", str(tmp_path / "mode")) == 0
    rows = lines(tmp_path / "mode" / "pairs.jsonl")
    assert all(abs(words(row["chosen"]) - 2) < abs(words(row["rejected"]) - 2) for row in rows)
    assert "| mode | 2.0 |" in (tmp_path / "mode" / "README.md").read_text()
    skew = ["--scale", "0.001", "--share", "1", "--pairs", "best-and-worst"]
    assert command("scenario", "skew_length", *skew, "--data", data, "--out", str(tmp_path / "skew")) == 2
    # all are cut to one word: nothing is left to prefer
    assert not (tmp_path / "skew" / "pairs.jsonl").exists()


def test_what_cannot_be_is_refused(data, tmp_path, capsys):
    (tmp_path / "alone.jsonl").write_text(json.dumps({"prompt": "p", "completion": "a"}) + "\n")
    refused = {
        ("skew_length", "--data", data): "skew_length needs a scale",
        ("min_length", "--data", str(tmp_path / "alone.jsonl")): "has two different responses to compare",
        ("min_length", "--data", data, "--unit", "tokens"): "lengths in tokens need a tokenizer",
        ("min_length", "--data", data, "--model", "x", "--samples", "1"): "samples must be at least 2",
    }
    for arguments, message in refused.items():
        assert command("scenario", *arguments, "--out", str(tmp_path / "none")) == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow  # a decoding program is compiled
@needs_transformers
def test_a_policy_answers_and_its_pairs_are_read(tmp_path, data, capsys):
    """Every pair is of two answers to one prompt, shorter in tokens first; `reward-model` takes them."""
    folder = copied("pythia", tmp_path)
    write_word_tokenizer(folder, [f"w{i}" for i in range(53)], "w1")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "w2"}))
    asked = tmp_path / "asked.jsonl"
    asked.write_text("".join(json.dumps({"prompt": f"w{10 + i} w7"}) + "\n" for i in range(6)))
    out = tmp_path / "out"
    how = ["--model", str(folder), "--samples", "3", "--unit", "tokens", "--max-new-tokens", "12", "--max-prompt", "8"]
    assert command("scenario", "min_length", "--data", str(asked), "--out", str(out), *how) == 0
    rows = lines(out / "pairs.jsonl")
    assert rows
    assert all(row["chosen_reward"] == -words(row["chosen"]) > row["rejected_reward"] for row in rows)
    assert "3 answers of" in (out / "README.md").read_text()
    counted = ["--unit", "tokens", "--tokenizer", str(folder), "--data", data, "--out", str(tmp_path / "counted")]
    assert command("scenario", "min_length", *counted) == 0  # the data's texts, in this model's tokens
    assert "cut at their limit" in capsys.readouterr().out


def test_ends_of_several_kinds_become_the_one_that_is_trained_on():
    class Tokens:
        eos = 9
        encode_responses = staticmethod(lambda texts: [[int(c) for c in text] for text in texts])
        decode_responses = staticmethod(lambda rows: ["".join(map(str, row)) for row in rows])

    answered = answered_by_model.__wrapped__  # without the check that Tokens is a TextTokens
    found = answered([Prompt("p")], [[[1, 2, 9], [3, 8], [4, 5]]], Tokens(), (9, 8))
    assert found.ids == [[[1, 2, 9], [3, 9], [4, 5]]]
    assert found.notes[0].startswith("1 answers without EOS")
    assert found.notes[1].startswith("0 answers whose text")


def test_the_caption_counts_what_is_drawn():
    """The paper's figure 3: two histograms."""
    chosen, rejected = [1, 2, 3, 4], [5, 1, 30, 400]
    drawn = lengths_figure("T", chosen, rejected)
    assert "lengths of 4 pairs. Chosen responses have 2.5 words" in drawn.caption
    assert "109.0 words on average" in drawn.caption
    assert "shorter in 75 % of the pairs" in drawn.caption
    heights = [patch.get_xy() for patch in drawn.figure.axes[0].patches]
    assert len(heights) == 2
    with pytest.raises(ValueError, match="pairs have two lengths each"):
        lengths_figure("T", [], [])
