"""`modeseek followups`: claims of later papers on a bandit or a simplex, what comes out, and how sure that is."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from modeseek.bandit.commands.common import say
from modeseek.files import DEFAULT_ROOT
from modeseek.report import Report

if TYPE_CHECKING:
    from modeseek.bandit.studies.followups.followup import Followup


@dataclasses.dataclass(frozen=True)
class Followups:
    """Claims of later papers, each on the smallest case that decides it, with a verdict on each.

    Without names, all papers in minutes on one core. What is computed is kept, cell by cell: after Ctrl-C the same
    command goes on. Seeds judge by the rule of `modeseek reproduce`; what is enumerated has a verdict by computation.

    `modeseek followups report` writes followups.md, with a chapter a paper, from the results that come with modeseek.

    Attributes:
        names: numbers of papers in the arXiv, such as 2512.21852; without, all; or report.
        stored: draw and judge the results that come with modeseek, and run nothing.
        out: folder; without, modeseek-results/followups.
    """

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    stored: bool = False
    out: Path | None = None

    def run(self) -> int:
        """Run what is missing, draw, judge, save; 130 if stopped.

        Raises:
            ValueError: no such paper; a folder of another protocol or version; a stored cell is missing.
        """
        if self.names == ("report",):
            from modeseek.bandit.studies.followups.document import write_document

            if self.stored:
                raise ValueError("report is of what is stored: give it --out alone")
            paths = write_document(self.out or DEFAULT_ROOT / "followups" / "report")
            print(f"Saved {paths[0]} and {len(paths) - 1} figures beside it")
            return 0
        chosen = self._chosen()
        from modeseek.bandit.simulator.devices import check_platform, use_compilation_cache
        from modeseek.bandit.studies.followups.report import write_followup
        from modeseek.bandit.studies.followups.running import run_cells
        from modeseek.bandit.studies.followups.store import CONDITION, STORE
        from modeseek.bandit.studies.store import copy_cells
        from modeseek.files import writable_folder

        use_compilation_cache()
        if not self.stored:
            check_platform()
        for followup in chosen if self.stored else ():
            if missing := STORE.missing(followup, followup.default, CONDITION):
                names = ", ".join(cell.name for cell in missing)
                raise ValueError(f"not stored: {names}. Make them with `modeseek followups {followup.name}`")
        report = Report()
        folder = writable_folder(self.out or DEFAULT_ROOT / "followups")
        for followup in chosen:
            protocol = followup.default
            cells = followup.cells_under(protocol)
            if self.stored:
                results = STORE.results(followup, protocol, CONDITION)
                copy_cells(cells, STORE.folder(protocol, CONDITION), folder / "stored-cells")
            else:
                say(f"{followup.name}: {len(cells)} cells")
                try:
                    results = run_cells(cells, protocol, folder / "cells", say=say)
                except KeyboardInterrupt:
                    say("stopped; what was done is kept, and the same command goes on from here")
                    return 130
            print(write_followup(followup, results, folder, report))
        return report.code

    def _chosen(self) -> "tuple[Followup, ...]":
        from modeseek.bandit.studies.followups.study import FOLLOWUPS

        for name in self.names:
            if name not in FOLLOWUPS:
                raise ValueError(f"there is no follow-up {name!r}: expected {', '.join(FOLLOWUPS)} or report")
        return tuple(FOLLOWUPS[name] for name in self.names or FOLLOWUPS)
