"""The released program's learning rates: where stored cells end at the best of them, and what the notes say of it."""

from pathlib import Path

import numpy as np
import pytest
import xarray

from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.simulator.conventions import RELEASED_CODE
from modeseek.bandit.studies.reproduce.cells import HEADLINES, BanditCell
from modeseek.bandit.studies.reproduce.protocols import PAPER_LEARNING_RATES, TEN
from modeseek.bandit.studies.reproduce.released_grid import (
    RELEASED_RATES,
    at_rate,
    best_of,
    outside_released_grid,
    released_grid_table,
    within_released_grid,
)
from modeseek.bandit.studies.reproduce.store import STORE
from modeseek.bandit.studies.reproduce.targets import STUDY
from modeseek.bandit.studies.store import missing_cells

NOTES = Path(__file__).parents[1] / "docs" / "paper-notes.md"


def _stored(conventions):
    folder = STORE.folder(TEN, conventions)
    cells = {cell for target in STUDY.targets for cell in target.cells_under(TEN)}
    return {c: STORE.read(c, TEN, conventions, folder) for c in cells.difference(missing_cells(cells, folder))}


@pytest.fixture(scope="module")
def released():
    return _stored("released_code")


def _grid(ends, speeds, rates=(0.3, 0.1, 0.01)):
    """A cell's grid, `[learning_rate, tuning_seed]`, in the order of a stored one: the largest rate first."""
    dims = ["learning_rate", "tuning_seed"]
    variables = {"grid_final_reward": (dims, np.asarray(ends)), "grid_mean_reward": (dims, np.asarray(speeds))}
    return xarray.Dataset(variables, coords={"learning_rate": list(rates)})


def test_on_the_whole_grid_it_takes_what_tuning_took(released):
    cells = released | _stored("paper")
    assert len(cells) > 35
    for cell, dataset in cells.items():
        taken = best_of(dataset, dataset["learning_rate"].values, TEN.tie).learning_rate
        assert taken == dataset.attrs["learning_rate"], cell.name


def test_only_admissible_rates_compete():
    grid = _grid([[0.9, 0.7], [0.5, 0.3], [0.1, 0.2]], [[0.5, 0.5], [0.2, 0.2], [0.1, 0.1]])
    assert best_of(grid, (0.3, 0.1, 0.01), tie=0.02) == pytest.approx((0.3, 0.8, 0.1))  # sd .1414, over √2
    assert best_of(grid, (0.1, 0.01, 0.001), tie=0.02) == pytest.approx((0.1, 0.4, 0.1))
    with pytest.raises(ValueError, match=r"none of the rates is in the cell's grid, \[0.3, 0.1, 0.01\]"):
        best_of(grid, (0.02,), tie=0.02)


def test_of_tied_rates_the_fastest_and_of_those_the_smallest():
    ends = [[0.50, 0.50], [0.49, 0.49], [0.47, 0.47]]
    assert best_of(_grid(ends, [[0.2] * 2, [0.3] * 2, [0.4] * 2]), (0.3, 0.1, 0.01), tie=0.02).learning_rate == 0.1
    assert best_of(_grid(ends, [[0.3] * 2, [0.3] * 2, [0.4] * 2]), (0.3, 0.1, 0.01), tie=0.02).learning_rate == 0.1
    assert best_of(_grid(ends, [[0.3] * 2, [0.2] * 2, [0.4] * 2]), (0.3, 0.1, 0.01), tie=0.02).learning_rate == 0.3


def test_a_rate_at_which_a_seed_diverged_does_not_compete():
    grid = _grid([[0.9, np.nan], [0.5, 0.3], [0.1, 0.2]], [[0.5, np.nan], [0.2, 0.2], [0.1, 0.1]])
    assert best_of(grid, (0.3, 0.1, 0.01), tie=0.02).learning_rate == 0.1
    assert at_rate(grid, 0.3).reward == pytest.approx(0.9)


def test_released_rates_are_some_of_the_papers_and_of_methods_that_there_are():
    assert set(RELEASED_RATES) <= set(METHODS)
    for rates in RELEASED_RATES.values():
        assert set(rates) < set(PAPER_LEARNING_RATES)
        assert list(rates) == sorted(rates)
    assert max(RELEASED_RATES["ipo"]) == max(RELEASED_RATES["ppo"]) == 0.01
    assert max(RELEASED_RATES["best_of_n"]) == max(RELEASED_RATES["rwr"]) == 0.1


def test_no_stored_cell_as_released_gains_by_the_restriction(released):
    """Up to the tie within which the fastest is taken."""
    outside = {row.cell.name: row for row in outside_released_grid()}
    assert outside
    for cell, dataset in released.items():
        ours, theirs = at_rate(dataset, dataset.attrs["learning_rate"]), within_released_grid(cell, dataset)
        assert theirs.reward <= ours.reward + TEN.tie
        name = cell.experiment(RELEASED_CODE, TEN).static.methods[0].name
        assert (cell.name in outside) == (ours.learning_rate not in RELEASED_RATES[name])
        assert theirs.learning_rate in RELEASED_RATES[name]


def test_a_method_that_the_released_code_has_not_is_refused(released):
    cell = BanditCell("unlikelihood-R1", "unlikelihood", "R1")
    with pytest.raises(ValueError, match="the released code has no grid for 'unlikelihood'; it has best_of_n"):
        within_released_grid(cell, released[HEADLINES["ppo", "R1"]])


def test_the_notes_hold_the_table():
    assert released_grid_table() in NOTES.read_text(encoding="utf-8")
