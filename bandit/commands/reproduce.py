"""`modeseek reproduce`: a figure of the paper, what it claimed, what comes out, and how sure that is."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from modeseek.bandit.commands.common import Where, check_before, run_to_file, save_figures, say
from modeseek.files import DEFAULT_ROOT
from modeseek.report import Report

if TYPE_CHECKING:
    from modeseek.bandit.studies.protocol import Protocol
    from modeseek.bandit.studies.reproduce.targets import BanditTarget


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """Reproduce a bandit figure of the paper, with a verdict on each of its claims.

    fig2 fig4 fig14 fig16 fig18 fig19 table3 one-token, or all of them; and four of ours: ablation (from the released
    code, one difference mended at a time), remedies (on-policy IPO on R1), regularised (PPO with IPO's regularisation)
    and whose-samples (DPO and IPO from the policy's samples or the reference's). fig1 draws the paper's sketch from
    runs, in minutes. The full protocol is the paper's (I.3: ten learning rates, five seeds) and twenty fresh seeds for
    the verdicts: two to three hours a figure on two cores.
    --more has a hundred fresh seeds, which outcomes that scatter need. Learning rates that stored results found are
    taken, so that fresh seeds alone are run. --short has three learning rates and six fresh seeds, --quick takes
    minutes: too few seeds for a verdict, which is marked on the figure. Ours are run as by --short, and with --more on
    twenty other fresh seeds (of the ablation RWR and PPO, whose seeds scatter most). Ctrl-C keeps what was done; the
    same command goes on.

    `report` writes reproduction.md, with a chapter for each of these, from the results that come with modeseek.

    Attributes:
        target: fig1, fig2, fig4, fig14, fig16, fig18, fig19, table3, one-token, all, ablation, remedies, regularised,
            whose-samples or report.
        conventions: paper, of the text, with the reference's tails piled up (without this option); figure2, the same
            with the tails discarded; or released_code. `modeseek bandit --help` lists the differences. Ours are about
            one of them alone.
        more: a hundred fresh seeds (of ours twenty), at the learning rates that were found before, or tuned anew where
            none are stored.
        short: three learning rates, eight seeds, at most 500 gradient steps.
        quick: three learning rates, three seeds, at most 200 gradient steps, and fewer curves of figures 4 and 18.
        stored: draw and judge the results that come with modeseek, the fullest unless a protocol is named, and run
            nothing.
        out: folder; without, modeseek-results/reproduce/PROTOCOL/CONVENTIONS.
        cluster: the workers of a Dask scheduler run the cells, by its address (tcp://10.0.0.1:8786); or local:N, N
            workers on this machine.
    """

    target: tyro.conf.Positional[str]
    conventions: Literal["paper", "figure2", "released_code"] | None = None
    more: bool = False
    short: bool = False
    quick: bool = False
    stored: bool = False
    out: Path | None = None
    cluster: str | None = None

    def run(self) -> int:
        """Run what is missing, draw, judge, save; 130 if stopped.

        Raises:
            ValueError: no such target; two protocols; a folder of another one; a stored cell is missing.
        """
        if self.target == "report":
            from modeseek.bandit.studies.reproduce.document import write_document

            if self._asked() or self.stored or self.conventions:
                raise ValueError("report covers all conventions and the fullest stored protocols: give it --out alone")
            paths = write_document(self.out or DEFAULT_ROOT / "reproduce" / "report")
            print(f"Saved {paths[0]} and {len(paths) - 1} figures beside it")
            return 0
        if self.target == "fig1":
            return self._figure1()
        asked = self._asked()
        if len(asked) > 1:
            flags = " and ".join(f"--{name}" for name in asked)
            raise ValueError(f"{flags} are {len(asked)} protocols: expected one of them")
        targets = self._targets()
        conventions = self._conventions(targets[0])
        from modeseek.bandit.simulator.conventions import PRESETS
        from modeseek.bandit.simulator.devices import check_platform, use_compilation_cache, use_host_devices
        from modeseek.bandit.studies.reproduce.on_cluster import run_cells_on_workers
        from modeseek.bandit.studies.reproduce.report import write_target
        from modeseek.bandit.studies.reproduce.running import Before, run_cells
        from modeseek.bandit.studies.reproduce.store import STORE
        from modeseek.bandit.studies.store import copy_cells

        use_host_devices()
        use_compilation_cache()
        if not self.stored:
            check_platform()
        chosen = [(target, self._protocol(target, conventions)) for target in targets]
        if self.stored:
            for target, protocol in chosen:
                self._check_stored(target, protocol, conventions)
        report = Report()
        with Where(cluster=None if self.stored else self.cluster).workers() as workers:
            for target, protocol in chosen:
                folder = self._folder(protocol, conventions)
                cells = target.cells_under(protocol)
                if self.stored:
                    results = STORE.results(target, protocol, conventions)
                    copy_cells(cells, STORE.folder(protocol, conventions), folder / "stored-cells")
                else:
                    say(f"{target.name}: {len(cells)} cells, protocol {protocol.name}, conventions {conventions}")
                    others = [each for each in target.protocols if each != protocol]
                    before = [Before(each, STORE.folder(each, conventions)) for each in others]
                    run = run_cells if workers is None else partial(run_cells_on_workers, workers=workers)
                    found = run(cells, PRESETS[conventions], protocol, folder / "cells", say=say, before=before)
                    if found is None:
                        say("stopped; what was done is kept, and the same command goes on from here")
                        return 130
                    results = found
                print(write_target(target, protocol, conventions, results, folder, report))
        return report.code

    def _figure1(self) -> int:
        """Run or read what figure 1 is drawn from, draw and save it; 130 if stopped.

        Raises:
            ValueError: a protocol was asked for, or stored runs of other conventions than the paper's.
        """
        if self._asked() or self.cluster:
            raise ValueError("fig1 has one set of runs: give it --conventions, --stored and --out alone")
        conventions = self.conventions or "paper"
        if self.stored and conventions != "paper":
            raise ValueError(f"fig1 is stored under the conventions paper, got --conventions {conventions}")
        from modeseek.bandit.figures.shifts import shift_figure
        from modeseek.bandit.simulator.conventions import PRESETS
        from modeseek.bandit.simulator.results import load
        from modeseek.bandit.studies.reproduce import figure1
        from modeseek.files import writable_folder

        folder = writable_folder(self.out or DEFAULT_ROOT / "reproduce" / "figure1" / conventions)
        if self.stored:
            dataset = load(figure1.STORED)
        else:
            experiment = figure1.experiment(PRESETS[conventions])
            check_before(experiment)
            results = run_to_file(experiment, folder)
            if results is None:
                return 130
            dataset = figure1.keep(results, folder / "figure1.nc")
        print(figure1.sentence(dataset))
        report = Report()
        paths = save_figures(folder, report, {"figure1": partial(shift_figure, dataset)})
        print(f"Saved {', '.join(map(str, paths))}")
        return report.code

    def _conventions(self, target: "BanditTarget") -> str:
        """Those that were asked for; where a target is about one set of conventions, those."""
        if target.only is None:
            return self.conventions or "paper"
        if self.conventions not in (None, target.only):
            raise ValueError(
                f"{target.name} is about the conventions {target.only} alone, got --conventions {self.conventions}"
            )
        return target.only

    def _targets(self) -> "tuple[BanditTarget, ...]":
        """The target that was asked for, or all of the paper's."""
        from modeseek.bandit.studies.reproduce.targets import TARGETS

        papers = tuple(target for target in TARGETS.values() if target.only is None)
        if self.target == "all":
            return papers
        if self.target not in TARGETS:
            paper_names = [target.name for target in papers]
            expected = ["fig1", *paper_names, "all", *(name for name in TARGETS if name not in paper_names), "report"]
            raise ValueError(f"there is no figure {self.target!r}: expected {', '.join(expected)}")
        return (TARGETS[self.target],)

    def _protocol(self, target: "BanditTarget", conventions: str) -> "Protocol":
        from modeseek.bandit.studies.reproduce.store import STORE

        if asked := self._asked():
            return target.protocol(asked[0])
        return next(iter(STORE.complete(target, conventions) if self.stored else ()), target.default)

    def _asked(self) -> list[str]:
        """Protocols by their flags: one at most, once checked."""
        return [name for name in ("more", "short", "quick") if getattr(self, name)]

    def _folder(self, protocol: "Protocol", conventions: str) -> Path:
        from modeseek.files import writable_folder

        return writable_folder(self.out or DEFAULT_ROOT / "reproduce" / protocol.name / conventions)

    def _check_stored(self, target: "BanditTarget", protocol: "Protocol", conventions: str) -> None:
        from modeseek.bandit.studies.reproduce.store import STORE

        if missing := STORE.missing(target, protocol, conventions):
            flags = f"{target.name} --conventions {conventions}" + "".join(f" --{name}" for name in self._asked())
            there = {other.name for other in STORE.complete(target, conventions)}
            others = [f"--{name}" for name in ("more", "short", "quick") if name in there]
            instead = f", or take what is stored: {' or '.join(others)}" if others else ""
            names = ", ".join(cell.name for cell in missing)
            raise ValueError(
                f"these cells of {target.name} are not stored: {names}. Make them with "
                f"`modeseek reproduce {flags}`{instead}"
            )
