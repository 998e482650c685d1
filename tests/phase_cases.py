"""Phase diagrams made of numbers, for the tests of maps, recommender and page: nothing is trained."""

from collections.abc import Callable

import numpy as np
import xarray

from modeseek.bandit.studies.phase_diagram.grid import Budget, Grid, Point
from modeseek.bandit.studies.phase_diagram.stored import assemble, cell_attributes

BUDGET = Budget(methods=("best_of_n", "ppo", "ipo", "on_policy_ipo"), looks=(4, 8))
GRID = Grid(BUDGET, centers=(20, 45, 70), slices=("staleness", "kl"))


def made_cell(point: Point, budget: Budget, rewards: np.ndarray) -> xarray.Dataset:
    """A cell as `run_cell` gives it, of rewards `[M, seeds]`."""
    missing = budget.looks[-1] - rewards.shape[1]
    padded = np.pad(rewards.astype(np.float32), ((0, 0), (0, missing)), constant_values=np.nan)
    tuning = np.zeros((len(budget.methods), len(budget.learning_rates), budget.tuning_seeds))
    data = {
        "reward": (("method", "seed"), padded),
        "kl": (("method", "seed"), 40 * padded),
        "reward_within_kl": (("method", "seed"), padded[::-1]),
        "tuning_reward": (("method", "rate", "tuning_seed"), tuning),
        "learning_rate": ("method", np.full(len(budget.methods), budget.learning_rates[0])),
    }
    return xarray.Dataset(data, attrs=cell_attributes(point, budget))


def made_diagram(rewards: Callable[[Point], np.ndarray], grid: Grid = GRID) -> xarray.Dataset:
    """A diagram whose cells have those rewards."""
    return assemble(grid, {point: made_cell(point, grid.budget, rewards(point)) for point in grid.points()})


def clear_winner(point: Point, seed: int = 0) -> np.ndarray:
    """Best-of-N wins near the reference and on-policy IPO far from it, by ten spreads."""
    rng = np.random.default_rng(seed)
    means = np.asarray([0.9, 0.5, 0.4, 0.6]) if point.center < 40 else np.asarray([0.5, 0.6, 0.4, 0.9])
    return means[:, None] + rng.normal(0, 0.03, (4, 8))
