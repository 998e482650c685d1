"""Supervised fine-tuning beside its definition, its data, and what it leaves in a folder."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from llm_cases import CASES, command, copied, needs_transformers, random_params, write_word_tokenizer

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.data.order import batches
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.batched import NO_STOPS, Stops, generate_rows
from modeseek.llm.inference.sampling import Sampling
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.training.run_folder import read_metrics
from modeseek.llm.training.settings import OptimizerConfig, SFTConfig
from modeseek.llm.training.sft import held_out_loss, sft

MODEL = Model(config_from(CASES["pythia"]))
EOS, PAD = 2, 1


def examples(count: int) -> list[Example]:
    """Prompts and responses of one to five ids, EOS at the end."""
    rng = np.random.default_rng(4)
    ids = lambda: rng.integers(3, 53, rng.integers(1, 6)).astype(np.int32)
    return [Example(ids(), (np.append(ids(), EOS).astype(np.int32),)) for _ in range(count)]


def fresh(std: float = 0.1):
    return ModelWithParams(MODEL, random_params(MODEL.config, std=std))


@jax.jit
def summed_log_probs(params, ids, targets):
    """Σ log π of the ids that are targets; all rows in one shape, so that one program does."""
    every = jax.nn.log_softmax(MODEL.logits(params, MODEL.hidden(params, ids[:, :-1])), axis=-1)
    return jnp.where(targets[:, 1:], jnp.take_along_axis(every, ids[:, 1:, None], axis=-1)[..., 0], 0.0).sum()


def mean_loss(params, chosen: list[Example]):
    """Over the responses' tokens, told apart here by hand."""
    ids, targets = np.full((7, 12), 9, np.int32), np.zeros((7, 12), bool)
    for row, each in enumerate(chosen):
        start, end = len(each.prompt), len(each.prompt) + len(each.responses[0])
        ids[row, :start], ids[row, start:end], targets[row, start:end] = each.prompt, each.responses[0], True
    return -summed_log_probs(params, jnp.asarray(ids), jnp.asarray(targets)) / float(targets.sum())


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_three_steps_are_three_of_the_definition(accumulate):
    """Rows in the seeded order, the mean over the responses' tokens with EOS, clipping, AdamW with warm-up."""
    data = examples(6)
    optimizer = OptimizerConfig(learning_rate=0.01, schedule="cosine", warmup_steps=1, clip_norm=0.5, epsilon=1e-3)
    config = SFTConfig(epochs=3.0, batch=4, accumulate=accumulate, optimizer=optimizer, seed=3)
    records = []
    tuned = sft(fresh(), data, config=config, pad=PAD, report=records.append)
    assert (tuned.steps, tuned.before, tuned.after) == (3, None, None)

    theirs, transformation = fresh().params, optimizer.transformation(3)
    moments, losses = transformation.init(theirs), []
    for batch, _ in zip(batches(6, 4, seed=3), range(3), strict=False):
        loss, gradients = jax.value_and_grad(mean_loss)(theirs, [data[i] for i in batch.rows])
        losses.append(float(loss))
        with jax.numpy_dtype_promotion("standard"):
            updates, moments = transformation.update(gradients, moments, theirs)
        theirs = optax.apply_updates(theirs, updates)
    assert [record["loss"] for record in records] == pytest.approx(losses, rel=1e-5)
    for ours, wanted in zip(jax.tree.leaves(tuned.params), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(ours, wanted, atol=2e-5 * float(jnp.abs(wanted).max()))
    assert [record["learning_rate"] for record in records] == pytest.approx([0.005, 0.01, 0.005])
    assert [record["epoch"] for record in records] == [1, 2, 3]


def test_the_held_out_loss_is_over_tokens_not_over_batches():
    """Seven rows in batches of three, the last filled up; a mean of batches' means would weigh long rows less."""
    policy, data = fresh(), examples(7)
    found = held_out_loss(policy, data, batch=3, pad=PAD)
    assert found.tokens == sum(len(e.responses[0]) for e in data)
    assert found.loss == pytest.approx(float(mean_loss(policy.params, data)), rel=1e-5)
    assert found.loss == pytest.approx(held_out_loss(policy, data, batch=7, pad=EOS).loss, rel=1e-5)


@pytest.mark.slow
def test_what_was_learnt_is_written_with_its_end():
    """Greedy responses are the learnt ones, EOS too: the policy stops by itself."""
    data = examples(4)
    config = SFTConfig(epochs=60.0, batch=4, optimizer=OptimizerConfig(learning_rate=0.01), evaluate_every=30)
    records = []
    tuned = sft(fresh(), data, data, config, pad=PAD, report=records.append)
    assert tuned.after is not None
    assert tuned.before is not None
    assert tuned.after.loss < 0.1 < tuned.before.loss
    measured = [(r["step"], r["held_out_loss"]) for r in records if "held_out_loss" in r]
    assert [step for step, _ in measured] == [0, 30, 60]
    assert measured[-1][1] == tuned.after.loss
    written = generate_rows(
        MODEL,
        MODEL.for_decoding(tuned.params),
        [e.prompt.tolist() for e in data],
        12,
        key=jax.random.key(0),
        sampling=Sampling(0.0),
        stops=Stops([[EOS]], NO_STOPS.texts),
        tokenizer=lambda: None,
    )
    assert [r.response_ids for r in written] == [e.responses[0].tolist() for e in data]
    assert all(r.stopped for r in written)


def test_a_loss_that_is_no_number_names_its_step_and_rows():
    wild = OptimizerConfig(learning_rate=1e30, clip_norm=None)
    config = SFTConfig(epochs=9.0, batch=2, optimizer=wild)
    with pytest.raises(ValueError, match=r"the loss of SFT is nan at step 2 \(rows \d, \d\): take a lower"):
        sft(fresh(), examples(4), config=config, pad=PAD)


def test_examples_without_one_response_are_refused():
    pair = Example(np.array([3], np.int32), (np.array([4], np.int32), np.array([5], np.int32)))
    with pytest.raises(ValueError, match="examples need one response each, but number 2 has 2"):
        sft(fresh(), [*examples(1), pair])
    with pytest.raises(ValueError, match="3 rows do not fill a batch of 32"):
        sft(fresh(), examples(3))
    with pytest.raises(ValueError, match=r"accumulate \(3\) must divide the 4 rows of a batch"):
        SFTConfig(batch=4, accumulate=3)


@pytest.fixture
def words(tmp_path):
    """The golden Pythia with a tokenizer of whole words, w0 … w52, w2 its EOS; and pairs, judged and plain rows."""
    folder = copied("pythia", tmp_path)
    write_word_tokenizer(folder, [f"w{i}" for i in range(53)], "w1")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": "w2"}))
    rows = [{"prompt": f"w{i} w5", "completion": f" w{i + 1} w{i + 2}"} for i in range(3, 43)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@needs_transformers
@pytest.mark.slow
def test_the_command_leaves_a_policy_that_the_others_open(words, tmp_path, capsys):
    out = tmp_path / "run"
    lengths = ["--max-prompt", "8", "--max-response", "8"]
    common = ["sft", "--model", str(words), "--data", str(tmp_path / "data.jsonl"), "--out", str(out), *lengths]
    options = ["--epochs", "4", "--batch", "8", "--learning-rate", "0.01", "--held-out", "0.1"]
    assert command(*common, *options) == 0
    said = capsys.readouterr().out
    assert "40 rows read, 40 kept" in said
    assert "held-out loss" in said
    lines = read_metrics(out)
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 4 * (36 // 8)
    assert losses[-1] < losses[0]
    checkpoint = open_checkpoint(out / "policy")
    assert checkpoint.raw["eos_token_id"] == 2
    changed = [
        bool((a != b).any())
        for a, b in zip(jax.tree.leaves(load(checkpoint)), jax.tree.leaves(load(open_checkpoint(words))), strict=True)
    ]
    assert all(changed)
    card = (out / "policy" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\ntags: [modeseek, sft]\n---\n\n# pythia, fine-tuned\n")
    for wanted in ("40 rows read, 40 kept", "| learning_rate | 0.01 |", "held-out loss after", f"`{words}`"):
        assert wanted in card
    assert command("generate", str(out / "policy"), "w9 w5", "--max-new-tokens", "4") == 0
    capsys.readouterr()
    assert command(*common, *options) == 2
    assert "policy is there already and is not overwritten" in capsys.readouterr().err
    assert command(*common, *options, "--seed", "3") == 2
    assert "config.seed: there 0, here 3" in capsys.readouterr().err


@needs_transformers
def test_what_cannot_be_trained_is_refused_before_the_folder_is_made(words, tmp_path, capsys):
    out = tmp_path / "run"
    common = ["sft", "--model", str(words), "--data", str(tmp_path / "data.jsonl"), "--out", str(out)]
    for options, message in (
        ([], "128 + 384 tokens, but the model's context is 64"),
        (["--max-prompt", "8", "--max-response", "8", "--warmup-steps", "99"], "must be fewer than the run's 1 steps"),
        (["--max-prompt", "8", "--max-response", "8", "--template", "chat"], "the tokenizer has no chat template"),
        (["--max-prompt", "8", "--max-response", "8", "--limit", "9"], "8 rows do not fill a batch of 32"),
    ):
        assert command(*common, *options) == 2
        assert message in capsys.readouterr().err
        assert not out.exists()
