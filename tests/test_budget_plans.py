"""A budget's plans: what is refused, what a rate means, the score by hand, and that the chooser is not the judge."""

import dataclasses
import math
import re

import numpy as np
import pytest
import xarray as xr

from modeseek.bandit.explore.budget.model import BudgetModel
from modeseek.bandit.explore.budget.outcomes import AXES, Grid, grid, score
from modeseek.bandit.explore.budget.plan import (
    BUDGET,
    COLLECTIONS,
    NAMES,
    PASSES,
    RATES,
    Plan,
    drawn_by,
    experiment,
    snapped,
)

SHAPE = len(NAMES), len(COLLECTIONS), len(PASSES), len(RATES)
GOOD = Plan("ppo", 8, 4, 0.3)


def made_up(seen: np.ndarray, ends: np.ndarray, reference: float = 0.1) -> Grid:
    """A grid of one reward with these ends, `[…, seeds]`."""
    curves = np.full((*SHAPE, 1, seen.shape[-1], COLLECTIONS[-1] + 1), 0.5)
    axes = (*AXES, "reward")
    data = {
        "seen": ((*axes, "seen_seed"), seen[..., None, :]),
        "ends": ((*axes, "seed"), ends[..., None, :]),
        "curves": ((*axes, "seen_seed", "collection"), curves),
        "reference": ("reward", [reference]),
    }
    values = (NAMES, COLLECTIONS, PASSES, RATES, ("far-peak",))
    coords = {name: list(each) for name, each in zip((*AXES, "reward"), values, strict=True)}
    return Grid(xr.Dataset(data, {**coords, "seen_seed": range(seen.shape[-1])}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"budget": 3250}, "a budget must be a multiple of a minibatch, 100 samples, got 3250: take 3200"),
        ({"budget": 0}, "budget must be a whole number of at least 1, got 0"),
        ({"collections": 0}, "collections must be a whole number of at least 1, got 0"),
        ({"collections": 5000}, "collections must be at most 32, as each takes 100 of 3200 samples or more, got 5000"),
        ({"collections": 3}, "minibatches of 100, got 3: take one of 1, 2, 4, 8, 16, 32"),
        ({"inner_steps": 0}, "inner_steps must be a whole number of at least 1, got 0"),
        ({"inner_steps": 65}, "inner_steps must be at most 64, got 65: use each sample less often"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number, got 0.0"),
        ({"learning_rate": math.nan}, "learning_rate must be a positive number"),
        ({"method": "on_policy_ipo"}, "named without a side, such as ipo, got 'on_policy_ipo'"),
        ({"method": "magic"}, "unknown method 'magic'"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        dataclasses.replace(GOOD, **change)


def test_a_plan_spends_the_budget_and_takes_its_steps():
    for collections in COLLECTIONS:
        for passes in PASSES:
            asked = experiment(Plan("ipo", collections, passes, 0.3), ["near-peak"], 2, 5).algorithm
            assert asked.samples_per_collection * asked.collections == BUDGET
            assert asked.gradient_steps == passes * 32  # whatever the number of collections
    assert drawn_by("ipo") == "on_policy_ipo"
    assert drawn_by("ppo") == "ppo"


def test_a_rate_next_to_a_recorded_one_is_that_one():
    assert [snapped(rate) for rate in (0.0999, 0.1, 0.1029, 0.98)] == [0.1, 0.1, 0.1, 1.0]
    assert snapped(0.11) == 0.11
    assert snapped(0.2) == 0.2
    model = BudgetModel(learning_rate=0.295)
    assert model.values.learning_rate == 0.3
    assert "are recorded: set to 0.3" in model.notes[0]
    model.set("learning_rate", 0.35)
    assert model.values.learning_rate == 0.35
    assert model.notes == []
    low, high = model.limits("learning_rate")
    slider = np.geomspace(low, high, 201)  # each recorded rate is within a slider's step
    assert set(RATES) <= {snapped(float(rate)) for rate in slider}


# The score.


def test_the_score_by_hand():
    """Reference .1, best .9: ends .5, .7 and .6 are shares .5, .75 and .625; t(.975, 2) = 4.3027, sd = .125."""
    found = score(np.array([0.5, 0.7, 0.6]), 0.1, 0.9)
    assert found.mean == pytest.approx(0.625)
    half = 4.302653 * 0.125 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.625 - half, 0.625 + half))
    assert score(np.array([0.1]), 0.1, 0.9).mean == pytest.approx(0.0)
    assert score(np.array([0.0]), 0.1, 0.9).mean == pytest.approx(-0.125)  # below the reference
    assert str(score(np.array([0.5]), 0.1, 0.9)) == "0.50 (one seed: no interval)"
    with pytest.raises(ValueError, match=r"must earn more than the reference, 0\.5, got 0\.5"):
        score(np.array([0.5]), 0.5, 0.5)


def test_the_best_is_chosen_on_other_seeds_than_those_that_score():
    """Plan A wins on the seeds that are seen, B on those that score: A is the best known, with what it earns there."""
    seen, ends = np.full((*SHAPE, 2), 0.2), np.full((*SHAPE, 3), 0.2)
    a, b = (1, 2, 1, 1), (4, 0, 2, 3)
    seen[a], ends[a] = [0.95, 0.97], [0.6, 0.7, 0.8]
    seen[b], ends[b] = [0.90, 0.91], [0.9, 0.9, 0.9]
    known = made_up(seen, ends)
    best = known.best("far-peak")
    assert best.plan == Plan("best_of_n", 8, 4, 0.1)
    assert best.outcome.ends.mean() == pytest.approx(0.7)  # and not .96, by which it was chosen
    assert best.score.mean == pytest.approx(1.0)
    assert best.edges == ()
    other = known.best("far-peak", ("ipo",), (1,))
    assert other.plan == Plan("ipo", 1, 16, 1.0)
    assert other.edges == ("collections", "inner_steps")
    assert other.score.mean == pytest.approx((0.9 - 0.1) / (0.7 - 0.1))  # more than 1 is possible, and said
    assert known.score("far-peak", other.outcome) == other.score


def test_a_run_that_broke_does_not_choose():
    seen, ends = np.full((*SHAPE, 2), 0.2), np.full((*SHAPE, 3), 0.4)
    seen[0, 0, 0, 0] = [0.99, np.nan]
    seen[3, 1, 1, 1] = [0.5, 0.5]
    assert made_up(seen, ends).best("far-peak").plan == Plan("ppo", 2, 4, 0.1)


def test_what_was_not_recorded_has_no_outcome():
    with pytest.raises(ValueError, match=r"a recorded plan was expected, got PPO, 8 collections, 4 passes, rate 0\.2"):
        grid().outcome("far-peak", dataclasses.replace(GOOD, learning_rate=0.2))
    assert not dataclasses.replace(GOOD, budget=1600).recorded
