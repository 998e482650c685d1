"""The recorded plans: what is stored is what the command makes; a bake that was stopped goes on to the same bits."""

import json

import numpy as np
import pytest
import xarray as xr

from modeseek.bandit.explore.budget import bake
from modeseek.bandit.explore.budget.model import OWN_SEEDS, BudgetModel
from modeseek.bandit.explore.budget.outcomes import AXES, grid
from modeseek.bandit.explore.budget.plan import (
    BUDGET,
    COLLECTIONS,
    NAMES,
    PASSES,
    RATES,
    REWARDS,
    Plan,
)
from modeseek.bandit.explore.toolkit.stored import DATA
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards
from modeseek.bandit.simulator.results import load

SHAPE = len(NAMES), len(COLLECTIONS), len(PASSES), len(RATES)


def test_the_recorded_grid_is_what_the_command_makes():
    data = grid().data
    assert (DATA / "budget.nc").stat().st_size < 200_000
    assert data.attrs["command"] == bake.COMMAND
    assert Experiment.from_json(data.attrs["configuration"]) == bake.sweep_of(COLLECTIONS[0], PASSES[0])
    assert json.loads(data.attrs["versions"])
    assert data.sizes["seed"] == bake.FRESH >= 5
    assert not set(data["seed"].values) & set(data["seen_seed"].values)
    assert data["seed"].values.max() < OWN_SEEDS
    assert np.isfinite(data["ends"]).all()
    assert np.isfinite(data["seen"]).all()
    assert tuple(data[name].size for name in AXES) == SHAPE
    reference = reference_probs(ReferenceRecipe(), "clip", 100)
    for reward, (text, _) in REWARDS.items():
        assert grid().reference(reward) == pytest.approx(reference @ token_rewards(text, 100), abs=1e-6)
        low, best = grid().reference(reward), grid().best(reward).outcome.ends.mean()
        ceiling = token_rewards(text, 100).max()
        assert low < best <= ceiling
        assert grid().most(reward) == pytest.approx((ceiling - low) / (best - low))
        assert grid().most(reward) < 1.05  # a plan beyond the grid's end has little left to gain
    # Between the ends a curve is to .002, and where it is known twice both agree.
    last = data["curves"].isel(collection=COLLECTIONS[-1]).sel(collections=COLLECTIONS[-1])
    assert float(np.abs(last - data["seen"].sel(collections=COLLECTIONS[-1])).max()) <= 0.0021


def test_curves_end_where_their_collections_do():
    for collections in COLLECTIONS:
        found = grid().outcome("far-peak", Plan("rwr", collections, 4, 0.1))
        assert found.samples[-1] == BUDGET
        assert len(found.samples) == collections + 1 == found.rewards.shape[1]
        assert np.isfinite(found.rewards).all()
        np.testing.assert_array_equal(found.rewards[:, 0], grid().reference("far-peak"))


@pytest.mark.slow
def test_the_recorded_grid_is_the_simulators():
    """Two plans, trained here through the explorer with a seed that is seen and one that scores."""
    for plan in (Plan("dpo", 1, 1, 0.3), Plan("best_of_n", 8, 1, 0.3)):
        model = BudgetModel(
            method=plan.method, collections=plan.collections, inner_steps=1, learning_rate=0.3, seeds=2, first_seed=2
        )
        *_, last = model.training(model.values)
        kept = grid().outcome("far-peak", plan)
        np.testing.assert_allclose(last.run.rewards[0], kept.rewards[2], atol=5e-3)
        np.testing.assert_allclose(last.run.ends, [kept.rewards[2, -1], kept.ends[0]], atol=2e-3)


def tiny(folder, experiments):
    results = bake.run(folder, experiments)
    assert results is not None
    return bake.gathered(results, seen=1)


@pytest.mark.slow
def test_a_bake_that_was_stopped_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    asked = [bake.sweep_of(collections, 1, (0.3,), ("far-peak",), seeds=3) for collections in (32, 16)]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    real, ran = bake.run_sweep, []

    def stops(each, path):
        ran.append(path.name)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return real(each, path)

    monkeypatch.setattr(bake, "run_sweep", stops)
    for folder in (broken, whole):
        folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        bake.run(broken, asked)
    first = tiny(broken, asked)
    assert ran == [f"collections-{n}-passes-1-rates-0.3.nc" for n in (32, 16, 16)]  # what was whole was not run again
    second = tiny(whole, asked)
    xr.testing.assert_identical(first, second)
    assert first["curves"].sizes["collection"] == 33
    run = load(whole / "collections-16-passes-1-rates-0.3.nc")
    one = run["expected_reward"].sel(algorithm="on_policy_dpo", seed=[0, 2]).isel(reward=0, learning_rate=0).values
    kept = first.sel(algorithm="dpo", collections=16, seed=2).isel(
        inner_steps=0, learning_rate=0, reward=0, seen_seed=0
    )
    np.testing.assert_array_equal(kept["curves"].values[:17], one[0])
    assert np.isnan(kept["curves"].values[17:]).all()
    assert (float(kept["seen"]), float(kept["ends"])) == (one[0, -1], one[1, -1])
    packed = bake.packed(first)["curves"]
    assert packed.dtype == np.uint8
    assert (packed.values[np.isnan(first["curves"].values)] == 255).all()
