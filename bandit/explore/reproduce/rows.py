"""What is stored of a target, and what can be selected of it: each claim, or each cell, on the most seeds there are."""

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
from modeseek.bandit.studies.reproduce.cells import BanditCell
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD
from modeseek.bandit.studies.reproduce.protocols import TEN
from modeseek.bandit.studies.reproduce.store import STORE, read_cell
from modeseek.bandit.studies.reproduce.targets import STUDY, BanditTarget
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
    cells = [Subject(c.name, f"{c.name}: expected reward at the end.", level(FINAL_REWARD, c)) for c in target.cells]
    return claims or cells


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


def rows_of(target: BanditTarget, drawn: Found, found: list[Found]) -> tuple[Row, ...]:
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
            said = {a.claim.name: a for a in STUDY.assess(target, each.cells)}
            rows |= {s.name: Row(*s, said.get(s.name), each.protocol, each.cells) for s in waiting}
    not_run = {a.claim.name: a for a in STUDY.assess(target, {})}
    return tuple(rows.get(s.name) or Row(*s, not_run.get(s.name), drawn.protocol, {}) for s in asked)


@lru_cache(maxsize=512)
def _read(cell: BanditCell, conventions: str, protocol: Protocol, folder: Path, changed: int) -> xr.Dataset:
    return read_cell(cell, CONVENTIONS[conventions], protocol, folder)
