"""Whether a policy has collapsed: bounds of its entropy that no policy breaks, and endings of known policies."""

import numpy as np
import pytest

from modeseek.bandit.categorical.collapse import (
    Ending,
    collapsed,
    collapsed_at_the_end,
    entropy_bounds,
    repeated_token,
)
from modeseek.bandit.categorical.frontier import Responses, reward_at
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards

R1, R2 = (Responses(reference_probs(ReferenceRecipe(), "clip", 100), token_rewards(r, 100), 10) for r in ("R1", "R2"))


def numbers(responses, tokens):
    """Expected reward, KL and entropy of policies whose token distributions at each position are `[*B, N, V]`."""
    logs = np.log(np.maximum(tokens, 1e-300))
    entropy = -(tokens * logs).sum(axis=(-2, -1))
    surprise = -(tokens * np.log(responses.reference)).sum(axis=(-2, -1))
    return responses.of_tokens((tokens @ responses.token_rewards).mean(axis=-1)), surprise - entropy, entropy


@pytest.mark.parametrize("prompt_reward", [None, 0.2])
@pytest.mark.parametrize("concentration", [0.003, 0.1, 1.0])
def test_no_policy_breaks_the_bounds(concentration, prompt_reward):
    """Random policies with a distribution a position, some nearly deterministic; and means over five prompts."""
    rng = np.random.default_rng(0)
    responses = Responses(rng.dirichlet(np.ones(6)), rng.uniform(size=6), 4, prompt_reward)
    each = np.stack(numbers(responses, rng.dirichlet(np.full(6, concentration), size=(2000, 4))))
    for reward, nats, entropy in (each, each.reshape(3, 400, 5).mean(axis=-1)):
        low, up = entropy_bounds(responses, reward, nats)
        assert (low <= entropy + 1e-9).all()
        assert (entropy <= up + 1e-9).all()
        ending = collapsed(responses, reward, nats)
        assert (entropy[ending == Ending.SPREAD] > 1).all()


def test_the_bounds_are_reached():
    """Prompts with one response each, of the two tokens whose edge lies there: no entropy, and the bound says so."""
    responses = Responses(np.array([0.7, 0.1, 0.2]), np.array([0.0, 0.5, 1.0]), 2)
    surprise = -np.log(responses.reference)
    for share in (0.25, 0.75):
        mixed = 2 * (share * surprise[2] + (1 - share) * surprise[0])
        low, _ = entropy_bounds(responses, share, mixed)
        assert low == pytest.approx(0.0, abs=1e-12)
        assert entropy_bounds(responses, share, mixed - 0.3)[0] == pytest.approx(0.3)
    up = 2 * (0.5 * surprise[0] + 0.5 * surprise[1])  # reward .25 lies between the likely token and the unlikely one
    assert entropy_bounds(responses, 0.25, up - 0.3)[1] == pytest.approx(0.3)


def test_the_best_response_alone_is_collapsed_and_the_frontier_is_not():
    for responses in (R1, R2):
        peak = np.full((10, 100), 0.001 / 99)
        peak[:, responses.token_rewards.argmax()] = 0.999
        assert collapsed(responses, *numbers(responses, peak)[:2]) == Ending.COLLAPSED
        nats = np.array([0.01, 1.0, 7.0, 20.0])
        assert (collapsed(responses, reward_at(responses, nats), nats) == Ending.SPREAD).all()


def test_every_repeated_token_is_recognised():
    """Whatever it earns, R1's lottery: with a ten-thousandth of the mass left elsewhere."""
    left = 1e-4
    tokens = (1 - left) * np.eye(100) + left / 100
    reward, nats, entropy = numbers(R1, np.repeat(tokens[:, None, :], 10, axis=1))
    assert (entropy < 0.2).all()
    alone = R1.token_rewards, -10 * np.log(R1.reference)
    assert (collapsed(R1, *alone) == Ending.COLLAPSED).all()
    found = repeated_token(R1, *alone)
    np.testing.assert_allclose(R1.token_rewards[found], R1.token_rewards, atol=1e-3)
    np.testing.assert_allclose(R1.reference[found], R1.reference, rtol=6e-3)
    assert (repeated_token(R1, reward, nats - 1.0) == -1)[60:80].all()


def test_what_the_two_numbers_leave_open_is_said():
    """One policy holds a response of unlikely tokens, the other is spread; reward and KL are the same."""
    responses = Responses(np.array([0.5, 0.4, 0.1]), np.array([0.0, 0.6, 0.3]), 1)
    target = 0.3, -np.log(0.1) - 1.2
    assert collapsed(responses, *target) == Ending.UNDECIDED
    assert collapsed(R1, np.nan, 20.0) == Ending.UNDECIDED
    half = np.zeros((10, 100))
    half[np.arange(10), [70, 60] * 5] = 1.0  # one response of two tokens
    reward, nats, entropy = numbers(R1, half)
    assert entropy == pytest.approx(0, abs=1e-9)
    assert collapsed(R1, reward, nats) == Ending.UNDECIDED
    assert collapsed(R1, reward, nats, entropy) == Ending.COLLAPSED
    measured = collapsed(R1, np.full(3, 0.5), np.full(3, 46.0), np.array([0.9, 1.1, np.nan]))
    assert measured.tolist() == [Ending.COLLAPSED, Ending.SPREAD, Ending.UNDECIDED]


def test_the_end_is_the_last_tenth():
    """Twenty evaluations: the last two must agree."""
    reward, nats = np.full((3, 20), 0.25), np.full((3, 20), 5.0)
    nats[0], reward[0] = -10 * np.log(R1.reference[70]), 1.0
    nats[1, -1], reward[1, -1] = nats[0, 0], 1.0
    assert collapsed_at_the_end(R1, reward, nats).tolist() == [Ending.COLLAPSED, Ending.UNDECIDED, Ending.SPREAD]
    assert collapsed_at_the_end(R1, reward, nats, np.ones_like(nats)).tolist() == [Ending.COLLAPSED] * 3
