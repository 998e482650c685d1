"""2510.20817: optima against their first-order conditions, anchored rewards against what they are for, training."""

import numpy as np
import pytest
import xarray
from scipy.special import log_softmax, softmax

from modeseek.bandit.studies.followups.mode_collapse import balance
from modeseek.bandit.studies.followups.mode_targets import (
    CATEGORIES,
    KINDS,
    MODES,
    WINDOW,
    anchored,
    best_bump,
    levelled,
    optimum,
    reference_of,
    rewards_of,
    second_share,
)
from modeseek.bandit.studies.followups.mode_training import ModeTraining, ascent, evaluate, train_modes
from modeseek.bandit.studies.protocol import Protocol

REFERENCE = softmax(np.random.default_rng(0).standard_normal(6))
REWARDS = np.array([0.2, 1.0, 0.4, 1.0, 0.9, 0.0])


def objective(kind, logits, reference, rewards, beta):
    """E_π[r] - β KL, by its definition."""
    p = softmax(logits)
    kl = p @ np.log(p / reference) if kind == "reverse" else reference @ np.log(reference / p)
    return p @ rewards - beta * kl


def by_differences(function, logits, step=1e-6):
    units = np.eye(len(logits)) * step
    return np.array([(function(logits + unit) - function(logits - unit)) / (2 * step) for unit in units])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [0.02, 0.3, 2.0])
def test_no_step_leads_up_from_the_optimum(kind, beta):
    found = optimum(kind, REFERENCE, REWARDS, beta)
    assert found.sum() == pytest.approx(1)
    slope = by_differences(lambda logits: objective(kind, logits, REFERENCE, REWARDS, beta), np.log(found))
    np.testing.assert_allclose(slope, 0, atol=1e-8)
    best = objective(kind, np.log(found), REFERENCE, REWARDS, beta)
    rng = np.random.default_rng(1)
    others = [objective(kind, np.log(found) + rng.standard_normal(6), REFERENCE, REWARDS, beta) for _ in range(100)]
    assert max(others) < best


def test_anchored_rewards_make_all_good_responses_alike():
    """π_ref e^(r/β) is constant over what reaches the threshold, the anchor keeps its reward, the rest is as it was."""
    for beta in (0.05, 1.0):
        found = anchored(np.log(REFERENCE), REWARDS, beta, 0.9)
        good = REWARDS >= 0.9
        np.testing.assert_array_equal(found[~good], REWARDS[~good])
        mass = REFERENCE[good] * np.exp(found[good] / beta)
        np.testing.assert_allclose(mass, mass[0])
        anchor = np.flatnonzero(good)[REFERENCE[good].argmax()]
        assert found[anchor] == REWARDS[anchor]
        # Algorithm 2 is the same with reverse KL, and levels the forward optimum too.
        reference, rewards = levelled(REFERENCE, REWARDS, 0.9)
        np.testing.assert_allclose(
            optimum("reverse", reference, rewards, beta), optimum("reverse", REFERENCE, found, beta)
        )
        forward = optimum("forward", reference, rewards, beta)
        np.testing.assert_allclose(forward[good], forward[good][0])
    np.testing.assert_array_equal(anchored(np.log(REFERENCE), REWARDS, 0.1, 2.0), REWARDS)
    # Row by row: the second batch has one good response, which is its own anchor.
    batches = np.array([[1, 3, 0], [1, 0, 5]])
    found = anchored(np.log(REFERENCE)[batches], REWARDS[batches], 0.1, 0.9)
    np.testing.assert_array_equal(found[1], REWARDS[batches[1]])


def test_one_bump_finds_a_bump_and_of_two_modes_reverse_kl_takes_one():
    lone = np.exp(-(((np.arange(CATEGORIES) - 40) / 7.0) ** 2))
    lone /= lone.sum()
    two = (np.roll(lone, -15) + np.roll(lone, 35)) / 2
    centre = lambda probs: probs @ np.arange(CATEGORIES)
    for divergence in ("forward_kl", "reverse_kl"):
        assert centre(best_bump(lone, divergence)) == pytest.approx(40, abs=0.5)
    assert centre(best_bump(two, "forward_kl")) == pytest.approx(50, abs=1)
    assert min(abs(centre(best_bump(two, "reverse_kl")) - at) for at in MODES) < 1


def test_the_second_modes_part():
    probs = np.zeros(CATEGORIES)
    probs[[MODES[0], MODES[1] - WINDOW, MODES[1] + WINDOW + 1]] = 0.3, 0.1, 0.6
    found = second_share(xarray.DataArray(probs, {"category": np.arange(CATEGORIES)}, ("category",)))
    assert float(found) == pytest.approx(0.25)
    share = evaluate(np.log(np.maximum(probs, 1e-30))[None], np.ones(CATEGORIES))[0, 1]
    assert share == pytest.approx(0.25)
    np.testing.assert_allclose(balance(xarray.DataArray([0.1, 0.5, 0.8])), [0.1, 0.5, 0.2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adjusted", [False, True])
def test_a_step_of_training_climbs_the_objective(kind, adjusted):
    """Its mean over 10⁵ samples is the gradient of E_π[r] - β KL, by differences."""
    setup = ModeTraining(kind, adjusted, 0.3, batch=100_000)
    reference, rewards = reference_of(setup.log_gap), rewards_of((1.0, 1.0), setup.width)
    logits = np.log(reference) + 0.5 * np.random.default_rng(2).standard_normal(CATEGORIES)
    given = anchored(np.log(reference), rewards, setup.beta, setup.threshold) if adjusted else rewards
    expected = by_differences(lambda each: objective(kind, each, reference, given, setup.beta), logits)
    uniform = np.random.default_rng(3).random((2, 1, setup.batch))
    found = ascent(log_softmax(logits)[None], np.log(reference)[None], rewards, uniform, setup)[0]
    np.testing.assert_allclose(found, expected, atol=4 * 0.3 / np.sqrt(setup.batch))


def test_a_run_is_its_seeds_alone():
    setup = ModeTraining("forward", True, 0.3, steps=3, interval=1)
    together, alone = (train_modes(setup, Protocol("few", (), 0, n, first_fresh_seed=s)) for n, s in ((3, 0), (1, 2)))
    np.testing.assert_array_equal(together["share"].sel(seed=2), alone["share"].sel(seed=2))
