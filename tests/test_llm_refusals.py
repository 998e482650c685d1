"""What `modeseek llm generate` and `score` refuse of a folder before they load its model, and of a model's numbers."""

import json

import jax
import numpy as np
import pytest
from llm_cases import command, copied, golden, needs_transformers

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.inference.generate import Generation
from modeseek.llm.inference.language_model import eos_ids, load_parameters


@pytest.fixture
def unloaded(monkeypatch):
    """No model may be loaded."""
    monkeypatch.setattr("modeseek.llm.checkpoints.load.load", lambda *_, **__: pytest.fail("it was loaded"))


@pytest.mark.parametrize("value", ["-1", '"2"', '{"a": 1}', "[2, 2.5]", "true"])
@pytest.mark.parametrize("name", ["generation_config.json", "config.json"])
def test_an_eos_that_is_no_id_is_named_before_the_model_is_loaded(name, value, unloaded, tmp_path, capsys):
    folder = copied("pythia", tmp_path)
    written = json.loads((folder / name).read_text()) if name == "config.json" else {}
    (folder / name).write_text(json.dumps(written | {"eos_token_id": json.loads(value)}))
    (tmp_path / "ids.jsonl").write_text('{"prompt_ids": [3]}\n')
    assert command("generate", str(folder), "--file", str(tmp_path / "ids.jsonl")) == 2
    said = f"{folder / name}: eos_token_id must be an id, a list of ids or null, got {value}\n"
    assert capsys.readouterr().err.endswith(said)


def test_an_eos_outside_the_vocabulary_ends_nothing(tmp_path):
    folder = copied("pythia", tmp_path)
    for given, kept in (("[2, 53, 1099511627776]", [2]), ("null", [2]), ("[]", []), ("5", [5])):
        (folder / "generation_config.json").write_text(f'{{"eos_token_id": {given}}}')
        assert eos_ids(open_checkpoint(folder)) == kept


@needs_transformers
@pytest.mark.parametrize("content", ['{"broken": ', '{"version": "1.0", "model": {"type": "Nonsense"}}'])
def test_ids_do_without_a_tokenizer_that_cannot_be_read(content, made, tmp_path, capsys):
    """And nobody learns of it after an hour of generating: it is tried before the model is loaded."""
    folder = copied("pythia", tmp_path)
    (folder / "tokenizer.json").write_text(content)
    (tmp_path / "ids.jsonl").write_text('{"prompt_ids": [3]}\n')
    made(np.zeros((1, 3), np.float32))
    assert command("generate", str(folder), "--file", str(tmp_path / "ids.jsonl"), "--max-new-tokens", "3") == 0
    said = capsys.readouterr()
    assert said.out == "4 4 4\n"
    assert said.err.startswith("modeseek: note: no tokenizer could be read from")
    assert command("generate", str(folder), "--file", str(tmp_path / "ids.jsonl"), "--stop", "a") == 2


@pytest.fixture
def made(monkeypatch):
    """Have the loop give these log-probs, without running it."""

    def give(log_probs):
        rows, tokens = log_probs.shape
        full = lambda value, shape: np.full(shape, value)
        out = Generation(full(4, log_probs.shape), full(tokens, rows), full(False, rows), log_probs, log_probs)
        monkeypatch.setattr("modeseek.llm.inference.generate.generate", lambda *_, **__: out)

    return give


@pytest.mark.parametrize("wrong", [float("nan"), float("-inf")])
def test_what_overflows_is_no_response(wrong, made, tmp_path, capsys):
    (tmp_path / "ids.jsonl").write_text('{"prompt_ids": [3]}\n{"prompt_ids": [5]}\n')
    log_probs = np.zeros((4, 3), np.float32)
    log_probs[3, 1] = wrong
    made(log_probs)
    options = ["--file", str(tmp_path / "ids.jsonl"), "--samples", "2", "--max-new-tokens", "3", "--dtype", "float16"]
    assert command("generate", str(golden("pythia")), *options, "--out", str(tmp_path / "out.jsonl")) == 2
    said = f"the log-prob of a response to prompt 1 is {wrong} at token 1: the model overflows in float16; take --dtype"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def test_scores_that_overflow_are_refused(tmp_path, capsys, monkeypatch):
    """A kernel of 1e30 is infinite after two layers, and every log-prob NaN."""
    real = load_parameters

    def load(*given):
        model, params = real(*given)
        return model, jax.tree.map(lambda leaf: 1e30 * leaf, params)

    monkeypatch.setattr("modeseek.llm.inference.language_model.load_parameters", load)
    (tmp_path / "ids.jsonl").write_text('{"text_ids": [3, 4]}\n')
    assert command("score", str(golden("pythia")), "--file", str(tmp_path / "ids.jsonl")) == 2
    said = "the log_prob of record 0 is nan at token 0: the model overflows in float32; are all its weights finite?"
    assert said in capsys.readouterr().err
