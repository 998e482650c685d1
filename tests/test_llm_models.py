"""GPT-NeoX, Mistral and Llama against transformers' own modules, and against themselves."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jaxtyping
import llm_cases
import numpy as np
import pytest
from llm_cases import CASES, GOLDEN, golden, params_of, random_params, torch_model, torch_outputs

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.models import attention
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.layers import wide_product
from modeseek.llm.models.model import BLOCKS, Compute, Model, last
from modeseek.llm.models.parameters import axes, init, parameters, shapes
from modeseek.llm.models.rotary import frequencies, rotary, rotate

TOKENS, PADDED, LENGTHS = map(jnp.asarray, (llm_cases.TOKENS, llm_cases.padded(), llm_cases.LENGTHS))
FULL = jnp.full(3, 11)
REAL = np.arange(11)[None] < np.asarray(LENGTHS)[:, None]


@functools.lru_cache
def random_model(case: str, **compute):
    """A case with large random weights of our own."""
    config = config_from(CASES[case])
    return Model(config, Compute(**compute)), random_params(config, ("lm", "reward", "value"))


@functools.lru_cache
def program(model: Model, what: str):
    """Compiled once for all tests."""

    def run(params, tokens, lengths):
        hidden = model.hidden(params, tokens, lengths)
        if what == "hidden":
            return hidden
        return model.logits(params, hidden) if what == "lm" else model.reward(params, hidden, lengths)

    return jax.jit(run)


def relative(ours, theirs) -> float:
    return float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(case):
    pytest.importorskip("torch", reason="torch is for tests alone; without it the golden files are what is compared")
    torch_module = torch_model(case)
    config = config_from(torch_module.config.to_dict())
    assert config == config_from(CASES[case])  # the newer keys and the older say the same
    ours = program(Model(config), "lm")(params_of(torch_module, config), TOKENS, FULL)
    assert relative(ours, torch_outputs(torch_module, llm_cases.TOKENS)) < 2e-4 / 20


@pytest.mark.parametrize("case", ["llama3", "qwen2_window", "qwen3"])
def test_gradients_are_those_of_transformers(case):
    """Of the mean log-sum-exp of all logits, with respect to every tensor; a tied one gathers both its uses."""
    torch = pytest.importorskip("torch", reason="torch is for tests alone")
    torch_module = torch_model(case)
    config = config_from(CASES[case])
    model, params = Model(config), params_of(torch_module, config)
    torch_module(torch.tensor(llm_cases.TOKENS.astype(np.int64))).logits.logsumexp(-1).mean().backward()
    theirs = {name: tensor.grad.numpy() for name, tensor in torch_module.named_parameters()}
    loss = lambda p: jax.nn.logsumexp(model.logits(p, model.hidden(p, TOKENS)), axis=-1).mean()
    ours = jax.jit(jax.grad(loss))(params)
    for p in parameters(config):
        leaf = functools.reduce(lambda node, key: node[key], p.path, ours)
        for layer, name in enumerate(p.tensors):
            part = leaf[layer] if p.stacked else leaf
            assert relative(part.T if p.transposed else part, theirs[name]) < 2e-5, name


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_files(case):
    """Outputs that tests/golden/make.py had from torch: the same comparison on machines without it."""
    checkpoint = open_checkpoint(golden(case))
    assert checkpoint.heads == (GOLDEN[case],)
    ours = program(Model(checkpoint.config), GOLDEN[case])(load(checkpoint), PADDED, LENGTHS)
    theirs = np.load(golden(case) / "outputs.npy")
    if GOLDEN[case] == "reward":
        assert relative(ours[:, None], theirs) < 1e-5
    else:
        assert relative(np.asarray(ours)[REAL], theirs[REAL]) < 1e-5


@pytest.mark.parametrize("case", ["pythia", "mistral_window"])
def test_padding_changes_nothing(case):
    model, params = random_model(case)
    hidden = program(model, "hidden")(params, TOKENS, LENGTHS)
    np.testing.assert_array_equal(hidden, program(model, "hidden")(params, PADDED, LENGTHS))
    np.testing.assert_array_equal(np.asarray(hidden)[~REAL], 0.0)
    alone = program(model, "hidden")(params, TOKENS[1:2, :4], LENGTHS[1:2])
    np.testing.assert_allclose(hidden[1, :4], alone[0], atol=2e-5)
    rewards = model.reward(params, hidden, LENGTHS)
    np.testing.assert_allclose(rewards[1:2], model.reward(params, alone, LENGTHS[1:2]), atol=2e-5)


def test_no_gradient_comes_from_padding():
    """The embedding of an id that only pads has gradient 0, and nothing is NaN."""
    model, params = random_model("pythia")
    gradient = jax.jit(jax.grad(lambda p: (model.hidden(p, PADDED, LENGTHS) ** 2).sum()))(params)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))
    rows = np.abs(gradient["embed"]["embedding"]).sum(axis=1)
    assert rows[1] == 0.0
    assert rows[TOKENS[0]].min() > 0.0


@pytest.mark.parametrize("case", ["pythia", "mistral_window", "mistral_head_size", "qwen3"])
def test_cached_steps_give_what_the_whole_sequence_gives(case):
    """Prompts of different lengths are read at once, then each row goes on from its own position."""
    model, params = random_model(case)
    whole = program(model, "hidden")(params, TOKENS, FULL)
    decoding = model.for_decoding(params)
    prompts = jnp.array([6, 2, 5])
    hidden, cache = jax.jit(model.prefill)(decoding, TOKENS[:, :6], prompts, model.empty_cache(3, 11))
    np.testing.assert_allclose(last(hidden, prompts), last(whole, prompts), atol=2e-5)
    step = jax.jit(model.step, donate_argnums=2)
    for _ in range(5):
        positions = np.asarray(cache.lengths)
        hidden, cache = step(decoding, TOKENS[np.arange(3), positions], cache)
        np.testing.assert_allclose(hidden, whole[np.arange(3), positions], atol=2e-5)
    assert step._cache_size() == 1  # positions are data
    np.testing.assert_array_equal(cache.lengths, prompts + 5)


def test_a_full_cache_is_not_written_to():
    model, params = random_model("pythia")
    decoding = model.for_decoding(params)
    cache = model.empty_cache(3, 6)._replace(lengths=jnp.array([6, 2, 6]))
    _, after = jax.jit(model.step)(decoding, TOKENS[:, 4], cache)
    written = np.abs(after.layers[0].keys).sum(axis=(1, 3)) > 0
    np.testing.assert_array_equal(written, np.arange(18).reshape(3, 6) == 6 + 2)
    with pytest.raises(ValueError, match="room for 6 tokens, got prompts of 7"):
        model.prefill(decoding, TOKENS[:, :7], jnp.full(3, 7), cache)


def test_a_row_whose_window_lies_beyond_its_cache_gives_numbers():
    model, params = random_model("mistral_window")
    cache = model.empty_cache(3, 6)._replace(lengths=jnp.array([20, 2, 9]))
    hidden, _ = jax.jit(model.step)(model.for_decoding(params), TOKENS[:, 4], cache)
    assert np.isfinite(hidden).all()


def test_remat_and_unrolling_change_no_gradient():
    gradients = []
    for compute in ({"remat": "none"}, {"remat": "dots"}, {"remat": "full", "unroll": 3}):
        model, params = random_model("pythia", **compute)
        loss = lambda p, m=model: jax.nn.logsumexp(m.logits(p, m.hidden(p, TOKENS)), axis=-1).mean()
        gradients.append(jax.jit(jax.grad(loss))(params))
    for other in gradients[1:]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), gradients[0], other)


def test_computing_in_bfloat16_keeps_float32_parameters_and_logits():
    model, params = random_model("pythia")
    half = Model(model.config, Compute("bfloat16"))
    with jax.numpy_dtype_promotion("standard"):  # JAX's attention is not strict when it is differentiated
        loss, gradient = jax.jit(jax.value_and_grad(lambda p: (half.logits(p, half.hidden(p, TOKENS)) ** 2).mean()))(
            params
        )
    exact = program(model, "lm")(params, TOKENS, FULL)
    ours = program(half, "lm")(params, TOKENS, FULL)
    assert ours.dtype == loss.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.float32)}
    assert 1e-4 < relative(ours, np.asarray(exact)) < 0.1  # eight bits, three layers
    cast = half.for_decoding(params)
    assert cast["layers"][0]["expand"]["kernel"].dtype == jnp.bfloat16
    assert cast["layers"][0]["mlp_norm"]["scale"].dtype == jnp.float32


def test_value_head_reads_every_position():
    model, params = random_model("mistral")
    hidden = program(model, "hidden")(params, TOKENS, LENGTHS)
    head = params["heads"]["value"]
    expected = np.asarray(hidden) @ np.asarray(head["kernel"])[:, 0] + np.asarray(head["bias"])[0]
    np.testing.assert_allclose(model.values(params, hidden), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_parameter_table_is_what_the_blocks_declare(case):
    """Paths, shapes and axes of the table against the shapes with which Linen would start a block."""
    config = config_from(CASES[case])
    block, _ = BLOCKS[config.architecture]
    turn = rotary(jnp.arange(5)[None], frequencies(config.rotary_size, config.rotary_base))
    x = jnp.zeros((2, 5, config.width))
    causal = attention.causal(config.window, "xla")
    declared = jax.eval_shape(lambda: block(config, jnp.dtype("float32")).init(jax.random.key(0), x, turn, causal))
    table = shapes(config)["layers"]
    assert jax.tree.structure(declared["params"]) == jax.tree.structure(table)
    jax.tree.map(lambda a, b: np.testing.assert_equal((config.layers, *a.shape), b.shape), declared["params"], table)
    jax.tree.map(lambda a, b: np.testing.assert_equal(len(a), len(b.shape)), axes(config)["layers"], table)


def test_rotary_products_depend_on_the_distance_alone():
    """<R(p) q, R(s) k> is a function of p - s, and features beyond the first 6 of 10 are left alone."""
    q, k = np.random.default_rng(0).normal(size=(2, 1, 1, 1, 10)).astype(np.float32)

    def product(p: int, s: int) -> float:
        turned = [
            rotate(jnp.asarray(x), rotary(jnp.array([[at]]), frequencies(6, 100.0))) for x, at in ((q, p), (k, s))
        ]
        np.testing.assert_array_equal(turned[0][..., 6:], q[..., 6:])
        return float((turned[0] * turned[1]).sum())

    assert product(9, 4) == pytest.approx(product(5, 0), abs=1e-5)
    assert product(0, 0) == pytest.approx(float((q * k).sum()), abs=1e-5)
    assert abs(product(9, 4) - product(4, 9)) > 1e-3


def test_wide_product_and_its_gradient():
    """Against float64: sums are not rounded to 16 bits, gradients are those of a product."""
    rng = np.random.default_rng(1)
    x, kernel = (jnp.asarray(rng.normal(size=s), jnp.bfloat16) for s in ((4, 3, 64), (64, 5)))
    exact = np.asarray(x, np.float64) @ np.asarray(kernel, np.float64)
    np.testing.assert_allclose(wide_product(x, kernel), exact, rtol=1e-5, atol=1e-5)
    cotangent = rng.normal(size=(4, 3, 5))
    of_x, of_kernel = jax.vjp(wide_product, x.astype(jnp.float32), kernel.astype(jnp.float32))[1](
        jnp.asarray(cotangent, jnp.float32)
    )
    np.testing.assert_allclose(of_x, cotangent @ np.asarray(kernel, np.float64).T, atol=1e-5)
    np.testing.assert_allclose(of_kernel, np.einsum("abi,abo->io", np.asarray(x, np.float64), cotangent), atol=1e-5)


def test_attention_falls_back_where_cudnn_fails(monkeypatch, capsys):
    """On a machine that says it has a GPU and cannot run the kernel: said once, and XLA's path is taken."""
    assert not attention.cudnn_works(64, "bfloat16")  # no GPU here
    attention.cudnn_works.cache_clear()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with jax.numpy_dtype_promotion("standard"):
        assert not attention.cudnn_works(64, "bfloat16")
        assert not attention.cudnn_works(64, "bfloat16")
    assert not attention.cudnn_works(64, "float32")
    assert capsys.readouterr().err.count("cuDNN attention does not run for heads of 64; XLA's is used") == 1
    attention.cudnn_works.cache_clear()


def test_fresh_parameters_have_the_configured_spread():
    config = dataclasses.replace(config_from(CASES["pythia"]), init_std=0.05)
    start = jax.jit(lambda key: init(config, ("lm", "value"), key=key))
    params = start(jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, params, start(jax.random.key(1)))
    kernel = params["layers"]["expand"]["kernel"]
    assert float(kernel.std()) == pytest.approx(0.05, rel=4 / np.sqrt(2 * kernel.size))
    assert float(jnp.abs(kernel[0] - kernel[1]).min()) > 0
    assert float(params["norm"]["scale"].min()) == 1.0
    assert float(jnp.abs(params["heads"]["value"]["bias"]).max()) == 0.0


IMPOSSIBLE = [
    ({"kv_heads": 4}, r"heads \(6\) must be a multiple of kv_heads \(4\)"),
    ({"layers": 0}, "layers must be a whole number of at least 1, got 0"),
    ({"window": 0}, "window must be a whole number"),
    ({"activation": "mish"}, "activation must be one of"),
    ({"rotary_fraction": 0.5}, "an even number of a head's features: 0.5 of 6 is 3"),
    ({"norm_epsilon": float("nan")}, "norm_epsilon must be positive"),
]


@pytest.mark.parametrize(("change", "message"), IMPOSSIBLE)
def test_impossible_sizes_are_refused(change, message):
    config: ModelConfig = config_from(CASES["mistral"])
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **change)


@pytest.mark.parametrize("compute", [{"dtype": "int8"}, {"remat": "some"}, {"attention": "flash"}, {"unroll": 0}])
def test_unknown_ways_to_compute_are_refused(compute):
    with pytest.raises((ValueError, jaxtyping.TypeCheckError), match=f"{next(iter(compute))}"):
        Compute(**compute)


def test_unknown_heads_are_refused():
    with pytest.raises(ValueError, match="heads must be some of lm, reward, value, each once, got lm, lm"):
        parameters(config_from(CASES["mistral"]), ("lm", "lm"))
