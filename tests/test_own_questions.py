"""The questions of notebook 11: right and wrong answers are told apart, and wrong ones are told what is wrong."""

import dataclasses

import jax
import numpy as np
import pytest

from modeseek.bandit.explore import BanditExplorer
from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.bandit.presets import PLACES
from modeseek.bandit.explore.own.questions import HIGH, check_farthest, check_offset, predict_hills, pushed
from modeseek.bandit.objectives.own import forget, objective_of
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs


def test_the_prediction_is_answered_by_what_was_recorded():
    truth = predict_hills().truth()
    mass = BanditModel("drawn-ppo").run.token_distribution.astype(float).mean(axis=1)
    low, high = mass[:, 10:50].sum(1), mass[:, 60:99].sum(1)
    assert low[0] < 0.5 < low.max()
    assert high[-1] > 0.99
    assert (np.diff(high[:30]) > 0).all()  # then it has all
    assert truth.option == 2
    for share in (low[0], low.max(), high[0], high[low.argmax()]):
        assert f"{share:.0%}" in truth.because
    pushes = pushed(BanditModel("drawn-ppo"), HIGH)
    assert (pushes[:-1] > 0).all()
    assert pushes[-1] == 0  # all responses are alike
    assert "in 39 of 40 collections" in truth.because
    assert "last 100 responses 100 are the same, 77 79 76 80 80 80 80 84 79 81:" in truth.because


def test_the_farthest_knot():
    reference = reference_probs(ReferenceRecipe(floor=1e-5), "clip", 100)
    farthest = int(np.argmin([reference[int(place)] for place in PLACES]))
    single = lambda at: tuple(float(i == at) for i in range(len(PLACES)))
    assert check_farthest(BanditExplorer(knots=single(farthest))).right
    for at in (0, 3, 10):
        assert "another knot is farther" in check_farthest(BanditExplorer(knots=single(at))).says
    assert "tokens earn most" in check_farthest(BanditExplorer(knots=(1.0,) * 5 + (0.0,) * 6)).says
    assert "has a peak" in check_farthest(BanditExplorer()).says
    assert "every token earns the same" in check_farthest(BanditExplorer(reward="drawn")).says
    assert not check_farthest(...).right


def margins(batch):
    return batch.log_ratios[:, :, None] - batch.log_ratios[:, None, :]


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda b, h: -jax.nn.log_sigmoid(h.beta * margins(b) - h.target_margin), "log 2"),
        (lambda b, h: -jax.nn.log_sigmoid(h.beta * margins(b) + h.target_margin), "the other sign"),
        (lambda b, h: -jax.nn.log_sigmoid(h.beta * margins(b)), "without the offset"),
        (lambda b, h: -jax.nn.log_sigmoid(-h.beta * margins(b) - h.target_margin), "rejected response over"),
        (lambda b, h: -jax.nn.log_sigmoid(margins(b) - h.target_margin), "β is missing"),
        (lambda b, h: -jax.nn.log_sigmoid(h.beta * (margins(b) - h.target_margin)), "multiplies the offset"),
        (lambda b, h: -jax.nn.log_sigmoid(h.beta * margins(b) - 1.0), "δ is a number"),
        (lambda b, h: 2 * margins(b), "the first pair's loss should be"),
        (lambda b, h: -b.log_probs, "for each pair is"),
    ],
)
def test_the_offset(loss, says):
    METHODS["mine"] = dataclasses.replace(METHODS["dpo"], name="mine", objective=objective_of(loss), digest="a test's")
    try:
        found = check_offset("mine")
    finally:
        forget("mine")
    assert says in found.says
    assert found.right == (says == "log 2")
    assert "no method of yours" in check_offset("ppo").says
