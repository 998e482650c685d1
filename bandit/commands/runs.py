"""`modeseek bandit`, `sweep` and `repeat`: from the command line to a table, figures and a results file."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from modeseek.bandit.commands.common import (
    Where,
    check_before,
    join_processes,
    output_folder,
    run_to_file,
    save_all,
)
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.studies.reproduce.protocols import PAPER_LEARNING_RATES
from modeseek.checks import read_float
from modeseek.cluster import MapItems
from modeseek.report import Report

if TYPE_CHECKING:
    import xarray
    from jax.sharding import Mesh
    from matplotlib.figure import Figure


def parse_vary(items: tuple[str, ...]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Read `tau=0.05,0.1`, once per hyper-parameter.

    Raises:
        ValueError: an item is not of that form.
    """
    axes = []
    for item in items:
        name, _, values = item.partition("=")
        try:
            axes.append((name.strip().replace("-", "_"), tuple(map(read_float, values.split(",")))))
        except ValueError:
            raise ValueError(f"--vary takes NAME=VALUE,VALUE,…, got {item!r}") from None
    return tuple(axes)


def with_axes(experiment: Experiment, items: tuple[str, ...]) -> Experiment:
    """The experiment with further axes; one that a configuration file holds already is replaced."""
    given = parse_vary(items)
    kept = tuple(axis for axis in experiment.vary if axis[0] not in {name for name, _ in given})
    return dataclasses.replace(experiment, vary=kept + given)


@dataclasses.dataclass(frozen=True)
class Bandit:
    """Run one method, or several, on the bandit.

    Prints the final expected reward and KL, and saves results.nc and figures. The defaults are the paper's on-policy
    protocol (I.3): 10 prompts, 10 responses each, 100 collections, 10 gradient steps on each.

    Attributes:
        experiment: the experiment.
        vary: further axes of the grid, NAME=VALUE,VALUE,… for any hyper-parameter.
        out: output folder; without, the first free modeseek-results/bandit-N.
        where: what computes.
    """

    experiment: Annotated[Experiment, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Experiment)
    vary: tuple[str, ...] = ()
    out: Path | None = None
    where: Annotated[Where, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Where)

    def run(self) -> int:
        """Run, print, save."""
        return _run(self, "bandit")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Run a grid of learning rates, and of anything else, and choose the best (paper I.3).

    The default grid is the paper's ten learning rates and five seeds. Stop with Ctrl-C; the same command with the
    same --out goes on.

    Attributes:
        experiment: the experiment.
        vary: further axes of the grid, NAME=VALUE,VALUE,… for any hyper-parameter.
        out: output folder; without, the first free modeseek-results/sweep-N.
        where: what computes.
    """

    experiment: Annotated[Experiment, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: Experiment(learning_rates=PAPER_LEARNING_RATES, seeds=5)
    )
    vary: tuple[str, ...] = ()
    out: Path | None = None
    where: Annotated[Where, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Where)

    def run(self) -> int:
        """Run, choose, print, save."""
        return _run(self, "sweep")


def _run(command: Bandit | Sweep, name: str) -> int:
    """What both do: one of several processes does its share and says nothing, and the first reports."""
    from modeseek.processes import one_voice, together

    experiment = with_axes(command.experiment, command.vary)
    join_processes(command.out)
    with one_voice(), command.where.workers() as workers:
        with together():  # a cluster's workers see for themselves whether they have room
            mesh = check_before(experiment, command.where.devices) if workers is None else None
            folder = output_folder(command.out, name)
        return run_and_report(experiment, folder, mesh=mesh, workers=workers)


@dataclasses.dataclass(frozen=True)
class Repeat:
    """Run again what a results file holds, from its own configuration.

    Attributes:
        results: a results.nc that modeseek wrote.
        out: output folder; without, the first free modeseek-results/repeat-N.
    """

    results: tyro.conf.Positional[Path]
    out: Path | None = None

    def run(self) -> int:
        """Read the configuration, run it, and say whether the numbers are the same."""
        from modeseek.bandit.simulator.results import experiment_of, load

        earlier = load(self.results)
        experiment = experiment_of(earlier)
        check_before(experiment)
        folder = output_folder(self.out, "repeat")
        code = run_and_report(experiment, folder)
        if code == 0:
            differing = differences(earlier, load(folder / "results.nc"))
            print("\n" + ("every number is bit for bit the same" if not differing else "\n".join(differing)))
        return code


def differences(first: "object", second: "object") -> list[str]:
    """One line for each variable in which two results differ: by how much."""
    import numpy as np
    import xarray

    assert isinstance(first, xarray.Dataset)
    assert isinstance(second, xarray.Dataset)
    lines = []
    for name in first.data_vars:
        a, b = first[name].values, second[name].values
        if not np.array_equal(a, b, equal_nan=True):
            both = np.isfinite(a) & np.isfinite(b)
            missing = "" if (np.isfinite(a) == np.isfinite(b)).all() else ", and is missing in different places"
            lines.append(f"{name} differs by at most {np.abs(a[both] - b[both]).max(initial=0.0):.3g}{missing}")
    return lines


def run_and_report(
    experiment: Experiment, folder: Path, *, mesh: "Mesh | None" = None, workers: MapItems | None = None
) -> int:
    """Run an experiment into a folder; print its table; draw its figures. Devices or workers: as for `run_sweep`."""
    from jax import process_index

    dataset = run_to_file(experiment, folder, mesh=mesh, workers=workers)
    if dataset is None:
        return 130
    if process_index() > 0:
        return 0
    report = Report()
    with report.part("the table"):
        _print_table(dataset)
    figures: dict[str, Callable[[], Figure]] = {}
    with report.part("every figure"):
        from modeseek.bandit.figures.kinds import draw, figure_kinds

        figures = {kind: partial(draw, dataset, kind) for kind in figure_kinds(dataset) if kind != "problem"}
    save_all(folder, report, figures)
    return report.code


def _print_table(dataset: "xarray.Dataset") -> None:
    from modeseek.bandit.simulator.summary import choose_learning_rate, learning_rate_on_edge, table

    if dataset.sizes.get("learning_rate", 0) > 1:
        print("best learning rate of the grid, per method and reward:")
    print(table(choose_learning_rate(dataset)))
    for cell in learning_rate_on_edge(dataset):
        print(f"note: the best learning rate is at the edge of the grid for {cell}")
