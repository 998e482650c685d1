"""Cells, what a study tunes and judges as one, and what is kept of each."""

import dataclasses
from collections.abc import Iterable

import xarray

from modeseek.bandit.studies.protocol import Protocol


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is tuned and judged as one: a curve of a figure. A study's own cells say what is run besides.

    Attributes:
        name: in file names and tables; unique within a study.
        protocols: those that run it.
    """

    name: str
    protocols: frozenset[Protocol] = dataclasses.field(kw_only=True)

    @property
    def exact(self) -> bool:
        """Whether its numbers are enumerated: they have no seeds, and no interval. Cells of some studies say so."""
        return False


Results = dict[Cell, xarray.Dataset]
"""What is kept of each cell. Such a dataset has

- curves `[seed, …]` (over steps, samples, a swept number) at the chosen learning rate, the tuning seeds first and the
  fresh ones behind them; of an exact cell `[…]`;
- for each measure its `grid` `[learning_rate, tuning_seed]`, from the tuning seeds at every rate, where one is tuned;
- attributes `tuning_seeds` (how many), `seconds`, `machine`; `learning_rate` (the chosen one), `tuned_by`, the name of
  the protocol that its rate was taken from, where that is another; `seconds_of`, `last process` where the seconds of
  an interrupted run's earlier processes are not known.
"""


def fresh_runs(dataset: xarray.Dataset) -> xarray.Dataset:
    """The curves of a cell's fresh seeds: those on which its learning rate was not chosen."""
    curves = [name for name, variable in dataset.data_vars.items() if "seed" in variable.dims]
    return dataset[curves].isel(seed=slice(int(dataset.attrs["tuning_seeds"]), None))


def time_spent(datasets: Iterable[xarray.Dataset], digits: int = 1) -> str:
    """What cells took, in minutes; "at least" where the seconds of some are those of their last process alone."""
    there = list(datasets)
    minutes = sum(float(dataset.attrs["seconds"]) for dataset in there) / 60
    partial = any(dataset.attrs.get("seconds_of", "") == "last process" for dataset in there)
    return f"{'at least ' if partial else ''}{minutes:.{digits}f} min"


def rates_at_edges(results: Results) -> str:
    """A sentence on cells whose tuned rate is the first or last of the grid, where a wider one might do better."""
    named = []
    for cell, dataset in results.items():
        if "learning_rate" not in dataset.attrs:
            continue  # nothing was tuned
        rate, grid = dataset.attrs["learning_rate"], dataset["learning_rate"].values
        if rate in (grid.min(), grid.max()):
            named.append(f"{cell.name} ({rate:g})")
    return f"Tuned rates at an edge of the grid: {', '.join(named)}." if named else ""
