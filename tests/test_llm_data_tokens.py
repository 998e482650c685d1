"""Prompt and response tokenised apart: joined they are the joined text; EOS is a target; what is cut is counted."""

import gzip
import json
import random
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_cases import needs_transformers, write_word_tokenizer
from llm_data_cases import DATA, KINDS

from modeseek.llm.data.records import Completion, Message, PreferencePair, Prompt
from modeseek.llm.data.report import Report
from modeseek.llm.data.templates import PAPER, PLAIN, Chat, Frame, Written
from modeseek.llm.data.tokenization import (
    IDENTICAL_ONCE_CUT,
    LONG_PROMPT,
    LONG_RESPONSE,
    NO_PROMPT,
    TEMPLATE,
    Limits,
    tokenize,
)
from modeseek.llm.data.tokens import text_tokens

pytestmark = needs_transformers


def joined(tokens: Any, prompt: str, response: str) -> str:
    """The text of a prompt's and a response's ids in one row."""
    (p,), (r,) = tokens.encode_prompts([prompt]), tokens.encode_responses([response])
    return tokens.decode([p[len(tokens.prefix) :] + r])[0]


PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from([" ", "  ", "\n", "\n\n", "Return ", "the", "ing", "é", "😀", "</s>", "<s>", "a."]),
)
TEXTS = st.lists(PIECES, min_size=1, max_size=6).map(lambda pieces: "".join(pieces).replace("▁", "_"))


@pytest.mark.parametrize("kind", KINDS)
def test_apart_and_joined_are_one_text(tokenizers, kind):
    """decode(ids(prompt) + ids(response)) = text of ids(prompt) + response, whatever either begins or ends with."""
    tokens = text_tokens(tokenizers[kind])

    @settings(max_examples=200, deadline=None, database=None)
    @given(prompt=TEXTS.filter(bool), response=TEXTS)
    def holds(prompt, response):
        (ids,) = tokens.encode_prompts([prompt])
        (before,) = tokens.decode([ids[len(tokens.prefix) :]])
        if kind == "bytes with a blank":  # which it writes before a text that begins with none
            assert before.removeprefix(" ") == prompt.removeprefix(" ")
        elif not any(name in prompt for name in ("<s>", "</s>")):  # behind which such a tokenizer puts a blank too
            assert before == prompt
        assert joined(tokens, prompt, response) == before + response
        assert tokens.decode_responses(tokens.encode_responses([response])) == [response]

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_a_blank_is_neither_gained_nor_lost(tokenizers, kind):
    tokens = text_tokens(tokenizers[kind])
    lost = " " * (kind == "bytes with a blank")  # the prompt's own, which this kind writes
    for prompt, response in (("Fra", "nce"), ("is", " Paris"), ("is", "  Paris"), ("is\n", "Paris"), ("foo(", "bar")):
        assert joined(tokens, prompt, response) == lost + prompt + response
    # The tokenizer's own call, which takes every text for a beginning, does not have it.
    naive = tokenizers[kind]("nce", add_special_tokens=False)["input_ids"]
    assert (list(naive) == tokens.encode_responses(["nce"])[0]) == (kind == "bytes")


def test_only_what_stands_before_a_text_is_a_prefix(tokenizers):
    prefixes = {kind: text_tokens(tokenizer).prefix for kind, tokenizer in tokenizers.items()}
    assert prefixes == {
        "bytes": (),
        "bytes with a blank": (),
        "metaspace": (1,),
        "prepend": (1,),
        "metaspace decoder": (1,),
        "adds EOS": (1,),
    }


def test_settings_of_the_tokenizer_are_let_alone(tokenizers):
    tokenizer = tokenizers["metaspace"]
    tokenizer.backend_tokenizer.enable_padding(length=50)
    tokenizer.backend_tokenizer.enable_truncation(3)
    before = tokenizer.backend_tokenizer.to_str()
    tokens = text_tokens(tokenizer)
    (ids,) = tokens.encode_responses(["Return the name of the file."])
    assert 3 < len(ids) < 50
    assert tokens.decode_responses([ids]) == ["Return the name of the file."]
    assert tokenizer.backend_tokenizer.to_str() == before
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()


def test_eos_and_pad(tokenizers, tmp_path):
    """EOS is never the pad (trl#6357: EOS masked because it was), and there is no training without it."""
    shared = text_tokens(tokenizers["bytes with a blank"])
    assert tokenizers["bytes with a blank"].pad_token_id == shared.eos == 0
    assert shared.pad == 1
    assert text_tokens(tokenizers["bytes"]).pad == tokenizers["bytes"].pad_token_id
    assert text_tokens(tokenizers["metaspace"]).pad == 0  # it has none
    write_word_tokenizer(tmp_path, ["<pad>", "<unk>", "how", "are", "you"], "<unk>")
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no EOS token, so a policy could not learn to end a response"):
        text_tokens(words)
    assert text_tokens(words, eos=4).eos == 4
    with pytest.raises(ValueError, match="must be one of the tokenizer's 5, got 5"):
        text_tokens(words, eos=5)
    with pytest.raises(ValueError, match=r"object has no tokenizer\.json"):
        text_tokens(object())


PAIRS = [
    PreferencePair("How are you", " fine", " bad, and\nyou?"),
    PreferencePair("How are you", "", "</s> <|endoftext|> is text here"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_response_ends_with_eos_once(tokenizers, kind):
    tokens = text_tokens(tokenizers[kind])
    examples, _, report = tokenize(PAIRS, tokens, PLAIN)
    for pair, example in zip(PAIRS, examples, strict=True):
        for text, ids in zip(pair.responses, example.responses, strict=True):
            assert ids.dtype == np.int32
            assert ids[-1] == tokens.eos
            assert tokens.eos not in ids[:-1]
            assert tokens.decode_responses([ids[:-1]]) == [text]
        assert tuple(example.prompt[: len(tokens.prefix)]) == tokens.prefix
        assert tokens.eos not in example.prompt
    assert report == Report(read=2, kept=2, altered_prompts=2 * (kind == "bytes with a blank"))


def test_a_prompt_does_not_depend_on_its_responses(tokenizers):
    """trl#6433: a prompt's tokens that change when the response follows."""
    for tokenizer in tokenizers.values():
        tokens = text_tokens(tokenizer)
        responses = ["", " ", "\n", "s", "ing", "’s", "🏽"]
        alone = tokenize([Prompt("the function")], tokens, PLAIN).examples[0].prompt
        for response in responses:
            (with_it,) = tokenize([Completion("the function", response)], tokens, PLAIN).examples
            assert with_it.prompt.tolist() == alone.tolist()


def test_limits_cut_and_count(tokenizers):
    tokens = text_tokens(tokenizers["metaspace"])
    prompt, long = "Return the name of the file, if there is one", "the name of the file, and nothing else"
    records = [Completion("a", "b", label=True), Completion(prompt, long), Completion("a", "b")]
    whole = tokenize(records, tokens, PLAIN).examples[1]
    examples, _, report = tokenize(records, tokens, PLAIN, Limits(max_prompt=5, max_response=4))
    assert report == Report(read=3, kept=3, cut_prompts=1, cut_responses=1)
    assert examples[1].prompt.tolist() == [*tokens.prefix, *whole.prompt[-4:]]  # BOS and the newest
    assert examples[1].responses[0].tolist() == whole.responses[0][:4].tolist()  # no EOS: it did not end there
    assert tokens.eos not in examples[1].responses[0]
    assert [example.label for example in examples] == [True, None, None]
    dropped = tokenize(records, tokens, PLAIN, Limits(5, 4, long_prompts="drop"))
    assert dropped.report == Report(read=3, kept=2, dropped={LONG_PROMPT: 1})
    dropped = tokenize(records, tokens, PLAIN, Limits(50, 4, long_responses="drop"))
    assert dropped.report == Report(read=3, kept=2, dropped={LONG_RESPONSE: 1})
    with pytest.raises(ValueError, match="max_response must be a whole number of at least 1, got 0"):
        Limits(max_response=0)


def test_something_is_left_at_any_limit(tokenizers):
    """trl#6321: nothing left after truncation."""
    tokens = text_tokens(tokenizers["metaspace"])
    (example,), _, _ = tokenize(
        [Completion("how are you", "fine")], tokens, PLAIN, Limits(max_prompt=1, max_response=1)
    )
    assert len(example.prompt) == len(example.responses[0]) == 1
    whole = tokenize([Completion("how are you", "fine")], tokens, PLAIN).examples[0]
    assert example.prompt[0] == whole.prompt[-1]


def test_what_is_exactly_of_the_limit_is_not_cut(tokenizers):
    tokens = text_tokens(tokenizers["bytes"])
    (ids,) = tokens.encode_responses(["the name of the file"])
    for room, cut in ((len(ids) + 1, 0), (len(ids), 1)):
        (example,), _, report = tokenize([Completion("a", "the name of the file")], tokens, PLAIN, Limits(1, room))
        assert (example.responses[0][-1] == tokens.eos) == (not cut)
        assert (report.cut_prompts, report.cut_responses) == (0, cut)


def test_pairs_that_are_equal_once_cut_are_dropped(tokenizers):
    tokens = text_tokens(tokenizers["bytes"])
    pair = PreferencePair("a", "the name of the file", "the name of the function")
    assert tokenize([pair], tokens, PLAIN).report.kept == 1
    report = tokenize([pair], tokens, PLAIN, Limits(max_response=3)).report
    assert report == Report(read=1, kept=0, dropped={IDENTICAL_ONCE_CUT: 1})
    with pytest.raises(ValueError, match=f"no usable row is left of 1: {IDENTICAL_ONCE_CUT}"):
        report.require_rows()


def test_rows_without_a_prompt_are_dropped(tokenizers):
    records = [Completion("", "so")]
    assert tokenize(records, text_tokens(tokenizers["bytes"]), PLAIN).report.dropped == {NO_PROMPT: 1}
    assert tokenize(records, text_tokens(tokenizers["metaspace"]), PLAIN).report.kept == 1  # BOS stands before it
    with pytest.raises(ValueError, match="no row can be written: there are none"):
        tokenize([], text_tokens(tokenizers["bytes"]), PLAIN)


def test_texts_that_come_back_otherwise_are_counted(tokenizers):
    """Sentencepiece writes a blank as ▁, so a text's own ▁ comes back as a blank."""
    tokens = text_tokens(tokenizers["metaspace"])
    report = tokenize([PreferencePair("a▁b", "c▁d", "e f")], tokens, PLAIN).report
    assert report == Report(read=1, kept=1, altered_prompts=1, altered_responses=1)


def test_the_papers_frame(tokenizers):
    record = Completion("why?\nit", "so")
    assert PAPER.write(record) == Written("<|prompter|>why?\nit<|endoftext|><|assistant|>", ("so",))
    assert PLAIN.write(record) == Written("why?\nit", ("so",))
    assert Frame("Q: ", "\nA:").write(Prompt((Message("user", "why?"),))) == Written("Q: why?\nA:", ())
    with pytest.raises(ValueError, match=r"several turns \(system, user\) needs a chat template"):
        PAPER.write(Prompt((Message("system", "s"), Message("user", "why?"))))
    # In the frame `<|endoftext|>` is the token; it ends the row once more.
    tokens = text_tokens(tokenizers["bytes"])
    (example,), _, _ = tokenize([record], tokens, PAPER)
    row = [*example.prompt.tolist(), *example.responses[0].tolist()]
    assert tokens.decode([row]) == ["<|prompter|>why?\nit<|endoftext|><|assistant|>so<|endoftext|>"]
    assert row.count(tokens.eos) == 2


def test_rows_that_a_template_cannot_write_are_counted(tokenizers):
    tokens = text_tokens(tokenizers["bytes"])
    turns = Completion((Message("user", "a"), Message("assistant", "b"), Message("user", "c")), "d")
    examples, _, report = tokenize([turns, Completion("a", "b")], tokens, PLAIN)
    assert report == Report(read=2, kept=1, dropped={TEMPLATE: 1})
    assert len(examples) == 1
    with pytest.raises(ValueError, match="no row can be written: a prompt of several turns"):
        tokenize([turns], tokens, PLAIN)


CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def chat(tokenizers):
    tokenizer = tokenizers["bytes"]
    tokenizer.chat_template = CHAT
    yield tokenizer
    tokenizer.chat_template = None


def test_a_chat_template_writes_up_to_the_end_of_the_turn(chat):
    tokens = text_tokens(chat)
    record = PreferencePair("why?", " so\n", "no")
    assert Chat(chat).write(record) == Written("<|user|>why?<|endoftext|>\n<|assistant|>", (" so\n", "no"))
    (example,), _, report = tokenize([record], tokens, Chat(chat))
    assert report == Report(read=1, kept=1)
    assert example.prompt.tolist() == chat.apply_chat_template(
        [{"role": "user", "content": "why?"}], add_generation_prompt=True, return_dict=False
    )
    for text, ids in zip(record.responses, example.responses, strict=True):
        assert ids[-1] == tokens.eos
        assert tokens.decode_responses([ids[:-1]]) == [text]
    turns = (Message("system", "s"), Message("user", "why?"))
    assert Chat(chat).write(Prompt(turns)).prompt.startswith("<|system|>s<|endoftext|>\n<|user|>why?")


def test_a_turn_may_end_with_another_token(chat):
    """Llama 3's base tokenizer ends texts with one token, its chats with another."""
    chat.chat_template = CHAT.replace("<|endoftext|>", "<|pad|>")
    end = chat.convert_tokens_to_ids("<|pad|>")
    (example,), _, _ = tokenize(
        [Completion("why?", "so")], text_tokens(chat, eos=end), Chat(chat, end_of_turn="<|pad|>")
    )
    assert example.responses[0].tolist().count(end) == 1
    assert example.responses[0][-1] == end


def test_chat_templates_that_cannot_be_trained_behind_are_refused(chat, tokenizers):
    chat.chat_template = CHAT.replace("<|assistant|>{% endif", "<|assistant|><think>{% endif")
    with pytest.raises(ValueError, match=r"writes the prompt otherwise when an answer follows: .*<think>' where"):
        Chat(chat).write(Completion("why?", "so"))
    assert Chat(chat).write(Prompt("why?")).responses == ()
    chat.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(ValueError, match="does not take these messages: roles must alternate"):
        Chat(chat).write(Prompt("why?"))
    with pytest.raises(ValueError, match="has no chat template: use a plain frame"):
        Chat(tokenizers["metaspace"])


def real_tokenizers(folder: Path) -> dict[str, Any]:
    """Pythia's, and Mistral's in the two forms that are about."""
    from llm_data_cases import PREPENDING
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    pythia = PreTrainedTokenizerFast(
        tokenizer_file=str(DATA / "pythia_tokenizer.json"),
        eos_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
    )
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    for kind, extra in (("model", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}), ("hub", {})):
        (folder / kind).mkdir()
        extra = extra or {"tokenizer_class": "PreTrainedTokenizerFast"}
        (folder / kind / "tokenizer_config.json").write_text(json.dumps({**names, **extra}))
        (folder / kind / "config.json").write_text('{"model_type": "llama"}')
    shutil.copy(DATA / "mistral_v1_tokenizer.model", folder / "model" / "tokenizer.model")
    model = AutoTokenizer.from_pretrained(folder / "model")
    backend = json.loads(model.backend_tokenizer.to_str())
    backend = {**backend, "normalizer": PREPENDING, "pre_tokenizer": None}
    (folder / "hub" / "tokenizer.json").write_text(json.dumps(backend))
    return {
        "pythia": pythia,
        "mistral, .model": model,
        "mistral, the hub's": AutoTokenizer.from_pretrained(folder / "hub"),
    }


@pytest.mark.slow
@pytest.mark.skipif(
    not (DATA / "pythia_tokenizer.json").is_file(), reason="real tokenizers are not in shared/data beside this clone"
)
def test_real_tokenizers_on_thousands_of_real_texts(tmp_path):
    lines = gzip.decompress((DATA / "instruction_responses.jsonl.gz").read_bytes()).decode().split("\n")[:-1]
    generator = random.Random(0)
    texts = [json.loads(line)["response"] for line in generator.sample(lines, 2000)]
    cuts = [(text, generator.randrange(1, len(text))) for text in texts if len(text) > 1]
    prompts, responses = [text[:cut] for text, cut in cuts], [text[cut:] for text, cut in cuts]
    for name, tokenizer in real_tokenizers(tmp_path).items():
        tokens = text_tokens(tokenizer)
        ids = zip(tokens.encode_prompts(prompts), tokens.encode_responses(responses), strict=True)
        found = tokens.decode([prompt[len(tokens.prefix) :] + response for prompt, response in ids])
        # Pythia's normalises to NFC, which a dozen of these texts are not in.
        form = (lambda text: unicodedata.normalize("NFC", text)) if name == "pythia" else str
        for prompt, response, text in zip(prompts, responses, found, strict=True):
            assert text == form(prompt) + form(response), name
