"""A loaded model as one object: what it generates and scores is what the commands do, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from llm_cases import command, copied, golden, needs_transformers, write_word_tokenizer

from modeseek.llm.inference.language_model import LanguageModel, load_model
from modeseek.llm.parallel import device_memory


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    """The golden Pythia, which has no tokenizer."""
    return load_model(golden("pythia"))


PROMPTS = [[5, 6], [7], [8, 9, 10]]


@pytest.mark.slow
def test_responses_are_the_commands_and_score_what_they_were_sampled_at(model, tmp_path):
    (tmp_path / "ids.jsonl").write_text("".join(json.dumps({"prompt_ids": ids}) + "\n" for ids in PROMPTS))
    options = ["--samples", "2", "--max-new-tokens", "9", "--seed", "3", "--out", str(tmp_path / "out.jsonl")]
    assert command("generate", str(golden("pythia")), "--file", str(tmp_path / "ids.jsonl"), *options) == 0
    theirs = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    ours = model.generate(PROMPTS, samples=2, max_new_tokens=9, seed=3, batch=4)
    assert [r.response_ids for r in ours] == [r["response_ids"] for r in theirs]
    assert [r.prompt_ids for r in ours] == [ids for ids in PROMPTS for _ in range(2)]
    assert [r.stopped for r in ours] == [r.response_ids[-1] == 2 for r in ours]  # the configuration's EOS
    assert {r.text for r in ours} == {None}
    scores = model.score([r.prompt_ids for r in ours], [r.response_ids for r in ours], against=model, entropy=True)
    np.testing.assert_allclose([s.log_prob for s in scores], [r.log_prob for r in ours], atol=1e-4)
    for scored, response in zip(scores, ours, strict=True):
        assert scored.log_probs.shape == scored.entropy.shape == (len(response.response_ids),)
        np.testing.assert_allclose(scored.kl, 0.0, atol=1e-5)
        assert (scored.entropy > 0).all()
    alone = model.score([[5, 6]], [[7]])[0]
    assert (alone.entropy, alone.kl) == (None, None)


@needs_transformers
def test_texts_and_conversations_go_in_and_texts_come_out(tmp_path):
    folder = copied("pythia", tmp_path)
    template = "{% for m in messages %}w5 {{ m.content }} {% endfor %}w6"
    write_word_tokenizer(folder, [f"w{i}" for i in range(53)], "w1", template)
    model = load_model(str(folder))
    how = {"max_new_tokens": 9, "temperature": 0.0, "ignore_eos": True}
    text, ids, chat = model.generate(["w9 w8", [9, 8], [{"role": "user", "content": "w9 w8"}]], **how)
    assert text == ids
    assert text.text.split() == [f"w{i}" for i in text.response_ids]
    assert chat.prompt_ids == [5, 9, 8, 6]
    stop = text.text.split()[0]
    (stopped,) = model.generate(["w9 w8"], stop=[stop], **how)
    assert (stopped.text, stopped.stopped) == (stop, True)
    by_text, by_ids = model.score(["w9 w8", [9, 8]], ["w7 w4", [7, 4]])
    np.testing.assert_array_equal(by_text.log_probs, by_ids.log_probs)


BAD = [
    (lambda m: m.generate("w2"), "prompts must be a list of prompts, got the text 'w2'"),
    (lambda m: m.generate([[5]], stop="a"), "stop must be a list of texts, got the text 'a'"),
    (lambda m: m.generate(["w2"]), "no tokenizer could be read from .*: it holds none of tokenizer.json"),
    (lambda m: m.generate(["w\udcff"]), "prompt 0 is not text: it holds the lone surrogate"),
    (lambda m: m.generate([]), "there are no prompts"),
    (lambda m: m.generate([[53]]), "prompt 0 holds id 53, outside the vocabulary of 53"),
    (lambda m: m.generate([[5]], max_new_tokens=64), "1 tokens and 64 new ones, more than the context of 64"),
    (lambda m: m.generate([[5]], samples=0), "samples must be a whole number of at least 1, got 0"),
    (lambda m: m.generate([[5]], seed=-1), "seed must be a whole number from 0 to"),
    (lambda m: m.generate([[5]], temperature=-1.0), "temperature must be a number of at least 0"),
    (lambda m: m.score([[5]], [[6], [7]]), "one for each of the 1 prompts, got 2"),
    (lambda m: m.score([[5]], "w"), "one for each of the 1 prompts, got the text 'w'"),
    (lambda m: m.score([[5]], [[]]), "record 0 has an empty response"),
    (lambda m: m.score([[5]], ["w\udcff"]), "response 0 is not text: it holds the lone surrogate"),
    (lambda m: m.score([[5]], [[6]], chunk=0), "chunk must be a whole number of at least 1, got 0"),
]


@pytest.mark.parametrize(("use", "message"), BAD)
def test_what_cannot_be_read_is_refused(use, message, model):
    with pytest.raises(ValueError, match=message):
        use(model)


def test_sources_that_cannot_be_loaded_are_told(monkeypatch):
    with pytest.raises(ValueError, match="there is no folder nowhere/at/all"):
        load_model("nowhere/at/all")
    with pytest.raises(ValueError, match=r"there is no folder ./nowhere@main"):
        load_model("./nowhere", revision="main")
    with pytest.raises(ValueError, match="has a reward head: this needs a language model"):
        load_model(golden("llama"))
    monkeypatch.setattr(device_memory, "available_bytes", lambda device=None: 1000)
    with pytest.raises(ValueError, match=r"loading the model needs about .* and 1000 B are free: take a smaller model"):
        load_model(golden("pythia"))


def test_memory_is_asked_for_before_it_is_taken(model, monkeypatch):
    monkeypatch.setattr(device_memory, "available_bytes", lambda device=None: 1000)
    with pytest.raises(ValueError, match=r"generating 2 responses at once needs about .*take a smaller batch or fewer"):
        model.generate([[5]], samples=2, max_new_tokens=9)
    expected = "scoring 1 sequences at once needs about .* and 1000 B are free beside parameters: take a smaller batch"
    with pytest.raises(ValueError, match=expected):
        model.score([[5]], [[6]])


def test_numbers_that_overflow_are_refused_with_the_type(model, tmp_path):
    import dataclasses

    import jax

    broken = dataclasses.replace(model, params=jax.tree.map(lambda leaf: 1e30 * leaf, model.params))
    with pytest.raises(ValueError, match="the log_prob of record 0 is nan at token 0: the model overflows in float32"):
        broken.score([[3]], [[4]])


def test_a_revision_is_asked_of_the_hub(monkeypatch):
    asked = []

    def folder(source: str) -> Path:
        asked.append(source)
        return golden("pythia")

    monkeypatch.setattr("modeseek.llm.inference.language_model.local_folder", folder)
    assert load_model("owner/name", revision="step1").config.vocab_size == 53
    assert asked == ["owner/name@step1"]
