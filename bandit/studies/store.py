"""Results in files: a folder with a file a cell, and which protocols of a target are all there."""

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import xarray

from modeseek.bandit.studies.cells import Cell, Results
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.study import Target
from modeseek.files import parse_json, replacing, writable_folder
from modeseek.machine import moved

StoredCell = TypeVar("StoredCell", bound=Cell)


def cell_path(folder: Path, cell: Cell) -> Path:
    """The file of a finished cell."""
    return folder / f"{cell.name}.nc"


def missing_cells(cells: Iterable[StoredCell], folder: Path) -> tuple[StoredCell, ...]:
    """Those that a folder does not hold; file names decide."""
    return tuple(cell for cell in cells if not cell_path(folder, cell).exists())


def copy_cells(cells: Iterable[Cell], source: Path, folder: Path) -> None:
    """Copy the files of cells into a folder, as the data behind a figure; one of the same name there is replaced."""
    for cell in cells:
        writable_folder(folder)
        with replacing(cell_path(folder, cell)) as temporary:
            shutil.copyfile(cell_path(source, cell), temporary)


def difference_in_identity(found: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Mapping[str, Any]]) -> str:
    """In what a stored cell is not the wanted one, in words; empty if it is that one.

    Args:
        found: parts of an identity, `protocol` and what is run under it, as they were stored; each has its fields.
        wanted: the same for the cell that is asked for.
    """
    # The protocol first: where it differs, so does what is run under it.
    for part in sorted(found.keys() | wanted.keys(), key=lambda part: (part != "protocol", part)):
        # A field that is younger than the cell is None there: what was done before there was a choice.
        one, other = found.get(part, {}), wanted.get(part, {})
        differing = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
        if differing:
            return f"another {part}: {', '.join(differing)} differ"
    return ""


def made_elsewhere(results: Sequence[xarray.Dataset], here: Mapping[str, Any]) -> str:
    """A note that counts finished results of other machines or versions, and names both; empty if there are none.

    Args:
        results: with what they were made on in their attributes, as `provenance` writes it.
        here: `machine` and `versions` of this process.
    """
    differing = []
    for attrs in (dataset.attrs for dataset in results):
        there = dict(here)
        if "machine" in attrs:
            there["machine"] = attrs["machine"]
        if "versions" in attrs:
            there["versions"] = parse_json(attrs["versions"], "the versions of a cell")
        differing += [difference] if (difference := moved(there, here)) else []
    if not differing:
        return ""
    named = list(dict.fromkeys(differing))
    shown = " | ".join(named[:3]) + (" | …" if len(named) > 3 else "")
    return f"note: {len(differing)} of {len(results)} finished files were made elsewhere and are taken ({shown})"


class Stored(NamedTuple):
    """A target's results under one protocol."""

    protocol: Protocol
    results: Results


@dataclasses.dataclass(frozen=True)
class Store(Generic[StoredCell]):
    """The folder that holds a study's results: `PROTOCOL/CONDITION/CELL.nc`.

    Attributes:
        root: the folder.
        read: reads a cell from the folder of its protocol and condition (a name), and refuses, with a `ValueError`,
            a file of another protocol or configuration.
    """

    root: Path
    read: Callable[[StoredCell, Protocol, str, Path], xarray.Dataset]

    def folder(self, protocol: Protocol, condition: str) -> Path:
        """Where the cells of a protocol under one condition are, if there are any."""
        return self.root / protocol.name / condition

    def missing(self, target: Target[StoredCell], protocol: Protocol, condition: str) -> tuple[StoredCell, ...]:
        """The cells of a target that a protocol runs and that are not there."""
        return missing_cells(target.cells_under(protocol), self.folder(protocol, condition))

    def complete(self, target: Target[StoredCell], condition: str) -> tuple[Protocol, ...]:
        """The protocols of which every cell of a target is there, the fullest first."""
        return tuple(p for p in target.fullest_first() if not self.missing(target, p, condition))

    def results(self, target: Target[StoredCell], protocol: Protocol, condition: str) -> Results:
        """All cells of a target under one protocol.

        Raises:
            ValueError: one of them is not there, or is of another protocol or configuration.
        """
        return self._read_all(target.cells_under(protocol), protocol, condition)

    def fullest(self, target: Target[StoredCell], condition: str) -> list[Stored]:
        """What is there of the fullest complete protocol, and behind it what has more seeds or other cells.

        Where no protocol is complete, what is there of each.
        """
        first = next(iter(self.complete(target, condition)), None)
        found = [] if first is None else [Stored(first, self.results(target, first, condition))]
        for protocol in target.fullest_first():
            missing = self.missing(target, protocol, condition)
            cells = tuple(cell for cell in target.cells_under(protocol) if cell not in missing)
            known = () if first is None else target.cells_under(first)
            new = first is None or protocol.fresh_seeds > first.fresh_seeds or not set(cells) <= set(known)
            if cells and protocol is not first and new:
                found.append(Stored(protocol, self._read_all(cells, protocol, condition)))
        return found

    def _read_all(self, cells: Iterable[StoredCell], protocol: Protocol, condition: str) -> Results:
        folder = self.folder(protocol, condition)
        return {cell: self.read(cell, protocol, condition, folder) for cell in cells}
