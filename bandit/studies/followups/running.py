"""Running cells into a folder, one file each: what is there is not run again."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from modeseek.bandit.simulator.results import load, provenance, save, versions
from modeseek.bandit.studies.cells import Results
from modeseek.bandit.studies.followups.followup import FollowupCell
from modeseek.bandit.studies.followups.store import identity, read_cell
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.store import cell_path, made_elsewhere, missing_cells
from modeseek.files import writable_folder
from modeseek.machine import machine


def run_cells(
    cells: Sequence[FollowupCell], protocol: Protocol, folder: Path, *, say: Callable[[str], None]
) -> Results:
    """Run what is missing of some cells; an interrupt leaves those that are finished.

    Args:
        cells: which.
        protocol: seeds.
        folder: where they are kept.
        say: takes a line of progress at each cell.

    Raises:
        ValueError: before any work, the folder holds a cell of another protocol, set-up or version.
    """
    absent = missing_cells(cells, folder)
    done = {cell: read_cell(cell, protocol, folder) for cell in cells if cell not in absent}
    if note := made_elsewhere(list(done.values()), {"machine": machine(), "versions": versions()}):
        say(note)
    writable_folder(folder)
    for i, cell in enumerate(absent):
        say(f"cell {i + 1} of {len(absent)}: {cell.name}")
        begun = time.perf_counter()
        dataset = cell.run(protocol)
        parts = identity(cell, protocol)
        dataset.attrs |= {
            "tuning_seeds": 0,
            **dataset.attrs,
            **provenance(json.dumps(parts["setup"]), time.perf_counter() - begun),
            "identity": json.dumps(parts),
        }
        save(dataset, cell_path(folder, cell), small=True)
        done[cell] = load(cell_path(folder, cell))
    return {cell: done[cell] for cell in cells}
