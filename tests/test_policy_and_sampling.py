"""GPT-Nano, its cache, the sampler and the scorer: one distribution, however it is computed."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.simulator import gpt
from modeseek.bandit.simulator.gpt import Norm, dropout_masks, product_by_rows
from modeseek.bandit.simulator.policy import gpt_policy, parameter_count, tabular_policy
from modeseek.bandit.simulator.sampling import draw, sample, score

V, T = 3, 2
POLICY = gpt_policy(V, T, layers=2, heads=2, width=8)


@pytest.fixture(scope="module")
def params():
    """Weights ten times as large as at the start, so that the distribution is far from uniform."""
    return jax.tree.map(lambda p: p * 10.0, POLICY.init(jax.random.key(0)))


@pytest.fixture(scope="module")
def all_sequences():
    """Every prompt with every response, [V · V^T, 1 + T]."""
    return jnp.asarray(list(itertools.product(range(V), repeat=1 + T)), jnp.int32)


def test_probabilities_of_all_responses_sum_to_one(params, all_sequences):
    probs = jnp.exp(score(POLICY, params, all_sequences).sum(axis=-1)).reshape(V, -1)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, rtol=1e-5)
    assert probs.std() > 0.01  # far from uniform, or the sum would prove little


def test_same_token_scoring_is_no_distribution(params, all_sequences):
    """The released code's scoring: 27 numbers over prompt and response that do not sum to one."""
    policy = gpt_policy(V, 1 + T, layers=2, heads=2, width=8)
    weights = jax.tree.map(lambda p: p * 10.0, policy.init(jax.random.key(0)))
    total = jnp.exp(score(policy, weights, all_sequences, "same_token").sum(axis=-1)).sum()
    assert abs(float(total) - 1.0) > 0.05


def test_sampled_and_scored_log_probs_agree(params):
    prompts = jnp.arange(30) % V
    rollout = sample(POLICY, params, prompts, T, key=jax.random.key(1))
    np.testing.assert_allclose(rollout.token_log_probs, score(POLICY, params, rollout.tokens), atol=4e-6)
    assert (rollout.tokens[:, 0] == prompts).all()


def test_samples_follow_the_scored_distribution(params, all_sequences):
    """Frequencies of all V^T responses to one prompt, within 4 standard errors of the scorer's probabilities."""
    n = 20_000
    tokens = sample(POLICY, params, jnp.zeros(n, jnp.int32), T, key=jax.random.key(2)).tokens
    found = np.bincount(np.asarray(tokens[:, 1] * V + tokens[:, 2]), minlength=V**T) / n
    expected = np.exp(np.asarray(score(POLICY, params, all_sequences[: V**T]).sum(axis=-1)))
    assert (np.abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / n)).all()


def test_draw_inverts_the_cumulative_distribution():
    """With u on a regular grid of [0, 1) each token is drawn as often as its mass says; one of no mass, never."""
    probs = np.array([0.2, 0.0, 0.5, 0.3, 0.0])
    n = 1000
    uniform = jnp.asarray((np.arange(n) + 0.5) / n, jnp.float32)
    log_probs = jnp.broadcast_to(jnp.log(jnp.asarray(probs, jnp.float32)), (n, 5))
    counts = np.bincount(np.asarray(draw(log_probs, uniform)), minlength=5)
    np.testing.assert_array_equal(counts, [200, 0, 500, 300, 0])


def test_draw_at_the_ends_of_the_unit_interval_stays_on_the_support():
    log_probs = jnp.log(jnp.asarray([[0.0, 0.6, 0.4, 0.0]] * 2, jnp.float32))
    ends = jnp.asarray([0.0, np.nextafter(np.float32(1), np.float32(0))])
    np.testing.assert_array_equal(draw(log_probs, ends), [1, 2])


def _float64_gpt(params, tokens, heads):
    """minGPT's forward pass written out in NumPy, one sequence and one head at a time."""
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)

    def norm(x, weights):
        centered = x - x.mean(-1, keepdims=True)
        return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5) * weights["scale"] + weights["bias"]

    def linear(x, weights):
        return x @ weights["kernel"] + weights.get("bias", 0.0)

    logits = []
    for sequence in np.asarray(tokens):
        x = p["token_embedding"]["embedding"][sequence] + p["position_embedding"]["embedding"][: len(sequence)]
        for name in sorted(k for k in p if k.startswith("blocks")):
            block = p[name]
            q, k, v = np.split(linear(norm(x, block["norm_attention"]), block["qkv"]), 3, axis=-1)
            size = q.shape[1] // heads
            mixed = np.zeros_like(q)
            for h in range(heads):
                at = slice(h * size, (h + 1) * size)
                for t in range(len(sequence)):
                    scores = k[: t + 1, at] @ q[t, at] / math.sqrt(size)
                    weights = np.exp(scores - scores.max())
                    mixed[t, at] = (weights / weights.sum()) @ v[: t + 1, at]
            x = x + linear(mixed, block["attention_out"])
            u = linear(norm(x, block["norm_mlp"]), block["expand"])
            gelu = 0.5 * u * (1 + np.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))
            x = x + linear(gelu, block["contract"])
        logits.append(norm(x, p["norm"]) @ p["head"]["kernel"])
    return np.asarray(logits)


def test_norms_by_products_and_products_by_rows_are_what_they_say():
    key = jax.random.key(0)
    x = 3.0 + jax.random.normal(key, (7, 48)) * jnp.asarray([[0.0], [1e-3], [1.0], [1.0], [10.0], [1e3], [1e4]])
    scale, bias = np.linspace(0.5, 2, 48), np.linspace(-1, 1, 48)
    params = {"params": {"scale": jnp.float32(scale), "bias": jnp.float32(bias)}}
    wide = np.asarray(x, np.float64)
    centered = wide - wide.mean(-1, keepdims=True)
    expected = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-5) * scale + bias
    np.testing.assert_allclose(
        Norm().apply(params, x), expected, rtol=2e-5, atol=1e-4
    )  # a constant row's rounding over √1e-5
    kernel, seen = jax.random.normal(key, (192, 48)), jax.random.normal(key, (20, 192))
    dimensions = (((1,), (0,)), ((), ()))
    loss = lambda product: lambda x, kernel: jnp.sin(product(x, kernel, dimensions)).sum()
    found = jax.value_and_grad(loss(product_by_rows), (0, 1))(seen, kernel)
    plain = jax.value_and_grad(loss(jax.lax.dot_general), (0, 1))(seen, kernel)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4), found, plain)


def test_gpt_agrees_with_a_float64_reference():
    policy = gpt_policy(7, 5, layers=2, heads=3, width=12)
    weights = jax.tree.map(lambda p: p * 15.0, policy.init(jax.random.key(3)))
    tokens = jax.random.randint(jax.random.key(4), (4, 5), 0, 7)
    expected = _float64_gpt(weights, tokens, heads=3)
    np.testing.assert_allclose(policy.logits(weights, tokens), expected, atol=2e-5 * np.abs(expected).max())


def test_cached_steps_equal_the_whole_sequence():
    policy = gpt_policy(7, 5, layers=2, heads=3, width=12)
    weights = jax.tree.map(lambda p: p * 15.0, policy.init(jax.random.key(5)))
    tokens = jax.random.randint(jax.random.key(6), (4, 5), 0, 7)
    whole, cache = policy.logits(weights, tokens), policy.empty_cache(4)
    for t in range(5):
        logits, cache = policy.step(weights, tokens[:, t], jnp.asarray(t), cache)
        np.testing.assert_allclose(logits, whole[:, t], atol=1e-6 * np.abs(whole).max())  # logits of 30


def test_a_position_does_not_see_later_tokens(params):
    first = POLICY.logits(params, jnp.asarray([[0, 1]]))
    second = POLICY.logits(params, jnp.asarray([[0, 2]]))
    np.testing.assert_array_equal(first[:, 0], second[:, 0])
    assert not np.array_equal(first[:, 1], second[:, 1])


def test_gpt_nano_has_mingpts_size_and_start():
    """A block has 12 D² weights and 13 D biases and norms; D = 48, V = 100, 10 positions."""
    weights = gpt_policy(100, 10).init(jax.random.key(0))
    block = 12 * 48**2 + 13 * 48
    assert parameter_count(weights) == 3 * block + 100 * 48 + 10 * 48 + 2 * 48 + 48 * 100
    # Standard deviations: .02, and .02/√6 into the residual stream of 3 layers.
    assert weights["blocks_0"]["qkv"]["kernel"].std() == pytest.approx(0.02, rel=0.05)
    assert weights["blocks_1"]["contract"]["kernel"].std() == pytest.approx(0.02 / math.sqrt(6), rel=0.05)
    assert (weights["norm"]["scale"] == 1).all()
    assert (weights["blocks_2"]["expand"]["bias"] == 0).all()


def test_dropout_acts_in_training_alone():
    policy = gpt_policy(7, 5, layers=1, heads=1, width=8, dropout=0.5)
    weights, tokens = policy.init(jax.random.key(0)), jnp.zeros((2, 5), jnp.int32)
    one, other = (policy.train_logits(weights, tokens, jax.random.key(k)) for k in (1, 2))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(policy.logits(weights, tokens), policy.logits(weights, tokens))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_masks_keep_the_mean(rate: float):
    """E[mask] = 1 and P(mask = 0) = rate, within four standard errors √(rate (1 - rate) / n); odd sizes too.

    Both halves of a word are used, so neighbours are looked at: kept or dropped independently.
    """
    masks = dropout_masks([(301, 7), (3, 200, 101), (5,)], rate, key=jax.random.key(3))
    assert [mask.shape for mask in masks] == [(301, 7), (3, 200, 101), (5,)]
    for mask in masks[:2]:
        kept, n = np.asarray(mask) > 0, mask.size
        error = math.sqrt(rate * (1 - rate) / n)
        assert abs(kept.mean() - (1 - rate)) < 4 * error
        np.testing.assert_allclose(np.asarray(mask)[kept], 1 / (1 - rate), rtol=2e-5)
        flat = kept.ravel().astype(float) - kept.mean()
        for lag in (1, 2, 3):
            correlation = (flat[:-lag] * flat[lag:]).mean() / flat.var()
            assert abs(correlation) < 4 / math.sqrt(n)
    assert np.isfinite(dropout_masks([(9,)], 1 - 1e-9, key=jax.random.key(3))[0]).all()
    one, two = dropout_masks([(301, 7)] * 2, rate, key=jax.random.key(3))
    assert not np.array_equal(one, two)
    assert not np.array_equal(one, dropout_masks([(301, 7)], rate, key=jax.random.key(4))[0])


def test_dropout_acts_at_every_place_of_minigpt(monkeypatch):
    """On the embedding, and in each block on attention weights, attention and MLP: each mask changes the logits."""
    module = gpt.GPTNano(5, 3, layers=2, heads=2, width=4, dropout=0.5)
    params = {"params": jax.tree.map(lambda p: p * 10.0, gpt.init_params(module, key=jax.random.key(0)))}
    tokens = jnp.asarray([[0, 1, 2], [3, 4, 0]])
    base = module.apply(params, tokens)

    def only(place: int | None):
        def masks(shapes, rate, *, key):
            scale = np.random.default_rng(0).uniform(0.5, 2.0, (len(shapes), 100))
            return [
                jnp.asarray(scale[i, : math.prod(shape)].reshape(shape), jnp.float32) if i == place else jnp.ones(shape)
                for i, shape in enumerate(shapes)
            ]

        return masks

    def masked(place: int | None) -> np.ndarray:
        monkeypatch.setattr(gpt, "dropout_masks", only(place))
        return np.asarray(module.apply(params, tokens, jax.random.key(1)))

    np.testing.assert_allclose(masked(None), base, rtol=1e-6)
    changed = [masked(place) for place in range(1 + 3 * module.layers)]
    assert all(np.abs(logits - base).max() > 1e-3 for logits in changed)
    assert len({logits.tobytes() for logits in changed}) == len(changed)


def test_tabular_policy_is_its_table():
    policy = tabular_policy(V, T)
    table = jnp.asarray([[0.0, 1.0, 2.0], [3.0, 0.0, -1.0]])
    logits = policy.logits({"logits": table}, jnp.zeros((4, T), jnp.int32))
    np.testing.assert_array_equal(logits, np.broadcast_to(table, (4, T, V)))
    step, _ = policy.step({"logits": table}, jnp.zeros(4, jnp.int32), jnp.asarray(1), policy.empty_cache(4))
    np.testing.assert_array_equal(step, np.broadcast_to(table[1], (4, V)))
