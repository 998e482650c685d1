"""2601.08421: DPO's minimum against its loss by definition, counts against the preference model, coverage."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from modeseek.bandit.studies.followups.preference_rounds import (
    DATA,
    Rounds,
    covariance,
    coverage,
    dpo,
    learn,
    rounds_of,
    wins,
)
from modeseek.bandit.studies.protocol import Protocol

RNG = np.random.default_rng(6)
FEATURES, TRUTH = RNG.standard_normal((5, 3)), np.array([1.0, -0.5, 0.8])
REFERENCE = log_softmax(RNG.standard_normal(5))
BETA = 0.4


def test_the_minimum_is_that_of_dpos_loss():
    """-log σ(β log π/π_ref(chosen) - β log π/π_ref(rejected)), pair by pair, with normalised policies."""
    won = RNG.integers(0, 5, (5, 5)).astype(float)

    def loss(theta):
        ratios = log_softmax(REFERENCE + FEATURES @ theta) - REFERENCE
        pairs = -np.log(expit(BETA * (ratios[:, None] - ratios[None, :])))
        return (won * pairs).sum() + 0.1 * theta @ theta / 2

    expected = minimize(loss, np.zeros(3), tol=1e-12).x
    for start in (np.zeros(3), 5 * TRUTH):
        np.testing.assert_allclose(dpo(FEATURES, won, BETA, 0.1, start), expected, atol=1e-4)


def test_the_truth_is_the_regularised_optimum_and_many_pairs_find_it():
    rewards = BETA * FEATURES @ TRUTH
    optimum = softmax(REFERENCE + rewards / BETA)
    np.testing.assert_allclose(softmax(REFERENCE + FEATURES @ TRUTH), optimum)
    won = wins(np.full(5, 0.2), rewards, 4_000_000, np.random.default_rng(0))
    np.testing.assert_allclose(dpo(FEATURES, won, BETA, 0.1, np.zeros(3)), TRUTH, atol=0.02)


def test_pairs_are_drawn_by_the_policy_and_won_by_bradley_terry():
    probs, rewards = softmax(REFERENCE), np.array([0.0, 1.0, -1.0, 2.0, 0.5])
    total = 1_000_000
    won = wins(probs, rewards, total, np.random.default_rng(1))
    assert won.sum() == total
    met = won + won.T
    expected = 2 * np.outer(probs, probs) * total
    off = ~np.eye(5, dtype=bool)
    assert (np.abs(met - expected)[off] < 4 * np.sqrt(expected)[off]).all()
    share = expit(rewards[:, None] - rewards)
    error = 4 * np.sqrt(share * (1 - share) / met)
    assert (np.abs(won / met - share) < error)[off].all()


def test_coverage_of_two_arms_is_the_ratio_of_their_variances():
    line = np.array([[0.0], [2.0]])
    sampling, target = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    assert covariance(line, sampling)[0, 0] == pytest.approx(4 * 0.09)
    assert coverage(line, sampling, target) == pytest.approx(0.25 / 0.09)
    assert coverage(FEATURES, softmax(REFERENCE), softmax(REFERENCE)) == pytest.approx(1)
    assert coverage(line, np.array([1.0, 0.0]), target) == np.inf


def test_rounds_draw_from_whom_they_say():
    """From offline pairs the next θ has no part in what is drawn; on-policy pairs are of the last θ."""
    setup = Rounds(rounds=2)
    asked = []

    class Spy(np.random.Generator):
        """Notes what pairs it is asked for."""

        def multinomial(self, batch, probs):
            asked.append((batch, probs.reshape(5, 5).sum(1)))
            return super().multinomial(batch, probs)

    for data in DATA:
        asked.clear()
        thetas = rounds_of(FEATURES, REFERENCE, TRUTH, 50, data, setup, Spy(np.random.PCG64(0)))
        assert [batch for batch, _ in asked] == [50, 50]
        np.testing.assert_array_equal(thetas[0], 0)
        np.testing.assert_allclose(asked[0][1], softmax(REFERENCE))
        second = softmax(REFERENCE) if data == "offline" else softmax(REFERENCE + FEATURES @ thetas[1])
        np.testing.assert_allclose(asked[1][1], second)


def test_the_error_starts_at_that_of_the_reference_and_falls_with_the_batch():
    setup = Rounds(batches=(10, 10_000), rounds=2, arms=8, features=2, far=2.0)
    found = learn(setup, Protocol("few", (), 0, 4, first_fresh_seed=0))
    start = found["kl"].isel(round=0)
    assert (start == start.isel(data=0, batch=0)).all()
    assert (found["coverage"].isel(round=0) > 1).all()
    ends = found["kl"].isel(round=-1)
    assert (ends.sel(batch=10_000) < ends.sel(batch=10)).all()
    assert (ends.sel(batch=10_000) < 0.05).all()


def test_a_round_learns_from_its_own_pairs_or_from_all_so_far():
    setup = Rounds(rounds=2)
    rewards = setup.beta * FEATURES @ TRUTH
    for data in DATA:
        thetas = rounds_of(FEATURES, REFERENCE, TRUTH, 50, data, setup, np.random.default_rng(3))
        rng = np.random.default_rng(3)
        first = wins(softmax(REFERENCE), rewards, 50, rng)
        policy = REFERENCE if data == "offline" else REFERENCE + FEATURES @ thetas[1]
        second = wins(softmax(policy), rewards, 50, rng)
        won = second if data == "on-policy" else first + second
        np.testing.assert_allclose(thetas[2], dpo(FEATURES, won, setup.beta, setup.ridge, np.zeros(3)), atol=1e-6)
