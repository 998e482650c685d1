"""The reward-KL frontier, against enumeration of whole responses and against policies drawn at random."""

import itertools

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from modeseek.bandit.categorical.closed_forms import regularised_mass
from modeseek.bandit.categorical.frontier import (
    Responses,
    _hermite,
    best_at,
    beta_at,
    frontier,
    nats_at,
    nats_of,
    point_mass_nats,
    reward_at,
    reward_of,
    tilt_at,
    tilted,
)
from modeseek.bandit.categorical.metrics import kl
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards

PAPER = {r: Responses(reference_probs(ReferenceRecipe(), "clip", 100), token_rewards(r, 100), 10) for r in ("R1", "R2")}


def small(seed=0, tokens=4, length=3, prompt_reward=None):
    rng = np.random.default_rng(seed)
    return Responses(rng.dirichlet(np.ones(tokens)), rng.uniform(size=tokens), length, prompt_reward)


def enumerated(responses):
    """Every response's probability under the reference and its reward, by products and means."""
    each = list(itertools.product(range(len(responses.reference)), repeat=responses.length))
    probs = np.array([np.prod(responses.reference[list(y)]) for y in each])
    extra = [] if responses.prompt_reward is None else [responses.prompt_reward]
    return probs, np.array([np.mean([*responses.token_rewards[list(y)], *extra]) for y in each])


def divergence(p, q):
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))


@pytest.mark.parametrize("prompt_reward", [None, 0.3])
def test_it_is_the_tilted_reference_over_whole_responses(prompt_reward):
    """All V^N responses, tilted by their reward: their KL and expected reward lie on the curve, at β = 1/(n tilt)."""
    responses = small(prompt_reward=prompt_reward)
    probs, rewards = enumerated(responses)
    for beta in (3.0, 0.3, 0.05):
        optimum = regularised_mass(probs, rewards, beta)
        nats = divergence(optimum, probs)
        assert reward_at(responses, nats) == pytest.approx(optimum @ rewards, abs=1e-8)
        assert nats_at(responses, optimum @ rewards) == pytest.approx(nats, abs=1e-7)
        assert beta_at(responses, nats) == pytest.approx(beta, rel=1e-6)


def test_no_policy_over_whole_responses_lies_above():
    """Policies of every kind: random, near the optimum, and mixtures of point masses."""
    responses, rng = small(1), np.random.default_rng(2)
    probs, rewards = enumerated(responses)
    best = regularised_mass(probs, rewards, 0.1)
    sharp = rng.dirichlet(np.full(len(probs), 0.02), size=1000) + 1e-300
    near = best * np.exp(0.3 * rng.normal(size=(1000, len(probs))))
    drawn = np.concatenate([rng.dirichlet(np.ones(len(probs)), size=1000), sharp, near])
    drawn /= drawn.sum(axis=1, keepdims=True)
    nats = np.array([divergence(p, probs) for p in drawn])
    assert (drawn @ rewards <= reward_at(responses, nats) + 1e-8).all()
    assert (drawn @ rewards > reward_at(responses, nats) - 0.02).any()  # some are near: the test can fail


def test_an_estimate_along_sampled_prefixes_cannot_lie_above():
    """Whatever next-token distributions a policy has, and whichever were seen: their mean reward and summed KL."""
    responses, rng = small(3, tokens=5, length=4), np.random.default_rng(4)
    seen = rng.dirichlet(np.full(5, 0.3), size=(500, 7, 4)) + 1e-300  # [policies, prefixes, positions, V]
    rewards = (seen @ responses.token_rewards).mean(axis=(1, 2))
    nats = (seen * np.log(seen / responses.reference)).sum(axis=-1).sum(axis=-1).mean(axis=1)
    assert (rewards <= reward_at(responses, nats) + 1e-8).all()


@pytest.mark.parametrize("reward", ["R1", "R2"])
def test_both_readings_increase_and_undo_each_other(reward):
    responses = PAPER[reward]
    nats = np.concatenate([np.geomspace(1e-9, 1, 300), np.linspace(1.001, point_mass_nats(responses) - 0.01, 700)])
    rewards = reward_at(responses, nats)
    assert (np.diff(rewards) > 0).all()
    np.testing.assert_allclose(nats_at(responses, rewards[::9]), nats[::9], rtol=1e-6, atol=1e-6)
    some = nats[::9]
    np.testing.assert_allclose(nats_of(responses, tilt_at(responses, some)), some, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(reward_of(responses, tilt_at(responses, some)), rewards[::9], atol=1e-8)


def test_its_slope_is_one_over_the_tilt():
    """d reward / d KL = 1/(N tilt), the envelope theorem: by central differences."""
    responses = PAPER["R1"]
    nats = np.array([0.5, 3.0, 20.0, 50.0])
    slope = (reward_at(responses, nats + 1e-3) - reward_at(responses, nats - 1e-3)) / 2e-3
    np.testing.assert_allclose(slope, beta_at(responses, nats), rtol=1e-5)


def test_its_ends():
    """The reference, the point mass on the best token, and what lies beyond."""
    responses = PAPER["R2"]
    at_reference = float(responses.reference @ responses.token_rewards)
    end = -10 * np.log(responses.reference[20])
    assert point_mass_nats(responses) == pytest.approx(end)
    np.testing.assert_allclose(
        reward_at(responses, [0.0, -1.0, end, 1e4]), [at_reference, at_reference, 1, 1], atol=1e-9
    )
    np.testing.assert_allclose(nats_at(responses, [at_reference, 0.0, 1.0, 1.01]), [0, 0, end, np.inf], atol=1e-9)
    assert np.isnan([reward_at(responses, np.nan), nats_at(responses, np.nan)]).all()
    nats, reward = frontier(responses)
    assert (nats[0], nats[-1]) == (0, pytest.approx(end))
    np.testing.assert_allclose(
        np.interp(np.linspace(0, end, 999), nats, reward), reward_at(responses, np.linspace(0, end, 999)), atol=1e-3
    )


def test_the_papers_point_masses():
    """41.80 and 61.66 nats for the reference of ten thousand samples; 42.14 and 63.04 for exact bins."""
    exact = reference_probs(ReferenceRecipe(samples=0), "clip", 100)
    found = [point_mass_nats(PAPER[r]) for r in ("R2", "R1")]
    found += [point_mass_nats(PAPER[r]._replace(reference=exact)) for r in ("R2", "R1")]
    np.testing.assert_allclose(found, [41.80, 61.66, 42.14, 63.04], atol=5e-3)
    cauchy = lambda x: np.arctan((x + 0.7) / 0.4) / np.pi
    np.testing.assert_allclose(found[2], -10 * np.log(cauchy(-0.58) - cauchy(-0.6)), atol=5e-3)


def test_equal_best_tokens_share_the_end():
    responses = Responses(np.array([0.1, 0.2, 0.3, 0.4]), np.array([1.0, 0.0, 1.0, 0.5]), 2)
    assert point_mass_nats(responses) == pytest.approx(-2 * np.log(0.4))
    np.testing.assert_allclose(best_at(responses, 100.0), [0.25, 0, 0.75, 0], atol=1e-9)
    equal = responses._replace(token_rewards=np.full(4, 0.3))
    assert (reward_at(equal, 1.0), point_mass_nats(equal)) == (pytest.approx(0.3), pytest.approx(0.0))


def test_the_best_tokens_are_a_tilt_of_the_reference():
    responses = small(5, tokens=7, length=10)
    best = best_at(responses, 2.0)
    assert 10 * kl(np.log(best), best, np.log(responses.reference)) == pytest.approx(2.0, abs=1e-9)
    slope = np.polyfit(responses.token_rewards, np.log(best / responses.reference), 1)
    np.testing.assert_allclose(
        np.polyval(slope, responses.token_rewards), np.log(best / responses.reference), atol=1e-9
    )
    np.testing.assert_allclose(tilted(responses, 0.0).probs, responses.reference)
    np.testing.assert_allclose(reward_of(responses, slope[0]), best @ responses.token_rewards)


def test_cubics_between_points_are_scipys():
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.random(30))
    y, slope = rng.standard_normal((2, 30))
    at = np.append(np.linspace(x[0], x[-1], 301), [*x, np.nan])
    np.testing.assert_allclose(_hermite(x, y, slope, at), CubicHermiteSpline(x, y, slope)(at), rtol=1e-13, atol=1e-13)
