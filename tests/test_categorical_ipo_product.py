"""On-policy IPO of policies that draw tokens independently, against enumeration, its own loss, and stored runs."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from test_categorical_ipo_optimum import fixed_point

from modeseek.bandit.categorical.frontier import Responses, point_mass_nats, reward_at
from modeseek.bandit.categorical.ipo_product import ipo_product_rest, win_probability
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards
from modeseek.bandit.simulator.results import load
from modeseek.bandit.studies import reproduce

STORED = Path(reproduce.__file__).parent / "stored" / "full" / "paper"
SMALL = Responses(np.array([0.5, 0.3, 0.15, 0.05]), np.array([0.0, 0.23, 0.71, 1.0]), 3)
PAPER = {r: Responses(reference_probs(ReferenceRecipe(), "clip", 100), token_rewards(r, 100), 10) for r in ("R1", "R2")}


def enumerated(responses, probs):
    """All responses' tokens, probabilities, and each one's probability of winning against another."""
    each = np.array(list(itertools.product(range(len(probs)), repeat=responses.length)))
    of_each = probs[each].prod(axis=1)
    earned = responses.token_rewards[each].sum(axis=1).round(9)
    wins = (earned[:, None] > earned[None]) + 0.5 * (earned[:, None] == earned[None])
    return each, of_each, wins


def test_winning_is_counted_as_enumeration_counts_it():
    """V = 4, N = 3, at a policy that is not the reference."""
    probs = np.array([0.2, 0.4, 0.1, 0.3])
    each, of_each, wins = enumerated(SMALL, probs)
    expected = [
        (of_each * (each[:, 0] == a)) @ (wins @ of_each) / (of_each * (each[:, 0] == a)).sum() for a in range(4)
    ]
    np.testing.assert_allclose(win_probability(SMALL, probs), expected, atol=1e-12)


@pytest.mark.parametrize("tau", [0.2, 0.5])
def test_the_rest_is_stationary_for_ipos_loss(tau):
    """E over pairs of the policy's own samples, held still, of (difference of log-ratios ∓ 1/(2τ))²: 64² pairs."""
    rest = ipo_product_rest(SMALL, tau)
    each, of_each, wins = enumerated(SMALL, rest.probs)
    pairs = of_each[:, None] * of_each[None]
    target = (2 * wins - 1) / (2 * tau)

    def loss(logits):
        ratios = (logits - np.log(SMALL.reference))[each].sum(axis=1)
        return (pairs * (ratios[:, None] - ratios[None] - target) ** 2).sum()

    at = np.log(rest.probs)
    for a in range(4):
        step = 1e-4 * np.eye(4)[a]
        assert (loss(at + step) - loss(at - step)) / 2e-4 == pytest.approx(0, abs=1e-5)
        assert loss(at + 1e3 * step) > loss(at)
    nats = of_each @ np.log(of_each / SMALL.reference[each].prod(axis=1))
    assert (rest.nats, rest.reward) == (
        pytest.approx(nats, abs=1e-9),
        pytest.approx(of_each @ SMALL.token_rewards[each].mean(axis=1)),
    )


def test_of_one_token_it_is_the_tabular_rest():
    responses = SMALL._replace(length=1)
    np.testing.assert_allclose(ipo_product_rest(responses, 0.3).probs, fixed_point(responses.reference, 0.3), atol=1e-7)
    with pytest.raises(ValueError, match="tau must be a positive number, got -1"):
        ipo_product_rest(responses, -1.0)


def test_trained_networks_rest_there():
    """Figure 19 at every rate from .0001 to .01: on R1 at .47 and 11.4 nats, on R2 next to the point mass."""
    found = {}
    for name, responses in PAPER.items():
        rest = found[name] = ipo_product_rest(responses, 0.05)
        cell = load(STORED / f"on_policy_ipo-{name}.nc").sel(learning_rate=[0.01, 0.003, 0.001, 0.0003])
        rewards, nats = (cell[f"grid_final_{of}"].mean("tuning_seed").values for of in ("reward", "kl"))
        np.testing.assert_allclose(rewards, rest.reward, atol=0.02)
        np.testing.assert_allclose(nats, rest.nats, atol=1.5)
        assert rest.reward > 0.99 * reward_at(responses, rest.nats)
    assert (found["R1"].nats, found["R1"].reward) == (pytest.approx(11.40, abs=0.01), pytest.approx(0.470, abs=1e-3))
    assert point_mass_nats(PAPER["R2"]) - found["R2"].nats == pytest.approx(0.43, abs=0.01)


def test_the_rest_does_not_depend_on_the_start():
    start = 0.999 * np.eye(100)[70] + 0.001 / 100
    again = ipo_product_rest(PAPER["R1"], 0.05, start)
    assert again.nats == pytest.approx(ipo_product_rest(PAPER["R1"], 0.05).nats, abs=1e-4)
