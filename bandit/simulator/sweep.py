"""Many runs, one compiled program: devices, progress, interruption and resumption around `train.run_collection`.

The unit of work is a *group*: as many runs as the devices take at once, from their start to their end, a collection
a call. Between two calls the host sees metrics, moves the progress bar, and may save; nothing else crosses.
"""

import functools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from modeseek.bandit.simulator import duration, results
from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.devices import check_platform, in_float32, run_mesh, runs_per_device
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.memory import check_room, sizes_of
from modeseek.bandit.simulator.plan import Plan, make_plan
from modeseek.bandit.simulator.pretrain import Pretrained
from modeseek.bandit.simulator.problem import Problem
from modeseek.bandit.simulator.programs import Programs
from modeseek.bandit.simulator.run import Run
from modeseek.bandit.simulator.store import Store
from modeseek.bandit.simulator.train import pretrain_seed, run_collection, start
from modeseek.machine import machine
from modeseek.progress import progress_bar

if TYPE_CHECKING:
    from tqdm import tqdm

CHECKPOINT_SECONDS = 15.0
"""Runs in flight are saved this often."""


class Sweep(NamedTuple):
    """What a sweep leaves: its results, and whether all runs are in them."""

    dataset: xarray.Dataset
    complete: bool


def _over_runs(function: Callable[..., Any], mesh: Mesh, group: int) -> Callable[..., Any]:
    """`function` of single runs as a function of a group: split over devices, then one by one or batched."""
    per_device = group // mesh.devices.size

    def local(*args: Any) -> Any:
        if per_device > 1:
            return jax.vmap(function)(*args)
        single = jax.tree.map(lambda a: a[0], args)
        return jax.tree.map(lambda a: jnp.asarray(a)[None], function(*single))

    spec = PartitionSpec("runs")
    return jax.shard_map(local, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)


class GroupPrograms(Programs):
    """The three programs of a sweep, over a group of runs at a time: `pretrain`, `start` and `collection`."""

    def __init__(self, static: Static, group: int) -> None:
        """Programs of that many runs at a time."""
        self._mesh = run_mesh()
        super().__init__(NamedSharding(self._mesh, PartitionSpec("runs")))
        self._static, self._group = static, group

    def compile_for(self, runs: Run) -> None:
        """Begin to compile all three, in the order of use, unless they have begun."""
        static = self._static
        if len(self._compiled) == 3:
            return
        run = jax.tree.map(lambda a: jax.ShapeDtypeStruct((self._group, *a.shape[1:]), a.dtype), runs)

        def over(function: Callable[..., Any]) -> Callable[..., Any]:
            return _over_runs(function, self._mesh, self._group)

        pretrain = over(lambda problem, seed: pretrain_seed(problem, seed, static))
        pretrained = self.compile("pretrain", pretrain, run.problem, run.seed)
        begin = over(lambda params, run: start(params, run, static))
        state, _, _ = self.compile("start", begin, pretrained.params, run)
        self.compile("collection", over(lambda state, run: run_collection(state, run, static)), state, run, donate=(0,))

    def put(self, tree: Any, rows: np.ndarray) -> Any:
        """Those rows of host arrays, on the devices."""
        return jax.device_put(jax.tree.map(lambda a: np.asarray(a)[rows], tree), self.sharding)


@functools.lru_cache(maxsize=8)
def _programs(static: Static, group: int) -> GroupPrograms:
    return GroupPrograms(static, group)


def run_group_size(runs: int) -> int:
    """How many of so many runs the devices of this process take at once."""
    mesh = run_mesh()
    return mesh.devices.size * runs_per_device(mesh, runs)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
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
        _say("\nstopping after this collection (Ctrl-C again: at once)")

    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)


def _groups(indices: np.ndarray, size: int) -> list[np.ndarray]:
    return [indices[i : i + size] for i in range(0, len(indices), size)]


def _padded(indices: np.ndarray, size: int) -> np.ndarray:
    """A last, short group filled up with repetitions, whose results are dropped: one shape, one program."""
    return np.concatenate([indices, np.repeat(indices[-1:], size - len(indices))])


def _host(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


class _Runner:
    """One sweep in progress."""

    def __init__(self, experiment: Experiment, plan: Plan, store: Store | None, bar: "tqdm[Any]") -> None:
        self.experiment, self.plan, self.store, self.bar = experiment, plan, store, bar
        self.group = run_group_size(plan.total)
        self.programs = _programs(experiment.static, self.group)
        self.programs.compile_for(plan.runs)
        self.seeds, self.seed_of_run = np.unique(plan.runs.seed, return_inverse=True)

    def _already_done(self, steps: int) -> None:
        """Steps of an earlier process: they count in the bar, and not in its rate."""
        if steps and not self.bar.disable:
            self.bar.initial += steps
            self.bar.n += steps
            self.bar.refresh()

    def pretrained(self) -> Pretrained:
        """One policy at the reference per seed, shared by all runs with it."""
        first = np.asarray([np.flatnonzero(self.seed_of_run == i)[0] for i in range(len(self.seeds))])
        problem = Problem(*(np.asarray(leaf)[first] for leaf in self.plan.runs.problem))
        shapes = jax.eval_shape(
            lambda p, s: pretrain_seed(p, s, self.experiment.static),
            jax.tree.map(lambda a: a[0], problem),
            self.plan.runs.seed[0],
        )
        saved = self.store.load_pretrained() if self.store else None
        if saved is not None:
            loaded: Pretrained = jax.tree.unflatten(jax.tree.structure(shapes), saved)
            return loaded
        parts = []
        for rows in _groups(np.arange(len(self.seeds)), self.group):
            padded = _padded(rows, self.group)
            part = self.programs("pretrain", self.programs.put(problem, padded), self.programs.put(self.seeds, padded))
            parts.append(_host(part))
        # Padding stands at the end, after the last seed.
        whole: Pretrained = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(self.seeds)], *parts)
        self._check_tolerance(whole)
        if self.store:
            self.store.save_pretrained(jax.tree.leaves(whole))
        return whole

    def _check_tolerance(self, pretrained: Pretrained) -> None:
        """Every run starts at the reference, to the stated tolerance, or none does."""
        numbers = self.experiment.pretraining
        missed = ~(pretrained.kl_to_reference <= numbers.tolerance)  # a NaN misses too
        if self.experiment.conventions.pretraining == "exact" and missed.any():
            worst = int(np.argmax(np.nan_to_num(pretrained.kl_to_reference, nan=np.inf)))
            raise ValueError(
                f"pretraining ended at KL(policy ‖ reference) = {pretrained.kl_to_reference[worst]:.4g} nats for seed "
                f"{self.seeds[worst]} after {numbers.steps} steps, above its tolerance of {numbers.tolerance:g}: "
                "raise pretraining.steps or pretraining.tolerance"
            )

    def train(self, rows: np.ndarray, params: Any, stop: threading.Event) -> list[np.ndarray] | None:
        """Train one group to its end; None if it was stopped, its state saved."""
        if not self.programs.wait("start", stop):
            return None
        padded = _padded(rows, self.group)
        run = self.programs.put(self.plan.runs, padded)
        state, *initial = self.programs("start", self.programs.put(params, self.seed_of_run[padded]), run)
        history = results.Curves(*_host(initial))
        done = 0
        saved = self.store.load_in_flight() if self.store else None
        if saved is not None and np.array_equal(saved.runs, rows):
            done = saved.collections
            state = jax.device_put(jax.tree.unflatten(jax.tree.structure(state), saved.state), self.programs.sharding)
            history.restore(saved.metrics, done)
        elif saved is not None and np.isin(saved.runs, rows).any():
            _say(
                f"note: {len(saved.runs)} runs in flight were saved, {self.group} are trained at once here: begun anew"
            )
        algorithm = self.experiment.algorithm
        self._already_done(done * len(rows) * algorithm.steps_per_collection)
        if not self.programs.wait("collection", stop):
            return None
        last_saved = time.monotonic()
        while done < algorithm.collections:
            state, metrics = self.programs("collection", state, run)
            history.append(_host(metrics), keep_tokens=self.experiment.evaluation.snapshots)
            done += 1
            self.bar.update(len(rows) * algorithm.steps_per_collection)
            late = time.monotonic() - last_saved > CHECKPOINT_SECONDS
            if self.store and done < algorithm.collections and (stop.is_set() or late):
                self.store.save_in_flight(rows, done, _host(state), history.arrays())
                last_saved = time.monotonic()
            if stop.is_set() and done < algorithm.collections:
                return None
        leaves = history.leaves(np.asarray(state.diverged_at), len(rows))
        if self.store:
            self.store.save_finished(rows, leaves)
        return leaves


@functools.lru_cache(maxsize=1)  # what is free shrinks while JAX starts, and a command asks before and within
def check_before(experiment: Experiment) -> str:
    """Refuse what cannot be computed here, before any work and any file.

    Returns:
        what is to be said of it at the start, of memory and of time, or nothing.

    Raises:
        ValueError: there is no device, or too little memory.
    """
    check_platform()
    sizes = sizes_of(experiment)
    at_once = run_group_size(sizes.runs)
    memory = check_room(experiment, at_once)
    # An accelerator's rate is another one, and nobody has measured it.
    time = duration.said(sizes, at_once) if run_mesh().devices.flat[0].platform == "cpu" else ""
    return "\n".join(line for line in (memory, time) if line)


@in_float32()
def run_sweep(experiment: Experiment, out: Path | None = None, *, progress: bool = True) -> Sweep:
    """Run every run of an experiment, and keep the results.

    Args:
        experiment: what to run.
        out: the results file to write (`….nc`); a folder `….partial` beside it keeps finished runs and the state of
            those in flight, and a sweep that was killed or stopped goes on from it, to the same bits. Without `out`
            nothing is written.
        progress: show a bar with an estimate on standard error.

    Returns:
        the results, and whether they are complete; Ctrl-C ends a sweep early, with NaN where runs are missing.

    Raises:
        ValueError: `out` exists already, cannot be written, or its partial folder is of another configuration; or as
            `check_before`.
    """
    if (said := check_before(experiment)) and progress:
        _say(said)
    out = None if out is None else Path(out)
    if out is None:
        return _run_sweep(experiment, None, None, progress)
    results.check_output(out)
    with Store(out.with_suffix(".partial"), results.identity(experiment), machine()) as store:
        if store.moved:
            before, here = store.machines[-2:]
            _say(f"note: begun on {before}; it goes on here, on {here}: last bits may differ from an unbroken sweep's")
        sweep = _run_sweep(experiment, out, store, progress)
        if sweep.complete:
            store.delete()
            out.with_suffix(".partial.nc").unlink(missing_ok=True)
        return sweep


def _run_sweep(experiment: Experiment, out: Path | None, store: Store | None, progress: bool) -> Sweep:
    started = time.monotonic()
    plan = make_plan(experiment)
    finished: dict[int, list[Any]] = {}

    def keep(rows: np.ndarray, leaves: list[np.ndarray]) -> None:
        finished.update({int(row): [leaf[i] for leaf in leaves] for i, row in enumerate(rows)})

    for rows, leaves in store.load_finished() if store else ():
        keep(rows, leaves)
    steps = experiment.algorithm.gradient_steps
    with progress_bar(
        total=plan.total * steps, unit="step", disable=not progress, smoothing=0.05, desc="compiling"
    ) as bar:
        runner = _Runner(experiment, plan, store, bar)
        runner._already_done(len(finished) * steps)
        pretrained = runner.pretrained()
        bar.set_description(f"{plan.total} run{'s' if plan.total > 1 else ''}")
        left = np.asarray([i for i in range(plan.total) if i not in finished], int)
        with _stop_on_interrupt() as stop:
            for rows in _groups(left, runner.group):
                trained = None if stop.is_set() else runner.train(rows, pretrained.params, stop)
                if trained is None:
                    break
                keep(rows, trained)
    reached = pretrained.kl_to_reference
    seconds = store.seconds if store else time.monotonic() - started
    machines = store.machines if store else ()
    dataset = results.assemble(experiment, plan, finished, reached, seconds=seconds, machines=machines)
    complete = len(finished) == plan.total
    if out is not None:
        results.save(dataset, out if complete else out.with_suffix(".partial.nc"))
    return Sweep(dataset, complete)
