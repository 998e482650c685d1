"""What a step is given: weights of an objective, responses alone, parts, any optimizer; each beside its definition."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from llm_cases import CASES, LENGTHS, full_step, padded, random_params

from modeseek.llm.inference.scoring import ModelWithParams, score
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.low_rank import merge
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.parallel.memory import ADAM
from modeseek.llm.parallel.mesh import MeshShape, make_mesh
from modeseek.llm.training import lora
from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
from modeseek.llm.training.optimizer import Adam, optimizer_size, start
from modeseek.llm.training.step import make_step, mean_gradients, state_shardings
from modeseek.llm.training.trainable import AllParameters

TOKENS = jnp.asarray(np.concatenate([padded(), padded()[:1, ::-1]]))
COUNTS = jnp.asarray(np.append(LENGTHS, 6).astype(np.int32))
STARTS = jnp.array([3, 2, 1, 5])
MODEL = Model(config_from(CASES["pythia"]))


@functools.cache
def params():
    return random_params(MODEL.config)


def close(ours, theirs, tolerance=2e-5):
    """Every leaf within a share of its own largest entry."""
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert np.abs(a - b).max() <= tolerance * max(np.abs(b).max(), 1e-6), jax.tree_util.keystr(path)


def log_probs(given):
    """log π of every response token, `[B, S-1]`, all logits at once."""
    every = jax.nn.log_softmax(MODEL.logits(given, MODEL.hidden(given, TOKENS[:, :-1])), axis=-1)
    chosen = jnp.take_along_axis(every, TOKENS[:, 1:, None], axis=-1)[..., 0]
    at = jnp.arange(1, TOKENS.shape[1])[None, :]
    return jnp.where((at >= STARTS[:, None]) & (at < COUNTS[:, None]), chosen, 0.0)


def objective(token_log_probs):
    """One that no part of the rows has: pairs, a normaliser over all of them, a nonlinear reward of the whole."""
    sums = token_log_probs.sum(axis=1)
    centred = sums - sums.mean()
    return -jax.nn.log_sigmoid(0.1 * (sums[0] - sums[3])) + (centred[1] / jnp.sqrt((centred**2).mean())) ** 3


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_weights_of_an_objective_give_its_gradient_however_rows_are_taken(accumulate):
    """w = -∂L/∂log π from a scoring pass, then the weighted cross-entropy: L's own gradient, pairs split or not."""
    wanted = jax.jit(jax.grad(lambda p: objective(log_probs(p))))(params())
    scored = jax.jit(lambda p: score(ModelWithParams(MODEL, p), TOKENS, COUNTS, STARTS).log_probs)(params())
    weights = -jax.grad(objective)(scored)
    spoilt = jnp.where(weights == 0, jnp.nan, weights)  # what no token has a weight for: prompts and pads
    batch = TokenBatch(TOKENS, COUNTS, STARTS, spoilt)
    found = jax.jit(lambda p: mean_gradients(CrossEntropy(MODEL, 7), p, batch, accumulate=accumulate))
    value, gradients = found(params())
    close(gradients, wanted, 5e-5)
    np.testing.assert_allclose(value, -(weights * scored).sum(), rtol=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_of_a_prompt_nothing_is_learnt_and_its_response_counts_alone(accumulate):
    """The mean over tokens from `starts` on; a loss of their sum, not of parts' means."""
    count = int((COUNTS - STARTS).sum())
    wanted = jax.jit(jax.value_and_grad(lambda p: -log_probs(p).sum() / count))(params())
    batch = TokenBatch(TOKENS, COUNTS, STARTS)
    found = jax.jit(lambda p: mean_gradients(CrossEntropy(MODEL, 12), p, batch, accumulate=accumulate))
    ours = found(params())
    np.testing.assert_allclose(ours[0], wanted[0], rtol=1e-5)
    close(ours[1], wanted[1])


class Numbers(NamedTuple):
    tokens: jax.Array
    x: jax.Array


@dataclasses.dataclass(frozen=True)
class Linear:
    """Σ w·x over rows: its gradient is Σ x."""

    model: Model = MODEL
    chunk: int = 1

    def summed(self, params, batch):
        return (params["w"][None, :] * batch.x).sum().astype(jnp.float32)

    def divisor(self, batch):
        return jnp.ones((), jnp.float32)


def test_parts_of_sixteen_bit_gradients_are_summed_in_thirty_two():
    """512 parts of 1 each: in bfloat16 the sum would stay at 256, where one more is less than half its last digit."""
    batch = Numbers(jnp.zeros((512, 2), jnp.int32), jnp.ones((512, 1), jnp.bfloat16))
    weight = {"w": jnp.zeros(1, jnp.bfloat16)}
    _, gradients = mean_gradients(Linear(), weight, batch, accumulate=512)
    assert gradients["w"].dtype == jnp.float32
    assert float(gradients["w"][0]) == 512.0


def schedule():
    """Clipping, AdamW and a rate that falls step by step."""
    rate = optax.linear_schedule(1e-2, 0.0, 4)
    return optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(rate, eps=1e-3, weight_decay=0.1))


@pytest.mark.slow
def test_any_optimizer_of_optax_steps_as_it_does_by_itself():
    """Three steps on a mesh of one device, beside optax on the definition's gradients; compiled once."""
    theirs, optimizer = params(), schedule()
    count = int((COUNTS - STARTS).sum())
    definition = jax.jit(jax.grad(lambda p: -log_probs(p).sum() / count))
    mesh, trainable = make_mesh(MeshShape(), MODEL.config, 4, jax.devices()[:1]), AllParameters(MODEL.config)
    state = start(jax.tree.map(jnp.copy, params()), optimizer)
    state = jax.device_put(state, state_shardings(trainable, mesh, optimizer))
    step = make_step(CrossEntropy(MODEL), trainable, optimizer=optimizer, mesh=mesh)
    moments = optimizer.init(theirs)
    for _ in range(3):
        with jax.numpy_dtype_promotion("standard"):
            updates, moments = optimizer.update(definition(theirs), moments, theirs)
        theirs = optax.apply_updates(theirs, updates)
        state, _ = step(state, TokenBatch(TOKENS, COUNTS, STARTS))
    close(state.params, theirs, 1e-4)
    assert step._cache_size() == 1


def test_an_optimizer_keeps_wide_numbers_of_sixteen_bit_parameters():
    narrow = {"w": jnp.ones((3, 4), jnp.bfloat16)}
    kept = jax.tree.leaves(start(narrow, schedule()).optimizer)
    assert {leaf.dtype for leaf in kept if leaf.shape} == {jnp.dtype("float32")}
    assert optimizer_size(None, narrow) == ADAM
    assert optimizer_size(optax.sgd(0.1), narrow).numbers == 0
    assert optimizer_size(optax.sgd(0.1, momentum=0.9), narrow) == ("the optimizer's state", 1)


def test_a_step_knows_one_source_of_its_optimizers_numbers():
    batch, trainable = TokenBatch(TOKENS, COUNTS), AllParameters(MODEL.config)
    with pytest.raises(ValueError, match="either Adam's numbers at each call or an optimizer of its own, got neither"):
        full_step(MODEL)(start(params()), batch)
    fixed = make_step(CrossEntropy(MODEL), trainable, optimizer=optax.sgd(0.1))
    with pytest.raises(ValueError, match="or an optimizer of its own, got both"):
        fixed(start(params(), optax.sgd(0.1)), batch, Adam())


def test_adapters_learn_from_weights_as_all_parameters_do():
    """The same loss and batch, another trainable: gradients of A and B by the chain rule through the merged kernels."""
    rng = np.random.default_rng(2)
    fresh = lora.init(MODEL.config, 4, key=jax.random.key(1))
    moved = jax.tree.map(lambda leaf: jnp.asarray(0.2 * rng.normal(size=leaf.shape), leaf.dtype), fresh)
    weights = jnp.asarray(rng.normal(size=(4, TOKENS.shape[1] - 1)), jnp.float32)
    batch, trainable = TokenBatch(TOKENS, COUNTS, STARTS, weights), lora.Adapters(MODEL.config)
    loss, frozen = CrossEntropy(Model(MODEL.config, Compute(remat="full")), 7), lora.Frozen(params(), 0.5)
    complete = lambda trained: trainable.complete(trained, frozen)
    _, ours = jax.jit(lambda a: mean_gradients(loss, a, batch, accumulate=2, complete=complete))(moved)
    _, whole = jax.jit(lambda p: mean_gradients(loss, p, batch))(merge(params(), moved, 0.5))
    for name, adapter in moved.items():
        kernel = whole["layers"][name]["kernel"]
        close(ours[name]["lora_a"], 0.5 * jnp.einsum("lio,lro->lir", kernel, adapter["lora_b"]), 2e-4)
        close(ours[name]["lora_b"], 0.5 * jnp.einsum("lir,lio->lro", adapter["lora_a"], kernel), 2e-4)
