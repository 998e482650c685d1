"""Cells that were run before: which configuration a file is of, and the results that come with the package."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import xarray

from modeseek.bandit.categorical.frontier import Responses
from modeseek.bandit.figures.frontier import responses_of
from modeseek.bandit.simulator.conventions import PRESETS, Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.results import load
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce.cells import BanditCell
from modeseek.bandit.studies.store import Store, cell_path, difference_in_identity
from modeseek.files import parse_json


def identity(cell: BanditCell, base: Conventions, protocol: Protocol) -> dict[str, Any]:
    """What a stored cell must be of to be taken for this one, as JSON gives it back."""
    return {"experiment": _as_json(cell.experiment(base, protocol)), **_beside(cell, protocol)}


def _as_json(experiment: Experiment) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(experiment)))
    return loaded


def _beside(cell: BanditCell, protocol: Protocol) -> dict[str, Any]:
    """What an identity has beside the experiment."""
    parts: dict[str, Any] = {"protocol": protocol.as_dict()}
    if cell.tuned_for_another:
        parts["tuning"] = {"tuned_for": cell.tuned_for}
    loaded: dict[str, Any] = json.loads(json.dumps(parts))
    return loaded


def difference_to(dataset: xarray.Dataset, cell: BanditCell, base: Conventions, protocol: Protocol) -> str:
    """In what a dataset is not of this cell, in words; empty if it is.

    A field that is younger than the cell has its default there: what was done before there was a choice.
    """
    stored, beside = parse_json(dataset.attrs["identity"], "the identity of a cell"), _beside(cell, protocol)
    found = Experiment.from_json(json.dumps(stored.pop("experiment")))
    wanted = cell.experiment(base, protocol)
    if found != wanted:  # spelled out only then: an explorer reads dozens of cells while somebody waits
        stored["experiment"], beside["experiment"] = _as_json(found), _as_json(wanted)
    return difference_in_identity(stored, beside)


def read_cell(cell: BanditCell, base: Conventions, protocol: Protocol, folder: Path) -> xarray.Dataset:
    """A cell that was run before.

    Raises:
        ValueError: it is not there, or is of another protocol, configuration or version; says how to make it.
    """
    path = cell_path(folder, cell)
    dataset = load(path)
    if another := difference_to(dataset, cell, base, protocol):
        raise ValueError(f"{path} is of {another}. Choose another --out, or move it away")
    return dataset


def responses_in(dataset: xarray.Dataset) -> Responses | None:
    """What a stored cell's responses are drawn from and earn; None where its KL has no exact frontier."""
    stored = parse_json(dataset.attrs["identity"], "the identity of a cell")["experiment"]
    return responses_of(Experiment.from_json(json.dumps(stored)), stored["rewards"][0])


STORE: Store[BanditCell] = Store(
    Path(__file__).parent / "stored",
    lambda cell, protocol, conventions, folder: read_cell(cell, PRESETS[conventions], protocol, folder),
)
"""The results that come with the package, by protocol and conventions."""
