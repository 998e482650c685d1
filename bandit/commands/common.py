"""What the commands share: output folders, running a sweep with its messages, saving figures."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bandit.files import writable_folder
from bandit.simulator.experiment import Experiment

if TYPE_CHECKING:
    import xarray

DEFAULT_ROOT = Path("modeseek-results")


def output_folder(out: Path | None, command: str) -> Path:
    """The folder asked for, or the first of `modeseek-results/COMMAND-1`, `-2`, … that is not there."""
    if out is not None:
        return writable_folder(out)
    number = 1
    while (DEFAULT_ROOT / f"{command}-{number}").exists():
        number += 1
    return writable_folder(DEFAULT_ROOT / f"{command}-{number}")


def say(text: str) -> None:
    """A message to the person at the terminal; standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def run_to_file(experiment: Experiment, folder: Path) -> "xarray.Dataset | None":
    """Run an experiment into `folder/results.nc`; None if it was stopped, after saying how to go on."""
    from bandit.simulator.devices import use_compilation_cache, use_host_devices

    use_host_devices()
    use_compilation_cache()
    from bandit.simulator.summary import diverged_runs
    from bandit.simulator.sweep import run_sweep

    path = folder / "results.nc"
    if path.with_suffix(".partial").exists():
        say(f"going on with the unfinished sweep in {folder}")
    sweep = run_sweep(experiment, path)
    for line in diverged_runs(sweep.dataset):
        say(f"warning: {line}")
    if sweep.complete:
        return sweep.dataset
    say(
        f"stopped; finished runs are in {path.with_suffix('.partial.nc')}. "
        f"The same command with --out {folder} goes on from here"
    )
    return None


def save_all(folder: Path, figures: dict[str, object]) -> None:
    """Save figures by name as PNG and SVG, and say where everything is."""
    from bandit.figures.style import save_figure

    for name, figure in figures.items():
        save_figure(figure, folder / name)  # type: ignore[arg-type]
    print(f"\nsaved in {folder}{'' if folder.is_absolute() else ' (under the current folder)'}:")
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            print(f"  {path.name}")
