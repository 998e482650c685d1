"""Scoring against float64 over the whole vocabulary, and against what probabilities must be."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import llm_cases
import numpy as np
import pytest
from llm_cases import CASES, random_params

from modeseek.llm.inference.scoring import ModelWithParams, response_mask, score
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.models.parameters import shapes

TOKENS, LENGTHS = jnp.asarray(llm_cases.padded()), jnp.asarray(llm_cases.LENGTHS)
STARTS = jnp.array([3, 1, 5])
REAL = (np.arange(1, 11)[None] >= np.asarray(STARTS)[:, None]) & (np.arange(1, 11)[None] < llm_cases.LENGTHS[:, None])


@functools.lru_cache
def policies() -> tuple[ModelWithParams, ModelWithParams]:
    """Two models of one vocabulary and different architectures; more layers would be compiled, and score alike."""
    one, other = (shallow(case) for case in ("pythia", "mistral"))
    return one, other


def shallow(case: str, std: float = 0.15, **sizes: int) -> ModelWithParams:
    """A case with one layer, of which nothing is computed again."""
    config = dataclasses.replace(config_from(CASES[case]), layers=1, **sizes)
    return ModelWithParams(Model(config, Compute(remat="none")), random_params(config, std=std))


@functools.lru_cache
def logits_of(which: int) -> np.ndarray:
    """Logits of one of the policies after every prefix."""
    model, params = policies()[which]
    return np.asarray(jax.jit(lambda p: model.logits(p, model.hidden(p, TOKENS)))(params), np.float64)


def all_log_probs(which: int) -> np.ndarray:
    """log π of every entry after every prefix, float64 from the logits on, without any of the scoring code."""
    logits = logits_of(which)[:, :-1]
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


@pytest.mark.parametrize("chunk", [12, 1000])
def test_log_probs_entropy_and_kl_are_exact(chunk):
    policy, other = policies()
    run = lambda p, q: score(
        policy._replace(params=p),
        TOKENS,
        LENGTHS,
        STARTS,
        other=other._replace(params=q),
        with_entropy=True,
        chunk=chunk,
    )
    scores = jax.jit(run)(policy.params, other.params)
    log_p, log_q = all_log_probs(0), all_log_probs(1)
    chosen = np.take_along_axis(log_p, llm_cases.padded()[:, 1:, None].astype(np.int64), -1)[..., 0]
    np.testing.assert_array_equal(scores.mask, REAL)
    np.testing.assert_allclose(scores.log_probs, np.where(REAL, chosen, 0), atol=2e-5)
    np.testing.assert_allclose(scores.sums, np.where(REAL, chosen, 0).sum(1), rtol=1e-5)
    np.testing.assert_allclose(scores.entropy, np.where(REAL, -(np.exp(log_p) * log_p).sum(-1), 0), atol=2e-5)
    kl = (np.exp(log_p) * (log_p - log_q)).sum(-1)
    assert kl.min() > 0.01
    np.testing.assert_allclose(scores.kl, np.where(REAL, kl, 0), atol=5e-5)


def test_gradients_do_not_depend_on_chunks():
    """Rematerialised chunks against one pass over all logits that uses none of the scoring code."""
    policy, other = policies()
    log_q = jnp.asarray(all_log_probs(1), jnp.float32)

    def chunked(params):
        s = score(policy._replace(params=params), TOKENS, LENGTHS, STARTS, other=other, with_entropy=True, chunk=9)
        return s.sums.sum() + 0.5 * s.entropy.sum() - 0.3 * s.kl.sum()

    def whole(params):
        mask = jnp.asarray(REAL)
        hidden = policy.model.hidden(params, TOKENS)[:, :-1]
        log_p = jax.nn.log_softmax(policy.model.logits(params, hidden))
        each = jnp.take_along_axis(log_p, TOKENS[:, 1:, None], -1)[..., 0]
        entropy = -(jnp.exp(log_p) * log_p).sum(-1)
        kl = (jnp.exp(log_p) * (log_p - log_q)).sum(-1)
        return jnp.where(mask, each + 0.5 * entropy - 0.3 * kl, 0.0).sum()

    ours, theirs = jax.jit(jax.grad(chunked))(policy.params), jax.jit(jax.grad(whole))(policy.params)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(theirs)) > 0.1
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4), ours, theirs)


def test_a_second_model_that_is_the_first_has_no_kl():
    policy, _ = policies()
    run = jax.jit(lambda p: score(policy._replace(params=p), TOKENS, LENGTHS, other=policy._replace(params=p)).kl)
    np.testing.assert_allclose(run(policy.params), 0.0, atol=1e-6)


@pytest.mark.parametrize("case", ["pythia", "mistral"])
def test_probabilities_of_all_continuations_sum_to_one(case):
    """All 3² continuations of two tokens: Σ exp(log π(y | x)) = 1, for each of two prompts of different lengths."""
    policy = shallow(case, 0.3, vocab_size=3)
    run = jax.jit(lambda p, t, l, s: score(policy._replace(params=p), t, l, s).sums)
    for prompt in ([0], [2, 1, 0, 1]):
        rows = np.array([[*prompt, *y] + [0] * (4 - len(prompt)) for y in itertools.product(range(3), repeat=2)])
        starts = jnp.full(9, len(prompt))
        sums = np.asarray(run(policy.params, jnp.asarray(rows), starts + 2, starts), np.float64)
        assert np.exp(sums).sum() == pytest.approx(1.0, abs=1e-5)
        assert np.exp(sums).max() < 0.9


def test_padding_changes_nothing_and_has_no_gradient():
    policy, _ = policies()
    loss = jax.jit(
        jax.value_and_grad(lambda p, t: score(policy._replace(params=p), t, LENGTHS, with_entropy=True).sums.sum())
    )
    value, gradient = loss(policy.params, TOKENS)
    other, other_gradient = loss(policy.params, jnp.asarray(llm_cases.TOKENS))
    assert float(value) == float(other)
    jax.tree.map(np.testing.assert_array_equal, gradient, other_gradient)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))


def test_masks():
    mask = response_mask(jnp.array([1, 3]), jnp.array([2, 5]), 5)
    np.testing.assert_array_equal(mask, [[1, 0, 0, 0], [0, 0, 1, 1]])


def test_logits_are_never_all_there():
    """XLA's count of temporaries: a gradient over 128 chunks takes at most half of what the logits alone would.

    Short rows, as attention's own scores grow with their square.
    """
    config = dataclasses.replace(config_from(CASES["pythia"]), layers=1, vocab_size=20_000, context=512)
    model, tokens = Model(config), jax.ShapeDtypeStruct((16, 129), jnp.int32)
    loss = lambda p, t: score(ModelWithParams(Model(config), p), t, jnp.full(16, 129), chunk=16).sums.sum()
    analysis = jax.jit(jax.grad(loss)).lower(shapes(model.config), tokens).compile().memory_analysis()
    assert analysis.temp_size_in_bytes < 0.5 * 16 * 128 * 20_000 * 4


def test_what_cannot_be_scored_is_refused():
    policy, _ = policies()
    with pytest.raises(ValueError, match="at least 2 tokens to score, got 1"):
        score(policy, TOKENS[:, :1], jnp.ones(3, jnp.int32))
    with pytest.raises(ValueError, match="chunk must be a whole number of at least 1, got 0"):
        score(policy, TOKENS, LENGTHS, chunk=0)
    config = dataclasses.replace(policy.model.config, vocab_size=54)
    with pytest.raises(ValueError, match="one vocabulary, got 53 and 54 entries"):
        score(policy, TOKENS, LENGTHS, other=ModelWithParams(Model(config), policy.params))
