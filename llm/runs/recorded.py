"""What runs of `modeseek llm` have recorded: runs that differ in their seed alone are one group."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from modeseek.checks import finite, require
from modeseek.files import read_json
from modeseek.llm.training.run_folder import CONFIG, METRICS, read_metrics

NOT_SETTINGS = ("out", "seed")


class Run(NamedTuple):
    """One run's records.

    Attributes:
        settings: all that was asked for, name → value, groups within groups by dotted names; without the seed.
        records: the lines of its metrics.
    """

    settings: dict[str, Any]
    records: list[dict[str, Any]]


class Group(NamedTuple):
    """Runs of the same settings.

    Attributes:
        label: what tells them from the other groups.
        method: a name of the registry, where they have one.
        runs: one a seed.
    """

    label: str
    method: str | None
    runs: list[Run]


class Series(NamedTuple):
    """A number over gradient steps: its mean over a group's runs and the mean's standard error (NaN for one run)."""

    steps: np.ndarray
    mean: np.ndarray
    error: np.ndarray


def read_runs(path: Path) -> list[Run]:
    """The runs of a folder: one, or, where the lines name stages (`modeseek llm demo`), one a stage.

    Args:
        path: of the run's folder, or of its metrics.

    Raises:
        ValueError: there are no lines, or one is damaged.
    """
    folder = path if path.is_dir() else path.parent
    records = read_metrics(path)
    require(bool(records), f"{path} holds no {METRICS} with a line in it: name the folder of a run (its --out)")
    for number, record in enumerate(records, 1):
        require(finite(record.get("step", 0)), f"line {number} of {path} has the step {record.get('step')!r}")
    try:
        configuration = dict(read_json(folder / CONFIG))
    except (ValueError, TypeError):  # the lines say enough to draw them
        configuration = {"run": folder.name}
    settings = {name: value for name, value in flat(configuration).items() if name.split(".")[-1] not in NOT_SETTINGS}
    stages: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        stages.setdefault(str(record.get("stage", "")), []).append(record)
    return [
        Run(settings | ({"stage": stage} if stage else {}), lines) for stage, lines in stages.items() if _steps(lines)
    ]


def _steps(records: Sequence[Mapping[str, Any]]) -> bool:
    return any("step" in record for record in records)


def flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A group's settings beside the others, by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Runs by their settings, in the order in which they come first, told apart by what differs."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(json.dumps(run.settings, sort_keys=True, default=str), []).append(run)
    firsts = [group[0].settings for group in found.values()]
    names = list(dict.fromkeys(itertools.chain(*firsts)))
    differing = [name for name in names if len({json.dumps(f.get(name), default=str) for f in firsts}) > 1]
    return [Group(_label(group[0].settings, differing), _method(group[0].settings), group) for group in found.values()]


def _method(settings: Mapping[str, Any]) -> str | None:
    named = settings.get("config.method") or str(settings.get("stage", "")).rpartition("/")[2]
    return str(named) if named else None


def _label(settings: Mapping[str, Any], differing: Sequence[str]) -> str:
    """The stage or the method, then the other settings that differ."""
    name = str(settings.get("config.method") or settings.get("stage") or settings.get("run") or "run")
    others = [each for each in differing if each not in ("config.method", "stage", "run")]
    shown = [f"{each.rpartition('.')[2]} {settings.get(each)}" for each in others[:3]]
    return ", ".join([name, *shown]) + (", …" if len(others) > 3 else "")


def series(group: Group, name: str, points: int = 120) -> Series | None:
    """A number of a group's records over gradient steps; None where no run has it.

    At more than `points` steps it is averaged over neighbouring ones, as many to each point. Of several seeds the steps
    that all have are kept.

    Args:
        group: of runs.
        name: of the number.
        points: the most that are kept.
    """
    found = [
        {record["step"]: float(record[name]) for record in run.records if finite(record.get(name)) and "step" in record}
        for run in group.runs
    ]
    found = [values for values in found if values]
    if not found:
        return None
    steps = np.array(sorted(set.intersection(*map(set, found))))
    if not len(steps):
        return None
    values = np.array([[run[step] for step in steps] for run in found])
    if len(steps) > points:
        size = -(-len(steps) // points)
        chunks = [np.arange(i, min(i + size, len(steps))) for i in range(0, len(steps), size)]
        steps = np.array([steps[chunk].mean() for chunk in chunks])
        values = np.stack([values[:, chunk].mean(axis=1) for chunk in chunks], axis=1)
    seeds = len(values)
    error = values.std(axis=0, ddof=1) / seeds**0.5 if seeds > 1 else np.full(len(steps), np.nan)
    return Series(steps, values.mean(axis=0), error)


def seconds(group: Group) -> dict[str, float]:
    """Phase → its seconds in a whole run, the mean over runs."""
    phases: dict[str, float] = {}
    for run in group.runs:
        for record in run.records:
            for name, value in record.items():
                if name.endswith("_seconds") and finite(value):
                    phase = name.removesuffix("_seconds")
                    phases[phase] = phases.get(phase, 0.0) + float(value) / len(group.runs)
    return phases
