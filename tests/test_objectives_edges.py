"""What no ordinary run meets: impossible and certain responses, ratios of e^±1000, rewards near 1e6 or of 1e±30."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from method_cases import HYPER, OPTIONS, every_method, every_unit, loss_of, slope_of

from modeseek.bandit.objectives import advantages
from modeseek.bandit.objectives.batch import Batch
from modeseek.bandit.objectives.divergences import sampled_kl, sampled_reverse_kl
from modeseek.bandit.objectives.likelihood import (
    NEAREST_TO_CERTAIN,
    best_of_n_negative_gradient,
    log_complement,
    summed_negatives,
    unlikelihood,
)
from modeseek.bandit.objectives.metrics import METRICS
from modeseek.bandit.objectives.policy_gradient import LARGEST_LOG_RATIO, ppo
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.objectives.token_advantages import token_rewards, whiten

INF = float("inf")
AT = st.sampled_from
SHAPE = (2, 3, 2)  # prompts, responses, tokens
POSSIBLE = (0.0, -6e-8, -1e-3, -1.0, -1e3, -1e4)
REWARDS = {
    "ordinary": np.array([[0.1, 0.9, 0.4], [0.3, 0.2, 0.8]]),
    "equal": np.full((2, 3), 0.7),
    "equal and large": np.full((2, 3), 1e6 + 0.1),
    "offset": 1e6 + np.array([[0.0, 1.0, 0.5], [0.25, 2.0, 0.0]]),
    "tiny": 1e-30 * np.array([[1.0, 3.0, 2.0], [5.0, 1.0, 0.0]]),
    "huge": 1e30 * np.array([[1.0, -3.0, 2.0], [5.0, 1.0, 0.0]]),
}
MASKS = {
    "all": np.ones(SHAPE, bool),
    "no token of a response": np.array([[[1, 1], [0, 0], [1, 0]], [[1, 1], [1, 1], [1, 1]]], bool),
    "no token": np.zeros(SHAPE, bool),
}
PRESENT = {
    "all": np.ones((2, 3), bool),
    "a single response": np.array([[1, 0, 0], [1, 1, 1]], bool),
    "no response": np.zeros((2, 3), bool),
}


def _grid(values):
    size = int(np.prod(SHAPE))
    return st.lists(AT(values), min_size=size, max_size=size).map(lambda v: np.array(v, np.float32).reshape(SHAPE))


@st.composite
def extreme_batches(draw, values=POSSIBLE):
    """Policies 1000 nats from each other, any rewards and any masks; now and then all responses are the same one."""
    policy = draw(_grid(values))
    if draw(st.booleans()):
        policy = np.broadcast_to(policy[:, :1], SHAPE)
    near = np.maximum(policy, -1e4)
    behavior, reference = (near - draw(AT((0.0, 1e3, -1e3))) for _ in range(2))
    rewards = jnp.asarray(REWARDS[draw(AT(tuple(REWARDS)))], jnp.float32)
    present = jnp.asarray(PRESENT[draw(AT(tuple(PRESENT)))])
    way = draw(AT((advantages.standardize, advantages.standardize_per_prompt)))
    mask = jnp.asarray(MASKS[draw(AT(tuple(MASKS)))])
    arrays = (jnp.asarray(a, jnp.float32) for a in (policy, behavior, reference))
    return Batch(*arrays, rewards, way(rewards, present), mask, present)


SIGNED = {"reinforce", "rloo", "nash_md", "robust_dpo"}
"""Losses with a logarithm whose coefficient has two signs."""
SQUARED = {"ipo", "ipo_md", "sppo", "nash_md"}
"""Losses with the square of a logarithm."""

properties = settings(max_examples=60, deadline=None, derandomize=True)


@every_method
@every_unit
def test_loss_and_gradient_are_finite_whatever_is_possible(name, options):
    @properties
    @given(extreme_batches())
    def holds(batch):
        assert np.isfinite(batch.advantages).all()
        assert np.isfinite(loss_of(name, batch, options=options))
        assert np.isfinite(slope_of(name, batch, options=options)).all()

    holds()


@every_method
@every_unit
def test_impossible_responses_make_the_infinities_that_are_documented_and_no_other(name, options):
    """A gradient is finite (but that of squares, IPO's for one, whose target is infinitely far); a loss is infinite
    only if what is impossible counts. REINFORCE and its like may add a good response's +inf to a bad one's -inf.

    Left out: two impossible responses where pairs are contrasted, whose margin, inf - inf, is undefined.
    """
    contrasts = "pairs" in METHODS[name].needs and METHODS[name].negative_gradient

    @properties
    @given(extreme_batches((*POSSIBLE, -INF)))
    def holds(batch):
        value = np.asarray(loss_of(name, batch, options=options))
        slope = np.asarray(slope_of(name, batch, options=options))
        impossible = np.isneginf(batch.token_log_probs) & np.asarray(batch.token_mask)
        assume(not contrasts or (impossible.any(axis=-1).sum(axis=-1) < 2).all())
        if np.isfinite(value):
            assert np.isfinite(slope).all()
        else:
            assert value == INF or name in SIGNED
            assert (slope[impossible] != 0).any()
            assert np.isfinite(slope).all() or name in SQUARED

    holds()


@pytest.mark.parametrize("log_ratio", [-1e4, -1e3, 0.5, 39.0, 40.0, 41.0, 88.0, 89.0, 1e3])
def test_ppos_open_side_is_the_ratio_and_then_its_tangent(log_ratio):
    """r̄ = -1.5, ε = .2: -max(ρ, .8) r̄ up to ρ = e^40, then e^40 (1 + log ρ - 40), in float64."""
    value, slope = jax.value_and_grad(lambda l: ppo(l, jnp.asarray(-2.0), jnp.asarray(-1.5), 0.2))(
        jnp.asarray(log_ratio - 2.0)
    )
    x = np.float64(log_ratio)
    ratio = np.exp(x) if x <= LARGEST_LOG_RATIO else np.exp(LARGEST_LOG_RATIO) * (1 + x - LARGEST_LOG_RATIO)
    np.testing.assert_allclose(value, 1.5 * max(ratio, 0.8), rtol=1e-5)
    np.testing.assert_allclose(slope, 1.5 * np.exp(min(x, LARGEST_LOG_RATIO)) * (ratio > 0.8), rtol=1e-5)


@pytest.mark.parametrize("log_prob", [-1e4, -20.0, -1.0, -0.5, -1e-4, -1e-6, -5e-7, -(2.0**-23), NEAREST_TO_CERTAIN])
def test_log_complement_is_exact_up_to_certainty(log_prob):
    """log(1 - π) and its slope -π/(1-π) = 1/(1 - 1/π) in float64: the push goes on rising above π = 1 - 1e-6."""
    x = np.float64(np.float32(log_prob))
    value, slope = jax.value_and_grad(log_complement)(jnp.asarray(log_prob, jnp.float32))
    np.testing.assert_allclose(value, np.log(-np.expm1(x)), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(slope, -1 / np.expm1(-x) if x > -700 else 0.0, rtol=1e-6)


def test_a_certain_response_is_pushed_as_hard_as_the_most_likely_uncertain_one():
    """At π = 1 the tangent of 1 - π = 2^-24: -24 log 2 less the 1 of its last step, slope -2^24."""
    value, slope = jax.value_and_grad(log_complement)(jnp.asarray(0.0))
    np.testing.assert_allclose([value, slope], [-24 * np.log(2) - 1, -(2.0**24)], rtol=1e-6)
    push = jax.grad(lambda l: unlikelihood(l, jnp.asarray([[1.0, 0.0]]), jnp.asarray([[0.0, 1.0]]), 0.5)[0])
    np.testing.assert_allclose(push(jnp.asarray([[-1.0, 0.0]])), [[-1.0, 0.5 * 2.0**24]], rtol=1e-6)


def _best_of_n_negative(log_probs, threshold):
    rewards = jnp.asarray([[1.0, 0.5, 0.2]])
    return jax.value_and_grad(
        lambda l: best_of_n_negative_gradient(l, rewards, summed_negatives(rewards), 0.7, threshold)[0]
    )(jnp.asarray([log_probs]))


@pytest.mark.parametrize("threshold", [0.0, 0.01])
def test_an_impossible_response_is_not_pushed(threshold):
    """ℓ = -log π_best + .7 (-2.5): the third, of likelihood 0, is not above any threshold."""
    value, slope = _best_of_n_negative([-2.0, -2.5, -INF], threshold)
    np.testing.assert_allclose(value, 2.0 - 0.7 * 2.5, rtol=1e-6)
    np.testing.assert_allclose(slope, [[-1.0, 0.7, 0.0]], rtol=1e-6)


def test_an_impossible_best_response_costs_infinitely_and_is_still_pulled():
    value, slope = _best_of_n_negative([-INF, -2.5, -INF], 0.01)
    assert value == INF
    np.testing.assert_allclose(slope, [[-1.0, 0.7, 0.0]], rtol=1e-6)


def test_a_weight_of_zero_leaves_out_what_is_impossible():
    """Both are 0 · log 0: RWR's weight e^-1000 of a bad response, REINFORCE's advantage 0 of an average one."""
    tokens = jnp.asarray([[[-1.0], [-INF], [-2.0]]])
    batch = Batch(tokens, None, None, None, jnp.asarray([[1.0, -999.0, 1.0]]))
    np.testing.assert_allclose(loss_of("rwr", batch), 1.5, rtol=1e-6)  # both others weigh 3/2, mean of 3
    np.testing.assert_allclose(slope_of("rwr", batch)[..., 0], [[-0.5, 0.0, -0.5]], rtol=1e-6)
    batch = batch._replace(advantages=jnp.asarray([[3.0, 0.0, -3.0]]))
    np.testing.assert_allclose(loss_of("reinforce", batch), 3 * (1 - 2) / 3, rtol=1e-6)
    np.testing.assert_allclose(slope_of("reinforce", batch)[..., 0], [[-1.0, 0.0, 1.0]], rtol=1e-6)


def test_an_impossible_rejected_response_is_enough_for_dpo():
    """m = +inf: -log σ(m) = 0 and so is its slope; the pair's chosen response has not to move."""
    tokens = jnp.asarray([[[-1.0], [-INF]]])
    batch = Batch(tokens, None, jnp.full((1, 2, 1), -2.0), jnp.asarray([[1.0, 0.0]]), None)
    assert loss_of("dpo", batch) == 0.0
    np.testing.assert_array_equal(slope_of("dpo", batch), np.zeros((1, 2, 1)))
    swapped = batch._replace(rewards=jnp.asarray([[0.0, 1.0]]))
    assert loss_of("dpo", swapped) == INF
    np.testing.assert_allclose(slope_of("dpo", swapped)[..., 0], [[HYPER.beta, -HYPER.beta]], rtol=1e-6)


OFFSETS_AND_SCALES = [(0.0, 1.0), (1e6, 1.0), (-1e6, 1.0), (1e6, 30.0), (0.0, 1e-30), (0.0, 1e30), (1e35, 1e30)]


@pytest.mark.parametrize(("offset", "scale"), OFFSETS_AND_SCALES)
def test_standardisation_is_equation_19_of_the_rewards_as_float32_has_them(offset, scale):
    drawn = np.random.default_rng(0).normal(size=(10, 10))
    rewards = (offset + scale * drawn).astype(np.float32)
    exact = rewards.astype(np.float64)
    own, others = exact.mean(axis=1, keepdims=True), (exact.sum(axis=1, keepdims=True) - exact) / 9
    for way, expected in (
        (advantages.standardize, (exact - exact.mean()) / exact.std(ddof=1)),
        (whiten, (exact - exact.mean()) / exact.std(ddof=1)),
        (advantages.standardize_per_prompt, (exact - own) / exact.std(axis=1, keepdims=True)),
        (lambda r: advantages.leave_one_out(r) / scale, (exact - others) / scale),
    ):
        np.testing.assert_allclose(way(jnp.asarray(rewards)), expected, atol=2e-6 * max(1.0, np.abs(expected).max()))


def test_running_standardisation_near_a_million_is_off_by_the_rounding_of_its_mean():
    """Three collections: all advantages of one are off together, by at most 1/32 of a reward and of σ = 1."""
    moments, every = advantages.RunningMoments.empty(), []
    for seed in range(3):
        every.append((1e6 + np.random.default_rng(seed).normal(size=(10, 10))).astype(np.float32))
        standardized, moments = advantages.standardize_running(jnp.asarray(every[-1]), moments)
    exact = np.stack(every).astype(np.float64)
    difference = np.asarray(standardized) - (exact[-1] - exact.mean()) / exact.std()
    assert np.abs(difference).max() < 0.05
    assert np.ptp(difference) < 0.01


def test_a_prompt_with_large_rewards_does_not_hide_another():
    rewards = jnp.asarray([[0.0, 1.0], [1e6, 1e6 + 4.0]])
    np.testing.assert_allclose(advantages.standardize_per_prompt(rewards), [[-1, 1], [-1, 1]], rtol=1e-6)


def test_sampled_kls_at_the_ends():
    """r - 1 - log r and r log r - (r - 1) at r = 0, e^±1000, inf; nothing is inf - inf."""
    ends = jnp.asarray([-INF, -1e3, 0.0, 2.0, 85.0, 1e3, INF])
    np.testing.assert_allclose(sampled_kl(ends), [INF, 999.0, 0.0, np.exp(2) - 3, np.exp(85.0), INF, INF], rtol=1e-5)
    np.testing.assert_allclose(sampled_reverse_kl(ends), [1.0, 1.0, 0.0, np.exp(2) + 1, INF, INF, INF], rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_of_impossible_responses_are_numbers(metric):
    """The worst response is impossible under the policy; NaN would say that there is no pair."""
    tokens = jnp.asarray([[[-1.0], [-2.0], [-INF]]])
    other = jnp.full((1, 3, 1), -2.0)
    batch = Batch(tokens, other, other, jnp.asarray([[1.0, 0.5, 0.0]]), None)
    assert not np.isnan(METRICS[metric].function(batch, HYPER, OPTIONS))


def test_without_a_coefficient_the_reference_is_not_asked():
    """β = 0: r, though the reference cannot give the response; with β it is -inf, as is its token."""
    log_prob, impossible = jnp.asarray([-1.0]), jnp.asarray([-INF])
    shaped = lambda beta: advantages.kl_shaped_rewards(jnp.asarray([2.0]), log_prob, impossible, beta)
    assert shaped(0.0)[0] == 2.0
    assert shaped(0.1)[0] == -INF
    ratios = jnp.asarray([[0.5, INF, -0.5]])
    np.testing.assert_array_equal(token_rewards(jnp.asarray([2.0]), ratios, 0.0), [[0.0, 0.0, 2.0]])
