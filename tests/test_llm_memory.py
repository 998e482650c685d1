"""Memory that is promised: estimates beside what the compiler sets aside, and refusals before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_cases import CASES, adapter_step, command, full_step, golden, random_params

from modeseek.llm.inference.generate import _generate, stop_table
from modeseek.llm.inference.sampling import Sampling
from modeseek.llm.inference.scoring import ModelWithParams, score
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.models.parameters import shapes
from modeseek.llm.parallel import device_memory, memory
from modeseek.llm.parallel.device_memory import available_bytes, check_fits, chunk_counted
from modeseek.llm.parallel.memory import MemoryEstimate, parameter_count
from modeseek.llm.parallel.mesh import MeshShape
from modeseek.llm.training import lora
from modeseek.llm.training.cross_entropy import TokenBatch
from modeseek.llm.training.optimizer import Adam, start
from modeseek.memory import readable

CHUNK = chunk_counted(1024)
"""Tokens whose logits exist at once where 1024 and more are allowed: on a CPU fewer."""
ADAM = Adam(*map(jnp.float32, Adam()))
SIZES = {"hidden_size": 192, "num_hidden_layers": 5, "max_position_embeddings": 600, "vocab_size": 3001}
CONFIGS = {
    "pythia": config_from(CASES["pythia"] | SIZES | {"num_attention_heads": 6, "intermediate_size": 768}),
    "mistral": config_from(CASES["mistral"] | SIZES | {"intermediate_size": 528}),
    "qwen3": config_from(CASES["qwen3"] | SIZES | {"head_dim": 48, "intermediate_size": 528}),
    "large_vocabulary": config_from(CASES["pythia"] | SIZES | {"vocab_size": 40_001, "num_hidden_layers": 2}),
}


def ids(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def others(*case):
    """Five seconds each, compiled as a user's programs are: the tests' way sets other room aside."""
    return pytest.param(*case, marks=(pytest.mark.slow, pytest.mark.release))


def measured(lowered) -> int:
    """Bytes that the compiled program needs: what it is given, what it gives (unless in place), and its temporaries."""
    found = lowered.compile().memory_analysis()
    given = found.argument_size_in_bytes + found.output_size_in_bytes - found.alias_size_in_bytes
    return given + found.temp_size_in_bytes


def near(estimate: MemoryEstimate, lowered) -> None:
    """A sixth too little at most, or a quarter too much, by this backend's own count, in float32: a CPU computes 16-bit
    numbers in float32 copies, and keeps attention's weights once where the backward pass asks for them three times."""
    assert 0.83 < estimate.total / measured(lowered) < 1.25, (estimate, measured(lowered))


@pytest.mark.parametrize(
    ("case", "remat", "accumulate", "length"),
    [
        others("pythia", "none", 1, 128),
        others("pythia", "dots", 1, 128),
        ("pythia", "full", 2, 256),
        others("mistral", "full", 1, 512),
        others("qwen3", "dots", 1, 128),
        others("large_vocabulary", "full", 1, 64),
    ],
)
def test_training_needs_what_was_estimated(case, remat, accumulate, length):
    config = CONFIGS[case]
    model, state = Model(config, Compute("float32", remat)), jax.eval_shape(start, shapes(config))
    step = full_step(model, accumulate=accumulate)
    estimate = memory.training(config, model.compute, MeshShape(), 8, length, chunk=CHUNK, accumulate=accumulate)
    near(estimate, step.lower(state, TokenBatch(ids(8, length + 1), ids(8)), ADAM))
    assert estimate.parts["parameters"] == 4 * parameter_count(config)


def test_training_adapters_needs_what_was_estimated():
    config = CONFIGS["pythia"]
    model = Model(config, Compute(remat="full"))
    state = jax.eval_shape(lambda: start(lora.init(config, 8, key=jax.random.key(0))))
    estimate = memory.training_adapters(config, model.compute, MeshShape(), 8, 128, 8, chunk=CHUNK)
    step = adapter_step(model)
    near(estimate, step.lower(state, TokenBatch(ids(8, 129), ids(8)), ADAM, lora.Frozen(shapes(config), np.float32(1))))
    assert estimate.total < 0.65 * memory.training(config, model.compute, MeshShape(), 8, 128, chunk=CHUNK).total


@pytest.mark.parametrize(
    ("case", "prompt", "room"), [("pythia", 64, 64), others("mistral", 256, 32), others("large_vocabulary", 16, 16)]
)
def test_generating_needs_what_was_estimated(case, prompt, room):
    config = CONFIGS[case]
    model = Model(config)
    params = jax.eval_shape(model.for_decoding, shapes(config))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 16))
    fixed = np.int32(room), keys, Sampling(np.float32(1), np.int32(0), np.float32(1)), stop_table([]), np.int32(0)
    estimate = memory.inference(config, model.compute, MeshShape(), 16, prompt + room, prompt)
    near(estimate, _generate.lower(model, room, params, ids(16, prompt), ids(16), *fixed))
    cache = Model(config).empty_cache(16, prompt + room)
    assert estimate.parts["cache"] == sum(leaf.nbytes for leaf in jax.tree.leaves(cache.layers))


@pytest.mark.parametrize(("case", "length"), [("pythia", 256), others("mistral", 256), others("large_vocabulary", 64)])
def test_scoring_needs_what_was_estimated(case, length):
    config = CONFIGS[case]
    model = Model(config)
    run = jax.jit(lambda p, t, n: score(ModelWithParams(model, p), t, n, with_entropy=True))
    estimate = memory.scoring(config, model.compute, MeshShape(), 8, length, CHUNK)
    near(estimate, run.lower(shapes(config), ids(8, length + 1), ids(8)))


def test_a_fused_kernel_keeps_no_weights_of_attention():
    """Operands, result, one number a query: 4 bytes · (4 · 192 + 6) a token less than nothing but the weights."""
    config, length = CONFIGS["pythia"], 512
    plain = memory.residual_bytes(config, "float32", "none", False, length)
    fused = memory.residual_bytes(config, "float32", "none", True, length)
    weights = 4 * 6 * length * length
    assert fused < plain - 2 * weights
    # Twice the length is twice the memory, but for weights of attention, which would be four times.
    assert memory.residual_bytes(config, "float32", "none", True, 2 * length) < 2.01 * fused
    assert memory.residual_bytes(config, "float32", "full", True, length) == 4 * length * 192


def test_memory_is_divided_among_devices():
    config = config_from(CASES["mistral"])
    alone = memory.training(config, Compute(), MeshShape(), 8, 32)
    shared = memory.training(config, Compute(), MeshShape(2, 2, 2), 8, 32)
    assert shared.total < alone.total / 3
    halves = memory.training(config, Compute(), MeshShape(2, 1, 1), 8, 32)
    assert halves.parts["activations"] == alone.parts["activations"] // 2
    assert halves.parts["parameters"] == alone.parts["parameters"]
    cut = memory.residual_bytes(config, "float32", "none", True, 32)
    by_heads = memory.training(config, Compute(remat="none", attention="cudnn"), MeshShape(1, 1, 2), 8, 32)
    heads = by_heads.parts["activations"]
    assert 8 * config.layers * cut / 2 < heads < 8 * config.layers * cut  # the residual stream is not cut


def test_a_chunk_of_logits_is_shared_by_the_devices_that_share_rows():
    """4 bytes of a logit and 4 of its gradient; a device holds its rows of each of the chunk's columns."""
    config = config_from(CASES["pythia"])
    logits = lambda mesh, chunk: memory.training(config, Compute(), mesh, 8, 32, chunk=chunk).parts["logits"]
    assert logits(MeshShape(), 64) == 8 * 64 * config.vocab_size
    assert logits(MeshShape(2, 2, 1), 64) == 8 * 16 * config.vocab_size
    assert logits(MeshShape(2, 2, 1), 1) == 8 * 2 * config.vocab_size  # a column at least
    assert logits(MeshShape(), 10**9) == 8 * 8 * 32 * config.vocab_size


def test_a_cpu_is_refused_for_what_it_holds_and_no_more(monkeypatch):
    """With a vocabulary of Pythia's size the logits of 4096 tokens would be most of a step's memory."""
    config = config_from(CASES["pythia"] | {"vocab_size": 50_304, "max_position_embeddings": 600})
    state, step = jax.eval_shape(start, shapes(config)), full_step(Model(config))
    needed = memory.training(config, Compute(), MeshShape(), 8, 512, chunk=CHUNK).total
    assert memory.training(config, Compute(), MeshShape(), 8, 512).total > 1.5 * needed
    monkeypatch.setattr(device_memory, "available_bytes", lambda device=None: int(1.1 * needed))
    step.lower(state, TokenBatch(ids(8, 513), ids(8)), ADAM)


def test_weights_are_never_there_twice():
    """Taken apart with `donate`, stacks are given up one by one; the result is the same."""
    config = config_from(CASES["pythia"])
    model, params = Model(config, Compute("bfloat16")), random_params(config)
    kept = model.for_decoding(params)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(params))
    given = model.for_decoding(params, donate=True)
    jax.tree.map(np.testing.assert_array_equal, given, kept)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(params["layers"]))
    estimate = memory.unstacking(config, Compute(), MeshShape()).parts
    assert estimate["the largest stack again"] == max(leaf.nbytes for leaf in jax.tree.leaves(params["layers"]))


class Device:
    """One that says what it has."""

    platform = "gpu"

    def __init__(self, **stats):
        self.memory_stats = lambda: stats or None


def test_too_little_memory_is_said_with_the_numbers():
    needed = MemoryEstimate({"parameters": 2048, "cache": 1024})
    check_fits(needed, "this", "do that", device=Device(bytes_limit=4096, bytes_in_use=1024))
    with pytest.raises(ValueError) as error:
        check_fits(needed, "this", "do that", device=Device(bytes_limit=4096, bytes_in_use=2048))
    assert str(error.value) == (
        "this needs about 3.00 KiB on each device (parameters 2.00 KiB, cache 1.00 KiB), and 2.00 KiB are free: do that"
    )
    check_fits(needed, "this", "do that", there=("parameters",), device=Device(bytes_limit=4096, bytes_in_use=3072))
    with pytest.raises(ValueError, match=r"and 1023 B are free beside parameters: do that"):
        check_fits(needed, "this", "do that", there=("parameters",), device=Device(bytes_limit=1023))
    check_fits(MemoryEstimate({"all": 2**60}), "this", "do that", device=Device())  # it does not say what it has
    free = available_bytes()
    assert free is None or free > 2**20


@pytest.fixture
def little(monkeypatch):
    """A thousand bytes, and nothing may be loaded or compiled."""
    monkeypatch.setattr(device_memory, "available_bytes", lambda device=None: 1000)
    monkeypatch.setattr("modeseek.llm.checkpoints.load.load", lambda *_, **__: pytest.fail("it was loaded"))
    monkeypatch.setattr("jax.stages.Lowered.compile", lambda *_, **__: pytest.fail("it was compiled"))


def test_commands_say_it_before_anything_is_loaded(little, capsys, tmp_path):
    prompts = tmp_path / "p.jsonl"
    prompts.write_text('{"prompt_ids": [3, 4]}\n')
    assert command("generate", str(golden("pythia")), "--file", str(prompts), "--max-new-tokens", "4") == 2
    said = capsys.readouterr().err
    assert "generating 1 responses at once needs about" in said
    assert "1000 B are free: take a smaller --batch" in said
    prompts.write_text('{"text_ids": [3, 4]}\n')
    assert command("score", str(golden("pythia")), "--file", str(prompts)) == 2
    assert "scoring 1 sequences at once needs about" in capsys.readouterr().err


def test_steps_say_it_before_they_are_compiled(little):
    model = Model(config_from(CASES["pythia"]))
    params = random_params(model.config)
    batch = TokenBatch(np.zeros((4, 11), np.int32), np.full(4, 11, np.int32))
    expected = r"a training step of 4 rows of 11 tokens needs about .* and 1000 B are free beside parameters"
    with pytest.raises(ValueError, match=expected):
        full_step(model)(start(params), batch, ADAM)
    adapters = start(lora.init(model.config, 4, key=jax.random.key(0)))
    with pytest.raises(ValueError, match=expected + " and adapters and Adam's moments: take fewer rows"):
        adapter_step(model)(adapters, batch, ADAM, lora.Frozen(params, np.float32(1)))


def test_bytes_are_readable():
    assert [readable(n) for n in (0, 7, 2048, 3 * 2**30)] == ["0 B", "7 B", "2.00 KiB", "3.00 GiB"]
