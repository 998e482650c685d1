"""Cells in files: which set-up a file is of, and the results that come with the package."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import xarray

from modeseek.bandit.simulator.results import load
from modeseek.bandit.studies.followups.followup import FollowupCell
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.store import Store, cell_path, difference_in_identity
from modeseek.files import parse_json

CONDITION = "smallest"
"""Name of the one condition that follow-ups are judged under: the smallest case that the paper's theory speaks of."""


def identity(cell: FollowupCell, protocol: Protocol) -> dict[str, Any]:
    """What a stored cell must be of to be taken for this one, as JSON gives it back."""
    parts = {"setup": dataclasses.asdict(cell.setup), "protocol": protocol.as_dict()}
    loaded: dict[str, Any] = json.loads(json.dumps(parts))
    return loaded


def read_cell(cell: FollowupCell, protocol: Protocol, folder: Path) -> xarray.Dataset:
    """A cell that was run before.

    Raises:
        ValueError: it is not there, or is of another protocol, set-up or version; says how to go on.
    """
    path = cell_path(folder, cell)
    dataset = load(path)
    stored = parse_json(dataset.attrs["identity"], f"the identity in {path}")
    if another := difference_in_identity(stored, identity(cell, protocol)):
        raise ValueError(f"{path} is of {another}. Choose another --out, or move it away")
    return dataset


STORE: Store[FollowupCell] = Store(
    Path(__file__).parent / "stored", lambda cell, protocol, condition, folder: read_cell(cell, protocol, folder)
)
"""The results that come with the package, by protocol."""
