"""Cells that were run before: which configuration a file is of, and the results that come with the package."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import xarray

from modeseek.bandit.simulator.results import load
from modeseek.bandit.studies.store import Store, cell_path, difference_in_identity
from modeseek.files import parse_json
from modeseek.llm.studies.cells import LanguageCell
from modeseek.llm.studies.scales import SCALES, Scale

SIZES = (
    *("width", "layers", "vocab_size", "max_prompt", "max_response", "sft_steps", "sft_rate", "batch"),
    *("pair_prompts", "pair_samples", "reward_epochs", "learning_rate", "evaluate_prompts", "seed"),
)
"""The demo's sizes that a scale's world follows from."""


def identity(cell: LanguageCell, scale: Scale) -> dict[str, Any]:
    """What a stored cell must be of to be taken for this one, as JSON gives it back."""
    asked = {field.name: getattr(cell, field.name) for field in dataclasses.fields(cell) if field.name != "protocols"}
    world = {field.name: getattr(scale, field.name) for field in dataclasses.fields(scale)}
    for name in ("protocol", "sizes", "title"):
        world.pop(name)
    of_tokens = dataclasses.asdict(cell.conventions)
    trained = {name.removeprefix("train_"): value for name, value in of_tokens.items()}
    parts = {
        "cell": {**asked, "conventions": trained},
        "scale": {**world, **{name: getattr(scale.sizes, name) for name in SIZES}},
        "protocol": scale.protocol.as_dict(),
    }
    loaded: dict[str, Any] = json.loads(json.dumps(parts))
    return loaded


def read_cell(cell: LanguageCell, scale: Scale, folder: Path) -> xarray.Dataset:
    """A cell that was run before.

    Raises:
        ValueError: it is not there, or is of another protocol, configuration or version; says how to make it.
    """
    path = cell_path(folder, cell)
    dataset = load(path)
    stored = parse_json(dataset.attrs["identity"], f"the identity in {path}")
    if another := difference_in_identity(stored, identity(cell, scale)):
        raise ValueError(f"{path} is of {another}. Choose another --out, or move it away")
    return dataset


STORE: Store[LanguageCell] = Store(
    Path(__file__).parent / "stored", lambda cell, protocol, scale, folder: read_cell(cell, SCALES[scale], folder)
)
"""The results that come with the package, by protocol and scale."""
