"""From files to examples of one kind; and what a saved model says of itself."""

import json

import numpy as np
import pytest
from llm_cases import CASES, needs_transformers, random_params

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.checkpoints.model_card import ModelCard
from modeseek.llm.checkpoints.save import save
from modeseek.llm.data.columns import normalize
from modeseek.llm.data.conversations import each_turn
from modeseek.llm.data.examples import BAD, PYTHON_DOCSTRINGS, Source, examples_from, records_from
from modeseek.llm.data.split import split_by_prompt
from modeseek.llm.data.tokenization import Limits
from modeseek.llm.data.tokens import text_tokens
from modeseek.llm.data.train_tokenizer import train_tokenizer
from modeseek.llm.inference.tokenizer import load_tokenizer
from modeseek.llm.models.hugging_face import config_from

PAIRS = [{"prompt": f"ask {i}: ", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(20)]
JUDGED = [{"prompt": f"ask {i}: ", "completion": f"word {i}", "label": i % 4 != 0} for i in range(20)]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    pytest.importorskip("transformers")
    folder = train_tokenizer(["ask good bad word"], tmp_path_factory.mktemp("tokenizer"), vocab_size=270)
    return text_tokens(load_tokenizer(folder))


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def texts(tokens, examples):
    return [
        (tokens.decode([e.prompt])[0], *tokens.decode_responses([ids[:-1] for ids in e.responses])) for e in examples
    ]


def test_pairs_are_pairs_and_their_chosen_responses_completions(tmp_path, tokens):
    source = Source(write(tmp_path / "pairs.jsonl", PAIRS), held_out=0.2)
    pairs, chosen = (examples_from(source, tokens, kind) for kind in ("pairs", "completions"))
    wanted = {(row["prompt"], row["chosen"], row["rejected"]) for row in PAIRS}
    assert {*texts(tokens, pairs.training), *texts(tokens, pairs.held_out)} == wanted
    assert (len(pairs.training), len(pairs.held_out)) == (16, 4)
    assert texts(tokens, chosen.held_out) == [row[:2] for row in texts(tokens, pairs.held_out)]
    assert all(e.responses[0][-1] == tokens.eos for e in chosen.training)
    assert (pairs.report.read, pairs.report.kept, dict(pairs.report.dropped)) == (20, 20, {})


def test_completions_that_were_judged_bad_are_not_imitated(tmp_path, tokens):
    found = examples_from(Source(write(tmp_path / "judged.jsonl", JUDGED), held_out=0.0), tokens, "completions")
    assert [row[1] for row in texts(tokens, found.training)] == [f"word {i}" for i in range(20) if i % 4]
    assert found.held_out == []
    assert (found.report.read, found.report.kept, dict(found.report.dropped)) == (20, 15, {BAD: 5})


def test_a_prompt_that_comes_twice_is_one_prompt(tmp_path, tokens):
    found = examples_from(Source(write(tmp_path / "twice.jsonl", PAIRS + PAIRS), held_out=0.5), tokens, "prompts")
    prompts = [row[0] for row in texts(tokens, [*found.training, *found.held_out])]
    assert sorted(prompts) == sorted(row["prompt"] for row in PAIRS)
    assert found.report.kept == 20


def test_counts_of_both_parts_are_together(tmp_path, tokens):
    """Every second response is too long; the report says so of training and held-out rows alike."""
    rows = [{"prompt": f"ask {i}: ", "completion": "word " * (1 + 30 * (i % 2))} for i in range(20)]
    source = Source(write(tmp_path / "long.jsonl", rows), held_out=0.3)
    found = examples_from(source, tokens, "completions", limits=Limits(32, 16, long_responses="drop"))
    assert len(found.training) + len(found.held_out) == found.report.kept == 10
    assert dict(found.report.dropped) == {"a response is over the limit": 10}


def test_what_is_of_no_use_is_refused(tmp_path, tokens):
    with pytest.raises(ValueError, match="preference pairs are needed, but record 1 is a completion"):
        examples_from(Source(write(tmp_path / "judged.jsonl", JUDGED)), tokens, "pairs")
    with pytest.raises(
        ValueError, match=r"no usable row is left of 20: the completion is labelled as a bad one \(20\)"
    ):
        bad = [{**row, "label": False} for row in JUDGED]
        examples_from(Source(write(tmp_path / "bad.jsonl", bad)), tokens, "completions")


def test_the_standard_library_is_a_source(tokens):
    found = examples_from(Source(PYTHON_DOCSTRINGS, limit=30, held_out=0.1), tokens, "completions")
    assert found.report.read == 30
    assert tokens.decode([found.training[0].prompt])[0].startswith(("def ", "class "))


def test_a_card_says_what_was_done():
    card = ModelCard(
        "Small", "It is small.", "dpo", None, ["20 rows"], {"beta": 0.1}, {"KL | nats": 1.23456, "steps": 7}
    )
    lines = card.text().splitlines()
    assert lines[:4] == ["---", "library_name: transformers", "tags: [modeseek, dpo]", "---"]
    for line in ("It is small. It was trained from scratch.", "- 20 rows", "| beta | 0.1 |", "| steps | 7 |"):
        assert line in lines
    assert "| KL \\| nats | 1.235 |" in lines


@needs_transformers
def test_a_model_of_our_own_goes_with_its_tokenizer_and_card(tmp_path):
    """transformers opens it: configuration, tokenizer and EOS are there, though no checkpoint was at its beginning."""
    from transformers import AutoConfig, AutoTokenizer

    home = train_tokenizer(["ask good bad word"], tmp_path / "tokenizer", vocab_size=270)
    config = config_from({**CASES["pythia"], "vocab_size": 270})
    params = random_params(config)
    save(tmp_path / "out", config, params, tokenizer=home, pad_id=1, eos_id=0, card="# Small\n")
    assert (tmp_path / "out" / "README.md").read_text() == "# Small\n"
    theirs = AutoConfig.from_pretrained(tmp_path / "out")
    assert (theirs.eos_token_id, theirs.pad_token_id, theirs.vocab_size) == (0, 1, 270)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").encode("good") == load_tokenizer(home).encode("good")
    embedding = open_checkpoint(tmp_path / "out").tensors["gpt_neox.embed_in.weight"].read()
    np.testing.assert_array_equal(embedding, params["embed"]["embedding"])


TALK = [
    {"messages": [{"role": role, "content": f"{role} {i} {n}"} for n, role in enumerate(["user", "assistant"] * 3)]}
    for i in range(10)
]


def test_every_turn_of_the_assistant_is_learnt_behind_what_came_before_it():
    (first, *_), rows = TALK, list(each_turn(TALK[:1]))
    assert [len(row["messages"]) for row in rows] == [2, 4, 6]
    assert all(row["messages"] == first["messages"][: len(row["messages"])] for row in rows)
    learnt = [normalize([row]).records[0].completion for row in rows]
    assert learnt == [turn["content"] for turn in first["messages"] if turn["role"] == "assistant"]
    assert list(each_turn(PAIRS)) == PAIRS
    silent = {"messages": [{"role": "user", "content": "?"}]}
    assert normalize(list(each_turn([silent, *TALK]))).report.dropped  # counted, and not lost
    assert list(each_turn([silent])) == [silent]


def test_the_turns_of_a_conversation_stay_on_one_side(tmp_path):
    source = Source(write(tmp_path / "talk.jsonl", TALK), turns="all")
    records, report = records_from(source, "completions")
    assert (len(records), report.kept) == (30, 30)
    split = split_by_prompt(records, 0.3, seed=0)
    assert (len(split.training), len(split.held_out)) == (21, 9)
    begins = lambda part: {record.prompt[0].content for record in part}
    assert begins(split.training).isdisjoint(begins(split.held_out))
    assert len(records_from(Source(source.data), "completions")[0]) == 10
