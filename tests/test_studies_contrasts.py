"""Contrasts: numbers of cells, seed by seed, at the tuned rates and beside them; their unit."""

import numpy as np
import pytest
from reproduce_cases import fake_cell

from modeseek.bandit.studies.cells import Cell
from modeseek.bandit.studies.contrasts import (
    Contrast,
    Term,
    difference,
    difference_of_differences,
    fresh_values,
    level,
    shifted_values,
)
from modeseek.bandit.studies.reproduce.measures import FINAL_KL, FINAL_REWARD, NATS
from modeseek.bandit.studies.reproduce.protocols import EVERY


def test_contrasts_are_taken_seed_by_seed_on_fresh_seeds():
    a, b, c = (fake_cell(x, 0.05, seed=i) for i, x in enumerate((0.9, 0.5, 0.4)))
    cell_a, cell_b, cell_c = (Cell(name, protocols=EVERY) for name in "abc")
    cells = {cell_a: a, cell_b: b, cell_c: c}
    last = lambda d: d["expected_reward"].values[5:, -1].astype(np.float64)
    np.testing.assert_allclose(fresh_values(difference(FINAL_REWARD, cell_a, cell_b), cells), last(a) - last(b))
    nested = difference_of_differences(FINAL_REWARD, (cell_a, cell_b), (cell_b, cell_c))
    np.testing.assert_allclose(fresh_values(nested, cells), last(a) - 2 * last(b) + last(c), atol=1e-12)
    np.testing.assert_allclose(fresh_values(level(FINAL_REWARD, cell_a, -1.0, 0.3), cells), -last(a) - 0.3)


def test_a_neighbouring_rate_is_the_neighbour_in_size():
    cell = fake_cell(0.5)
    cell["grid_final_reward"] = (("learning_rate", "tuning_seed"), np.outer([1.0, 2.0, 3.0], np.ones(5)))
    x = Cell("x", protocols=EVERY)
    one = level(FINAL_REWARD, x)
    assert shifted_values(one, {x: cell}, 1).tolist() == [1.0] * 5  # the grid is stored from large to small
    assert shifted_values(one, {x: cell}, -1).tolist() == [3.0] * 5
    cell.attrs["learning_rate"] = 0.1
    assert shifted_values(one, {x: cell}, 1) is None


def test_a_contrast_has_the_unit_of_its_measures():
    a = Cell("a", protocols=EVERY)
    assert level(FINAL_KL, a).unit is NATS
    with pytest.raises(ValueError, match="must have one unit, got nats and reward"):
        Contrast((Term(1.0, a, FINAL_KL), Term(1.0, a, FINAL_REWARD)))
    with pytest.raises(ValueError, match="must have one unit, got none"):
        Contrast(())
