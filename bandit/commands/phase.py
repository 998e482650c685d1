"""`modeseek phase`: which method wins where, as maps."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modeseek.bandit.commands.common import Where, say
from modeseek.report import Report

if TYPE_CHECKING:
    import xarray

    from modeseek.bandit.studies.phase_diagram.grid import Grid


@dataclasses.dataclass(frozen=True)
class Phase:
    """Map which method wins: place of the reward's peak against six other conditions.

    The slices are staleness (T), coverage of the offline data, batch (B), kl (β), width of the peak and prompts, each
    through one base point. In every cell each method's learning rate is chosen on seeds that judge nothing; then all
    run on fresh seeds, and those that may still be the best on more. Cells in which several may be are hatched: ties.

    --coarse takes ten minutes on two cores, --full some hours; without either, and with --stored, those maps of the
    full one that come with modeseek are drawn. Ctrl-C keeps the cells that are done; the same command goes on.

    Attributes:
        coarse: the ends of each slice, three places of the peak, five seeds.
        full: every value, six places, up to fourteen seeds.
        stored: draw the phase diagram that comes with modeseek, and run nothing.
        file: draw this phase.nc instead.
        slices: which; without, all.
        methods: which compete, as `modeseek methods` lists them, with on_policy_ or offline_ before; without, eight.
        out: folder; without, modeseek-results/phase/coarse or full or stored.
        cluster: the workers of a Dask scheduler run the cells, by its address (tcp://10.0.0.1:8786); or local:N, N
            workers on this machine.
    """

    coarse: bool = False
    full: bool = False
    stored: bool = False
    file: Path | None = None
    slices: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    out: Path | None = None
    cluster: str | None = None

    def run(self) -> int:
        """Run what is missing, draw, save; 130 if stopped.

        Raises:
            ValueError: more than one of --coarse, --full, --stored, --file; an unknown slice or method; a file or
                folder of another diagram or version.
        """
        asked = [name for name in ("coarse", "full", "stored", "file") if getattr(self, name)]
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(f'--{name}' for name in asked)} are {len(asked)} diagrams: ask for one")
        what = asked[0] if asked else "stored"
        if what in ("stored", "file") and (self.slices or self.methods or self.cluster):
            raise ValueError("--slices, --methods and --cluster are of a diagram that is computed: --coarse or --full")
        if what in ("stored", "file"):
            from modeseek.bandit.studies.phase_diagram.stored import STORED, open_phase

            return self._report(open_phase(self.file or STORED), what)
        return self._compute(self._grid(what), what)

    def _grid(self, what: str) -> "Grid":
        from modeseek.bandit.objectives.registry import variant
        from modeseek.bandit.studies.phase_diagram import grids
        from modeseek.bandit.studies.phase_diagram.grid import SLICES

        methods = tuple(variant(name).name for name in self.methods) or grids.METHODS
        slices = self.slices or tuple(SLICES)
        return grids.coarse(methods, slices) if what == "coarse" else grids.full(methods, slices)

    def _compute(self, grid: "Grid", what: str) -> int:
        from modeseek.bandit.simulator.devices import check_platform, use_compilation_cache, use_host_devices
        from modeseek.bandit.simulator.results import save
        from modeseek.bandit.studies.phase_diagram.running import run_grid

        use_host_devices()
        use_compilation_cache()
        check_platform()
        folder = self._folder(what)
        say(f"{len(grid.points())} cells of {len(grid.budget.methods)} methods")
        with Where(cluster=self.cluster).workers() as workers:
            diagram = run_grid(grid, folder, workers=workers)
        if diagram is None:
            say(f"stopped; the cells that are done are in {folder / 'cells'}, and the same command goes on from here")
            return 130
        save(diagram, folder / "phase.nc")
        return self._report(diagram, what)

    def _folder(self, what: str) -> Path:
        from modeseek.files import DEFAULT_ROOT, writable_folder

        return writable_folder(self.out or DEFAULT_ROOT / "phase" / what)

    def _report(self, diagram: "xarray.Dataset", what: str) -> int:
        from modeseek.bandit.commands.common import save_figures
        from modeseek.bandit.studies.phase_diagram.draw import draw_phase, summary

        folder = self._folder(what)
        print(summary(diagram))
        report = Report()
        drawn = {"phase": partial(draw_phase, diagram), "phase-kl": partial(draw_phase, diagram, "reward_within_kl")}
        paths = save_figures(folder, report, drawn)
        print("Saved " + ", ".join(str(path) for path in paths))
        return report.code
