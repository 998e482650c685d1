"""Groups of runs, from their start to their end: a collection a call, a look at the host between two calls.

Between two calls the host sees metrics, moves the progress bar, and may save; nothing else crosses.
"""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from modeseek.bandit.simulator.assemble import Curves
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.groups import group_programs
from modeseek.bandit.simulator.pretrain import Pretrained
from modeseek.bandit.simulator.problem import Problem
from modeseek.bandit.simulator.run import Run
from modeseek.bandit.simulator.starts import policies_at_reference
from modeseek.bandit.simulator.store import Store
from modeseek.machine import machine

if TYPE_CHECKING:
    from tqdm import tqdm

CHECKPOINT_SECONDS = 15.0
"""Runs in flight are saved this often, at most: saving many takes long itself."""
SAVING_SHARE = 0.05
"""Of the time, at most about so much is spent on saving runs in flight."""


def say(text: str) -> None:
    """A line for the person who waits."""
    print(text, file=sys.stderr)


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, read between collections and while programs compile; the second one
    interrupts at once. Before training, when there is nothing to be saved, the first one does."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handler(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say("\nstopping after this collection (Ctrl-C again: at once)")

    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)


def already_done(bar: "tqdm[Any]", steps: int) -> None:
    """Steps of an earlier process: they count in the bar, and not in its rate."""
    if steps and not bar.disable:
        bar.initial += steps
        bar.n += steps
        bar.refresh()


def in_groups(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Rows, so many at a time; the last may be fewer."""
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _padded(rows: np.ndarray, size: int) -> np.ndarray:
    """A last, short group filled up with repetitions, whose results are dropped: one shape, one program."""
    return np.concatenate([rows, np.repeat(rows[-1:], size - len(rows))])


def check_tolerance(experiment: Experiment, seeds: np.ndarray, pretrained: Pretrained) -> None:
    """Every run starts at the reference, to the stated tolerance, or none does.

    Raises:
        ValueError: a policy is further from it.
    """
    numbers = experiment.pretraining
    missed = ~(pretrained.kl_to_reference <= numbers.tolerance)  # a NaN misses too
    if experiment.conventions.pretraining == "exact" and missed.any():
        worst = int(np.argmax(np.nan_to_num(pretrained.kl_to_reference, nan=np.inf)))
        raise ValueError(
            f"pretraining ended at KL(policy ‖ reference) = {pretrained.kl_to_reference[worst]:.4g} nats for seed "
            f"{seeds[worst]} after {numbers.steps} steps, above its tolerance of {numbers.tolerance:g}: "
            "raise pretraining.steps or pretraining.tolerance"
        )


class Done(NamedTuple):
    """Runs that have come to their end.

    Attributes:
        rows: which.
        leaves: their results, as `assemble.Curves.leaves` gives them.
        machine: what has computed them.
    """

    rows: np.ndarray
    leaves: list[np.ndarray]
    machine: str


class Runner:
    """Runs of one experiment, computed on devices of this process.

    Args:
        experiment: whose runs they are.
        runs: host arrays with a leading axis over them.
        mesh: the devices.
        group: how many runs they take at once.
        store: keeps what is in flight and what is finished; None keeps nothing.
        bar: is moved with every gradient step.
    """

    def __init__(
        self,
        experiment: Experiment,
        runs: Run,
        mesh: Mesh,
        group: int,
        store: Store | None = None,
        bar: "tqdm[Any] | None" = None,
    ) -> None:
        self.experiment, self.runs, self.group, self.store, self.bar = experiment, runs, group, store, bar
        self.programs = group_programs(experiment.static, group, mesh)
        self.programs.compile_for(runs)
        self.seeds, self._first, self.seed_of_run = np.unique(runs.seed, return_index=True, return_inverse=True)

    def pretrain(self, which: np.ndarray) -> Pretrained:
        """Policies at the reference, of some rows of `seeds`; all runs of a seed share one.

        Raises:
            ValueError: one of them did not come as near to it as was asked.
        """
        problem: Problem = jax.tree.map(lambda leaf: np.asarray(leaf)[self._first], self.runs.problem)
        return policies_at_reference(
            self.experiment.static,
            (self.programs.sharding, self.group),
            np.asarray(problem.reference_log_probs)[which],
            self.seeds[which],
            lambda missing: self._fit(problem, which[missing]),
        )

    def _fit(self, problem: Problem, which: np.ndarray) -> Pretrained:
        """Fresh networks of some rows of `seeds`, brought to the reference."""
        parts = []
        for rows in in_groups(which, self.group):
            padded = _padded(rows, self.group)
            part = self.programs("pretrain", self.programs.put(problem, padded), self.programs.put(self.seeds, padded))
            parts.append(jax.device_get(part))
        # Padding stands at the end, after the last seed.
        whole: Pretrained = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(which)], *parts)
        check_tolerance(self.experiment, self.seeds[which], whole)
        return whole

    def train(self, rows: np.ndarray, params: Any) -> Iterator[Done]:
        """Train runs, a group after the other; the first Ctrl-C ends it after a collection, what is in flight saved.

        Args:
            rows: of `runs`.
            params: of the policies at the reference, a leading axis over `seeds`.
        """
        with stop_on_interrupt() as stop:
            for group in in_groups(rows, self.group):
                leaves = None if stop.is_set() else self.train_group(group, params, stop)
                if leaves is None:
                    return
                yield Done(group, leaves, machine())

    def train_group(self, rows: np.ndarray, params: Any, stop: threading.Event) -> list[np.ndarray] | None:
        """Train one group to its end; None if it was told to stop, which is looked at between two collections."""
        if not self.programs.wait("start", stop):
            return None
        padded = _padded(rows, self.group)
        run = self.programs.put(self.runs, padded)
        state, *initial = self.programs("start", self.programs.put(params, self.seed_of_run[padded]), run)
        history = Curves(*jax.device_get(initial))
        done = 0
        saved = self.store.load_in_flight() if self.store else None
        if saved is not None and np.array_equal(saved.runs, rows):
            done = saved.collections
            state = jax.device_put(jax.tree.unflatten(jax.tree.structure(state), saved.state), self.programs.sharding)
            history.restore(saved.metrics, done)
        elif saved is not None and np.isin(saved.runs, rows).any():
            say(f"note: {len(saved.runs)} runs in flight were saved, {self.group} are trained at once here: begun anew")
        algorithm = self.experiment.algorithm
        if self.bar is not None:
            already_done(self.bar, done * len(rows) * algorithm.steps_per_collection)
        if not self.programs.wait("collection", stop):
            return None
        next_save = time.monotonic() + CHECKPOINT_SECONDS
        while done < algorithm.collections:
            state, metrics = self.programs("collection", state, run)
            history.append(jax.device_get(metrics), keep_tokens=self.experiment.evaluation.snapshots)
            done += 1
            if self.bar is not None:
                self.bar.update(len(rows) * algorithm.steps_per_collection)
            if self.store and self.store.told_to_stop:
                stop.set()
            began = time.monotonic()
            if self.store and done < algorithm.collections and (stop.is_set() or began > next_save):
                self.store.save_in_flight(rows, done, jax.device_get(state), history.arrays())
                took = time.monotonic() - began
                next_save = time.monotonic() + max(CHECKPOINT_SECONDS, took / SAVING_SHARE)
            if stop.is_set() and done < algorithm.collections:
                return None
        return history.leaves(np.asarray(state.diverged_at), len(rows))
