"""2506.20520: limits of the flow against an integrator, and training from samples against the limits."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import softmax

from modeseek.bandit.studies.followups.off_policy_flow import (
    OffPolicy,
    flow,
    limit,
    problems,
    pushes,
    train_off_policy,
    water_level,
)
from modeseek.bandit.studies.protocol import Protocol

BEHAVIOR, REWARDS = (each[0] for each in problems([np.random.default_rng(4)], 6, 1.0))
VALUE = BEHAVIOR @ REWARDS


def integrated(offset, time):
    """π after so long, from μ: dl/dt = E_μ[(r - V) ∇log π], by the definition of ∇log π."""

    def speed(_, logits):
        weights = BEHAVIOR * (REWARDS - VALUE - offset)
        return weights @ (np.eye(6) - softmax(logits))

    return softmax(solve_ivp(speed, (0, time), np.log(BEHAVIOR), rtol=1e-9, atol=1e-9, method="LSODA").y[:, -1])


@pytest.mark.parametrize("offset", [-2.0, -0.3, -0.1, -0.05])
def test_below_the_value_the_limit_is_where_the_flow_rests(offset):
    found = limit(BEHAVIOR, REWARDS, offset)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(integrated(offset, 5000.0), found, atol=2e-3)
    assert found @ REWARDS > VALUE
    if VALUE + offset < REWARDS.min():  # every push is positive: nothing is cut off
        np.testing.assert_allclose(found, BEHAVIOR * (REWARDS - VALUE - offset) / -offset)


@pytest.mark.parametrize("offset", [0.05, 0.2])
def test_above_the_value_one_arm_is_left_and_it_is_the_flows(offset):
    found = limit(BEHAVIOR, REWARDS, offset)
    assert found.max() > 1 - 1e-9
    assert integrated(offset, 2000.0).argmax() == found.argmax()


def test_at_the_value_the_largest_push_wins_and_what_is_not_drawn_stays_out():
    assert limit(BEHAVIOR, REWARDS, 0.0).argmax() == (BEHAVIOR * (REWARDS - VALUE)).argmax()
    gone = np.where(np.arange(6) == REWARDS.argmax(), 0, BEHAVIOR)
    gone /= gone.sum()
    for offset in (-0.2, 0.0, 0.2):
        assert limit(gone, REWARDS, offset)[REWARDS.argmax()] == 0
    alone = np.eye(6)[2]
    for offset in (-0.2, 0.0, 0.2):
        np.testing.assert_array_equal(limit(alone, REWARDS, offset), alone)


def test_pushes_sum_to_how_far_the_baseline_is_below_the_value():
    for offset in (-0.3, 0.1):
        assert pushes(BEHAVIOR, REWARDS, offset).sum() == pytest.approx(-offset)


def test_the_water_level_is_the_nearest_distribution():
    rng = np.random.default_rng(5)
    values = rng.standard_normal((3, 6))
    found = water_level(values)
    np.testing.assert_allclose(found.sum(-1), 1)
    np.testing.assert_allclose(water_level(values + 7.0), found, atol=1e-12)
    np.testing.assert_allclose(water_level(BEHAVIOR), BEHAVIOR)
    others = rng.dirichlet(np.ones(6), 2000)
    for value, nearest in zip(values, found, strict=True):
        assert (((others - value) ** 2).sum(-1) >= ((nearest - value) ** 2).sum() - 1e-12).all()


def test_the_flow_takes_no_step_where_nothing_pushes():
    np.testing.assert_allclose(flow(np.log(BEHAVIOR), np.zeros(6), 0.0), BEHAVIOR)


def test_training_from_samples_comes_to_the_limit():
    setup = OffPolicy(arms=6, offsets=(-0.3, 0.2), steps=4000, batch=64, rate=1.0)
    runs = train_off_policy(setup, Protocol("few", (), 0, 8, first_fresh_seed=0))
    behavior, rewards = problems([np.random.default_rng(seed) for seed in range(8)], 6, 1.0)
    value = (behavior * rewards).sum(-1)
    below = (limit(behavior, rewards, -0.3) * rewards).sum(-1) - value
    np.testing.assert_allclose(runs["gain"].sel(offset=-0.3), below, atol=0.05)
    assert (runs["support"].sel(offset=0.2) == 1).all()
    assert (runs["entropy"].sel(offset=0.2) < 0.05).all()
