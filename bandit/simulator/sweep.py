"""Sweeps: every run of an experiment, on this process's devices, on those of several processes, or on a cluster.

The unit of work is a *group*: as many runs as the devices take at once, from their start to their end. Groups share
nothing, so that several processes take each its part of the runs and write what is done into one folder that all of
them see (`docs/decisions/0086-processes-share-a-folder.md`), and workers of a cluster send it back.
"""

import functools
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
import xarray
from jax.sharding import Mesh

from modeseek.bandit.objectives.own import digests
from modeseek.bandit.simulator import duration, results
from modeseek.bandit.simulator.assemble import assemble
from modeseek.bandit.simulator.devices import check_platform, in_float32, run_mesh
from modeseek.bandit.simulator.experiment import Experiment, own_samples
from modeseek.bandit.simulator.memory import check_room, runs_at_once, sizes_of
from modeseek.bandit.simulator.plan import Plan, make_plan
from modeseek.bandit.simulator.pretrain import Pretrained
from modeseek.bandit.simulator.runner import Runner, already_done, say
from modeseek.bandit.simulator.store import Store
from modeseek.bandit.simulator.train import pretrain_seed
from modeseek.bandit.simulator.workers import Place, Workers, look
from modeseek.checks import require
from modeseek.cluster import MapItems
from modeseek.machine import machine
from modeseek.processes import together
from modeseek.progress import progress_bar

if TYPE_CHECKING:
    from tqdm import tqdm


class Sweep(NamedTuple):
    """What a sweep leaves: its results, and whether all runs are in them."""

    dataset: xarray.Dataset
    complete: bool


@functools.lru_cache(maxsize=1)  # what is free shrinks while JAX starts, and a command asks before and within
def check_before(experiment: Experiment, mesh: Mesh | None = None) -> str:
    """Refuse what cannot be computed here, before any work and any file.

    Args:
        experiment: what shall be run.
        mesh: the devices; all of this process, if not given.

    Returns:
        what is to be said of it at the start, of memory, of time and of who samples, or nothing.

    Raises:
        ValueError: there is no device, or too little memory.
    """
    check_platform()
    mesh = run_mesh() if mesh is None else mesh
    sizes = sizes_of(experiment)
    at_once = runs_at_once(sizes, mesh)
    memory = check_room(experiment, at_once, mesh=mesh)
    # An accelerator's rate is another one, and nobody has measured it.
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    time = duration.said(sizes, at_once * jax.process_count()) if on_cpu else ""
    return "\n".join(line for line in (memory, time, own_samples(experiment)) if line)


@in_float32()
def run_sweep(
    experiment: Experiment,
    out: Path | None = None,
    *,
    progress: bool = True,
    mesh: Mesh | None = None,
    workers: MapItems | None = None,
    only: Collection[str] | None = None,
) -> Sweep:
    """Run every run of an experiment, and keep the results.

    Where JAX has several processes (`modeseek.processes.initialize`), all of them call this, with the same arguments;
    each trains its share of the runs, and all return the same.

    Args:
        experiment: what to run.
        out: the results file to write (`….nc`); a folder `….partial` beside it keeps finished runs and the state of
            those in flight, and a sweep that was killed or stopped goes on from it, to the same bits. Without `out`
            nothing is written.
        progress: show a bar with an estimate on standard error.
        mesh: devices of this process, whatever the mesh's axes; all of its devices, if not given.
        workers: of a cluster (`modeseek.cluster.workers_at`), to be used instead of devices of this process.
        only: those of the experiment's methods that are run; the others are compiled in and stay NaN, so that further
            seeds of some methods compile nothing. Without `out` alone.

    Returns:
        the results, and whether they are complete; Ctrl-C ends a sweep early, with NaN where runs are missing.

    Raises:
        ValueError: `out` exists already, cannot be written, or its partial folder is of another configuration; or as
            `check_before`; several processes have no `out`, or do not see the same one; or other processes shall
            run a method of one's own.
    """
    process, processes = jax.process_index(), jax.process_count()
    require(processes == 1 or workers is None, "workers of a cluster are used from one process, not from several")
    require(
        processes == 1 or out is not None,
        "several processes need an output in a folder that all of them see, got none",
    )
    own = ", ".join(digests(experiment.methods))
    require(
        not own or (processes == 1 and workers is None),
        f"{own} is defined in this process alone, and no other one knows it: run it here, without a cluster",
    )
    require(only is None or out is None, "a sweep of some of its methods is no whole file: `only` goes without `out`")
    mesh = run_mesh() if mesh is None else mesh
    place = None
    if workers is not None:
        ((_, place),) = workers(look, [experiment])
    elif (said := check_before(experiment, mesh)) and progress:
        say(said)
    plan = make_plan(experiment)

    def crew(store: Store | None, bar: "tqdm[Any]") -> Runner | Workers:
        if workers is not None and place is not None:
            return Workers(experiment, plan.runs, workers, place, bar)
        return Runner(experiment, plan.runs, mesh, runs_at_once(sizes_of(experiment), mesh), store, bar)

    sweeping = _Sweeping(experiment, plan, crew, progress and process == 0, _runs_of(experiment, plan, only))
    if out is None:
        return sweeping.run(None)
    out = Path(out)
    with together():
        results.check_output(out)
    with _open_store(experiment, out.with_suffix(".partial"), place) as store:
        if store.moved:
            before, here = store.machines[-2:]
            say(f"note: begun on {before}; it goes on here, on {here}: last bits may differ from an unbroken sweep's")
        sweep = sweeping.run(store)
        with together():  # the others are done with the folder
            pass
        if process == 0:
            results.save(sweep.dataset, out if sweep.complete else out.with_suffix(".partial.nc"))
            if sweep.complete:
                store.delete()
                out.with_suffix(".partial.nc").unlink(missing_ok=True)
        return sweep


def _open_store(experiment: Experiment, folder: Path, place: Place | None) -> Store:
    """The partial folder: the first process makes it, and the others open it then."""
    identity, here = results.identity(experiment), machine()
    if place is not None:
        identity["platform"], here = place.platform, place.machine
    process = jax.process_index()
    found = []
    for first in (True, False):
        with together():
            if first == (process == 0):
                found.append(Store(folder, identity, here, process))
    return found[0]


def _runs_of(experiment: Experiment, plan: Plan, only: Collection[str] | None) -> np.ndarray:
    """The runs of those methods, or all: the first axis of a plan is the method."""
    rows = np.arange(plan.total)
    if only is None:
        return rows
    names = [v.name for v in experiment.variants]
    require(set(only) <= set(names), f"only: the experiment has no {', '.join(sorted(set(only) - set(names)))}")
    wanted = np.asarray([name in only for name in names])
    return np.asarray(rows[wanted[rows // (plan.total // len(names))]])


class _Sweeping:
    """One sweep in progress."""

    def __init__(
        self,
        experiment: Experiment,
        plan: Plan,
        crew: Callable[[Store | None, Any], Runner | Workers],
        progress: bool,
        wanted: np.ndarray,
    ) -> None:
        self.experiment, self.plan, self.crew, self.progress = experiment, plan, crew, progress
        self.wanted = wanted
        self.finished: dict[int, list[Any]] = {}

    def run(self, store: Store | None) -> Sweep:
        """Everything that is not finished; all that is, in a dataset."""
        started = time.monotonic()
        with together():  # no process writes before all have read
            self._read(store)
        steps, total = self.experiment.algorithm.gradient_steps, len(self.wanted)
        machines: list[str] = []
        with progress_bar(
            total=total * steps, unit="step", disable=not self.progress, smoothing=0.05, desc="compiling"
        ) as bar:
            crew = self.crew(store, bar)
            already_done(bar, len(self.finished) * steps)
            pretrained = self._pretrained(crew, store)
            bar.set_description(f"{total} run{'s' if total > 1 else ''}")
            share = self.wanted[jax.process_index() :: jax.process_count()]
            left = np.asarray([row for row in share if row not in self.finished], int)
            with _in_step(store, lambda: set(share) <= set(self.finished)):
                for done in crew.train(left, pretrained.params):
                    self._keep(done.rows, done.leaves)
                    if store:
                        store.save_finished(done.rows, done.leaves)
                        store.note_machine(done.machine)
                    machines += [done.machine] if done.machine not in machines else []
        if jax.process_count() > 1:
            self._read(store)
        dataset = assemble(
            self.experiment,
            self.plan,
            self.finished,
            pretrained.kl_to_reference,
            seconds=store.seconds if store else time.monotonic() - started,
            machines=store.machines if store else machines,
        )
        return Sweep(dataset, len(self.finished) == total)

    def _keep(self, rows: np.ndarray, leaves: list[np.ndarray]) -> None:
        self.finished.update({int(row): [leaf[i] for leaf in leaves] for i, row in enumerate(rows)})

    def _read(self, store: Store | None) -> None:
        for rows, leaves in store.load_finished() if store else ():
            self._keep(rows, leaves)

    def _pretrained(self, crew: Runner | Workers, store: Store | None) -> Pretrained:
        """One policy at the reference per seed, shared by all runs with it."""
        process, processes = jax.process_index(), jax.process_count()
        seeds = np.arange(len(crew.seeds))
        saved = store.load_pretrained() if store else None
        if saved is None and processes == 1:
            made = crew.pretrain(seeds)
            if store:
                store.save_pretrained(jax.tree.leaves(made))
            return made
        assert store is not None
        if saved is None:
            share = seeds[process::processes]
            with together():
                if len(share):
                    store.save_pretrained_part(share, jax.tree.leaves(crew.pretrain(share)))
            saved = store.joined_pretrained(min(processes, len(seeds)))
            with together():
                if process == 0:
                    store.save_pretrained(saved)
        first = jax.tree.map(lambda leaf: leaf[0], self.plan.runs)
        of_one = jax.eval_shape(lambda p, s: pretrain_seed(p, s, self.experiment.static), first.problem, first.seed)
        loaded: Pretrained = jax.tree.unflatten(jax.tree.structure(of_one), saved)
        return loaded


@contextmanager
def _in_step(store: Store | None, complete: Callable[[], bool]) -> Iterator[None]:
    """Around a process's share: where one is stopped, or fails, all stop, and each waits until all are at their end."""
    processes = jax.process_count()
    if store is None or processes == 1:
        yield
        return
    with together():
        try:
            yield
            store.end(stop=not complete())
            store.wait_for(processes)
        except KeyboardInterrupt:  # while it waits
            store.end(stop=True)
            store.wait_for(processes)
        except Exception:
            store.end(stop=True)
            raise
