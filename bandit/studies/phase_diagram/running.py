"""Running a phase diagram into a folder: a small file a cell, so that a kill loses one cell and no more.

A cell: each method's learning rate is chosen on seeds that judge nothing; then all methods are run on fresh seeds,
and those that may still be the best on more of them, until one is, or they are equal, or the bound is reached.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.devices import use_compilation_cache, use_host_devices
from modeseek.bandit.simulator.results import save
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.studies.phase_diagram.grid import Budget, Grid, Point, experiment_at
from modeseek.bandit.studies.phase_diagram.stored import (
    assemble,
    cell_attributes,
    cell_path,
    gather,
)
from modeseek.bandit.studies.phase_diagram.ties import contest
from modeseek.cluster import MapItems
from modeseek.files import writable_folder
from modeseek.locks import alone_in
from modeseek.progress import progress_bar


def ends(dataset: xarray.Dataset, kl_budget: float) -> dict[str, np.ndarray]:
    """What is kept of a sweep's runs: the end, and the most within a KL budget. A run that diverged has earned 0.

    Args:
        dataset: of `run_sweep`, one reward.
        kl_budget: nats.
    """
    curves = dataset.isel(reward=0)
    reward, kl = (curves[name].values.astype(np.float64) for name in ("expected_reward", "kl_to_reference"))
    diverged, finished = curves["diverged_at"].values >= 0, curves["finished"].values > 0
    within = np.where(kl <= kl_budget, reward, 0.0).max(axis=-1)  # NaN is within no budget
    values = {
        "reward": np.where(diverged, 0.0, reward[..., -1]),
        "kl": kl[..., -1],
        "reward_within_kl": within,
    }
    return {name: np.where(finished, value, np.nan) for name, value in values.items()}


def run_cell(point: Point, budget: Budget) -> xarray.Dataset | None:
    """Tune and judge one cell; None if Ctrl-C stopped it."""
    started = time.monotonic()
    tuning = _sweep(point, budget, seeds=budget.tuning_seeds, first_seed=0, learning_rates=budget.learning_rates)
    if tuning is None:
        return None
    tuned = ends(tuning, budget.kl_budget)["reward"]  # [M, rates, seeds]
    rates = np.asarray(budget.learning_rates)[tuned.mean(axis=-1).argmax(axis=-1)]
    methods = budget.methods
    parts: list[dict[str, np.ndarray]] = []
    reward = np.zeros((len(methods), 0))
    for seeds in budget.looks:
        found = contest(reward, budget.looks, budget.margin, budget.miss)
        if found.decided:
            break
        fresh = _sweep(
            point,
            budget,
            only=[variant(m).name for m, stays in zip(methods, found.among, strict=True) if stays],
            seeds=seeds - reward.shape[1],
            first_seed=budget.first_judged_seed + reward.shape[1],
            method_learning_rates=tuple(rates.tolist()),
        )
        if fresh is None:
            return None
        parts.append(ends(fresh, budget.kl_budget))
        reward = np.concatenate([part["reward"] for part in parts], axis=1)
    missing = budget.looks[-1] - reward.shape[1]
    data: dict[str, Any] = {
        name: (
            ("method", "seed"),
            np.pad(np.concatenate([p[name] for p in parts], 1), ((0, 0), (0, missing)), constant_values=np.nan),
        )
        for name in parts[0]
    }
    data["tuning_reward"] = (("method", "rate", "tuning_seed"), tuned)
    data["learning_rate"] = ("method", rates)
    return xarray.Dataset(data, attrs=cell_attributes(point, budget, time.monotonic() - started))


def _sweep(point: Point, budget: Budget, only: Sequence[str] | None = None, **changes: Any) -> xarray.Dataset | None:
    done = run_sweep(experiment_at(point, budget, **changes), progress=False, only=only)
    return done.dataset if done.complete else None


def run_item(item: tuple[Point, Budget]) -> xarray.Dataset | None:
    """`run_cell` of one argument, at the top of a module: for the workers of a cluster."""
    use_host_devices()
    use_compilation_cache()
    return run_cell(*item)


def _one_by_one(items: Iterable[tuple[Point, Budget]]) -> Iterator[tuple[int, xarray.Dataset | None]]:
    """Every item's index and cell, computed in this process."""
    for index, item in enumerate(items):
        yield index, run_cell(*item)


def run_grid(
    grid: Grid, folder: Path, *, progress: bool = True, workers: MapItems | None = None
) -> xarray.Dataset | None:
    """Run the cells of a grid that a folder does not hold; None if Ctrl-C stopped it: what was done is kept.

    Args:
        grid: which.
        folder: gets `cells/NAME.nc`.
        progress: show a bar of cells.
        workers: of a cluster (`modeseek.cluster.workers_at`), each with a cell at a time, instead of this process.

    Returns:
        the phase diagram.

    Raises:
        ValueError: the folder holds a cell of another budget or version, or another process is at work in it.
    """
    cells = writable_folder(folder / "cells")
    with alone_in(cells):
        points = grid.points()
        there = gather(grid, cells)
        left = [point for point in points if point not in there]
        with progress_bar(total=len(points), unit="cell", disable=not progress, smoothing=0.1) as bar:
            bar.initial = bar.n = len(there)
            items = [(point, grid.budget) for point in left]
            run = _one_by_one if workers is None else partial(workers, run_item)
            try:
                for index, dataset in run(items):
                    if dataset is None:
                        return None
                    save(dataset, cell_path(cells, left[index]), small=True)
                    bar.update()
            except KeyboardInterrupt:
                return None
        return assemble(grid, gather(grid, cells))
