"""[C1] as a number: closed forms, optimality, and the table of the page that explains it."""

import re
from pathlib import Path

import numpy as np
import pytest

from modeseek.bandit.categorical.frontier import Responses, nats_at
from modeseek.bandit.categorical.peak import divergence_from_reward
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "peak.md"


def nats_to_reward(reference, rewards, level, length=1):
    """The fewest nats of a response for a reward."""
    return float(nats_at(Responses(reference, rewards, length), level))


def _relative_entropy(p, q):
    return float((p * np.log(p / q)).sum())


@pytest.mark.parametrize("level", [0.31, 0.5, 0.9, 0.999999])
def test_two_tokens_have_the_divergence_of_bernoullis(level):
    """Rewards 0 and 1: the policy earns its probability of the second, and there is one with `level`."""
    expected = _relative_entropy(np.array([1 - level, level]), np.array([0.7, 0.3]))
    np.testing.assert_allclose(nats_to_reward(np.array([0.7, 0.3]), np.array([0.0, 1.0]), level, 10), 10 * expected)


def test_what_the_reference_earns_is_free_the_ceiling_costs_its_mass_and_more_cannot_be_had():
    reference, rewards = np.array([0.5, 0.3, 0.1, 0.1]), np.array([0.0, 0.5, 1.0, 1.0])
    assert nats_to_reward(reference, rewards, 0.35) == 0.0  # .15 + .2
    np.testing.assert_allclose(nats_to_reward(reference, rewards, 1.0, 3), -3 * np.log(0.2))
    np.testing.assert_allclose(nats_to_reward(reference, rewards, 1 - 1e-9, 3), -3 * np.log(0.2), rtol=1e-6)
    assert nats_to_reward(reference, rewards, 1.01) == float("inf")


def test_no_other_policy_earns_as_much_so_near():
    """20 000 random policies of four tokens: none with the level's reward is nearer, and some come close."""
    rng = np.random.default_rng(0)
    reference, rewards, level = np.array([0.6, 0.25, 0.1, 0.05]), np.array([0.1, 0.4, 0.8, 1.0]), 0.6
    policies = rng.dirichlet(np.ones(4), 20_000)
    enough = policies[policies @ rewards >= level]
    distances = (enough * np.log(enough / reference)).sum(axis=1)
    least = nats_to_reward(reference, rewards, level)
    assert least <= distances.min() < 1.05 * least


def test_the_letter_of_the_condition_by_enumeration():
    """KL(π_ref ‖ exp(r)/Z) over all 9 responses of two tokens, whose reward is the mean."""
    reference, rewards = np.array([0.5, 0.3, 0.2]), np.array([0.0, 0.5, 2.0])
    drawn = np.outer(reference, reference)
    target = np.exp((rewards[:, None] + rewards) / 2)
    expected = _relative_entropy(drawn, target / target.sum())
    np.testing.assert_allclose(divergence_from_reward(reference, rewards, 2), expected)


def _row(into, reward):
    """The numbers of a row of the page: mass on the peak, nats to .5, to .9 and to the ceiling, and [C1]'s letter."""
    reference, rewards = reference_probs(ReferenceRecipe(), into, 100), token_rewards(reward, 100)
    nats = [nats_to_reward(reference, rewards, level, 10) for level in (0.5, 0.9, 1.0)]
    numbers = (*nats, divergence_from_reward(reference, rewards, 10))
    mass = reference[int(rewards.argmax())]
    return [f"{reference @ rewards:.3f}", f"{mass:.4f}", *(f"{number:.1f}" for number in numbers)]


def test_the_page_has_these_numbers():
    rows = re.findall(r"^\| (R[12]) \| `(\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == 6
    for reward, into, cells in rows:
        assert cells.split(" | ") == _row(into, reward)
