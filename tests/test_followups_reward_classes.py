"""Two classes of rewards and of policies: likelihoods, optima and the roads between them, by formulas of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.preference import dpo
from modeseek.bandit.studies.followups import reward_classes
from modeseek.bandit.studies.followups.reward_classes import TOKENS, World, most_likely, optimal, world

SMALL = World(
    log_reference=np.log(np.array([0.4, 0.3, 0.2, 0.1])),
    rewards=np.array([0.1, 0.9, 0.3, 0.5]),
    peaks=np.array([[1.0, 0.5, 0.2, 0.0], [0.5, 1.0, 0.5, 0.2], [0.0, 0.2, 0.5, 1.0]]),
    beta=0.2,
    sharpness=4.0,
)
COUNTS = np.array([[[0, 3, 1, 0], [5, 0, 2, 4], [1, 1, 0, 2], [0, 0, 3, 0]]], float)


def log_posterior(u, scale, prior):
    """Of one seed, plainly."""
    total = -(u**2).sum() / (2 * prior**2)
    for i in range(4):
        for j in range(4):
            total -= COUNTS[0, i, j] * np.log1p(np.exp(-scale * (u[i] - u[j])))
    return total


@pytest.mark.parametrize(("scale", "prior"), [(4.0, 0.3), (0.8, 5.0), (4.0, 100.0)])
def test_most_likely_is_the_top_of_the_posterior(scale, prior):
    """No slope by central differences, and less in random directions."""
    u = most_likely(COUNTS, scale, prior)[0]
    for i in range(4):
        step = np.eye(4)[i] * 1e-5
        slope = (log_posterior(u + step, scale, prior) - log_posterior(u - step, scale, prior)) / 2e-5
        assert slope == pytest.approx(0, abs=1e-6)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert log_posterior(u + 0.1 * rng.standard_normal(4), scale, prior) < log_posterior(u, scale, prior)
    assert u.sum() == pytest.approx(0, abs=1e-8)


def test_dpo_descended_step_by_step_ends_where_two_stages_do(float64):
    """The registry's loss on a table of logits, from the reference, with the same prior: π_ref exp(r̂/β)/Z."""
    prior = 0.3
    beta, reference = SMALL.beta * SMALL.sharpness, jnp.asarray(SMALL.log_reference)

    def loss(logits):
        log_ratios = jax.nn.log_softmax(logits) - reference
        of_pairs = dpo(log_ratios[:, None] - log_ratios[None, :], beta)
        moved = logits - logits.mean() - (reference - reference.mean())
        return (jnp.asarray(COUNTS[0]) * of_pairs).sum() + jnp.square(moved).sum() / (2 * (prior / SMALL.beta) ** 2)

    descend = jax.jit(lambda logits: logits - 0.05 * jax.grad(loss)(logits))
    logits = reference
    for _ in range(3000):
        logits = descend(logits)
    two_stages = optimal(SMALL, most_likely(COUNTS, SMALL.sharpness, prior))[0]
    np.testing.assert_allclose(jax.nn.log_softmax(logits), two_stages, atol=1e-8)


def test_the_optimum_has_the_closed_forms_value_and_no_policy_more():
    best = optimal(SMALL, SMALL.rewards)
    value = reward_classes.objective(SMALL, best, SMALL.rewards)
    assert value == pytest.approx(SMALL.beta * np.log((np.exp(SMALL.log_reference + SMALL.rewards / SMALL.beta)).sum()))
    others = np.log(np.random.default_rng(0).dirichlet(np.ones(4), 500))
    assert (reward_classes.objective(SMALL, others, SMALL.rewards) < value).all()
    assert reward_classes.share(SMALL, best) == pytest.approx(1)
    assert reward_classes.share(SMALL, SMALL.log_reference) == pytest.approx(0)


def test_peaks_are_searched_one_by_one():
    """Likelihood and objective of every member of the class, by loops."""
    likelihoods = [log_posterior(peak, SMALL.sharpness, np.inf) for peak in SMALL.peaks]
    np.testing.assert_array_equal(reward_classes.peak_reward(SMALL, COUNTS)[0], SMALL.peaks[np.argmax(likelihoods)])
    rewards = np.array([[0.0, 0.1, 1.0, 0.9]])
    policies = [optimal(SMALL, peak) for peak in SMALL.peaks]
    values = [
        sum(np.exp(p[v]) * (rewards[0, v] - SMALL.beta * (p[v] - SMALL.log_reference[v])) for v in range(4))
        for p in policies
    ]
    np.testing.assert_array_equal(reward_classes.optimal_peak(SMALL, rewards)[0], policies[int(np.argmax(values))])


def test_in_one_class_both_roads_end_at_one_policy():
    """Reparametrisation: peaks for peaks."""
    counts = np.random.default_rng(0).poisson(1.0, (30, 4, 4)).astype(float)
    offline = reward_classes.likeliest_peak_policy(SMALL, counts)
    online = reward_classes.optimal_peak(SMALL, reward_classes.peak_reward(SMALL, counts))
    np.testing.assert_allclose(offline, online)


def test_pairs_come_from_the_reference_and_labels_from_the_reward():
    of = world(20.0)
    pairs = reward_classes.compare(of, 4000, range(2))
    assert (pairs.chosen != pairs.rejected).all()
    reference = np.exp(of.log_reference)
    once = np.stack([pairs.chosen, pairs.rejected]) == int(reference.argmax())
    first = reference.max()
    # Either of the two: drawn first, or second after any other.
    rest = np.delete(reference, reference.argmax())
    expected = first + (rest * first / (1 - rest)).sum()
    assert once.any(axis=0).mean() == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 8000))
    gap = of.rewards[pairs.chosen] - of.rewards[pairs.rejected]
    far = np.abs(gap) > 0.5
    right = 1 / (1 + np.exp(-of.sharpness * np.abs(gap[far])))
    assert (gap[far] > 0).mean() == pytest.approx(right.mean(), abs=4 * 0.5 / np.sqrt(far.sum()))
    same = reward_classes.compare(of, 4000, range(1, 2))
    np.testing.assert_array_equal(same.chosen[0], pairs.chosen[1])
    counts = reward_classes.wins(same)
    assert counts.sum() == 4000
    assert counts[0, same.chosen[0, 0], same.rejected[0, 0]] >= 1


def test_a_shuffled_reward_has_the_same_values_and_no_peak():
    plain, shuffled = world(70.0), world(70.0, shuffled=True)
    np.testing.assert_allclose(np.sort(plain.rewards), np.sort(shuffled.rewards))
    distance = ((shuffled.peaks - shuffled.rewards) ** 2).sum(-1).min()
    assert distance > 0.5 * (shuffled.rewards**2).sum()
    assert ((plain.peaks - plain.rewards) ** 2).sum(-1).min() < 1e-20
    assert plain.peaks.shape[1] == TOKENS
