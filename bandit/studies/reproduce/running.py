"""Running cells into a folder: tune, judge on fresh seeds, keep what figures and claims need in one small file."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray

from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.results import experiment_of, load, save
from modeseek.bandit.simulator.summary import choose_learning_rate
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce.cells import Cell, cells_of, protocols_of
from modeseek.bandit.studies.reproduce.measures import CURVES, all_measures
from modeseek.files import replacing, writable_folder


class Before(NamedTuple):
    """Cells that were run under a protocol before, whose tuning may be taken."""

    protocol: Protocol
    folder: Path


def identity(cell: Cell, base: Conventions, protocol: Protocol) -> dict[str, Any]:
    """What a stored cell must be of to be taken for this one; the same after a journey through JSON."""
    whole = {
        "experiment": dataclasses.asdict(cell.experiment(base, protocol)),
        "protocol": protocol.as_dict(),
    }
    loaded: dict[str, Any] = json.loads(json.dumps(whole))
    return loaded


def run_cell(
    cell: Cell,
    base: Conventions,
    protocol: Protocol,
    folder: Path,
    *,
    before: Before | None = None,
    progress: bool = True,
) -> xarray.Dataset | None:
    """Run a cell, or read it if it was run before; None if Ctrl-C stopped it, to be gone on with.

    Args:
        cell: which.
        base: the conventions, before the cell's own changes.
        protocol: seeds and learning rates.
        folder: holds `NAME.nc` once done, and until then the unfinished sweeps.
        before: cells of another protocol; where that tunes this one as `protocol` does, its tuning is taken and fresh
            seeds alone are run.
        progress: show bars.

    Raises:
        ValueError: the folder holds this cell of another protocol or configuration.
    """
    path = folder / f"{cell.name}.nc"
    if path.exists():
        return read_cell(cell, base, protocol, folder)
    writable_folder(folder)
    tuning = None if before is None else tuning_before(cell, base, protocol, before)
    if tuning is None:
        runs = _sweep(tuning_of(cell, base, protocol), folder / f"{cell.name}.tuning.nc", progress)
        if runs is None:
            return None
        tuning = tuned(runs, protocol.tie)
    experiment = cell.experiment(base, protocol)
    judged = dataclasses.replace(
        experiment,
        hyper=dataclasses.replace(experiment.hyper, learning_rate=tuning.attrs["learning_rate"]),
        seeds=protocol.fresh_seeds,
        first_seed=protocol.judged_from,
    )
    fresh = _sweep(judged, folder / f"{cell.name}.fresh.nc", progress)
    if fresh is None:
        return None
    dataset = with_fresh(tuning, fresh)
    dataset.attrs |= {
        **{name: fresh.attrs[name] for name in ("modeseek_format", "versions", "machine", "command", "created")},
        "identity": json.dumps(identity(cell, base, protocol)),
    }
    save(dataset, path, small=True)
    for stage in ("tuning", "fresh"):
        (folder / f"{cell.name}.{stage}.nc").unlink(missing_ok=True)
    return load(path)


def tuning_before(cell: Cell, base: Conventions, protocol: Protocol, before: Before) -> xarray.Dataset | None:
    """What `tuned` gives, from a cell that was run before; None if there is none that was tuned in this way."""
    path = before.folder / f"{cell.name}.nc"
    alike = tuning_of(cell, base, before.protocol) == tuning_of(cell, base, protocol)
    if not alike or before.protocol.tie != protocol.tie or not path.exists():
        return None
    stored = load(path)
    if _another(stored, identity(cell, base, before.protocol)):
        return None
    rate, seeds = float(stored.attrs["learning_rate"]), int(stored.attrs["tuning_seeds"])
    # No seconds: they were spent by another command.
    attrs = {"learning_rate": rate, "tuning_seeds": seeds, "seconds": 0.0, "tuned_by": before.protocol.name}
    return stored.isel(seed=slice(0, seeds)).drop_attrs(deep=False).assign_attrs(attrs)


def tuning_of(cell: Cell, base: Conventions, protocol: Protocol) -> Experiment:
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
    grid = all_measures(runs).rename({"seed": "tuning_seed"})
    diverged = (runs["diverged_at"] >= 0).sum("seed").astype(np.int32)
    return xarray.Dataset(
        {
            **_curves(runs.sel(learning_rate=rate, drop=True)),
            **{f"grid_{name}": values.astype(np.float32) for name, values in grid.data_vars.items()},
            "diverged": diverged.assign_attrs(long_name="tuning seeds that diverged"),
        },
        attrs={
            "learning_rate": rate,
            "tuning_seeds": runs.sizes["seed"],
            "seconds": float(runs.attrs["seconds"]),
        },
    )


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


def read_cell(cell: Cell, base: Conventions, protocol: Protocol, folder: Path) -> xarray.Dataset:
    """A cell that was run before.

    Raises:
        ValueError: it is not there, or is of another protocol, configuration or version; says how to make it.
    """
    path = folder / f"{cell.name}.nc"
    dataset = load(path)
    another = _another(dataset, identity(cell, base, protocol))
    if another:
        raise ValueError(f"{path} is of {another}. Choose another --out, or move it away")
    return dataset


def _another(dataset: xarray.Dataset, wanted: dict[str, Any]) -> str:
    """In what a cell is not the wanted one: words, none if it is."""
    found = json.loads(dataset.attrs["identity"])
    for part in ("protocol", "experiment"):
        # A field that is younger than the cell is None there: what was done before there was a choice.
        names = found[part].keys() | wanted[part].keys()
        differing = sorted(name for name in names if found[part].get(name) != wanted[part].get(name))
        if differing:
            return f"another {part}: {', '.join(differing)} differ"
    return ""


def spent(*cells: xarray.Dataset, digits: int = 1) -> str:
    """What cells took, in minutes; "at least" where those of some are of the last of their processes alone."""
    minutes = sum(float(cell.attrs["seconds"]) for cell in cells) / 60
    partial = any(cell.attrs.get("seconds_of", "") == "last process" for cell in cells)
    return f"{'at least ' if partial else ''}{minutes:.{digits}f} min"


def stored_folder(protocol: Protocol, conventions: str) -> Path:
    """The results that come with the package."""
    return Path(__file__).parent / "stored" / protocol.name / conventions


def missing(cells: dict[str, Cell], folder: Path) -> list[str]:
    """Names of cells that the folder does not hold."""
    return [name for name in cells if not (folder / f"{name}.nc").exists()]


def stored_protocols(target: str, conventions: str) -> list[Protocol]:
    """Those of which every cell of a target is stored, the fullest first; file names decide."""
    return [
        protocol
        for protocol in protocols_of(target)
        if not missing(cells_of((target,), protocol), stored_folder(protocol, conventions))
    ]


def keep(paths: Iterable[Path], folder: Path) -> None:
    """Copy cells into a folder, as the data behind a figure; one of the same name there is replaced."""
    for path in paths:
        writable_folder(folder)
        with replacing(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)


def run_cells(
    cells: dict[str, Cell],
    base: Conventions,
    protocol: Protocol,
    folder: Path,
    *,
    say: Callable[[str], None],
    before: Before | None = None,
) -> dict[str, xarray.Dataset] | None:
    """Run what is missing of some cells; None if Ctrl-C stopped it.

    Args:
        cells: by name.
        base: the conventions.
        protocol: seeds and learning rates.
        folder: where they are kept.
        say: takes a line of progress at each cell.
        before: as for `run_cell`.

    Raises:
        ValueError: as `run_cell`; before any work, if the folder holds a cell of another protocol.
    """
    absent = missing(cells, folder)
    done = {name: read_cell(cells[name], base, protocol, folder) for name in cells if name not in absent}
    for name in absent:
        if (path := folder / f"{name}.tuning.nc").exists():
            _checked(path, tuning_of(cells[name], base, protocol))
    for i, name in enumerate(absent):
        say(f"cell {i + 1} of {len(absent)}: {name}")
        result = run_cell(cells[name], base, protocol, folder, before=before)
        if result is None:
            return None
        done[name] = result
    return {name: done[name] for name in cells}
