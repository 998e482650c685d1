"""Cells on the workers of a cluster: each takes what is known of its cells with it, and files come back."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.devices import use_compilation_cache, use_host_devices
from modeseek.bandit.studies.cells import Results
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.reproduce.cells import BanditCell
from modeseek.bandit.studies.reproduce.running import STAGES, Before, cells_there, run_cell
from modeseek.bandit.studies.reproduce.store import read_cell
from modeseek.bandit.studies.store import cell_path
from modeseek.cluster import MapItems
from modeseek.files import replacing, writable_folder


class Unit(NamedTuple):
    """Work for one worker: a cell, and those that share its runs on the tuning seeds.

    Attributes:
        cells: which are missing; the one whose tuning they share first.
        base: the conventions.
        protocol: seeds and learning rates.
        before: protocols whose tuning may be taken.
        files: what is there already, as path → content: finished cells and stages, and under `before-0`, `before-1`, …
            cells of those protocols.
    """

    cells: tuple[BanditCell, ...]
    base: Conventions
    protocol: Protocol
    before: tuple[Protocol, ...]
    files: dict[str, bytes]


def units_of(
    cells: Sequence[BanditCell], base: Conventions, protocol: Protocol, folder: Path, before: Sequence[Before]
) -> list[Unit]:
    """Missing cells as work that is independent."""
    sharing: dict[BanditCell, list[BanditCell]] = {}
    for cell in cells:
        sharing.setdefault(cell.tuned_with or cell, []).append(cell)
    units = []
    for first, those in sharing.items():
        those.sort(key=lambda cell: cell != first)
        known = {p.name: p for cell in (first, *those) for p in (cell_path(folder, cell), *_stages(folder, cell))}
        known |= {f"before-{i}/{first.name}.nc": cell_path(each.folder, first) for i, each in enumerate(before)}
        files = {name: path.read_bytes() for name, path in known.items() if path.exists()}
        units.append(Unit(tuple(those), base, protocol, tuple(each.protocol for each in before), files))
    return units


def run_unit(unit: Unit) -> dict[str, bytes]:
    """At a worker: the files of cells that were not there, by name."""
    use_host_devices()
    use_compilation_cache()
    with tempfile.TemporaryDirectory(prefix="modeseek-") as temporary:
        folder = Path(temporary)
        for name, content in unit.files.items():
            writable_folder((folder / name).parent)
            (folder / name).write_bytes(content)
        before = [Before(protocol, folder / f"before-{i}") for i, protocol in enumerate(unit.before)]
        for cell in unit.cells:
            run_cell(cell, unit.base, unit.protocol, folder, before=before, progress=False)
        return {path.name: path.read_bytes() for path in folder.glob("*.nc") if path.name not in unit.files}


def run_cells_on_workers(
    cells: Sequence[BanditCell],
    base: Conventions,
    protocol: Protocol,
    folder: Path,
    workers: MapItems,
    *,
    say: Callable[[str], None],
    before: Sequence[Before] = (),
) -> Results | None:
    """`running.run_cells` on a cluster: the same files in the same folder, each there as soon as its cell is done.

    Args:
        cells: which.
        base: the conventions.
        protocol: seeds and learning rates.
        folder: where they are kept.
        workers: of `modeseek.cluster.workers_at`.
        say: takes a line at each that comes.
        before: as for `running.run_cell`.
    """
    done = cells_there(cells, base, protocol, folder, say=say)
    absent = [cell for cell in cells if cell not in done]
    writable_folder(folder)
    units = units_of(absent, base, protocol, folder, before)
    count = 0
    try:
        for index, files in workers(run_unit, units):
            for name, content in files.items():
                with replacing(folder / name) as temporary:
                    temporary.write_bytes(content)
            for cell in units[index].cells:
                for stage in _stages(folder, cell):  # of an earlier run without a cluster
                    stage.unlink(missing_ok=True)
                    shutil.rmtree(stage.with_suffix(".partial"), ignore_errors=True)
            count += len(units[index].cells)
            say(f"{count} of {len(absent)} cells: {', '.join(cell.name for cell in units[index].cells)}")
    except KeyboardInterrupt:
        return None
    return {cell: read_cell(cell, base, protocol, folder) for cell in cells}


def _stages(folder: Path, cell: BanditCell) -> list[Path]:
    return [folder / f"{cell.name}.{stage}.nc" for stage in STAGES]
