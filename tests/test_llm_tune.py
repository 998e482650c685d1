"""`modeseek llm tune`: from a folder and a file to a folder that transformers opens, offline and on-policy."""

import json

import pytest
from llm_cases import command, copied, needs_transformers, write_word_tokenizer

from modeseek.llm.inference.language_model import load_model

pytestmark = needs_transformers


@pytest.fixture
def words(tmp_path):
    """The golden Pythia with a tokenizer of 53 whole words; w2 is EOS, as its configuration says."""
    folder = copied("pythia", tmp_path)
    write_word_tokenizer(folder, [f"w{i}" for i in range(53)], "w1")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "w2"}))
    return folder


@pytest.fixture
def pairs(tmp_path):
    """Six preference pairs; the chosen response is the shorter one."""
    rows = [
        {"prompt": f"w{10 + i} w7", "chosen": f"w{20 + i}", "rejected": f"w{30 + i} w{31 + i} w40"} for i in range(6)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "pairs.jsonl"


SMALL = ["--max-prompt", "8", "--max-response", "8", "--max-new-tokens", "6", "--length-multiple", "16"]
SIZES = ["--samples-per-collection", "8", "--responses-per-prompt", "2", "--minibatch-size", "8", "--collections", "3"]


def tune(words, pairs, out, method, *more):
    return command(
        "tune",
        "--model",
        str(words),
        "--data",
        str(pairs),
        "--out",
        str(out),
        "--method",
        method,
        *SMALL,
        *SIZES,
        *more,
    )


def records(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_offline_dpo_learns_the_pairs_and_leaves_a_model(words, pairs, tmp_path, capsys):
    out = tmp_path / "run"
    assert tune(words, pairs, out, "dpo", "--learning-rate", "1e-3", "--beta", "0.5") == 0
    steps = [record for record in records(out) if "loss" in record]
    assert len(steps) == 3
    assert steps[0]["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert steps[-1]["margin"] > 0
    config = json.loads((out / "config.json").read_text())["config"]
    assert config["hyper"]["beta"] == 0.5
    assert "6 rows read, 6 kept" in capsys.readouterr().out
    tuned, before = load_model(out / "policy"), load_model(words)
    chosen = lambda model: model.score(["w10 w7"], ["w20"])[0].log_prob
    rejected = lambda model: model.score(["w10 w7"], ["w30 w31 w40"])[0].log_prob
    assert chosen(tuned) - rejected(tuned) > chosen(before) - rejected(before)


def test_on_policy_samples_and_is_judged(words, pairs, tmp_path):
    out = tmp_path / "run"
    assert tune(words, pairs, out, "on_policy_rwr", "--reward", "min_length") == 0
    collections = [record for record in records(out) if "reward" in record]
    assert len(collections) == 3
    assert all(1 <= record["length"] <= 6 and record["reward"] <= 0 for record in collections)


def test_what_cannot_be_is_refused_before_anything_is_written(words, pairs, tmp_path, capsys):
    refused = {
        ("ppo",): "a reward function must judge them",
        ("dppo",): "did you mean",
        ("dpo", "--max-prompt", "60"): "the model's context is 64",
        ("dpo", "--samples-per-collection", "32", "--minibatch-size", "32"): "a collection takes 16 prompts",
        ("dpo", "--clip-norm", "-1"): "clip_norm must be a number of at least 0",
    }
    for (method, *more), message in refused.items():
        assert tune(words, pairs, tmp_path / "none", method, *more) != 0
        assert message in capsys.readouterr().err, method
    assert not (tmp_path / "none" / "policy").exists()
