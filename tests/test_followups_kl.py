"""2512.21852: gradients of KL estimates against finite differences and closed forms; training against enumeration."""

import numpy as np
import pytest
from scipy.special import log_softmax

from modeseek.bandit.studies.followups.kl_gradients import (
    ESTIMATES,
    PLACES,
    coefficients,
    estimate,
    exact_gradient,
    moments,
    slope,
)
from modeseek.bandit.studies.followups.kl_training import Training, ascent, evaluate, train
from modeseek.bandit.studies.followups.tabular import draw, scores, space, token_log_probs
from modeseek.bandit.studies.protocol import Protocol

TINY = space(3, 2)
RNG = np.random.default_rng(3)
POLICY, REFERENCE, BEHAVIOR = RNG.standard_normal((3, TINY.prefixes, 3))
FEW = Protocol("few", (), 0, 3, first_fresh_seed=0)


def probabilities(logits):
    """Of all nine sequences, token by token, without the code under test."""
    rows = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return np.array([rows[0, a] * rows[1 + a, b] for a in range(3) for b in range(3)])


def by_differences(function, logits, step=1e-6):
    """∇ of a number by all logits."""
    found = np.zeros_like(logits)
    for at in np.ndindex(*logits.shape):
        up, down = logits.copy(), logits.copy()
        up[at] += step
        down[at] -= step
        found[at] = (function(up) - function(down)) / (2 * step)
    return found


def test_the_sequences_are_all_there():
    assert TINY.prefixes == 1 + 3
    assert [tuple(row) for row in TINY.tokens] == [(a, b) for a in range(3) for b in range(3)]
    np.testing.assert_allclose(np.exp(token_log_probs(TINY, POLICY).sum(-1)), probabilities(POLICY))
    deep = space(2, 4)
    assert (deep.prefixes, len(deep.tokens)) == (1 + 2 + 4 + 8, 16)
    assert len({tuple(row) for row in deep.rows}) == 8  # a row for every prefix of three tokens
    assert np.exp(
        token_log_probs(deep, np.random.default_rng(0).standard_normal((15, 2))).sum(-1)
    ).sum() == pytest.approx(1)


def test_gradients_are_those_of_differences():
    for y in (0, 5):
        expected = by_differences(lambda logits, y=y: np.log(probabilities(logits)[y]), POLICY)
        np.testing.assert_allclose(scores(TINY, POLICY)[y].sum(0), expected, atol=1e-8)

    def kl(logits):
        return probabilities(logits) @ np.log(probabilities(logits) / probabilities(REFERENCE))

    np.testing.assert_allclose(exact_gradient(TINY, POLICY, REFERENCE), by_differences(kl, POLICY), atol=1e-8)


@pytest.mark.parametrize("name", ESTIMATES)
def test_the_slope_is_the_estimates_derivative(name):
    at = np.linspace(-2, 2, 9)
    np.testing.assert_allclose(
        slope(name, at), (estimate(name, at + 1e-6) - estimate(name, at - 1e-6)) / 2e-6, atol=1e-8
    )


def test_both_places_together_are_the_gradient_of_the_estimates_mean():
    """∇ Σ_y π(y) k(y), by differences: for k1 and k3 that is ∇KL, since their mean is KL; for k2 it is not."""
    for name in ESTIMATES:

        def mean(logits, name=name):
            ratios = token_log_probs(TINY, logits) - token_log_probs(TINY, REFERENCE)
            return probabilities(logits) @ estimate(name, ratios).sum(-1)

        expected = by_differences(mean, POLICY)
        exact = exact_gradient(TINY, POLICY, REFERENCE)
        relative = np.linalg.norm(expected - exact) / np.linalg.norm(exact)
        found = moments(TINY, POLICY, REFERENCE, POLICY).bias[ESTIMATES.index(name), PLACES.index("both")]
        assert found == pytest.approx(relative, abs=1e-6)
        assert (relative > 0.05) == (name == "k2")


def test_of_one_token_k3_in_the_loss_is_forward_kl_and_k2_is_reverse_kl():
    """E_π[∇k3] = ∇KL(π_ref ‖ π) = π - π_ref by the logits, and E_π[∇k2] = ∇KL(π ‖ π_ref), where T = 1."""
    single = space(4, 1)
    policy, reference = np.random.default_rng(1).standard_normal((2, 1, 4))
    p, q = np.exp(log_softmax(policy[0])), np.exp(log_softmax(reference[0]))
    ratios = token_log_probs(single, policy) - token_log_probs(single, reference)
    expected = {"k1": 0 * p, "k2": p * (np.log(p / q) - p @ np.log(p / q)), "k3": p - q}
    for name, gradient in expected.items():
        found = np.einsum("y,yt,ytrv->rv", p, coefficients(name, "loss", ratios), scores(single, policy))
        np.testing.assert_allclose(found[0], gradient, atol=1e-14)


def test_noise_and_bias_are_those_of_samples():
    """2·10⁵ sequences of another policy, with weights and without."""
    sampled = np.random.default_rng(0).choice(9, 200_000, p=probabilities(BEHAVIOR))
    counts = np.bincount(sampled, minlength=9) / len(sampled)
    ratios = token_log_probs(TINY, POLICY) - token_log_probs(TINY, REFERENCE)
    exact = exact_gradient(TINY, POLICY, REFERENCE)
    norm = np.linalg.norm(exact)
    for weighted in (False, True):
        factor = probabilities(POLICY) / probabilities(BEHAVIOR) if weighted else np.ones(9)
        found = moments(TINY, POLICY, REFERENCE, BEHAVIOR, weighted)
        for i, name in enumerate(ESTIMATES):
            for j, place in enumerate(PLACES):
                each = np.einsum("y,yt,ytrv->yrv", factor, coefficients(name, place, ratios), scores(TINY, POLICY))
                mean = np.einsum("y,yrv->rv", counts, each)
                spread = np.sqrt(((each - mean) ** 2).sum((1, 2)) @ counts)
                assert found.noise[i, j] == pytest.approx(spread / norm, rel=0.03)
                error = 4 * spread / np.sqrt(len(sampled)) / norm
                assert abs(found.bias[i, j] - np.linalg.norm(mean - exact) / norm) < error


@pytest.mark.parametrize(("name", "place"), [("k1", "reward"), ("k3", "loss"), ("k3", "both"), ("k1", "none")])
def test_a_step_of_training_climbs_the_enumerated_gradient(name, place):
    """Its mean over 4·10⁵ sequences is Σ π(y) (r ∇log π - β Σ_t c_t ∇log π_t)."""
    setup = Training(name, place, vocab=3, length=2, batch=400_000, beta=0.3)
    rewards = np.array([[0, 1, 0, 0, 0, 1, 0, 0, 0.0]])
    sampled = draw(probabilities(POLICY)[None], np.random.default_rng(0).random((1, setup.batch)))
    found = ascent(TINY, POLICY[None], token_log_probs(TINY, REFERENCE)[None], rewards, sampled, setup)[0]
    ratios = token_log_probs(TINY, POLICY) - token_log_probs(TINY, REFERENCE)
    penalty = 0 * ratios if place == "none" else coefficients(name, place, ratios)
    expected = np.einsum(
        "y,yt,ytrv->rv", probabilities(POLICY), rewards[0][:, None] - 0.3 * penalty, scores(TINY, POLICY)
    )
    np.testing.assert_allclose(found, expected, atol=4 * 2 / np.sqrt(setup.batch))


def test_the_reference_has_nothing_of_the_gain_and_the_optimum_all_of_it():
    setup = Training("k1", "reward", beta=0.3)
    rewards = np.array([[0, 1, 0, 0, 0, 1, 0, 0, 0.0]])
    optimum = probabilities(REFERENCE) * np.exp(rewards[0] / 0.3)
    optimum /= optimum.sum()
    tokens = lambda probs: np.log(np.stack([probs, np.ones(9)], 1))[
        None
    ]  # all in the first token: sums are what counts
    reference = tokens(probabilities(REFERENCE))
    reward, kl, share = evaluate(tokens(optimum), reference, rewards, setup)[0]
    assert share == pytest.approx(1)
    assert reward == pytest.approx(optimum[[1, 5]].sum())
    assert kl == pytest.approx(optimum @ np.log(optimum / probabilities(REFERENCE)))
    np.testing.assert_allclose(evaluate(reference, reference, rewards, setup)[0][1:], 0, atol=1e-12)


def test_a_run_is_its_seeds_alone_and_a_delay_begins_to_matter_when_it_has_passed():
    short = Training("k1", "reward", steps=4, interval=1, vocab=3, correct=2)
    together = train(short, FEW)
    alone = train(short, Protocol("one", (), 0, 1, first_fresh_seed=2))
    np.testing.assert_array_equal(together["share"].sel(seed=2), alone["share"].sel(seed=2))
    stale = train(Training("k1", "reward", delay=2, steps=4, interval=1, vocab=3, correct=2), FEW)
    same = (stale["share"] == together["share"]).all("seed")
    assert same.values.tolist() == [True, True, False, False, False]
