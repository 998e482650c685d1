"""The budget's explorer: what is hidden before the score, captions, states, and what is trained live."""

import dataclasses
import json
import re

import numpy as np
import pytest

from modeseek.bandit.explore import BudgetExplorer
from modeseek.bandit.explore.budget import outcomes
from modeseek.bandit.explore.budget.model import OWN_SEEDS, BudgetModel, plan_of
from modeseek.bandit.explore.budget.outcomes import Outcome, grid
from modeseek.bandit.explore.budget.plan import (
    COLLECTIONS,
    NAMES,
    REWARDS,
    Plan,
    drawn_by,
)
from modeseek.bandit.explore.toolkit.canvas import Canvas
from modeseek.bandit.explore.toolkit.recording import Part


def test_nothing_of_the_best_known_is_seen_before_the_score():
    for reward in REWARDS:
        model = BudgetModel(reward)
        best = model.result.best.plan
        model.set("method", next(name for name in NAMES if name != best.method))
        closed = model.caption() + json.dumps(model.run_card()) + str(set(model.table()["plan"]))
        assert best.words() not in closed
        assert "best known" not in closed
        assert "Not scored yet." in model.caption()
        explorer = BudgetExplorer(state=model.to_state())
        explorer.pixels()
        assert not any(best.words() in text for text in texts(explorer))
        explorer.set(scored="yes")
        explorer.pixels()
        assert f"best known, dashed: {best.words()}" in texts(explorer)
        assert best.words() in explorer.caption()
        assert "chosen on other seeds than those that score" in explorer.caption()
        assert set(explorer.model.table()["plan"]) == {"yours", "best known"}
        explorer.set(preset=next(name for name in REWARDS if name != reward))  # another reward is not scored yet
        assert not explorer.model.scored


def texts(explorer):
    return [text.get_text() for text in explorer._canvas.figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_the_caption_says_what_is_drawn():
    model = BudgetModel("near-peak", method="rwr", collections=8, inner_steps=16, learning_rate=0.3)
    run = grid().outcome("near-peak", Plan("rwr", 8, 16, 0.3))
    np.testing.assert_array_equal(model.run.rewards, run.rewards)
    assert model.values.step == 8  # the end of the new plan, as of the old one
    low, high = outcomes.student(run.rewards[:, -1])
    said = (
        f"{run.rewards[:, -1].mean():.2f} ({low:.2f} to {high:.2f}) after 3200 of 3200 samples (mean and 95 % interval"
    )
    assert said in model.caption()
    model.set("step", 1)
    assert f"{run.rewards[:, 1].mean():.2f}" in model.caption()
    assert "after 400 of 3200 samples, " in model.caption()
    model.set("collections", 32)
    assert model.values.step == 1
    model.set("scored", "yes")
    assert f"Score {model.result.score}" in model.caption()
    assert "on 5 fresh seeds" in model.caption()
    best = model.result.best
    assert ("at the end of the grid" in model.caption()) == bool(best.edges)
    model.set("method", best.plan.method)
    model.set("collections", best.plan.collections)
    model.set("inner_steps", best.plan.inner_steps)
    model.set("learning_rate", best.plan.learning_rate)
    assert model.result.score.mean == pytest.approx(1.0)


def test_states_come_back():
    model = BudgetModel(
        "two-hills", method="dpo", collections=8, inner_steps=7, learning_rate=0.2, seeds=2, scored="yes"
    )
    again = BudgetModel.from_state(model.to_state())
    assert dataclasses.replace(again.values, step=0) == dataclasses.replace(model.values, step=0)
    assert plan_of(again.values) == Plan("dpo", 8, 7, 0.2)
    assert again.stale  # nothing of it is trained, so that there is no step to look at
    model = BudgetModel("near-peak", method="dpo", collections=8, learning_rate=3.0, step=5, scored="yes")
    assert model.to_state() == "budget?preset=near-peak&method=dpo&collections=8&learning_rate=3&scored=yes&step=5"
    assert BudgetModel.from_state(model.to_state()).values == model.values
    for state, says in (
        ("budget?collections=3", "collections must be one of 1, 2, 4, 8, 16, 32, got '3'"),
        ("budget?collections=0", "collections must be one of"),
        ("budget?method=magic", "method must be one of"),
        ("phase?", "begins with budget?"),
    ):
        with pytest.raises(ValueError, match=re.escape(says)):
            BudgetModel.from_state(state)


def test_a_trained_plan_is_scored_by_the_same_rule_and_its_interval_is_wider(monkeypatch):
    """Nothing is trained here: what a training brings is made up, its seeds the recorded ones' first three."""
    explorer = BudgetExplorer(method="ppo", collections=8, learning_rate=0.2, scored="yes")
    model = explorer.model
    assert model.stale
    assert "other settings than those set here (learning rate): press Train" in model.caption()
    recorded = grid().outcome("far-peak", Plan("ppo", 8, 4, 0.3))
    half = Outcome((100, 101, 102), recorded.samples[:3], recorded.rewards[:3, :3], recorded.rewards[:3, 2], False)
    whole = Outcome((100, 101, 102), recorded.samples, recorded.rewards[:3], recorded.rewards[:3, -1], True)
    steps = [Part(0.5, "half", half), Part(1.0, "whole", whole)]
    monkeypatch.setattr(BudgetModel, "training", lambda self, values: iter(steps[:1]))
    explorer.train()
    assert model.result.score is None
    assert "No score: the budget was not spent to its end." in model.caption()
    explorer.pixels()
    assert "stopped: no score" in texts(explorer)
    monkeypatch.setattr(BudgetModel, "training", lambda self, values: iter(steps))
    explorer.train()
    assert not model.stale
    assert model.result.score == grid().score("far-peak", whole)
    assert "on the seeds trained here, 3 where recorded plans have 5: a wider interval." in model.caption()
    explorer.set(preset="near-peak", method="ppo", collections=8, learning_rate=0.2)
    assert model.stale  # the same plan on another reward was not trained


def test_what_is_trained_is_the_plan():
    model = BudgetModel("two-hills", method="ipo", collections=8, inner_steps=3, learning_rate=0.2, seeds=2)
    (asked,) = model.experiments(model.values)
    assert asked.rewards == (REWARDS["two-hills"][0],)
    assert asked.methods == tuple(drawn_by(name) for name in NAMES)  # one program for all
    assert (asked.seeds, asked.first_seed, asked.hyper.learning_rate) == (2, OWN_SEEDS, 0.2)
    assert (asked.algorithm.collections, asked.algorithm.inner_steps) == (8, 3)
    assert asked.policy.kind == "tabular"


def test_the_blitted_picture_is_the_fresh_one():
    explorer, rng = BudgetExplorer(), np.random.default_rng(0)
    for _ in range(6):
        name, value = [
            ("method", str(rng.choice(NAMES))),
            ("collections", str(rng.choice(COLLECTIONS))),
            ("scored", str(rng.choice(["yes", "no"]))),
            ("learning_rate", float(rng.choice([0.1, 0.2, 1.0]))),
            ("preset", str(rng.choice(list(REWARDS)))),
        ][rng.integers(5)]
        explorer.set(**{name: value})
        np.testing.assert_array_equal(explorer.pixels(), Canvas(explorer.Scene()).pixels(explorer.model))


def test_what_changes_is_drawn_again():
    """Each text that a score, another plan or stale curves change is among the artists that every picture draws."""
    explorer = BudgetExplorer()
    moving = {id(artist) for panel in explorer._canvas._panels for artist in panel.moving}
    artists = explorer._canvas.figure.findobj(lambda artist: hasattr(artist, "get_text"))
    explorer.pixels()
    before = [text.get_text() for text in artists]
    explorer.set(scored="yes", learning_rate=0.2)
    explorer.pixels()
    changed = [text for text, old in zip(artists, before, strict=True) if text.get_text() != old]
    assert len(changed) == 4  # the best known, the score, the invitation to score, and the warning
    assert {id(text) for text in changed} <= moving
