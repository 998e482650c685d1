"""`modeseek llm tune`: from a folder and a file to a folder that transformers opens, offline and on-policy."""

import json

import jax
import numpy as np
import pytest
from llm_cases import CASES, needs_transformers
from llm_tune_cases import records, tune, word_model, word_pairs

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.checkpoints.save import save
from modeseek.llm.commands.texts import reading_of
from modeseek.llm.inference.language_model import load_model
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.mesh import MeshShape
from modeseek.llm.rewards.reward_model import score_ids
from modeseek.llm.training import lora
from modeseek.llm.training.run_folder import RunFolder
from modeseek.llm.training.sampling_memory import sampling_memory
from modeseek.llm.training.tune_config import TuneConfig

pytestmark = needs_transformers


@pytest.fixture
def words(tmp_path):
    return word_model(tmp_path)


@pytest.fixture
def pairs(tmp_path):
    return word_pairs(tmp_path)


@pytest.mark.slow
def test_offline_dpo_learns_the_pairs_and_leaves_a_model(words, pairs, tmp_path, capsys):
    out = tmp_path / "run"
    assert tune(words, pairs, out, "dpo", "--learning-rate", "1e-3", "--beta", "0.5") == 0
    steps = [record for record in records(out) if "loss" in record]
    assert len(steps) == 3
    assert steps[0]["loss"] == pytest.approx(0.6931, abs=1e-4)
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert steps[-1]["margin"] > 0
    config = json.loads((out / "config.json").read_text())
    assert config["config"]["hyper"]["beta"] == 0.5
    assert config["optimizer"]["learning_rate"] == 1e-3
    assert "6 rows read, 6 kept" in capsys.readouterr().out
    card = (out / "policy" / "README.md").read_text()
    for wanted in ("# pythia, fine-tuned", "by Offline DPO", "| beta | 0.5 |", "| gradient steps | 3 |", "6 rows read"):
        assert wanted in card
    assert tune(words, pairs, out, "dpo", "--learning-rate", "1e-3", "--beta", "0.5") == 2
    assert "policy is there already and is not overwritten" in capsys.readouterr().err
    assert tune(words, pairs, out, "dpo", "--learning-rate", "1e-3", "--beta", "0.2") == 2
    assert "config.hyper.beta: there 0.5, here 0.2" in capsys.readouterr().err
    tuned, before = load_model(out / "policy"), load_model(words)
    chosen = lambda model: model.score(["w10 w7"], ["w20"])[0].log_prob
    rejected = lambda model: model.score(["w10 w7"], ["w30 w31 w40"])[0].log_prob
    assert chosen(tuned) - rejected(tuned) > chosen(before) - rejected(before)


@pytest.mark.slow
def test_on_policy_samples_and_is_judged(words, pairs, tmp_path):
    out = tmp_path / "run"
    assert tune(words, pairs, out, "on_policy_rwr", "--reward", "min_length") == 0
    collections = [record for record in records(out) if "reward" in record]
    assert len(collections) == 3
    assert all(1 <= record["length"] <= 6 and record["reward"] <= 0 for record in collections)


@pytest.mark.slow
def test_a_reward_model_judges_and_the_learning_rate_falls(words, pairs, tmp_path):
    """The first collection, all six pairs, has the mean score of its rows; two steps go as far as η + η/2."""
    before, scorer, out = open_checkpoint(words), tmp_path / "scorer", tmp_path / "run"
    scored = load(before, ("reward",), key=jax.random.key(5))
    save(scorer, before.config, scored, head="reward", like=before)
    every = ["--samples-per-collection", "12", "--minibatch-size", "12", "--collections", "2"]
    how = ["--schedule", "linear", "--learning-rate", "1e-5", "--reward-model", str(scorer), *every]
    assert tune(words, pairs, out, "offline_rwr", *how) == 0
    responses = [response for i in range(6) for response in ([20 + i], [30 + i, 31 + i, 40])]
    rows = [[1, 1, 7, *response, 2] for response in responses]  # w10 … w15 begin with a special token's name, w1
    wanted = score_ids(ModelWithParams(Model(before.config), scored), rows).mean()
    assert records(out)[0]["reward"] == pytest.approx(wanted, rel=1e-4, abs=1e-7)
    both = zip(*(jax.tree.leaves(load(open_checkpoint(folder))) for folder in (words, out / "policy")), strict=True)
    assert max(float(abs(a - b).max()) for a, b in both) == pytest.approx(1.5e-5, rel=0.03)
    assert f"| reward | {scorer} |" in (out / "policy" / "README.md").read_text()


@pytest.mark.slow
def test_gold_and_proxy_are_measured_on_the_same_held_out_samples(words, pairs, tmp_path, capsys):
    """The reward model judges what is trained on; both judge held-out samples, whose texts are logged."""
    before, scorer, out = open_checkpoint(words), tmp_path / "scorer", tmp_path / "run"
    scored = load(before, ("reward",), key=jax.random.key(5))
    save(scorer, before.config, scored, head="reward", like=before)
    both = ["--reward", "min_length", "--unit", "tokens", "--reward-model", str(scorer)]
    how = ["--held-out", "0.3", "--evaluate-every", "2", "--learning-rate", "1e-3"]
    assert tune(words, pairs, out, "on_policy_rwr", *both, *how) == 0
    evaluations = [record for record in records(out) if "share_eos" in record]
    assert [record["step"] for record in evaluations] == [0, 2, 3]
    assert {"reward_gold", "reward_proxy", "kl", "entropy", "tokens"} <= set(evaluations[0])
    assert evaluations[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert evaluations[-1]["kl"] > 1e-5
    said = capsys.readouterr().out
    assert f"what judges: {scorer}; measured beside it: min_length of tokens" in said
    assert "outside of them" in said
    samples = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    assert [sample["step"] for sample in samples] == [0, 2, 3]  # to this tokenizer both held-out prompts are w1 w1 w7
    first = samples[:1]
    assert np.mean([sample["rewards"]["gold"] for sample in first]) == pytest.approx(evaluations[0]["reward_gold"])
    assert np.mean([sample["rewards"]["proxy"] for sample in first]) == pytest.approx(evaluations[0]["reward_proxy"])
    assert first[0]["prompt"] == "w1 w1 w7"
    for sample in first:
        assert sample["rewards"]["gold"] == -len(sample["response"].split())
    collected = [record for record in records(out) if "reward" in record]
    assert all(abs(record["reward"]) < 1 for record in collected)  # the proxy's scale, not a length's


def test_of_several_ends_the_tokenizers_own_is_learnt(words):
    """As a chat's turn ends otherwise than a text; all of them end a sample."""
    (words / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 2]}))
    reading = reading_of(open_checkpoint(words))
    assert (reading.tokens.eos, reading.eos) == (2, [5, 2])
    (words / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 6]}))
    assert reading_of(open_checkpoint(words)).tokens.eos == 5


def test_sampling_that_does_not_fit_is_refused_before_anything_is_loaded(words, pairs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("modeseek.llm.parallel.device_memory.available_bytes", lambda device=None: 1000)
    assert tune(words, pairs, tmp_path / "run", "ppo", "--reward", "min_length") == 2
    out, err = capsys.readouterr()
    assert "sampling 64 responses at once, beside what is trained, needs about" in out
    assert "take a smaller --generation-batch" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("rank", "every", "copies"), [(0, 0, 4), (0, 1, 5), (2, 0, 1)])
def test_what_sampling_holds_is_counted_by_hand(rank, every, copies):
    """The start; what is trained and Adam's two moments; a reference that moves; weights, cache and logits."""
    sizes, compute = config_from(CASES["pythia"]), Compute()
    config = TuneConfig("ppo", max_new_tokens=16, generation_batch=3, lora_rank=rank, reference_every=every)
    found = sampling_memory(sizes, compute, [[1, 2], [3]], config).parts
    drawing = memory.inference(sizes, compute, MeshShape(), 3, 32, 16).parts
    assert {name: found[name] for name in ("cache", "logits", "prompts")}.items() <= drawing.items()
    assert found["decoding's parameters"] == drawing["parameters"] == 4 * memory.parameter_count(sizes)
    adapters = (
        0 if rank == 0 else sum(leaf.size for leaf in jax.tree.leaves(lora.init(sizes, rank, key=jax.random.key(0))))
    )
    held = sum(found.values()) - sum(drawing.values())
    assert held == 4 * copies * memory.parameter_count(sizes) + 12 * adapters


@pytest.mark.slow
def test_the_same_command_goes_on_where_it_was_stopped(words, pairs, tmp_path, capsys, monkeypatch):
    """Ctrl-C in the third collection: status 130, what to do, and then the policy of a run that was never stopped."""
    how = ["--reward", "min_length", "--held-out", "0.3", "--checkpoint-every", "1", "--learning-rate", "1e-3"]
    append, lines = RunFolder.append, []

    def interrupted(self, record, *file):
        lines.append(record)
        if record.get("collection") == 3:
            raise KeyboardInterrupt
        append(self, record, *file)

    assert tune(words, pairs, tmp_path / "whole", "on_policy_rwr", *how) == 0
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "append", interrupted)
        assert tune(words, pairs, tmp_path / "run", "on_policy_rwr", *how) == 130
    assert f"interrupted: the checkpoint {tmp_path / 'run' / 'checkpoints' / '2'} is whole" in capsys.readouterr().err
    assert tune(words, pairs, tmp_path / "run", "on_policy_rwr", *how, "--seed", "1") == 2
    assert "config.seed: there 0, here 1" in capsys.readouterr().err
    assert tune(words, pairs, tmp_path / "run", "on_policy_rwr", *how, "--keep", "1") == 0
    weights = [(tmp_path / run / "policy" / "model.safetensors").read_bytes() for run in ("whole", "run")]
    assert weights[0] == weights[1]
    steps = [[record["step"] for record in records(tmp_path / run) if "loss" in record] for run in ("whole", "run")]
    assert steps == [[1, 2, 3]] * 2
    logged = [(tmp_path / run / "samples.jsonl").read_text().count("\n") for run in ("whole", "run")]
    assert logged[0] == logged[1]


def test_what_cannot_be_is_refused_before_anything_is_written(words, pairs, tmp_path, capsys):
    refused = {
        ("ppo",): "a reward function must judge them",
        ("dppo",): "did you mean",
        ("dpo", "--max-prompt", "60"): "the model's context is 64",
        ("dpo", "--samples-per-collection", "32", "--minibatch-size", "32"): "a collection takes 16 prompts",
        ("dpo", "--clip-norm", "-1"): "clip_norm must be a positive number",
        ("dpo", "--warmup-steps", "3"): "warmup_steps (3) must be fewer than the run's 3 steps",
        ("ppo", "--reward", "min_length", "--reward-model", str(words)): "--held-out must be above 0",
        ("ppo", "--reward-model", str(words)): "pythia has a lm head: this needs a reward model",
    }
    for (method, *more), message in refused.items():
        assert tune(words, pairs, tmp_path / "none", method, *more) != 0
        assert message in capsys.readouterr().err, method
    assert not (tmp_path / "none").exists()


def test_a_tuned_adapter_on_its_base_is_the_tuned_policy(words, pairs, tmp_path):
    """What PEFT would open beside what transformers opens: the same parameters."""
    assert tune(words, pairs, tmp_path / "run", "dpo", "--lora-rank", "2", "--learning-rate", "0.01") == 0
    policy = load_model(tmp_path / "run" / "policy")
    adapted = load_model(words, adapter=tmp_path / "run" / "adapter")
    base = load_model(words)
    kernel = lambda model: model.params["layers"]["query_key_value"]["kernel"]
    assert float(abs(kernel(policy) - kernel(base)).max()) > 1e-4
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), policy.params, adapted.params)
