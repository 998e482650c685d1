"""Running cells into a folder: tune, judge on fresh seeds, keep what figures and claims need in one small file."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray

from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.results import experiment_of, load, save, versions
from modeseek.bandit.simulator.summary import choose_learning_rate
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.studies.cells import Results
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce.cells import BanditCell
from modeseek.bandit.studies.reproduce.measures import CURVES, MEASURES
from modeseek.bandit.studies.reproduce.store import difference_to, identity, read_cell
from modeseek.bandit.studies.store import cell_path, made_elsewhere, missing_cells
from modeseek.files import writable_folder
from modeseek.machine import machine

STAGES = ("tuning", "fresh")
"""What a cell is made of, one after the other; until it is done, each is a file of its own."""


class Before(NamedTuple):
    """Cells that were run under a protocol before, whose tuning may be taken."""

    protocol: Protocol
    folder: Path


def run_cell(
    cell: BanditCell,
    base: Conventions,
    protocol: Protocol,
    folder: Path,
    *,
    before: Sequence[Before] = (),
    progress: bool = True,
) -> xarray.Dataset | None:
    """Run a cell, or read it if it was run before; None if Ctrl-C stopped it, to be gone on with.

    Args:
        cell: which.
        base: the conventions, before the cell's own changes.
        protocol: seeds and learning rates.
        folder: holds `NAME.nc` once done, and until then the unfinished sweeps.
        before: cells of other protocols; the tuning of the first that tunes this one as `protocol` does is taken, and
            fresh seeds alone are run.
        progress: show bars.

    Raises:
        ValueError: the folder holds this cell of another protocol or configuration.
    """
    path = cell_path(folder, cell)
    if path.exists():
        return read_cell(cell, base, protocol, folder)
    writable_folder(folder)
    tuning = _tuning(cell, base, protocol, folder, before, progress)
    if tuning is None:
        return None
    experiment = cell.experiment(base, protocol)
    judged = dataclasses.replace(
        experiment,
        hyper=dataclasses.replace(experiment.hyper, learning_rate=tuning.attrs["learning_rate"]),
        seeds=protocol.fresh_seeds,
        first_seed=protocol.first_judged_seed,
    )
    fresh = _sweep(judged, folder / f"{cell.name}.fresh.nc", progress)
    if fresh is None:
        return None
    dataset = with_fresh(tuning, fresh)
    dataset.attrs |= {
        **{name: fresh.attrs[name] for name in ("modeseek_format", "versions", "command", "created")},
        "machine": machines_of(tuning, fresh),
        "identity": json.dumps(identity(cell, base, protocol)),
    }
    save(dataset, path, small=True)
    for stage in STAGES:
        (folder / f"{cell.name}.{stage}.nc").unlink(missing_ok=True)
    return load(path)


def _tuning(
    cell: BanditCell, base: Conventions, protocol: Protocol, folder: Path, before: Sequence[Before], progress: bool
) -> xarray.Dataset | None:
    """What `tuned` or `retuned` gives, run, read or shared with another cell; None if Ctrl-C stopped it."""
    first = cell.tuned_with or cell
    found = (tuning_before(first, base, protocol, each) for each in before)
    tuning = next((each for each in found if each is not None), None)
    if tuning is None and cell.tuned_with is not None:
        tuning = run_cell(cell.tuned_with, base, protocol, folder, before=before, progress=progress)
    elif tuning is None:
        runs = _sweep(tuning_of(cell, base, protocol), folder / f"{cell.name}.tuning.nc", progress)
        tuning = None if runs is None else tuned(runs, protocol.tie)
    if tuning is None or not cell.tuned_for_another:
        return tuning
    return retuned(tuning, cell.tuned_for)


def retuned(tuning: xarray.Dataset, measure: str) -> xarray.Dataset:
    """The same grids with the rate at which a measure is highest on the tuning seeds, and no curves of those.

    Only rates at which the most tuning seeds are finite compete, as for the end of a run.

    Args:
        tuning: what `tuned` gave, or a cell.
        measure: its name.
    """
    grid = tuning[f"grid_{measure}"].sortby("learning_rate")  # so that the first of equal ones is the smallest
    finite = grid.notnull().sum("tuning_seed")
    mean = grid.mean("tuning_seed").where(finite == finite.max("learning_rate"))
    rate = float(mean.idxmax("learning_rate"))
    attrs = {**tuning.attrs, "learning_rate": rate, "tuning_seeds": 0, "seconds": 0.0}
    return tuning.isel(seed=slice(0)).drop_attrs(deep=False).assign_attrs(attrs)


def tuning_before(cell: BanditCell, base: Conventions, protocol: Protocol, before: Before) -> xarray.Dataset | None:
    """What `tuned` gives, from a cell that was run before; None if there is none that was tuned in this way."""
    path = cell_path(before.folder, cell)
    alike = tuning_of(cell, base, before.protocol) == tuning_of(cell, base, protocol)
    if not alike or before.protocol.tie != protocol.tie or not path.exists():
        return None
    stored = load(path)
    if difference_to(stored, cell, base, before.protocol):
        return None
    rate, seeds = float(stored.attrs["learning_rate"]), int(stored.attrs["tuning_seeds"])
    # No seconds: they were spent by another command.
    attrs = {"learning_rate": rate, "tuning_seeds": seeds, "seconds": 0.0, "tuned_by": before.protocol.name}
    return stored.isel(seed=slice(0, seeds)).drop_attrs(deep=False).assign_attrs(attrs)


def tuning_of(cell: BanditCell, base: Conventions, protocol: Protocol) -> Experiment:
    """Every learning rate of the grid on the tuning seeds."""
    experiment = cell.experiment(base, protocol)
    return dataclasses.replace(experiment, learning_rates=protocol.learning_rates, seeds=protocol.tuning_seeds)


def _sweep(experiment: Experiment, path: Path, progress: bool) -> xarray.Dataset | None:
    if path.exists():
        return _checked(path, experiment)
    sweep = run_sweep(experiment, path, progress=progress)
    return sweep.dataset if sweep.complete else None


def _checked(path: Path, experiment: Experiment) -> xarray.Dataset:
    """A finished stage of an unfinished cell, unless it is of something else."""
    dataset = load(path)
    if experiment_of(dataset) != experiment:
        raise ValueError(
            f"{path} is of another protocol or configuration, or was judged at another rate: choose another --out, or "
            "move it away"
        )
    return dataset


def tuned(runs: xarray.Dataset, tie: float) -> xarray.Dataset:
    """Choose a learning rate; keep the curves at it, and every measure at every rate.

    Args:
        runs: every rate of the grid on the tuning seeds.
        tie: as `Protocol.tie`.

    Returns:
        dimensions `seed` (the tuning seeds), `step`; `learning_rate`, `tuning_seed`.
    """
    runs = _thinned(runs)
    rate = float(choose_learning_rate(runs, tie)["learning_rate"].item())
    diverged = (runs["diverged_at"] >= 0).sum("seed").astype(np.int32)
    return xarray.Dataset(
        {
            **_curves(runs.sel(learning_rate=rate, drop=True)),
            **{m.grid: m(runs).rename({"seed": "tuning_seed"}).astype(np.float32) for m in MEASURES},
            "diverged": diverged.assign_attrs(long_name="tuning seeds that diverged"),
        },
        attrs={
            "learning_rate": rate,
            "tuning_seeds": runs.sizes["seed"],
            "seconds": float(runs.attrs["seconds"]),
            **({"machine": runs.attrs["machine"]} if "machine" in runs.attrs else {}),
        },
    )


def machines_of(tuning: xarray.Dataset, fresh: xarray.Dataset) -> str:
    """The machines of both stages, one after the other, in the form of `provenance`."""
    names = [name for stage in (tuning, fresh) for name in stage.attrs.get("machine", "").split("; then ") if name]
    return "; then ".join(name for name, _ in itertools.groupby(names))


def with_fresh(tuning: xarray.Dataset, fresh: xarray.Dataset) -> xarray.Dataset:
    """One cell: what `tuned` gives, with the curves of the fresh seeds behind those of the tuning ones."""
    rest = tuning.drop_dims("seed")
    curves = [tuning[list(CURVES)], xarray.Dataset(_curves(_thinned(fresh)))]
    joined = xarray.concat(curves, dim="seed", coords="minimal", compat="override", join="exact")
    seconds = float(tuning.attrs["seconds"]) + float(fresh.attrs["seconds"])
    return xarray.Dataset({**joined.data_vars, **rest.data_vars}, attrs={**tuning.attrs, "seconds": seconds})


def _curves(runs: xarray.Dataset) -> dict[str, xarray.DataArray]:
    return {name: runs[name].astype(np.float32) for name in CURVES}


def _thinned(runs: xarray.Dataset) -> xarray.Dataset:
    """A hundred points draw a curve; one a gradient step would fill the repository.

    KL(policy ‖ behavior) is the highest since the point before: claims are about its peak, and of a hundred points out
    of five hundred the highest is too low.
    """
    every = max(1, (runs.sizes["step"] - 1) // 100)
    runs = runs.isel(algorithm=0, reward=0, drop=True)
    peaks = runs["kl_to_behavior"].rolling(step=every, min_periods=1).max().where(runs["kl_to_behavior"].notnull())
    return runs.assign(kl_to_behavior=peaks).isel(step=slice(None, None, every))


def cells_there(
    cells: Sequence[BanditCell], base: Conventions, protocol: Protocol, folder: Path, *, say: Callable[[str], None]
) -> Results:
    """The cells that a folder holds; says what of it was made elsewhere. Arguments and errors are `run_cells`'s."""
    absent = missing_cells(cells, folder)
    done: Results = {cell: read_cell(cell, base, protocol, folder) for cell in cells if cell not in absent}
    tuned_before = [
        _checked(path, tuning_of(cell, base, protocol))
        for cell in absent
        if (path := folder / f"{cell.name}.tuning.nc").exists()
    ]
    here = {"machine": machine(), "versions": versions()}
    if note := made_elsewhere([*done.values(), *tuned_before], here):
        say(note)
    return done


def run_cells(
    cells: Sequence[BanditCell],
    base: Conventions,
    protocol: Protocol,
    folder: Path,
    *,
    say: Callable[[str], None],
    before: Sequence[Before] = (),
) -> Results | None:
    """Run what is missing of some cells; None if Ctrl-C stopped it.

    Args:
        cells: which.
        base: the conventions.
        protocol: seeds and learning rates.
        folder: where they are kept.
        say: takes a line of progress at each cell.
        before: as for `run_cell`.

    Raises:
        ValueError: as `run_cell`; before any work, if the folder holds a cell of another protocol.
    """
    done = cells_there(cells, base, protocol, folder, say=say)
    absent = [cell for cell in cells if cell not in done]
    for i, cell in enumerate(absent):
        say(f"cell {i + 1} of {len(absent)}: {cell.name}")
        result = run_cell(cell, base, protocol, folder, before=before)
        if result is None:
            return None
        done[cell] = result
    return {cell: done[cell] for cell in cells}
