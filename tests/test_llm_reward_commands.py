"""`modeseek llm reward-model` and `evaluate`: from pairs to a folder, from a folder to numbers, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from llm_cases import command, copied, golden, needs_transformers, write_word_tokenizer

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.model import Model
from modeseek.llm.rewards.reward_model import score_ids

pytestmark = needs_transformers
WORDS = [f"w{i}" for i in range(53)]


@pytest.fixture
def words(tmp_path) -> Path:
    """The golden Pythia with a tokenizer of 53 whole words; its EOS is id 2."""
    folder = copied("pythia", tmp_path)
    write_word_tokenizer(folder, WORDS, "w1")
    return folder


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Shorter is preferred."""
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"w{i} w4", "chosen": f"w{i + 1}", "rejected": f"w{i} w7 w8 w9"} for i in range(5, 17)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


SHORT = ["--max-prompt", "8", "--max-response", "8"]


@pytest.mark.slow
def test_a_reward_model_is_trained_judged_and_read_again(words, pairs, tmp_path, capsys):
    """What is saved scores what was sampled, and is printed beside the gold reward of the same samples."""
    out, numbers = tmp_path / "out", tmp_path / "numbers.json"
    how = ["--model", str(words), "--data", str(pairs), "--out", str(out), *SHORT, "--batch", "4", "--accumulate", "2"]
    how += ["--epochs", "5", "--learning-rate", "1e-3", "--warmup-steps", "1", "--held-out", "0.3"]
    assert command("reward-model", *how) == 0
    said = capsys.readouterr().out
    assert "12 rows read, 12 kept" in said
    assert "10 steps\n4 held-out pairs: accuracy " in said
    assert "| confidence | pairs | mean | share right |" in said
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in metrics if "loss" in row]
    assert len(losses) == 10
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    judged = [row for row in metrics if "held_out_loss" in row]
    assert judged[-1]["step"] == 10
    assert {"held_out_accuracy", "held_out_calibration_error"} < set(judged[-1])
    assert [row["learning_rate"] for row in metrics if "loss" in row] == pytest.approx([1e-3 / 2, *[1e-3] * 9])
    assert json.loads((out / "config.json").read_text())["config"]["seed"] == 0
    card = (out / "reward_model" / "README.md").read_text()
    for wanted in ("# pythia, fine-tuned", "12 rows read", "| warmup_steps | 1 |", "| held-out accuracy |"):
        assert wanted in card
    scorer = open_checkpoint(out / "reward_model")
    assert scorer.heads == ("reward",)
    assert scorer.raw["pad_token_id"] != 2

    assert command("reward-model", *how) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err
    assert command("reward-model", *how, "--seed", "1") == 2
    assert "config.seed: there 0, here 1" in capsys.readouterr().err

    rewards = ["--reward-model", str(out / "reward_model"), "--gold", "min_length", "--reference", str(words)]
    how = ["--max-prompt", "8", "--max-new-tokens", "6", "--samples", "2", "--batch", "8"]
    assert command("evaluate", str(words), "--data", str(pairs), *rewards, *how, "--out", str(numbers)) == 0
    said = capsys.readouterr().out
    for name in ("reward_gold", "reward_proxy", "tokens", "words", "share_eos", "entropy", "kl"):
        assert f"\n{name} " in said
    written = json.loads(numbers.read_text())
    assert written["numbers"]["kl"] == pytest.approx(0, abs=1e-5)
    assert len(written["samples"]) == 24
    ids = [sample["prompt_ids"] + sample["response_ids"] for sample in written["samples"]]
    theirs = score_ids(ModelWithParams(Model(scorer.config), load(scorer)), ids)
    np.testing.assert_allclose([s["rewards"]["proxy"] for s in written["samples"]], theirs, rtol=1e-4, atol=1e-5)
    for sample in written["samples"]:
        assert sample["rewards"]["gold"] == -len(sample["text"].split())
        assert sample["ended"] == (sample["response_ids"][-1] == 2)
        assert sample["text"].split() == [f"w{i}" for i in sample["response_ids"][: -1 if sample["ended"] else None]]
    assert command("evaluate", str(words), "--data", str(pairs), "--out", str(numbers)) == 2
    assert "is there already and is not overwritten" in capsys.readouterr().err


def test_what_does_not_fit_is_refused_before_anything_is_loaded(words, pairs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("modeseek.llm.checkpoints.load.load", lambda *_, **__: pytest.fail("it was loaded"))
    evaluate = ["evaluate", str(words), "--data", str(pairs), "--max-prompt", "8", "--max-new-tokens", "8"]
    train = ["reward-model", "--model", str(words), "--data", str(pairs), "--out", str(tmp_path / "out")]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "w3"}\n')
    other = copied("llama", tmp_path)
    write_word_tokenizer(other, WORDS[::-1], "w1")
    refused = {
        "pythia has a lm head: this needs a reward model": [*evaluate, "--reward-model", str(words)],
        "has a reward head: this needs a language model": [*evaluate, "--reference", str(golden("llama"))],
        "is not the policy's: ids would mean other words": [*evaluate, "--reward-model", str(other)],
        "max_new_tokens must be a whole number of at least 1, got 0": [*evaluate, "--max-new-tokens", "0"],
        "samples must be a whole number of at least 1, got -1": [*evaluate, "--samples", "-1"],
        "mode must be a positive number, got 0.0": [*evaluate, "--gold", "mode_length", "--mode", "0"],
        "is 64: lower --max-prompt or --max-new-tokens": [*evaluate, "--max-new-tokens", "60"],
        "is 64: lower --max-prompt or --max-response": train,
        "preference pairs are needed, but record 1 is a prompt alone": [*train, *SHORT, "--data", str(prompts)],
        "accumulate (8) must divide the 12 pairs of a batch": [*train, *SHORT, "--batch", "12"],
        "11 pairs do not fill a batch of 64": [*train, *SHORT],
        "leaves no prompt to train on": [*train, *SHORT, "--held-out", "0.99"],
    }
    for said, arguments in refused.items():
        assert command(*arguments) == 2, said
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
