"""The real models' configurations, without their weights: parameters, tensors, shardings, memory, all from shapes."""

import functools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, NamedSharding
from llm_cases import command, full_step

from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.models.parameters import parameters, shapes
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.memory import count_by_part, parameter_count
from modeseek.llm.parallel.mesh import MeshShape, check_mesh, parameter_shardings
from modeseek.llm.training import lora
from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
from modeseek.llm.training.optimizer import Adam, start
from modeseek.llm.training.step import mean_gradients

NEOX = {
    "model_type": "gpt_neox",
    "architectures": ["GPTNeoXForCausalLM"],
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.25,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_cache": True,
    "use_parallel_residual": True,
    "vocab_size": 50304,
}
"""What the hub's config.json of every Pythia has, but for the sizes below and V of the two largest."""

PYTHIA = {
    # layers, width, heads, V: parameters but for embedding and unembedding (the Pythia paper's table 1 and the model
    # cards; of 14m and 31m, which came later, the cards), and all of them
    "14m": (6, 128, 4, 50304, 1_189_888, 14_067_712),
    "31m": (6, 256, 8, 50304, 4_739_072, 30_494_720),
    "70m": (6, 512, 8, 50304, 18_915_328, 70_426_624),
    "160m": (12, 768, 12, 50304, 85_056_000, 162_322_944),
    "410m": (24, 1024, 16, 50304, 302_311_424, 405_334_016),
    "1b": (16, 2048, 8, 50304, 805_736_448, 1_011_781_632),
    "1.4b": (24, 2048, 16, 50304, 1_208_602_624, 1_414_647_808),
    "2.8b": (32, 2560, 32, 50304, 2_517_652_480, 2_775_208_960),
    "6.9b": (32, 4096, 32, 50432, 6_444_163_072, 6_857_302_016),
    "12b": (36, 5120, 40, 50688, 11_327_027_200, 11_846_072_320),
}

MISTRAL = {
    "architectures": ["MistralForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "model_type": "mistral",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 32000,
}
"""Mistral-7B-v0.1's config.json."""

VERSIONS = {
    "v0.1": (MISTRAL, 7_241_732_096),
    "v0.2": (MISTRAL | {"rope_theta": 1e6, "sliding_window": None}, 7_241_732_096),
    "v0.3": (MISTRAL | {"rope_theta": 1e6, "sliding_window": None, "vocab_size": 32768}, 7_248_023_552),
}

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "vocab_size": 128256,
}
"""Llama-3.2-1B's config.json."""

QWEN = {
    "hidden_act": "silu",
    "max_window_layers": 28,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "vocab_size": 151936,
}

TIED = {
    # The numbers of the model cards: parameters with the embedding, which is the unembedding too, once.
    "llama-3.2-1b": (LLAMA, 1_235_814_400),
    "qwen2.5-0.5b": (
        QWEN
        | {"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24}
        | {"num_attention_heads": 14, "num_key_value_heads": 2, "max_position_embeddings": 32768},
        494_032_768,
    ),
    "qwen3-0.6b": (
        QWEN
        | {"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28}
        | {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40960},
        596_049_920,
    ),
}


def pythia(size: str) -> dict:
    layers, width, heads, vocabulary, *_ = PYTHIA[size]
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return NEOX | sizes | {"intermediate_size": 4 * width, "vocab_size": vocabulary}


REAL = {size: pythia(size) for size in PYTHIA} | {name: raw for name, (raw, _) in (VERSIONS | TIED).items()}


@pytest.mark.parametrize("size", PYTHIA)
def test_every_pythia_has_its_published_numbers_of_parameters(size):
    *_, non_embedding, total = PYTHIA[size]
    parts = count_by_part(config_from(pythia(size)))
    assert sum(parts.values()) == total
    assert parts["layers"] + parts["norm"] == non_embedding


@pytest.mark.parametrize("version", VERSIONS)
def test_mistral_7b_has_its_published_number_of_parameters(version):
    raw, published = VERSIONS[version]
    config = config_from(raw)
    assert parameter_count(config) == published
    assert (config.kv_heads, config.head_size, config.context) == (8, 128, 32768)
    assert (config.window, config.rotary_base) == (raw["sliding_window"], raw["rope_theta"])


@pytest.mark.parametrize("name", TIED)
def test_small_models_with_tied_embeddings_have_their_published_numbers(name):
    raw, published = TIED[name]
    assert parameter_count(config_from(raw)) == published
    assert config_from(raw).window is None


@pytest.mark.parametrize("name", REAL)
def test_the_import_reads_the_tensors_that_transformers_writes(name):
    """Names and shapes of the whole plan, against transformers' module without memory."""
    torch = pytest.importorskip("torch", reason="torch is for tests alone")
    import transformers

    with torch.device("meta"):
        module = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**REAL[name]))
    # The module calls it lm_head in every family, and writes GPT-NeoX's as its files have always had it.
    unembedding = "embed_out" if REAL[name]["model_type"] == "gpt_neox" else "lm_head"
    theirs = {k.replace("lm_head", unembedding): tuple(t.shape) for k, t in module.state_dict().items()}
    if REAL[name]["tie_word_embeddings"]:
        del theirs["lm_head.weight"]  # the embedding again
    ours = {tensor: p.tensor_shape for p in parameters(config_from(REAL[name])) for tensor in p.tensors}
    assert ours == theirs


# Four devices do not divide Qwen2.5-0.5B's two key heads.
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REAL.keys() - {"qwen2.5-0.5b"}))
@pytest.mark.parametrize("sizes", [MeshShape(8, 1, 1), MeshShape(1, 8, 1), MeshShape(2, 2, 2), MeshShape(1, 2, 4)])
def test_eight_devices_share_the_real_shapes(name, sizes):
    """Each leaf's part on a device, by JAX's own account of its sharding, is what the memory table counts."""
    config = config_from(REAL[name])
    check_mesh(config, sizes, 8)
    cut = parameter_shardings(AbstractMesh(tuple(sizes), sizes._fields), config)
    held = sum(
        math.prod(sharding.shard_shape(leaf.shape))
        for leaf, sharding in zip(*map(jax.tree.leaves, (shapes(config), cut)), strict=True)
    )
    assert memory.training(config, Compute(), sizes, 8, 128).parts["parameters"] == 4 * held
    assert held >= parameter_count(config) / (sizes.fsdp * sizes.tensor)
    # Norms and biases are small: all but them is cut both ways.
    assert held < 1.01 * parameter_count(config) / (sizes.fsdp * sizes.tensor) + 1000 * config.width
    assert all(isinstance(s, NamedSharding) for s in jax.tree.leaves(cut))


@pytest.mark.parametrize("name", ["12b", "v0.1"])
def test_the_largest_models_programs_are_well_formed(name):
    """Loss, gradients and a decoding step of the real shapes, traced without a number."""
    config = config_from(REAL[name])
    model = Model(config, Compute("bfloat16", "full"))
    params, ids = shapes(config), lambda *shape: jax.ShapeDtypeStruct(shape, jnp.int32)
    with jax.numpy_dtype_promotion("standard"):  # JAX's own attention promotes 16-bit floats implicitly
        batch = TokenBatch(ids(2, 5000), ids(2))
        loss, gradients = jax.eval_shape(functools.partial(mean_gradients, CrossEntropy(model)), params, batch)
    assert (loss.shape, loss.dtype) == ((), jnp.float32)
    jax.tree.map(lambda g, p: np.testing.assert_equal((g.shape, g.dtype), (p.shape, p.dtype)), gradients, params)
    decoding = jax.eval_shape(model.for_decoding, params)
    cache = jax.eval_shape(lambda: model.empty_cache(2, 5000))
    hidden, after = jax.eval_shape(model.step, decoding, ids(2), cache)
    assert (hidden.shape, hidden.dtype) == ((2, config.width), jnp.bfloat16)
    assert jax.tree.map(lambda leaf: leaf.shape, after) == jax.tree.map(lambda leaf: leaf.shape, cache)
    adapters = jax.eval_shape(lambda: lora.init(config, 16, key=jax.random.key(0)))
    made = memory.training_adapters(config, model.compute, MeshShape(), 2, 128, 16).parts["adapters"]
    assert made == sum(4 * leaf.size for leaf in jax.tree.leaves(adapters))


def test_a_step_that_cannot_fit_is_refused_before_it_is_compiled():
    """Full fine-tuning of 7B: weights and moments of 81 GiB may be there, gradients of 27 are still too many here."""
    config = config_from(MISTRAL)
    model = Model(config, Compute("bfloat16", "full"))
    state = jax.eval_shape(start, shapes(config))
    numbers = tuple(map(jnp.float32, (1e-5, 0.9, 0.999, 1e-8, 0.0)))
    with pytest.raises(ValueError, match=r"a training step of 64 rows of 385 tokens needs about \d+\.\d+ GiB on each"):
        rows = jax.ShapeDtypeStruct((64, 385), jnp.int32), jax.ShapeDtypeStruct((64,), jnp.int32)
        full_step(model).lower(state, TokenBatch(*rows), Adam(*numbers))


def test_info_of_mistral_7b_needs_its_configuration_alone(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(MISTRAL))
    options = ("--batch", "64", "--length", "384", "--fsdp", "4", "--tensor", "2", "--attention", "cudnn")
    assert command("info", str(tmp_path), *options) == 0
    said = capsys.readouterr().out
    assert f"{'window':<20}4096" in said
    assert f"{7_241_732_096:>18,}" in said
    assert "per device, 64 sequences of 384 tokens, data 1 x fsdp 4 x tensor 2:" in said
    # By hand: 7.24e9 / 8 devices · 2 bytes, and 4; a cache of 2 · 32 layers · 384 · 1024 numbers · 2 bytes for each of
    # 16 rows on half of its heads; norms, which are cut along fsdp alone, are in the rounding.
    inference, training = said.split("\ntraining (")[0], said.split("\ntraining (")[1]
    assert "parameters" in inference
    assert value(inference.split("per device")[1], "parameters") == pytest.approx(7.2417e9 * 2 / 8 / 2**30, abs=0.006)
    assert value(inference, "cache") == pytest.approx(2 * 32 * 384 * 1024 * 2 * 16 / 2 / 2**30, abs=0.006)
    assert value(training, "gradients") == pytest.approx(7.2417e9 * 4 / 8 / 2**30, abs=0.01)
    assert value(training, "Adam's moments") == pytest.approx(7.2417e9 * 8 / 8 / 2**30, abs=0.01)
    assert "training adapters of rank 16" in said


def value(table: str, part: str) -> float:
    """GiB of the first line that names the part."""
    line = next(line for line in table.splitlines() if line.strip().startswith(part))
    number, unit = line.split()[-2:]
    return float(number) * {"GiB": 1.0, "MiB": 2.0**-10}[unit]
