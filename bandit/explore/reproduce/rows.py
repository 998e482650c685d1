"""What is stored of a target, and what can be selected of it: each claim, or each cell, on the most seeds there are."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from modeseek.bandit.simulator.conventions import PRESETS as CONVENTIONS
from modeseek.bandit.studies.assess import Assessment
from modeseek.bandit.studies.cells import Results
from modeseek.bandit.studies.contrasts import Contrast, fresh_values, level
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce.cells import REMEDIES, BanditCell
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD
from modeseek.bandit.studies.reproduce.protocols import TEN
from modeseek.bandit.studies.reproduce.store import STORE, read_cell
from modeseek.bandit.studies.reproduce.targets import STUDY, TARGETS, BanditTarget
from modeseek.bandit.studies.store import cell_path
from modeseek.files import DEFAULT_ROOT


class Row(NamedTuple):
    """What can be selected: a claim, or, in targets of ours that claim nothing, a cell's reward at the end.

    Attributes:
        name: of the claim or the cell.
        text: in words.
        contrast: the number, one a seed.
        assessment: of a claim.
        protocol: whose runs the number is of.
        cells: of that protocol; empty where one that the number needs is not there.
    """

    name: str
    text: str
    contrast: Contrast
    assessment: Assessment | None
    protocol: Protocol
    cells: Results

    def fresh(self) -> np.ndarray:
        """The number for each fresh seed; empty where a cell is missing."""
        return np.atleast_1d(fresh_values(self.contrast, self.cells)) if self.cells else np.zeros(0)


class Found(NamedTuple):
    """What is stored of a target under one protocol.

    Attributes:
        protocol: which.
        wanted: its cells.
        cells: those that are there.
        refused: cells that are there but of another configuration, and why.
    """

    protocol: Protocol
    wanted: tuple[BanditCell, ...]
    cells: Results
    refused: tuple[str, ...]


class Subject(NamedTuple):
    """What a row is about: a name, words and a number."""

    name: str
    text: str
    contrast: Contrast


def subjects(target: BanditTarget) -> list[Subject]:
    """A target's claims; if it has none, its cells."""
    claims = [Subject(c.name, c.text, c.contrast) for c in target.claims]
    titles = {remedy.cell: f" ({remedy.title})" for remedy in REMEDIES.values()}
    said = {c: f"{c.name}{titles.get(c, '')}: expected reward at the end." for c in target.cells}
    return claims or [Subject(c.name, text, level(FINAL_REWARD, c)) for c, text in said.items()]


def command_for(target: BanditTarget, conventions: str, protocol: Protocol) -> str:
    """What makes a protocol's cells; of one that is run no more, those of the default in its place."""
    flag = "" if protocol in (target.default, TEN) else f" --{protocol.name}"
    return f"modeseek reproduce {target.name} --conventions {conventions}{flag}"


def find(target: BanditTarget, conventions: str, protocol: Protocol) -> Found:
    """The cells that come with the package or were made here by `modeseek reproduce`, and what could not be read."""
    cells: Results = {}
    refused = []
    made = DEFAULT_ROOT / "reproduce" / protocol.name / conventions / "cells"
    wanted = target.cells_under(protocol)
    for cell in wanted:
        for folder in (STORE.folder(protocol, conventions), made):
            path = cell_path(folder, cell)
            if not path.exists():
                continue
            try:
                cells[cell] = _read(cell, conventions, protocol, folder.resolve(), path.stat().st_mtime_ns)
                break
            except ValueError as error:
                refused.append(str(error))
    return Found(protocol, wanted, cells, tuple(refused))


def adds(target: BanditTarget, found: Sequence[Found], protocol: Protocol) -> bool:
    """Whether a protocol may show what those before it do not: more seeds, or what none of them has all cells of."""
    if any(protocol.fresh_seeds > each.protocol.fresh_seeds for each in found):
        return True
    whole = any(len(each.cells) == len(each.wanted) for each in found)
    needed = [set(subject.contrast.cells) for subject in subjects(target)]
    return not whole or not all(any(each.cells.keys() >= cells for each in found) for cells in needed)


def rows_of(target: BanditTarget, drawn: Found, found: Sequence[Found]) -> tuple[Row, ...]:
    """A row for each subject, on the most seeds that there are of it, as docs/reproduction.md has it.

    Args:
        target: whose.
        drawn: what a row is of that has no numbers.
        found: what is stored, by protocol.
    """
    asked, rows = subjects(target), dict[str, Row]()
    for each in sorted(found, key=lambda each: -each.protocol.fresh_seeds):
        waiting = [s for s in asked if s.name not in rows and each.cells.keys() >= set(s.contrast.cells)]
        if waiting:
            said = _assessed(target.name, _Same(each.cells))
            rows |= {s.name: Row(*s, said.get(s.name), each.protocol, each.cells) for s in waiting}
    not_run = _assessed(target.name, _Same({}))
    return tuple(rows.get(s.name) or Row(*s, not_run.get(s.name), drawn.protocol, {}) for s in asked)


class _Same:
    """Results that are equal if they are the very same: what `_read` keeps is not read, nor judged, a second time."""

    def __init__(self, cells: Results) -> None:
        self.cells = cells
        self._names = tuple(cell.name for cell in cells)

    def __hash__(self) -> int:
        return hash(self._names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same) or self._names != other._names:
            return False
        return all(one is another for one, another in zip(self.cells.values(), other.cells.values(), strict=True))


@lru_cache(maxsize=128)
def _assessed(target: str, results: _Same) -> dict[str, Assessment]:
    """A target's claims judged on results, by name: nearly all of the time that another target takes."""
    return {a.claim.name: a for a in STUDY.assess(TARGETS[target], results.cells)}


@lru_cache(maxsize=512)
def _read(cell: BanditCell, conventions: str, protocol: Protocol, folder: Path, changed: int) -> xr.Dataset:
    return read_cell(cell, CONVENTIONS[conventions], protocol, folder)
