"""Where a prompt ends and a response begins: what is scored, shown and stopped at is the text that stands there."""

import random
from typing import Any

import pytest
from llm_cases import needs_transformers
from llm_data_cases import KINDS, real_responses, real_tokenizer

from modeseek.llm.inference.batched import Response
from modeseek.llm.inference.language_model import with_texts
from modeseek.llm.inference.records import sequences
from modeseek.llm.inference.stops import end_of_text, ordinary_ids
from modeseek.llm.inference.tokenizer import (
    decode_responses,
    encode_prompts,
    encode_responses,
    readings,
)

pytestmark = needs_transformers


def text_of(tokenizer: Any, row: list[int]) -> str:
    """A whole row's text, without what the tokenizer puts before every text."""
    tokens = readings(tokenizer)
    assert tuple(row[: len(tokens.prefix)]) == tokens.prefix
    return tokens.decode([row[len(tokens.prefix) :]])[0]


CUTS = [("is", " Paris"), ("Fra", "nce"), ("is ", "Paris"), ("a.\n", "\n b"), ("foo(", "bar)"), ("one", "</s>")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("prompt", "response"), CUTS)
def test_what_is_scored_is_the_text_that_was_given(tokenizers, kind, prompt, response):
    tokenizer = tokenizers[kind]
    (row,), (start,) = sequences([{"prompt": prompt, "response": response}], lambda: tokenizer)
    blank = " " * (kind == "bytes with a blank")  # which this kind writes before every text
    assert text_of(tokenizer, row) == blank + prompt + response
    assert text_of(tokenizer, row[:start]) == blank + prompt
    assert row[:start] == encode_prompts(tokenizer, [prompt])[0]  # the prompt's own ids, whatever follows


@pytest.mark.parametrize("kind", KINDS)
def test_prompt_and_response_are_what_the_model_wrote(tokenizers, kind):
    """Ids of a whole text, cut after any of them: the shown response begins where the prompt ends."""
    tokenizer = tokenizers[kind]
    (row,) = encode_prompts(tokenizer, ["Return the name of a file, é😀."])
    whole = text_of(tokenizer, row)
    for cut in range(len(readings(tokenizer).prefix) + 1, len(row)):
        (shown,) = with_texts([Response(row[:cut], row[cut:], 0.0, True)], tokenizer)
        before = text_of(tokenizer, row[:cut])
        if "\N{REPLACEMENT CHARACTER}" not in before:  # not within a character's bytes
            assert before + shown.text == whole


@pytest.mark.parametrize("kind", KINDS)
def test_a_stop_that_begins_with_a_blank_is_found_at_the_beginning(tokenizers, kind):
    tokenizer = tokenizers[kind]
    (ids,) = encode_responses(tokenizer, [" the name"])
    assert decode_responses(tokenizer, [ids]) == [" the name"]
    end = end_of_text(tokenizer, ids, [" t"])
    assert end is not None
    assert end < len(ids)
    assert any(ids[: len(stop)] == stop for stop in ordinary_ids(tokenizer, " the"))


def test_a_tokenizer_in_python_alone_is_refused_by_name():
    class Alone:
        eos_token_id = 0

    with pytest.raises(ValueError, match=r"Alone has no tokenizer\.json, which exact boundaries are read from"):
        encode_responses(Alone(), ["a"])


@pytest.mark.parametrize("name", ["pythia_tokenizer.json", "mistral_v1_tokenizer.model"])
def test_every_cut_of_real_texts(name, tmp_path):
    """Thousands of cuts of real answers through the two real tokenizers."""
    tokenizer, texts = real_tokenizer(name, tmp_path), real_responses(2000)
    draw, records = random.Random(0), []
    for text in texts[:20]:  # all cuts of the beginning, where blanks stand, and then some of every text
        records += [{"prompt": text[:cut], "response": text[cut:80]} for cut in range(1, min(len(text), 80))]
    for text in texts:
        cut = draw.randrange(1, len(text)) if len(text) > 1 else 0
        records += [{"prompt": text[:cut], "response": text[cut:]}] if cut else []
    assert len(records) > 3000
    tokens = readings(tokenizer)
    prompts = tokens.encode_prompts([record["prompt"] for record in records])
    responses = tokens.encode_responses([record["response"] for record in records], special=True)
    rows = [[*p[len(tokens.prefix) :], *r] for p, r in zip(prompts, responses, strict=True)]
    beginnings = tokens.decode([p[len(tokens.prefix) :] for p in prompts])
    for record, begins, joined, shown in zip(
        records, beginnings, tokens.decode(rows), decode_responses(tokenizer, responses), strict=True
    ):
        assert begins == record["prompt"]
        assert joined == begins + record["response"]
        assert shown == record["response"]
