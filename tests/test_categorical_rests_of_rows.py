"""Where the preference methods come to rest on the simplex: the policy that each paper derives has no gradient left."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.categorical.expected import Situation, enumerated, expected_gradient
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.noisy_preference import robust_dpo
from modeseek.bandit.objectives.preference import dpo
from modeseek.bandit.objectives.registry import METHODS

MU = np.array([0.4, 0.3, 0.2, 0.1])
REFERENCE = np.array([0.1, 0.2, 0.3, 0.4])
REWARDS = np.array([0.1, 0.9, 0.5, -0.4])
HYPER = HyperParameters(beta=1.0, label_noise=0.2, reward_bound=10.0)


def _gradient(name, policy, hyper=HYPER, *, mu=MU, reference=REFERENCE, rewards=REWARDS, judged="preferences"):
    situation = Situation(*(jnp.asarray(a) for a in (np.log(mu), np.log(reference), rewards)))
    draws = enumerated(situation, 2, judged)
    return np.asarray(expected_gradient(METHODS[name], situation, draws, jnp.asarray(np.log(policy)), hyper))


def _rests(name, policy, hyper=HYPER, **given):
    """No gradient at the policy, and one near it, where a tenth of each mass goes to the next response."""
    np.testing.assert_allclose(_gradient(name, policy, hyper, **given), 0.0, atol=1e-12)
    assert np.abs(_gradient(name, 0.9 * policy + 0.1 * np.roll(policy, 1), hyper, **given)).max() > 1e-4


def _preferred(rewards):
    return 1 / (1 + np.exp(rewards[None, :] - rewards[:, None]))


def test_nca_rests_at_the_distribution_of_winners(float64):
    """The classifier's ratio is e^r = winners/drawn: of the reference's own samples, at β = 1, it is π/π_ref."""
    winners = 2 * MU * (_preferred(REWARDS) @ MU)
    assert winners.sum() == pytest.approx(1.0)
    _rests("nca", winners, reference=MU)


@pytest.mark.parametrize("name", ["exo", "cdpo"])
def test_a_known_noise_is_a_reward_gap_of_its_log_odds(name, float64):
    """Two responses, the better known: β m = log (1-ε)/ε."""
    for beta in (0.5, 2.0):
        tilted = np.array([0.7, 0.3]) * np.array([1.0, ((1 - 0.2) / 0.2) ** (1 / beta)])
        two = {"mu": np.array([0.5, 0.5]), "reference": np.array([0.7, 0.3]), "rewards": np.array([0.0, 1.0])}
        hyper = dataclasses.replace(HYPER, beta=beta)
        _rests(name, tilted / tilted.sum(), hyper, **two, judged="rewards")


def _chi_squared_policy(beta):
    """π with β φ(π/π_ref) = r - c: z + log z = (r - c)/β solved by bisection in log z, and c by another one."""

    def ratios(c):
        low, high = np.full(4, -60.0), np.full(4, 60.0)
        for _ in range(200):
            middle = (low + high) / 2
            above = np.exp(middle) + middle > (REWARDS - c) / beta
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return np.exp(low)

    low, high = -50.0, 50.0
    for _ in range(200):
        c = (low + high) / 2
        low, high = (c, high) if (REFERENCE * ratios(c)).sum() > 1 else (low, c)
    return REFERENCE * ratios(low)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_chi_po_rests_where_its_link_is_the_reward(beta, float64):
    policy = _chi_squared_policy(beta)
    assert policy.sum() == pytest.approx(1.0, rel=1e-9)
    _rests("chi_po", policy, dataclasses.replace(HYPER, beta=beta))


def test_robust_dpo_undoes_the_noise(float64):
    """Labels flipped with ε: it rests where DPO does without noise, at π_ref exp(r/β), and DPO itself does not."""
    clean = _preferred(REWARDS)
    flipped = (1 - HYPER.label_noise) * clean + HYPER.label_noise * clean.T
    margins = jnp.asarray(REWARDS[:, None] - REWARDS[None, :])  # of that policy, at β = 1
    losses = {"robust": lambda m: robust_dpo(m, 1.0, HYPER.label_noise).sum(), "plain": lambda m: dpo(m, 1.0).sum()}
    for name, loss in losses.items():
        pull = MU[:, None] * MU[None, :] * flipped * -np.asarray(jax.grad(loss)(margins))
        assert np.allclose(pull.sum(axis=1), pull.sum(axis=0), atol=1e-12) == (name == "robust")
