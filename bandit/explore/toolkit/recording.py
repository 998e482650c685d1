"""What an explorer keeps of a training: bundled with the package, or made here, and perhaps only a part of it."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from modeseek.bandit.explore.toolkit.stored import store, stored
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.files import parse_json

CURVES = {
    "expected_reward": ("expected reward", "1"),
    "kl_to_reference": ("KL(policy ‖ reference)", "nats per response"),
    "kl_to_behavior": ("KL(policy ‖ behavior)", "nats per response"),
    "entropy": ("entropy of the policy", "nats per response"),
}


class Recording(NamedTuple):
    """One method's training: S seeds, E evaluations with the one before training, L collections.

    What is large is of the first seed alone.

    Attributes:
        seeds: which.
        asked: collections that were asked for.
        done: collections that were taken, L.
        steps: gradient steps at the evaluations, `[E]`.
        curves: as `CURVES` names them, each `[S, E]`.
        token_distribution: before training and after each collection, `[L + 1, T, V]`.
        responses: tokens of each collection, `[L, P, N, T]`.
        rewards: theirs, `[L, P, N]`.
        weights: which way and how strongly each was pushed, `[L, P, N]`.
        log_ratios: log policy - log behavior after the collection's last step, `[L, P, N]`.
        diverged_at: gradient step of each seed's first number that was not finite, or -1.
    """

    seeds: tuple[int, ...]
    asked: int
    done: int
    steps: np.ndarray
    curves: dict[str, np.ndarray]
    token_distribution: np.ndarray
    responses: np.ndarray
    rewards: np.ndarray
    weights: np.ndarray
    log_ratios: np.ndarray
    diverged_at: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether it came to its end."""
        return self.done == self.asked

    @property
    def evaluations(self) -> int:
        """In one collection."""
        return (len(self.steps) - 1) // max(self.done, 1)

    def mean(self, name: str) -> np.ndarray:
        """A curve's mean over seeds, `[E]`."""
        return np.asarray(self.curves[name].mean(axis=0))

    def error(self, name: str) -> np.ndarray:
        """Its standard error; NaN with a single seed."""
        values = self.curves[name]
        if len(values) < 2:
            return np.full(values.shape[1], np.nan)
        return np.asarray(values.std(axis=0, ddof=1) / np.sqrt(len(values)))

    def refreshed(self, *curves: np.ndarray) -> list[np.ndarray]:
        """Gradient steps, and curves of what is relative to the behavior policy with their zeros.

        Where a collection ends the policy becomes the behavior policy: between two evaluations a curve is at zero.

        Args:
            *curves: at the evaluations, `[E]` each.
        """
        ends = np.arange(1, self.done) * self.evaluations + 1
        return [np.insert(self.steps, ends, self.steps[ends - 1]), *(np.insert(curve, ends, 0.0) for curve in curves)]


class Part(NamedTuple):
    """A training so far.

    Attributes:
        share: of the work that is done, 0 to 1.
        doing: in words.
        run: what there is to see, or None.
    """

    share: float
    doing: str
    run: Any


def recorded(progress: Any, seeds: tuple[int, ...], asked: int, steps_per_collection: int) -> Recording | None:
    """The recording of a training so far (`runs.Progress`); None before its first evaluation."""
    if progress.initial is None:
        return None
    turns, done = progress.turns, len(progress.turns[0])
    per_turn = len(turns[0][0].evaluation.expected_reward) if done else 1

    def curve(name: str) -> np.ndarray:
        rows = [
            np.concatenate([[getattr(start, name)], *(getattr(turn.evaluation, name) for turn in each)])
            for (start, _), each in zip(progress.initial, turns, strict=True)
        ]
        return np.stack(rows).astype(np.float32)

    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(turn, name) for turn in turns[0]]) if done else np.zeros((0, 1, 1, 1))

    return Recording(
        seeds=seeds,
        asked=asked,
        done=done,
        steps=np.arange(done * per_turn + 1) * (steps_per_collection // per_turn),
        curves={name: curve(name) for name in CURVES},
        token_distribution=np.stack([progress.initial[0][1], *(turn.token_distribution for turn in turns[0])]),
        responses=stacked("responses").astype(np.int16),
        rewards=stacked("rewards"),
        weights=stacked("weights"),
        log_ratios=stacked("log_ratios"),
        diverged_at=np.array([int(each[-1].diverged_at) if done else -1 for each in turns]),
    )


def parts(experiment: Experiment, method: str) -> Iterator[Part]:
    """`runs.train`, with the recording so far in every part.

    Raises:
        ValueError: as `runs.train`.
    """
    from modeseek.bandit.explore.toolkit.runs import train

    seeds = tuple(range(experiment.first_seed, experiment.first_seed + experiment.seeds))
    algorithm, last, run = experiment.algorithm, -1, None
    for progress in train(experiment, method):
        done = len(progress.turns[0]) if progress.turns else -1
        if done > last:
            run, last = recorded(progress, seeds, algorithm.collections, algorithm.steps_per_collection), done
        yield Part(progress.share, progress.doing, run)


LARGE = ("token_distribution", "responses", "rewards", "weights", "log_ratios")
SMALL = {"responses": "uint8", "token_distribution": "float16", "rewards": "float16", "log_ratios": "float16"}
"""How large variables are bundled; float16 keeps three digits."""


def save(
    recordings: dict[str, Recording], path: Path, asked: Experiment, method: str, command: str, kept: tuple[str, ...]
) -> None:
    """Write whole recordings with the same seeds as one small netCDF.

    Curves are filled up to the longest with NaN; large variables stand as vectors with their shapes beside them, since
    a group for each run would cost more bytes than its numbers.

    Args:
        recordings: name → one of which every collection was taken.
        path: of the file.
        asked: of which these are runs.
        method: which of its methods was trained.
        command: that makes the file again.
        kept: names of the large variables to keep; the others come back empty. Equally large in all recordings.
    """
    from modeseek.bandit.simulator.results import versions

    runs, length = list(recordings.values()), max(len(run.steps) for run in recordings.values())

    def filled(values: np.ndarray) -> np.ndarray:
        spare = [(0, 0)] * (values.ndim - 1) + [(0, length - values.shape[-1])]
        return np.pad(values.astype(np.float32), spare, constant_values=np.nan)

    data: dict[str, Any] = {
        name: (("run", "seed", "evaluation"), np.stack([filled(run.curves[name]) for run in runs])) for name in CURVES
    }
    data["step"] = (("run", "evaluation"), np.stack([filled(run.steps) for run in runs]))
    data["diverged_at"] = (("run", "seed"), np.stack([run.diverged_at for run in runs]))
    data["collections"] = (("run",), np.array([run.asked for run in runs]))
    for name in kept:
        values = [np.asarray(getattr(run, name)) for run in runs]
        if name == "token_distribution":
            values = [_coarse(each) for each in values]
        shapes = json.dumps([each.shape for each in values])
        data[name] = (("run", f"{name}_entry"), np.stack([each.ravel() for each in values]), {"shapes": shapes})
    attributes = {
        "configuration": asked.to_json(),
        "method": method,
        "versions": json.dumps(versions()),
        "command": command,
    }
    dataset = xr.Dataset(data, coords={"run": list(recordings), "seed": list(runs[0].seeds)}, attrs=attributes)
    store(dataset, path, {name: SMALL.get(name, "float32") for name in data})


def _coarse(probs: np.ndarray) -> np.ndarray:
    """float16 with two bits of its mantissa zero, which then compresses; a probability is off by .1 % at most."""
    bits = probs.astype(np.float16).view(np.uint16)
    return ((bits + np.uint16(2)) & np.uint16(0xFFFC)).view(np.float16)


@lru_cache(maxsize=128)
def bundled(file: str, name: str = "run") -> Recording:
    """A recording that comes with the package: of a file, the one of this name."""
    whole = stored(file)
    data = whole.sel(run=name)
    index = list(whole["run"].values).index(name)
    steps = data["step"].values
    steps = steps[np.isfinite(steps)].astype(int)

    def large(each: str) -> np.ndarray:
        if each not in data:
            return np.zeros((0, 1, 1, 1))
        values = data[each].values.reshape(parse_json(data[each].attrs["shapes"])[index])
        if each == "responses":
            return np.asarray(values, int)
        values = values.astype(np.float32)
        return values / values.sum(axis=-1, keepdims=True) if each == "token_distribution" else values

    return Recording(
        seeds=tuple(int(seed) for seed in data["seed"].values),
        asked=int(data["collections"]),
        done=int(data["collections"]),
        steps=steps,
        curves={each: data[each].values[:, : len(steps)] for each in CURVES},
        **{each: large(each) for each in LARGE},
        diverged_at=data["diverged_at"].values.astype(int),
    )
