"""What the commands share: output folders, running a sweep with its messages, saving figures."""

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modeseek.bandit.simulator.experiment import Experiment
from modeseek.checks import require
from modeseek.cluster import MapItems, workers_at
from modeseek.files import free_folder, writable_folder
from modeseek.locks import TEMPORARY, remove_abandoned
from modeseek.report import Report

if TYPE_CHECKING:
    import xarray
    from jax.sharding import Mesh
    from matplotlib.figure import Figure

OURS = ("results.nc", "results.partial", "results.partial.nc", "kl.nc", "theory.nc")
"""What an output folder of ours holds, finished or not."""


@dataclasses.dataclass(frozen=True)
class Where:
    """What computes.

    Attributes:
        devices: how many of this machine's devices; all of them, without.
        cluster: the workers of a Dask scheduler instead, by its address (tcp://10.0.0.1:8786), or local:N, N workers on
            this machine.
    """

    devices: int | None = None
    cluster: str | None = None

    @contextlib.contextmanager
    def workers(self) -> "Iterator[MapItems | None]":
        """The cluster's workers, if there is to be one.

        Raises:
            ValueError: as `modeseek.cluster.workers_at`; devices were chosen as well.
        """
        if self.cluster is None:
            yield None
            return
        require(self.devices is None, "devices are of this machine, and with a cluster others compute: give one")
        with workers_at(self.cluster) as workers:
            yield workers


def join_processes(out: Path | None) -> None:
    """Join the other processes that share this command, if the environment names any (`modeseek.processes`).

    Raises:
        ValueError: it names some of what it must, or there is no folder for all of them.
    """
    from modeseek.bandit.simulator.devices import use_host_devices
    from modeseek.processes import initialize

    use_host_devices()
    several = initialize()
    require(not several or out is not None, "several processes share a sweep: give --out, a folder that all see")


def check_before(experiment: Experiment, devices: int | None = None) -> "Mesh":
    """Refuse, before a folder is made, what this machine cannot compute; says nothing else.

    Args:
        experiment: what shall be run.
        devices: on how many devices; all, if not given.

    Returns:
        the devices.

    Raises:
        ValueError: as `run_mesh` and `check_before` of `modeseek.bandit.simulator`.
    """
    from modeseek.bandit.simulator import sweep
    from modeseek.bandit.simulator.devices import check_platform, run_mesh, use_host_devices

    use_host_devices()
    check_platform()
    mesh = run_mesh(devices)
    sweep.check_before(experiment, mesh)
    return mesh


def output_folder(out: Path | None, command: str) -> Path:
    """The folder asked for, or the first of `modeseek-results/COMMAND-1`, `-2`, … that is not there.

    Raises:
        ValueError: it holds other files or cannot be written to; or JAX finds no device, and no folder is made.
    """
    from modeseek.bandit.simulator.devices import check_platform

    check_platform()
    if out is not None:
        if out.is_dir():
            remove_abandoned(out)
        strangers = [p.name for p in out.iterdir() if not _ours(p.name)] if out.is_dir() else []
        if strangers and not any((out / name).exists() for name in OURS):
            raise ValueError(
                f"the output folder {out} holds other files ({strangers[0]}, …): name an empty or a new one"
            )
        return writable_folder(out)
    return free_folder(None, command)


def _ours(name: str) -> bool:
    """Results, a lock, what a process writes or has left."""
    return name.startswith("results.") or name == ".lock" or TEMPORARY.fullmatch(name) is not None


def say(text: str) -> None:
    """A message to the person at the terminal; standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def run_to_file(
    experiment: Experiment,
    folder: Path,
    *,
    progress: bool = True,
    mesh: "Mesh | None" = None,
    workers: MapItems | None = None,
) -> "xarray.Dataset | None":
    """Run an experiment into `folder/results.nc`; None if it was stopped, after saying how to go on.

    Args:
        experiment: what to run.
        folder: is there.
        progress: show a bar.
        mesh: as for `run_sweep`.
        workers: as for `run_sweep`.
    """
    from modeseek.bandit.simulator.devices import use_compilation_cache, use_host_devices

    use_host_devices()
    use_compilation_cache()
    from modeseek.bandit.simulator.summary import diverged_runs, idle_runs
    from modeseek.bandit.simulator.sweep import run_sweep

    path = folder / "results.nc"
    if (finished := _finished(path, experiment)) is not None:
        say(f"{path} holds these very results: nothing is run again")
        return finished
    if path.with_suffix(".partial").exists():
        say(f"going on with the unfinished sweep in {folder}")
    sweep = run_sweep(experiment, path, progress=progress, mesh=mesh, workers=workers)
    for line in (*diverged_runs(sweep.dataset), *idle_runs(sweep.dataset, experiment)):
        say(f"warning: {line}")
    if sweep.complete:
        return sweep.dataset
    say(
        f"stopped; finished runs are in {path.with_suffix('.partial.nc')}. "
        f"The same command with --out {folder} goes on from here"
    )
    return None


def _finished(path: Path, experiment: Experiment) -> "xarray.Dataset | None":
    """The results that a run left before it could draw its figures, if they are of this experiment."""
    from modeseek.bandit.simulator.results import experiment_of, load

    try:
        dataset = load(path)
        return dataset if experiment_of(dataset) == experiment else None
    except ValueError:
        return None


def save_all(folder: Path, report: Report, figures: Mapping[str, Callable[[], "Figure"]]) -> None:
    """Draw figures by name, save them as PNG and SVG, and say where they and the data are."""
    saved = [folder / "results.nc", *save_figures(folder, report, figures)]
    print(f"\nsaved in {folder}{'' if folder.is_absolute() else ' (under the current folder)'}:")
    for path in saved:
        print(f"  {path.name}")


def save_figures(folder: Path, report: Report, figures: Mapping[str, Callable[[], "Figure"]]) -> list[Path]:
    """Draw figures, each a part of the report, and save them as PNG and SVG; returns what was saved."""
    saved = []
    for name, draw in figures.items():
        with report.part(f"the figure {name}"):
            from modeseek.bandit.figures.style import save_figure

            saved += save_figure(draw(), folder / name)
    return saved
