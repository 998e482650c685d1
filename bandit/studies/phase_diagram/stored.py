"""Phase diagrams in files: a small netCDF file a cell while it is computed, one for all of them at the end."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.results import load, provenance
from modeseek.bandit.studies.phase_diagram.conditions import conditions_of
from modeseek.bandit.studies.phase_diagram.grid import MINIBATCH, Budget, Grid, Point
from modeseek.checks import require
from modeseek.files import parse_json

VERSION = 1
"""Of a phase file; one of another version is refused."""

STORED = Path(__file__).with_name("phase.nc")
"""The phase diagram that comes with the package."""


def cell_path(folder: Path, point: Point) -> Path:
    """The file of a finished cell."""
    return folder / f"{point.name}.nc"


def cell_attributes(point: Point, budget: Budget, seconds: float = 0.0) -> dict[str, Any]:
    """What a cell's file says of itself."""
    configuration = {"point": point.changes(), "budget": dataclasses.asdict(budget)}
    return {"modeseek_phase": VERSION, **provenance(json.dumps(configuration), seconds)}


def check_cell(dataset: xarray.Dataset, point: Point, budget: Budget, path: Path) -> None:
    """Refuse a file that is not of this cell under this budget.

    Raises:
        ValueError: it says what differs.
    """
    _check_version(dataset, path)
    found = parse_json(dataset.attrs.get("configuration", ""), f"the configuration of {path}")
    wanted = parse_json(cell_attributes(point, budget)["configuration"], "a configuration")
    differing = [
        f"{part}.{name}"
        for part in wanted
        for name in sorted(set(wanted[part]) | set(found.get(part, {})))
        if found.get(part, {}).get(name) != wanted[part].get(name)
    ]
    if differing:
        raise ValueError(
            f"{path} is of another phase diagram: {', '.join(differing)} differ. Name another folder with --out, or "
            "delete it"
        )


def _check_version(dataset: xarray.Dataset, path: Path) -> None:
    found = dataset.attrs.get("modeseek_phase")
    if found is None:
        raise ValueError(f"{path} is no phase diagram: it was written by another command")
    if int(found) != VERSION:
        raise ValueError(f"{path} is a phase diagram of version {found}, this modeseek reads version {VERSION}")


def gather(grid: Grid, folder: Path) -> dict[Point, xarray.Dataset]:
    """The cells of a grid that a folder holds.

    Raises:
        ValueError: one of them is of another diagram or version, or cannot be read.
    """
    found = {}
    for point in grid.points():
        if (path := cell_path(folder, point)).exists():
            found[point] = load(path)
            check_cell(found[point], point, grid.budget, path)
    return found


def assemble(grid: Grid, cells: Mapping[Point, xarray.Dataset]) -> xarray.Dataset:
    """All cells of a grid, or those that are there, as one dataset.

    Args:
        grid: which.
        cells: what is kept of each, one at least.

    Returns:
        `reward`, `kl`, `reward_within_kl` `[cell, algorithm, seed]`, NaN where a method was ruled out before that
        seed; `learning_rate` `[cell, algorithm]`; `tuning_reward` `[cell, algorithm, rate, tuning_seed]`; and, as
        coordinates of `cell`, the fields of `Point` and `Conditions`.

    Raises:
        ValueError: there is no cell.
    """
    require(len(cells) > 0, "a phase diagram of no cells: none has been run")
    points = [point for point in grid.points() if point in cells]
    whole = xarray.concat([cell.drop_attrs(deep=False) for cell in map(cells.__getitem__, points)], "cell").rename(
        method="algorithm"
    )
    whole = whole.astype(np.float32)
    columns: dict[str, Any] = {f.name: [getattr(p, f.name) for p in points] for f in dataclasses.fields(Point)}
    known = [conditions_of(point, grid.budget) for point in points]
    columns |= {name: [getattr(each, name) for each in known] for name in known[0]._fields}
    whole = whole.assign_coords({name: ("cell", values) for name, values in columns.items()})
    whole = whole.assign_coords(algorithm=list(grid.budget.methods), rate=list(grid.budget.learning_rates))
    seconds = sum(float(cell.attrs.get("seconds", 0.0)) for cell in cells.values())
    machines = list(dict.fromkeys(str(cell.attrs["machine"]) for cell in cells.values()))
    whole.attrs = {
        "modeseek_phase": VERSION,
        **provenance(json.dumps(dataclasses.asdict(grid)), seconds, machines),
        "runs": runs_of(whole),
    }
    return whole


def runs_of(diagram: xarray.Dataset) -> int:
    """How many runs a diagram rests on: those that tune and those that judge."""
    return int(np.isfinite(diagram["reward"].values).sum() + np.isfinite(diagram["tuning_reward"].values).sum())


def distinct_runs(diagram: xarray.Dataset) -> int:
    """How many of them differ: an on-policy run knows no offline data, and where all of them are in one minibatch, an
    offline run's passes over them are gradient steps like any others."""
    base = Point()
    count, seen = 0, set()
    for c, point in enumerate(points_of(diagram)):
        for m, name in enumerate(diagram["algorithm"].values.astype(str).tolist()):
            same: dict[str, Any] = {"behavior": base.behavior} if variant(name).on_policy else {}
            if not variant(name).on_policy and point.samples_per_collection == MINIBATCH:
                same = {"inner_steps": base.inner_steps}
            key = (name, dataclasses.replace(point, **same))
            if key not in seen:
                seen.add(key)
                count += runs_of(diagram.isel(cell=[c], algorithm=[m]))
    return count


def grid_of(diagram: xarray.Dataset) -> Grid:
    """The grid that a diagram is of.

    Raises:
        ValueError: it does not say.
    """
    try:
        found = parse_json(diagram.attrs["configuration"], "the configuration of a phase diagram")
        budget = Budget(**{name: _tuple(value) for name, value in found.pop("budget").items()})
        return Grid(budget=budget, **{name: _tuple(value) for name, value in found.items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the configuration of a phase diagram of this version: {error}") from error


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def points_of(diagram: xarray.Dataset) -> tuple[Point, ...]:
    """The cells of a diagram."""
    fields = [field.name for field in dataclasses.fields(Point)]
    return tuple(
        Point(**dict(zip(fields, values, strict=True)))
        for values in zip(*(diagram[name].values.tolist() for name in fields), strict=True)
    )


def open_phase(path: Path) -> xarray.Dataset:
    """Read a phase diagram.

    Raises:
        ValueError: it is not there, cannot be read, is none, or is of another version.
    """
    dataset = load(path)
    _check_version(dataset, path)
    return dataset
