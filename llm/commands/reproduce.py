"""`modeseek llm reproduce`: a figure of the paper on language models, what it claimed, and what comes out."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from modeseek.checks import require
from modeseek.files import DEFAULT_ROOT
from modeseek.report import Report

if TYPE_CHECKING:
    from modeseek.llm.studies.scales import Scale
    from modeseek.llm.studies.targets import LanguageTarget


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Reproduce a figure of the paper on language models, with a verdict on each of its claims.

    fig3 fig5 to fig13 fig15 fig17 fig20 to fig23 table3, all of them, or eos, a question of ours: how much of on-policy
    DPO's lead comes from its being the only method of the released code that trains first token and EOS. `report`
    writes reproduction-llm.md from the results that come with modeseek.

    At the scale of a laptop policies have 0.2 million parameters and a run takes seconds; gpu trains 34 million, with
    the paper's batches; paper prints the commands for the paper's own policies, which a machine with their weights
    runs. Ctrl-C keeps the runs that are done, and the same command goes on.

    Attributes:
        target: a figure, table3, eos, all or report.
        scale: how large policies are, and how much is run.
        stored: draw and judge the results that come with modeseek, and run nothing.
        list: print the targets with the state of their cells, and run nothing.
        dry_run: print sizes, steps and estimated hours, and run nothing.
        seeds: fresh seeds, in the place of the scale's own.
        out: folder; without, modeseek-results/llm-reproduce/SCALE.
    """

    target: tyro.conf.Positional[str] = "all"
    scale: Literal["laptop", "gpu", "paper"] = "laptop"
    stored: bool = False
    list: bool = False
    dry_run: bool = False
    seeds: int | None = None
    out: Path | None = None

    def run(self) -> int:
        """Run what is missing, draw, judge, save; 130 if stopped.

        Raises:
            ValueError: no such target; a folder of another configuration; a stored cell is missing.
        """
        if self.target == "report":
            from modeseek.llm.studies.document import write_document

            paths = write_document(self.out or DEFAULT_ROOT / "llm-reproduce" / "report")
            print(f"Saved {paths[0]} and {len(paths) - 1} figures beside it")
            return 0
        targets = self._targets()
        if self.list:
            print(self._listed(targets))
            return 0
        if self.dry_run or self.scale == "paper":
            self._plan(targets)
            return 0
        return self._stored(targets) if self.stored else self._run(targets)

    def _targets(self) -> "tuple[LanguageTarget, ...]":
        from modeseek.llm.studies.targets import TARGETS

        if self.target == "all":
            return tuple(TARGETS.values())
        if self.target not in TARGETS:
            raise ValueError(f"there is no figure {self.target!r}: expected {', '.join(TARGETS)}, all or report")
        return (TARGETS[self.target],)

    def _scale(self) -> "Scale":
        from modeseek.llm.studies.scales import SCALES

        scale = SCALES[self.scale]
        if self.seeds is None:
            return scale
        require(self.seeds >= 1, f"--seeds must be at least 1, got {self.seeds}")
        return dataclasses.replace(scale, protocol=dataclasses.replace(scale.protocol, fresh_seeds=self.seeds))

    def _folder(self) -> Path:
        from modeseek.files import writable_folder

        return writable_folder(self.out or DEFAULT_ROOT / "llm-reproduce" / self.scale)

    def _listed(self, targets: "tuple[LanguageTarget, ...]") -> str:
        """A line a target: its cells, and how many of them are stored and in the folder."""
        from modeseek.bandit.studies.store import missing_cells
        from modeseek.llm.studies.scales import SCALES
        from modeseek.llm.studies.store import STORE
        from modeseek.markdown import Align, markdown_table

        rows = []
        for target in targets:
            protocol = target.protocol(self.scale)
            cells = target.cells_under(protocol)
            own = self.out or DEFAULT_ROOT / "llm-reproduce" / self.scale
            there = len(cells) - len(missing_cells(cells, own / "cells"))
            stored = len(cells) - len(STORE.missing(target, protocol, self.scale)) if self.scale in SCALES else 0
            rows.append((target.name, target.about, str(len(cells)), str(stored), str(there)))
        left: list[tuple[str, Align]] = [("target", "left"), ("about", "left")]
        named = [*left, ("cells", "right"), ("stored", "right"), ("in the folder", "right")]
        return markdown_table(named, rows)

    def _plan(self, targets: "tuple[LanguageTarget, ...]") -> None:
        from modeseek.llm.studies.plans import dry_run, paper_commands

        cells = tuple(dict.fromkeys(c for t in targets for c in t.cells_under(t.protocol(self.scale))))
        lines = dry_run(self.scale, cells)
        if self.scale == "paper":
            # A script on standard output, what it takes beside it.
            _say(lines)
            print(paper_commands(cells))
        else:
            print(lines)

    def _stored(self, targets: "tuple[LanguageTarget, ...]") -> int:
        """Draw and judge what comes with the package."""
        from modeseek.bandit.studies.store import copy_cells
        from modeseek.llm.studies.report import write_target
        from modeseek.llm.studies.store import STORE

        scale, folder, report = self._scale(), self._folder(), Report()
        for target in targets:
            if missing := STORE.missing(target, scale.protocol, scale.name):
                names = ", ".join(cell.name for cell in missing)
                make = f"modeseek llm reproduce {target.name} --scale {scale.name}"
                raise ValueError(f"these cells of {target.name} are not stored: {names}. Make them with `{make}`")
            results = STORE.results(target, scale.protocol, scale.name)
            source = STORE.folder(scale.protocol, scale.name)
            copy_cells(results, source, folder / "stored-cells")
            print(write_target(target, scale, results, source, folder, report))
        return report.code

    def _run(self, targets: "tuple[LanguageTarget, ...]") -> int:
        """Run what is missing of each target in turn."""
        from modeseek.bandit.simulator.devices import check_platform, use_compilation_cache
        from modeseek.llm.runs.stages import Watch
        from modeseek.llm.studies.lengths import SCENARIOS, write_lengths
        from modeseek.llm.studies.report import write_target
        from modeseek.llm.studies.running import Runner, run_cells
        from modeseek.llm.studies.scenarios import build_world
        from modeseek.llm.studies.targets import FIG3
        from modeseek.locks import lock_folder
        from modeseek.progress import progress

        use_compilation_cache()
        check_platform()
        scale, folder, report = self._scale(), self._folder(), Report()
        cells = [cell for target in targets for cell in target.cells_under(target.protocol(scale.name))]
        wanted = [*(cell.scenario for cell in cells), *(SCENARIOS if FIG3 in targets else ())]
        with lock_folder(folder):
            try:
                world = build_world(scale, folder / "world", tuple(dict.fromkeys(wanted)), Watch(say=_say))
                runner = Runner(scale, world)
                for target in targets:
                    own = target.cells_under(target.protocol(scale.name))
                    _say(f"{target.name}: {len(own)} cells at the scale {scale.name}")
                    results = run_cells(
                        own, scale, lambda: runner, folder / "cells", say=_say, progress=progress("runs")
                    )
                    if target is FIG3:
                        write_lengths(world, scale, folder / "cells")
                    print(write_target(target, scale, results, folder / "cells", folder, report))
            except KeyboardInterrupt:
                _say("stopped; the runs that are done are kept, and the same command goes on from here")
                return 130
        return report.code


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
