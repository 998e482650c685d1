"""A training step on one device: the loss in chunks, accumulation, Adam, rematerialisation, adapters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from llm_cases import CASES, LENGTHS, adapter_step, full_step, padded, random_params

from modeseek.llm.inference.chunked_logits import cross_entropy
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.low_rank import merge
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.mesh import MeshShape
from modeseek.llm.training import lora
from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
from modeseek.llm.training.optimizer import Adam, apply, start
from modeseek.llm.training.step import mean_gradients

ROWS = jnp.asarray(np.concatenate([padded(), padded()[:1, ::-1]]))
COUNTS = jnp.asarray(np.append(LENGTHS, 6).astype(np.int32))
BATCH = TokenBatch(ROWS, COUNTS)
# A large epsilon: the first step is otherwise the gradient's sign, which rounding decides where the gradient is zero
# (attention does not see a bias of all keys).
ADAM = Adam(1e-2, epsilon=1e-3, weight_decay=0.1)


@functools.partial(jax.jit, static_argnums=0)
@functools.partial(jax.value_and_grad, argnums=1)
def plain(model, params):
    """The definition: all logits at once, every real token after the first named."""
    log_probs = jax.nn.log_softmax(model.logits(params, model.hidden(params, ROWS)), axis=-1)
    real = [(b, t) for b, length in enumerate([*LENGTHS, 6]) for t in range(length - 1)]
    rows, positions = np.array(real).T
    return -log_probs[rows, positions, ROWS[rows, positions + 1]].mean()


def close(ours, theirs, tolerance=2e-5):
    """Every leaf within a share of its own largest entry."""
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-6), jax.tree_util.keystr(path)


@pytest.fixture(scope="module", params=["pythia", "neox_tied"])
def defined(request):
    """A model, its parameters, and the definition's loss and gradients."""
    model = Model(config_from(CASES[request.param]))
    params = random_params(model.config)
    return model, params, *plain(model, params)


@pytest.mark.parametrize(("chunk", "accumulate"), [(4096, 1), (7, 1), (12, 2)])
def test_loss_and_gradients_are_the_definitions_whatever_the_chunks_and_parts(defined, chunk, accumulate):
    model, params, loss, gradients = defined
    given = CrossEntropy(model, chunk)
    ours = jax.jit(lambda p: mean_gradients(given, p, BATCH, accumulate=accumulate))(params)
    np.testing.assert_allclose(ours[0], loss, rtol=1e-5)
    close(ours[1], gradients)


def test_gradient_of_the_loss_with_respect_to_weights_is_the_tokens_losses(defined):
    model, params, loss, _ = defined
    hidden = model.hidden(params, ROWS[:, :-1])
    weights = jnp.ones((4, 10), jnp.float32)
    losses = jax.grad(lambda w: 2.0 * cross_entropy(model, 4, params, hidden, ROWS[:, 1:], w))(weights)
    real = (np.arange(10)[None, :] < np.asarray(COUNTS)[:, None] - 1).astype(np.float32)
    np.testing.assert_allclose((np.asarray(losses) * real).sum() / 2 / real.sum(), loss, rtol=1e-5)


def test_rematerialisation_changes_no_gradient(defined):
    model, params, _, gradients = defined
    assert model.compute.remat == "dots"
    for remat in ("none", "full"):
        again = Model(model.config, Compute(remat=remat))
        close(jax.jit(lambda p, m=again: mean_gradients(CrossEntropy(m), p, BATCH))(params)[1], gradients)


def test_steps_are_optaxs_adamw_and_numbers_do_not_recompile():
    """Three of them: the first does not depend on the decays, since both moments' bias is corrected."""
    model = Model(config_from(CASES["pythia"]))
    params = random_params(model.config)
    numbers = Adam(1e-2, 0.5, 0.75, 1e-3, 0.1)
    theirs = optax.adamw(1e-2, b1=0.5, b2=0.75, eps=1e-3, weight_decay=0.1)
    step, state, moments = full_step(model, chunk=16), start(jax.tree.map(jnp.copy, params)), theirs.init(params)
    losses = []
    for _ in range(3):
        _, gradients = plain(model, params)
        with jax.numpy_dtype_promotion("standard"):
            updates, moments = theirs.update(gradients, moments, params)
        params = optax.apply_updates(params, updates)
        state, loss = step(state, BATCH, Adam(*map(jnp.float32, numbers)))
        close(state.params, params, 1e-4)
        losses.append(float(loss))
    for rate in (1e-3, 3e-3):
        state, after = step(state, BATCH, Adam(*map(jnp.float32, ADAM._replace(learning_rate=rate))))
    assert after < losses[0]
    assert step._cache_size() == 1


def test_rows_without_anything_to_predict_count_for_nothing():
    """Rows of no token and of one: the loss is the mean over the other rows' tokens; of no tokens at all it is 0."""
    model = Model(config_from(CASES["pythia"]))
    params = random_params(model.config)
    found = jax.jit(lambda lengths: mean_gradients(CrossEntropy(model), params, TokenBatch(ROWS, lengths)))
    loss, _ = found(jnp.array([0, 4, 1, 6]))
    log_probs = np.asarray(jax.nn.log_softmax(logits(model, params), axis=-1))
    named = [log_probs[b, t, ROWS[b, t + 1]] for b, length in ((1, 4), (3, 6)) for t in range(length - 1)]
    np.testing.assert_allclose(loss, -np.mean(named), rtol=1e-5)
    nothing, gradients = found(jnp.array([0, 0, 1, 0]))
    assert float(nothing) == 0.0
    assert all(not leaf.any() for leaf in jax.tree.leaves(gradients))


def test_sixteen_bit_computing_keeps_master_weights_and_learns():
    model = Model(config_from(CASES["mistral"]), Compute("bfloat16", "full"))
    state = start(random_params(model.config, std=0.05))
    step, losses = full_step(model, accumulate=2, chunk=16), []
    # JAX's own attention promotes 16-bit floats implicitly on its way back.
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(12):
            state, loss = step(state, BATCH, Adam(1e-2))
            losses.append(float(loss))
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype("float32")}
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize("numbers", [Adam(1e-3), Adam(*map(jnp.float32, Adam(1e-3)))], ids=["numbers", "arrays"])
def test_moments_of_sixteen_bit_parameters_forget(numbers):
    """Five gradients of 100 and 395 of .01, beside the recursions in 64 bits; in bfloat16 .999 would be 1."""
    state, compiled = (
        start({"w": jnp.ones(4, jnp.bfloat16)}),
        jax.jit(lambda s, g, adam: apply(s, g, adam.transformation())),
    )
    first, second = 0.0, 0.0
    for turn in range(400):
        gradient = jnp.full(4, 100.0 if turn < 5 else 0.01, jnp.bfloat16)
        state = compiled(state, {"w": gradient}, numbers)
        exact = float(gradient[0])
        first, second = 0.9 * first + 0.1 * exact, 0.999 * second + 0.001 * exact**2
    assert compiled._cache_size() == 1
    assert state.params["w"].dtype == jnp.bfloat16
    np.testing.assert_allclose(state.optimizer.mu["w"], np.full(4, first, np.float32), rtol=1e-4)
    np.testing.assert_allclose(state.optimizer.nu["w"], np.full(4, second, np.float32), rtol=1e-4)
    estimate = functools.partial(memory.training, config_from(CASES["pythia"]), Compute("bfloat16"), MeshShape(), 4, 8)
    half, whole = estimate("bfloat16").parts, estimate("float32").parts
    assert (half["Adam's moments"], 2 * half["gradients"]) == (whole["Adam's moments"], whole["gradients"])


def test_parts_that_do_not_divide_are_refused():
    model = Model(config_from(CASES["pythia"]))
    with pytest.raises(ValueError, match=r"accumulate \(3\) must divide the batch's 4 rows"):
        mean_gradients(CrossEntropy(model), {}, BATCH, accumulate=3)
    with pytest.raises(ValueError, match="accumulate must be a whole number of at least 1, got 0"):
        full_step(model, accumulate=0)
    with pytest.raises(ValueError, match="chunk must be a whole number of at least 1, got 0"):
        CrossEntropy(model, 0)


# --- adapters ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["pythia", "mistral"])
def adapted(request):
    """A model, its parameters, fresh adapters, and adapters that change it."""
    model = Model(config_from(CASES[request.param]))
    fresh = lora.init(model.config, 4, key=jax.random.key(1))
    rng = np.random.default_rng(2)
    moved = jax.tree.map(lambda leaf: jnp.asarray(0.2 * rng.normal(size=leaf.shape), leaf.dtype), fresh)
    return model, random_params(model.config), fresh, moved


@functools.partial(jax.jit, static_argnums=0)
def logits(model, params):
    return model.logits(params, model.hidden(params, ROWS))


def test_fresh_adapters_change_nothing_and_merged_ones_compute_the_same(adapted):
    model, params, fresh, moved = adapted
    base = logits(model, params)
    np.testing.assert_array_equal(logits(model, lora.attach(params, fresh, 2.0)), base)
    with_adapters = logits(model, lora.attach(params, moved, 0.5))
    merged = logits(model, merge(params, moved, 0.5))
    assert np.abs(with_adapters - base).max() > 0.1 * np.abs(base).max()
    np.testing.assert_allclose(with_adapters, merged, atol=2e-4 * np.abs(base).max())
    # Every kernel of a layer has one, and A's shape is [layers, in, r].
    kernels = {name for name, leaves in params["layers"].items() if "kernel" in leaves}
    assert set(fresh) == kernels
    assert fresh["contract"]["lora_a"].shape == (3, model.config.mlp_width, 4)


def test_gradients_of_adapters_are_the_merged_kernels_by_the_chain_rule(adapted):
    """W' = W + s·A·B gives ∂/∂A = s·∂W'·Bᵀ and ∂/∂B = s·Aᵀ·∂W'."""
    model, params, _, moved = adapted
    loss, complete = CrossEntropy(model), lambda a: lora.attach(params, a, 0.5)
    _, ours = jax.jit(lambda a: mean_gradients(loss, a, BATCH, complete=complete))(moved)
    _, whole = jax.jit(lambda p: mean_gradients(loss, p, BATCH))(merge(params, moved, 0.5))
    for name, adapter in moved.items():
        kernel = whole["layers"][name]["kernel"]
        wanted = {
            "lora_a": 0.5 * jnp.einsum("lio,lro->lir", kernel, adapter["lora_b"]),
            "lora_b": 0.5 * jnp.einsum("lir,lio->lro", adapter["lora_a"], kernel),
        }
        close(ours[name], wanted, 2e-4)


def test_a_step_of_adapters_leaves_the_model_alone(adapted):
    model, params, fresh, _ = adapted
    before = jax.tree.map(np.asarray, params)
    step, state = adapter_step(model, accumulate=2), start(jax.tree.map(jnp.copy, fresh))
    losses = []
    for _ in range(5):
        state, loss = step(state, BATCH, Adam(1e-2), lora.Frozen(params, 2.0))
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    jax.tree.map(np.testing.assert_array_equal, params, before)
    # Nothing but the adapters and two moments of each is in the state.
    assert len(jax.tree.leaves(state)) == 3 * len(jax.tree.leaves(fresh)) + 1


def test_no_gradient_reaches_the_frozen_model(adapted):
    _, params, _, moved = adapted
    leak = jax.grad(lambda p: lora.attach(p, moved, 1.0)["layers"]["contract"]["kernel"].sum())(params)
    assert all(not leaf.any() for leaf in jax.tree.leaves(leak))


def test_ranks_that_no_kernel_has_are_refused():
    config = config_from(CASES["pythia"])
    for rank in (0, 49):
        with pytest.raises(ValueError, match=rf"rank must be 1 to 48 .*got {rank}"):
            lora.init(config, rank, key=jax.random.key(0))
    assert lora.init(config, 48, key=jax.random.key(0))["expand"]["lora_a"].shape == (3, 48, 48)


@pytest.mark.slow
def test_fresh_adapters_have_the_spread_of_their_inputs():
    """A's entries are N(0, 1 / in), within four standard errors, and no two kernels' are the same numbers."""
    adapters = lora.init(config_from(CASES["pythia"]), 8, key=jax.random.key(3))
    firsts = set()
    for adapter in adapters.values():
        normal = np.asarray(adapter["lora_a"]) * adapter["lora_a"].shape[1] ** 0.5
        assert abs(normal.std() - 1) < 4 / np.sqrt(2 * normal.size)
        firsts.add(round(float(normal[0, 0, 0]), 6))
    assert len(firsts) == len(adapters)
