"""Experiments on the bandit as a person calls them: run, sweep, open, tabulate, plot."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeseek.bandit.commands.common import Where
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.method import Method
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.objectives.table import METHOD_COLUMNS, method_rows
from modeseek.bandit.simulator.config import AlgorithmConfig, RewardModelConfig
from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.checks import hint, require
from modeseek.markdown import markdown_table

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


def run(
    experiment: Experiment | None = None,
    *,
    out: str | Path | None = None,
    progress: bool = True,
    devices: int | None = None,
    cluster: str | None = None,
    **options: Any,
) -> "xarray.Dataset":
    """Train methods on the bandit and return their curves.

    >>> import modeseek
    >>> results = modeseek.run(methods=["ppo", "ipo"], rewards="R1", seeds=2, collections=5)
    >>> print(modeseek.table(results))
    >>> modeseek.plot(results).savefig("reward.png")

    The defaults are the paper's on-policy protocol (I.3): 10 prompts, 10 responses each, 100 collections, 10 gradient
    steps on each.

    Args:
        experiment: what to run; the default experiment, if not given.
        out: folder for `results.nc`. A run that was stopped or killed goes on there with the same call, to the same
            bits. Without it, nothing is written.
        progress: show a bar on standard error.
        devices: how many of this machine's JAX devices; all of them, if not given.
        cluster: the workers of a Dask scheduler instead, by its address (tcp://10.0.0.1:8786), or local:N, N workers on
            this machine. The bits are the same.
        **options: changes to the experiment by name: fields of `Experiment` (`methods`, `rewards`, `seeds`, …), of
            Algorithm 1 (`collections`, `inner_steps`, …) and hyper-parameters (`learning_rate`, `tau`, …), as on the
            command line. `preset="released_code"` takes the released code's conventions, `vary={"tau": [0.05, 0.1]}`
            adds an axis to the grid.

    Returns:
        a dataset with dimensions `algorithm`, `reward`, `seed`, `step`, …; NaN where Ctrl-C came first.

    Raises:
        ValueError: an unknown name or a value that cannot be one; more devices than there are, or a cluster that
            cannot be used (`modeseek.cluster.workers_at`). Nothing has been run then.
    """
    base = Experiment() if experiment is None else experiment
    return _run(experiment_with(base, **options), "run", out, progress, Where(devices, cluster))


def sweep(
    experiment: Experiment | None = None,
    *,
    out: str | Path | None = None,
    progress: bool = True,
    devices: int | None = None,
    cluster: str | None = None,
    **options: Any,
) -> "xarray.Dataset":
    """Train methods over a grid of learning rates, and of anything else, as paper I.3 tunes them.

    >>> results = modeseek.sweep(methods="ppo", learning_rates=[1e-3, 3e-3, 1e-2], seeds=2, collections=5)
    >>> print(modeseek.table(results))  # each method at the rate that ends highest
    >>> modeseek.plot(results, "learning-rates").savefig("rates.png")

    Args:
        experiment: as for `run`; the default has the paper's ten learning rates and five seeds.
        out: as for `run`.
        progress: as for `run`.
        devices: as for `run`.
        cluster: as for `run`.
        **options: as for `run`.

    Returns:
        a dataset like that of `run`, with every axis of the grid as a dimension.

    Raises:
        ValueError: as `run`.
    """
    base = experiment
    if base is None:
        from modeseek.bandit.studies.reproduce.protocols import PAPER_LEARNING_RATES

        base = Experiment(learning_rates=PAPER_LEARNING_RATES, seeds=5)
    return _run(experiment_with(base, **options), "sweep", out, progress, Where(devices, cluster))


def experiment_with(experiment: Experiment, **options: Any) -> Experiment:
    """The experiment with some of its values changed, by the names that the command line has too.

    Args:
        experiment: whose other values stay.
        **options: as for `run`.

    Raises:
        ValueError: an unknown name, which says the nearest one, or a value that cannot be one.
    """
    require(isinstance(experiment, Experiment), f"experiment must be a modeseek.Experiment, got {experiment!r}")
    own, algorithm, hyper = (
        {field.name for field in dataclasses.fields(kind)} for kind in (Experiment, AlgorithmConfig, HyperParameters)
    )
    known = (own | algorithm | hyper | {"preset"}) - {"algorithm", "hyper"}
    for name in options:
        if name not in known:
            raise ValueError(f"there is no option {name!r}: {hint(name, sorted(known))}")
    changes = {name: _field(name, value) for name, value in options.items() if name in own}
    if "preset" in options:
        if options["preset"] not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {options['preset']!r}")
        changes = {"conventions": PRESETS[options["preset"]]} | changes
    for part, names in (("algorithm", algorithm), ("hyper", hyper)):
        chosen = {name: value for name, value in options.items() if name in names}
        if chosen:
            changes[part] = dataclasses.replace(getattr(experiment, part), **chosen)
    return dataclasses.replace(experiment, **changes)


def _field(name: str, value: Any) -> Any:
    """A value as `Experiment` holds it: one name stands for a tuple of one, a list for a tuple, a mapping for pairs."""
    if name == "vary" and isinstance(value, Mapping):
        return tuple((axis, _axis(axis, values)) for axis, values in value.items())
    if name in ("methods", "rewards", "behaviors") and isinstance(value, str):
        return (value,)
    if name == "reward_model" and isinstance(value, str):
        return RewardModelConfig(kind=value)  # type: ignore[arg-type]  # which checks itself
    return tuple(value) if isinstance(value, list) else value


def _axis(name: str, values: Any) -> tuple[float, ...]:
    """The values that a hyper-parameter takes in turn."""
    listed = isinstance(values, Iterable) and not isinstance(values, str)
    require(listed, f"vary: {name} needs a list of numbers, such as [0.05, 0.1], got {values!r}")
    return tuple(values)


def _run(
    experiment: Experiment, command: str, out: str | Path | None, progress: bool, where: Where
) -> "xarray.Dataset":
    from modeseek.bandit.commands.common import check_before, output_folder, run_to_file, say
    from modeseek.bandit.simulator.devices import use_compilation_cache, use_host_devices

    use_host_devices()
    use_compilation_cache()
    with where.workers() as workers:
        mesh = check_before(experiment, where.devices) if workers is None else None
        if out is not None:
            folder = output_folder(Path(out), command)
            finished = run_to_file(experiment, folder, progress=progress, mesh=mesh, workers=workers)
            return open_results(folder / "results.partial.nc") if finished is None else finished
        from modeseek.bandit.simulator.summary import diverged_runs, idle_runs
        from modeseek.bandit.simulator.sweep import run_sweep

        done = run_sweep(experiment, progress=progress, mesh=mesh, workers=workers)
    for line in (*diverged_runs(done.dataset), *idle_runs(done.dataset, experiment)):
        say(f"warning: {line}")
    if not done.complete:
        say("stopped: runs that did not finish are NaN (give out=FOLDER to go on later)")
    return done.dataset


def open_results(path: str | Path) -> "xarray.Dataset":
    """Read the results of an experiment, or of a run of `modeseek llm tune`, into memory.

    >>> results = modeseek.open_results("modeseek-results/demo-1")
    >>> results["expected_reward"].sel(algorithm="ppo").mean("seed")

    Args:
        path: a `results.nc`, or the folder that holds it.

    Returns:
        the dataset that `run` or `sweep` gave, or one run's curves `[seed, step]`; its attributes hold the
        configuration, versions and machine.

    Raises:
        ValueError: it is not there, is truncated, or was not written by modeseek.
    """
    from modeseek.bandit.simulator.results import load

    path = Path(path)
    return load(path / "results.nc" if path.is_dir() else path)


def table(results: "xarray.Dataset") -> str:
    """The end of training as text: expected reward and KL(policy ‖ reference), mean ± standard error over seeds.

    >>> print(modeseek.table(modeseek.open_results("modeseek-results/demo-1")))

    Of a grid of learning rates, each method stands at the one that ends highest.

    Args:
        results: of `run`, `sweep` or `open_results`.

    Raises:
        ValueError: they have no expected reward: of a language model without a gold reward, or of `kl`.
    """
    from modeseek.bandit.simulator.summary import choose_learning_rate
    from modeseek.bandit.simulator.summary import table as lines

    require("expected_reward" in results, "these results have no expected reward, which the table is of")
    return lines(choose_learning_rate(results))


def plot(results: "xarray.Dataset", kind: str | None = None) -> "Figure":
    """A figure of results, of an experiment or of `kl`.

    >>> modeseek.plot(results).savefig("reward.png")            # reward against steps, and against KL
    >>> modeseek.plot(results, "tokens").savefig("tokens.png")  # where the probability mass went
    >>> modeseek.plot(modeseek.kl("case-1-fails"), "bars")

    Args:
        results: of `run`, `sweep`, `open_results` or `kl`.
        kind: of an experiment `reward`, `tokens`, `problem` and, with a grid, `learning-rates`; of a language model
            `reward`; of `kl` `curves`, `bars`, `regions` and `simplex`. The first, if not given.

    Returns:
        a matplotlib figure, which belongs to no window.

    Raises:
        ValueError: the results have no such figure.
    """
    from modeseek.bandit.figures.kinds import draw

    return draw(results, kind)


def methods() -> "MethodTable":
    """Every method with its place in the paper's Table 1, what it reads, and where it is from.

    >>> print(modeseek.methods())
    >>> modeseek.methods()["ppo"].source
    'paper I.2.4'

    A name takes a prefix, `on_policy_` or `offline_`, where it shall not be on the side that the table gives.
    """
    return MethodTable()


class MethodTable(Mapping[str, Method]):
    """Methods by name; printed, or shown in a notebook, they are a table."""

    def __getitem__(self, name: str) -> Method:
        if name not in METHODS:
            raise KeyError(f"there is no method {name!r}: {hint(name, METHODS)}")
        return METHODS[name]

    def __iter__(self) -> Iterator[str]:
        return iter(METHODS)

    def __len__(self) -> int:
        return len(METHODS)

    def __str__(self) -> str:
        columns = list(zip(*[METHOD_COLUMNS, *method_rows()], strict=True))
        widths = [max(map(len, column)) for column in columns]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in zip(*columns, strict=True)
        ]
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return markdown_table([(title, "left") for title in METHOD_COLUMNS], method_rows())
