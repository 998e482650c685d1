"""IPO's on-policy optimum, against enumeration, against its fixed point, and against quadrature."""

import itertools

import numpy as np
import pytest

from modeseek.bandit.categorical.closed_forms import ipo_gain
from modeseek.bandit.categorical.frontier import Responses, beta_at, reward_at
from modeseek.bandit.categorical.ipo_optimum import (
    Distribution,
    ipo_optimum_nats,
    ipo_optimum_reward,
    policy_share_above,
    reference_share,
    reward_distribution,
)
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards


def fixed_point(probs, tau, steps=4000, damping=0.05):
    """π = π_ref exp(F/τ)/Z by damped iteration in logits, F by counting: the responses' rewards increase."""
    k = len(probs)
    wins = np.tri(k) - 0.5 * np.eye(k)
    policy = probs
    for _ in range(steps):
        logits = np.log(probs) + ipo_gain(wins, policy, tau)
        logits = damping * logits + (1 - damping) * np.log(policy)
        policy = np.exp(logits - logits.max())
        policy /= policy.sum()
    residual = np.log(policy / probs) - wins @ policy / tau
    assert np.ptp(residual) < 1e-9
    return policy


def test_the_fixed_point_has_the_closed_forms_quantiles_kl_and_reward():
    """Finer and finer atoms: the error falls, and is small at the finest. τ = .2 reaches a tail of exp(-5)."""
    tau, errors = 0.2, []
    for k in (100, 400):
        rng = np.random.default_rng(0)
        probs = rng.uniform(0.5, 1.5, k)
        probs /= probs.sum()
        rewards = np.sort(rng.beta(0.5, 2.0, k))
        policy = fixed_point(probs, tau)
        nats = policy @ np.log(policy / probs)
        np.testing.assert_allclose(np.cumsum(probs), reference_share(np.cumsum(policy), tau), atol=2 / k)
        reward = ipo_optimum_reward(Distribution(rewards, probs), tau)
        errors.append([abs(nats - ipo_optimum_nats(tau)), abs(policy @ rewards - reward)])
    assert (np.array(errors[1]) < np.array(errors[0]) / 3).all()
    assert max(errors[1]) < 3e-4


def test_brute_force_over_responses():
    """V = 5, N = 6: the 15 625 responses themselves, iterated to the fixed point with their ties counted as halves.

    The 210 kinds of responses (multisets of tokens) are what is iterated: those of one kind earn the same.
    """
    rng = np.random.default_rng(1)
    responses = Responses(rng.dirichlet(np.full(5, 3.0)), np.array([0.0, 0.11, 0.37, 0.62, 1.0]), 6)
    each = np.array(list(itertools.product(range(5), repeat=6)))
    kinds, of_kind = np.unique(np.sort(each, axis=1), axis=0, return_inverse=True)
    probs = np.bincount(of_kind.ravel(), weights=responses.reference[each].prod(axis=1))
    rewards = responses.token_rewards[kinds].mean(axis=1)
    order = np.argsort(rewards)
    policy, tau = fixed_point(probs[order], 0.5), 0.5
    distribution = reward_distribution(responses, 20_000)
    assert policy @ rewards[order] == pytest.approx(ipo_optimum_reward(distribution, tau), abs=2e-3)
    assert policy @ np.log(policy / probs[order]) == pytest.approx(ipo_optimum_nats(tau), abs=2e-3)


def test_the_distribution_of_a_response_is_that_of_enumeration():
    """V = 4, N = 3: every response's reward is found within half a step, and all of its probability."""
    rng = np.random.default_rng(2)
    for prompt_reward in (None, 0.4):
        responses = Responses(rng.dirichlet(np.ones(4)), rng.uniform(size=4), 3, prompt_reward)
        each = np.array(list(itertools.product(range(4), repeat=3)))
        probs = responses.reference[each].prod(axis=1)
        rewards = responses.of_tokens(responses.token_rewards[each].mean(axis=1))
        found = reward_distribution(responses, 1000)
        step = np.ptp(responses.token_rewards) / 1000
        for edge in np.linspace(0, 1, 37):
            low, high = (probs[rewards > edge + off].sum() for off in (0.51 * step, -0.51 * step))
            assert low - 1e-12 <= found.probs[found.rewards > edge].sum() <= high + 1e-12
        top = np.log(responses.reference[responses.token_rewards.argmax()])
        assert found.probs[-1] == pytest.approx(np.exp(3 * top), rel=1e-12)  # the tail, relatively


def test_the_tail_is_exact():
    """R1: all ten tokens the best one, exp(-61.7), and what the optimum makes of a share of exp(-20)."""
    responses = Responses(reference_probs(ReferenceRecipe(), "clip", 100), token_rewards("R1", 100), 10)
    found = reward_distribution(responses, 1000)
    assert np.log(found.probs[-1]) >= 10 * np.log(responses.reference[70]) - 1e-9
    assert found.probs.sum() == pytest.approx(1, abs=1e-12)
    shares = np.array([1e-300, np.exp(-20), 0.5, 1.0])
    above = policy_share_above(shares, 0.05)
    np.testing.assert_allclose(above[1:3], 0.05 * np.log(1 + (np.exp(20) - 1) * shares[1:3]), rtol=1e-12)
    assert (above[0] > 0, above[3]) == (True, pytest.approx(1))
    np.testing.assert_allclose(1 - reference_share(1 - above[1:], 0.05), shares[1:], rtol=1e-6)


@pytest.mark.parametrize("tau", [0.05, 0.3, 1.0, 10.0])
def test_its_kl_is_the_integral_of_its_density(tau):
    """-∫ log q(u) du, q the reference's density at the policy's quantile u: by the midpoint rule."""
    u = (np.arange(100_000) + 0.5) / 100_000
    density = np.exp(-u / tau) / (tau * (1 - np.exp(-1 / tau)))
    assert density.mean() == pytest.approx(1, abs=1e-6)
    assert -np.log(density).mean() == pytest.approx(ipo_optimum_nats(tau), abs=1e-9)


def test_a_uniform_reward_gives_a_formula():
    """Q(s) = s: ∫ G = 1/(1 - e^(-1/τ)) - τ."""
    edges = np.linspace(0, 1, 200_001)
    uniform = Distribution((edges[1:] + edges[:-1]) / 2, np.full(200_000, 1 / 200_000))
    assert ipo_optimum_reward(uniform, 0.3) == pytest.approx(1 / (1 - np.exp(-1 / 0.3)) - 0.3, abs=1e-6)
    with pytest.raises(ValueError, match="tau must be a positive number, got 0"):
        ipo_optimum_reward(uniform, 0.0)


@pytest.mark.parametrize(
    ("recipe", "samples", "reward", "earns", "could"),
    [
        ("clip", 10_000, "R1", 0.346, 0.352),
        ("clip", 10_000, "R2", 0.680, 0.701),
        ("clip", 0, "R1", 0.333, 0.338),
        ("clip", 0, "R2", 0.678, 0.699),
        ("discard", 10_000, "R1", 0.403, 0.410),
        ("discard", 10_000, "R2", 0.785, 0.814),
        ("tanh", 10_000, "R1", 0.360, 0.366),
        ("tanh", 10_000, "R2", 0.786, 0.817),
    ],
)
def test_the_papers_ipo_and_rl_at_equal_kl(recipe, samples, reward, earns, could):
    """7.004 nats at τ = .05; and at τ = .15, whose tail samples reach, against the reference's own, reweighted."""
    reference = reference_probs(ReferenceRecipe(samples=samples), recipe, 100)
    responses = Responses(reference, token_rewards(reward, 100), 10)
    nats = ipo_optimum_nats(0.05)
    assert nats == pytest.approx(7.004, abs=5e-4)
    found = ipo_optimum_reward(reward_distribution(responses), 0.05)
    assert found == pytest.approx(earns, abs=5e-4)
    assert found == pytest.approx(ipo_optimum_reward(reward_distribution(responses, 3000), 0.05), abs=1e-4)
    assert reward_at(responses, nats) == pytest.approx(could, abs=5e-4)
    assert found < could
    draws = np.random.default_rng(3).choice(100, size=(200_000, 10), p=reference)
    earned = np.sort(responses.token_rewards[draws].mean(axis=1))
    weights = np.exp(-np.log1p(-(np.arange(200_000) + 0.5) / 200_000 * (1 - np.exp(-1 / 0.15))))
    sampled = weights @ earned / weights.sum()
    error = np.sqrt(np.square(weights * (earned - sampled)).sum()) / weights.sum()
    assert abs(sampled - ipo_optimum_reward(reward_distribution(responses), 0.15)) < 4 * error
    assert error < 0.005


def test_the_beta_of_rl_at_ipos_distance():
    """R1: β = .0294, and exp(R/β) tilts each of ten tokens by 1/(10 β)."""
    responses = Responses(reference_probs(ReferenceRecipe(), "clip", 100), token_rewards("R1", 100), 10)
    beta = float(beta_at(responses, ipo_optimum_nats(0.05)))
    assert beta == pytest.approx(0.0294, abs=5e-5)
    weights = responses.reference * np.exp(responses.token_rewards / (10 * beta))
    best = weights / weights.sum()
    assert 10 * best @ np.log(best / responses.reference) == pytest.approx(ipo_optimum_nats(0.05), abs=1e-9)
