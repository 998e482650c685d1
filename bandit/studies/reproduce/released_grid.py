"""The learning rates that the released program tries, and where stored cells end at the best of these.

The paper names ten rates up to .3 (I.3); its program's own grids are shorter. A verdict "as released" that rests on a
rate which that program never ran is one on the paper's grid, not on its. `print(released_grid_table())` shows where.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xarray

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.summary import over_seeds
from modeseek.bandit.studies.cells import fresh_runs
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce.cells import BanditCell
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD, MEAN_REWARD
from modeseek.bandit.studies.reproduce.protocols import TEN
from modeseek.bandit.studies.reproduce.store import STORE
from modeseek.bandit.studies.reproduce.targets import STUDY
from modeseek.bandit.studies.store import missing_cells
from modeseek.markdown import markdown_table

_UP_TO_HUNDREDTH = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)

RELEASED_RATES: dict[str, tuple[float, ...]] = {
    "best_of_n": (*_UP_TO_HUNDREDTH[1:], 3e-2, 1e-1),
    "best_of_n_negative": (*_UP_TO_HUNDREDTH[1:], 3e-2, 1e-1),
    "rwr": (*_UP_TO_HUNDREDTH[1:], 3e-2, 1e-1),
    "dpo": (*_UP_TO_HUNDREDTH, 3e-2, 1e-1),
    "ipo": _UP_TO_HUNDREDTH,
    "reinforce": _UP_TO_HUNDREDTH,
    "ppo": _UP_TO_HUNDREDTH,
}
"""Method → what is tried where no `--lr` is given. Source: `bandit_experiment/transformer_hyperparam_tuning.py`, lines
357 (Best-of-N, with and without a negative gradient), 377 (RWR, `awr` there), 397 (DPO), 418 (REINFORCE), 439 (PPO) and
460 (IPO); `hyperparam_tuning.py`, lines 337, 358, 379 and 400, has the same ones for the one-token bandit."""


class Tuned(NamedTuple):
    """A learning rate and where a cell's tuning seeds end at it.

    Attributes:
        learning_rate: the rate.
        reward: expected reward, the mean of the last tenth of the run, mean over tuning seeds.
        error: standard error of that mean.
    """

    learning_rate: float
    reward: float
    error: float


def best_of(dataset: xarray.Dataset, rates: Iterable[float], tie: float) -> Tuned:
    """What tuning takes where `rates` alone may be taken: `summary.choose_learning_rate`'s rule on a stored grid.

    Args:
        dataset: a stored cell, with `grid_final_reward` and `grid_mean_reward` `[learning_rate, tuning_seed]`.
        rates: those that are admissible; one that the cell's grid has not is passed over.
        tie: as `Protocol.tie`.

    Raises:
        ValueError: the cell's grid has none of them.
    """
    grid = dataset["learning_rate"].values
    kept = np.flatnonzero(np.isclose(grid[:, None], np.asarray(list(rates))[None], rtol=1e-6).any(axis=1))
    if kept.size == 0:
        raise ValueError(f"none of the rates is in the cell's grid, {grid.tolist()}")
    runs = dataset[[FINAL_REWARD.grid, MEAN_REWARD.grid]].isel(learning_rate=kept).sortby("learning_rate")
    ends = runs[FINAL_REWARD.grid]
    finite = ends.notnull().sum("tuning_seed")
    mean = ends.mean("tuning_seed").where(finite == finite.max())
    speed = runs[MEAN_REWARD.grid].mean("tuning_seed").where(mean >= mean.max() - tie)
    return at_rate(dataset, float(runs["learning_rate"][int(speed.fillna(-np.inf).argmax("learning_rate"))]))


def at_rate(dataset: xarray.Dataset, learning_rate: float) -> Tuned:
    """Where a stored cell's tuning seeds end at one rate of its grid."""
    ends = dataset[FINAL_REWARD.grid].sel(learning_rate=learning_rate).rename(tuning_seed="seed")
    reward, error = over_seeds(ends.astype(np.float64))
    return Tuned(learning_rate, reward.item(), error.item())


def within_released_grid(cell: BanditCell, dataset: xarray.Dataset, protocol: Protocol = TEN) -> Tuned:
    """The best rate that the released program tries for the cell's method, and where it ends.

    Raises:
        ValueError: the released code has no such method, or the cell's grid none of its rates.
    """
    name = variant(cell.method).method.name
    if name not in RELEASED_RATES:
        raise ValueError(f"the released code has no grid for {name!r}; it has {', '.join(RELEASED_RATES)}")
    return best_of(dataset, RELEASED_RATES[name], protocol.tie)


class Outside(NamedTuple):
    """A cell whose tuned rate the released program does not try.

    Attributes:
        cell: which.
        ours: at the rate that was taken.
        fresh: mean reward and its standard error on the fresh seeds at that rate.
        theirs: at the best admissible rate.
    """

    cell: BanditCell
    ours: Tuned
    fresh: tuple[float, float]
    theirs: Tuned


def outside_released_grid(protocol: Protocol = TEN) -> list[Outside]:
    """The stored cells of a protocol as released whose tuned rate is not in the released grid, by name."""
    folder = STORE.folder(protocol, "released_code")
    cells = {cell for target in STUDY.targets for cell in target.cells_under(protocol)}
    found = []
    for cell in sorted(cells.difference(missing_cells(cells, folder)), key=lambda cell: cell.name):
        dataset = STORE.read(cell, protocol, "released_code", folder)
        ours, theirs = at_rate(dataset, dataset.attrs["learning_rate"]), within_released_grid(cell, dataset, protocol)
        if ours.learning_rate != theirs.learning_rate:
            mean, error = over_seeds(FINAL_REWARD(fresh_runs(dataset)).astype(np.float64))
            found.append(Outside(cell, ours, (mean.item(), error.item()), theirs))
    return found


def _plus_minus(pair: Sequence[float]) -> str:
    return "{:.2f} ± {:.2f}".format(*pair)


def released_grid_table(protocol: Protocol = TEN) -> str:
    """`outside_released_grid` in Markdown."""
    return markdown_table(
        [
            ("cell", "left"),
            ("our rate", "right"),
            ("tuning seeds", "right"),
            ("fresh seeds", "right"),
            ("best released rate", "right"),
            ("tuning seeds", "right"),
        ],
        [
            (
                f"`{cell.name}`",
                f"{ours.learning_rate:g}",
                _plus_minus(ours[1:]),
                _plus_minus(fresh),
                f"{theirs.learning_rate:g}",
                _plus_minus(theirs[1:]),
            )
            for cell, ours, fresh, theirs in outside_released_grid(protocol)
        ],
    )
