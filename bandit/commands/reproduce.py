"""`modeseek reproduce`: a figure of the paper, what it claimed, what comes out, and how sure that is."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from bandit.commands.common import say
from bandit.files import DEFAULT_ROOT

if TYPE_CHECKING:
    from bandit.reproduce.contrasts import Cells
    from bandit.reproduce.protocol import Protocol

TARGETS = ("fig2", "fig4", "fig14", "fig16", "fig18", "fig19", "table3", "one-token")
"""The paper's; `all` is all of them."""
ALSO = ("ablation", "remedies")
"""Ours."""


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Reproduce a bandit figure of the paper, with a verdict on each of its claims.

    fig2 fig4 fig14 fig16 fig18 fig19 table3 one-token, or all of them; and two of ours: ablation (from the released
    code, one difference mended at a time) and remedies (on-policy IPO on R1). The full protocol is the paper's (I.3:
    ten learning rates, five seeds) and ten fresh seeds for the verdicts: hours a figure on two cores. --quick takes
    minutes and is marked on the figure. Ctrl-C keeps what was done; the same command goes on.

    `report` writes reproduction.md, with a chapter for each of these, from the results that come with modeseek.

    Attributes:
        target: fig2, fig4, fig14, fig16, fig18, fig19, table3, one-token, all, ablation, remedies or report.
        conventions: the paper's text, or its released code; each difference is listed in `modeseek bandit --help`.
        quick: three learning rates, four seeds, at most 300 gradient steps.
        stored: draw and judge the results that come with modeseek, and run nothing.
        out: folder; without, modeseek-results/reproduce/PROTOCOL/CONVENTIONS.
    """

    target: tyro.conf.Positional[str]
    conventions: Literal["paper", "released_code"] = "paper"
    quick: bool = False
    stored: bool = False
    out: Path | None = None

    def run(self) -> int:
        """Run what is missing, draw, judge, save; 130 if stopped.

        Raises:
            ValueError: no such target; the folder holds results of another protocol; a stored cell is missing.
        """
        if self.target == "report":
            from bandit.reproduce.document import write_document

            paths = write_document(self.out or DEFAULT_ROOT / "reproduce" / "report")
            print(f"Saved {paths[0]} and {len(paths) - 1} figures beside it")
            return 0
        targets = self._targets()
        from bandit.reproduce.cells import read_cell, run_cells, stored_folder
        from bandit.reproduce.settings import cells_of
        from bandit.simulator.conventions import PRESETS
        from bandit.simulator.devices import use_compilation_cache, use_host_devices

        use_host_devices()
        use_compilation_cache()
        base = PRESETS[self.conventions]
        for target in targets:
            protocol = self._protocol(target)
            folder = self._folder(protocol)
            wanted = cells_of((target,), protocol)
            if self.stored:
                source = stored_folder(protocol, self.conventions)
                self._check_stored(target, wanted, source)
                cells = {name: read_cell(cell, base, protocol, source) for name, cell in wanted.items()}
            else:
                say(f"{target}: {len(wanted)} cells, protocol {protocol.name}, conventions {self.conventions}")
                found = run_cells(wanted, base, protocol, folder / "cells", say=say)
                if found is None:
                    say("stopped; what was done is kept, and the same command goes on from here")
                    return 130
                cells = found
            write_target(target, protocol, self.conventions, cells, folder)
        return 0

    def _targets(self) -> tuple[str, ...]:
        if self.target == "all":
            return TARGETS
        if self.target not in (*TARGETS, *ALSO):
            raise ValueError(
                f"there is no figure {self.target!r}: expected {', '.join((*TARGETS, 'all', *ALSO, 'report'))}"
            )
        return (self.target,)

    def _protocol(self, target: str) -> "Protocol":
        from bandit.reproduce.protocol import FULL, QUICK, SIDE

        if self.quick:
            return QUICK
        return SIDE if target in ALSO else FULL

    def _folder(self, protocol: "Protocol") -> Path:
        from bandit.files import writable_folder

        return writable_folder(self.out or DEFAULT_ROOT / "reproduce" / protocol.name / self.conventions)

    def _check_stored(self, target: str, wanted: object, source: Path) -> None:
        from bandit.reproduce.cells import missing

        absent = missing(wanted, source)  # type: ignore[arg-type]
        if absent:
            flags = f"{target} --conventions {self.conventions}{' --quick' if self.quick else ''}"
            raise ValueError(
                f"these cells of {target} are not stored: {', '.join(absent)}. Make them with "
                f"`modeseek reproduce {flags}`"
            )


def write_target(target: str, protocol: "Protocol", conventions: str, cells: "Cells", folder: Path) -> None:
    """Draw a target, judge its claims, and save figure, verdicts and run card; print the verdicts."""
    from bandit.figures.problem import problem_figure
    from bandit.figures.style import save_figure
    from bandit.files import replacing
    from bandit.reproduce import report
    from bandit.reproduce.assess import assess, table
    from bandit.reproduce.claims import CLAIMS
    from bandit.reproduce.draw import DRAWINGS, verdict_figure
    from bandit.simulator.conventions import PRESETS

    note = report.note_of(protocol, conventions, cells)
    figure = (
        problem_figure(report.problem_dataset(PRESETS[conventions]))
        if target == "fig2"
        else DRAWINGS[target](cells, note)
    )
    paths = save_figure(figure, folder / target)
    assessments = assess([c for c in CLAIMS.values() if c.figure == target], cells)
    text = [f"# {target}: {report.ABOUT[target]}", "", note, ""]
    if target in report.DEVIATIONS:
        text += [f"Against the paper: {report.DEVIATIONS[target]}", ""]
    if cells:
        text += [report.numbers(cells), ""]
    if assessments:
        text += [table(assessments), ""]
        paths += save_figure(verdict_figure(assessments, note), folder / f"{target}-verdicts")
    for name, content in (
        (f"{target}.md", "\n".join(text)),
        (f"{target}-run-card.json", json.dumps(report.run_card(target, protocol, conventions, cells), indent=1)),
    ):
        with replacing(folder / name) as temporary:
            temporary.write_text(content + "\n", encoding="utf-8")
        paths.append(folder / name)
    print("\n".join(text))
    print(f"{report.alt_text(target, conventions, cells)}\nSaved " + ", ".join(str(path) for path in paths) + "\n")
