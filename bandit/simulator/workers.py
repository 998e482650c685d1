"""Runs of an experiment on the workers of a cluster: what is sent to them, and what they do with it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from modeseek.bandit.simulator.devices import (
    check_platform,
    in_float32,
    run_mesh,
    use_compilation_cache,
    use_host_devices,
)
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.memory import check_room, runs_at_once, sizes_of
from modeseek.bandit.simulator.pretrain import Pretrained
from modeseek.bandit.simulator.run import Run
from modeseek.bandit.simulator.runner import Done, Runner, in_groups, say
from modeseek.cluster import MapItems
from modeseek.machine import machine

if TYPE_CHECKING:
    from tqdm import tqdm

LARGEST_GROUP = 256
"""Runs that one accelerator of a cluster is given at a time: fewer than fit, so that there are some for the others."""


class Place(NamedTuple):
    """What a worker is.

    Attributes:
        group: runs that it takes at once.
        platform: of its devices.
        machine: it, and what else may change a bit.
    """

    group: int
    platform: str
    machine: str


class Unit(NamedTuple):
    """Work for one worker.

    Attributes:
        experiment: that its runs are of.
        runs: their numbers, host arrays with a leading axis over them.
        group: how many are trained at once; the same for all units, so that each worker compiles once.
        params: policies at the reference, a leading axis over the seeds of its runs in rising order; None if they are
            what is asked for.
    """

    experiment: Experiment
    runs: Run
    group: int
    params: Any = None


def look(experiment: Experiment) -> Place:
    """At a worker: what it is, once it has been seen that the experiment has room there.

    Raises:
        ValueError: it has none, or no device.
    """
    use_host_devices()
    check_platform()
    mesh = run_mesh()
    sizes = sizes_of(experiment)
    group = runs_at_once(sizes, mesh)
    platform = mesh.devices.flat[0].platform
    check_room(experiment, group, mesh=mesh)
    return Place(group if platform == "cpu" else min(group, LARGEST_GROUP * mesh.devices.size), platform, machine())


@in_float32()
def pretrain_unit(unit: Unit) -> Pretrained:
    """At a worker: policies at the reference, of the seeds of a unit's runs."""
    runner = _runner(unit)
    return runner.pretrain(np.arange(len(runner.seeds)))


@in_float32()
def train_unit(unit: Unit) -> Done:
    """At a worker: a unit's runs, from their start to their end."""
    (done,) = _runner(unit).train(np.arange(len(unit.runs.seed)), unit.params)
    return done


def _runner(unit: Unit) -> Runner:
    use_host_devices()
    use_compilation_cache()
    return Runner(unit.experiment, unit.runs, run_mesh(), unit.group)


class Workers:
    """Runs of one experiment, computed by a cluster; it has the methods of a `Runner`.

    Args:
        experiment: whose runs they are.
        runs: host arrays with a leading axis over them.
        map_items: of `modeseek.cluster.workers_at`.
        place: what its workers are.
        bar: is moved with every unit that comes back.
    """

    def __init__(
        self, experiment: Experiment, runs: Run, map_items: MapItems, place: Place, bar: "tqdm[Any] | None" = None
    ) -> None:
        self.experiment, self.runs, self.map_items, self.place, self.bar = experiment, runs, map_items, place, bar
        self.seeds, self._first, self.seed_of_run = np.unique(runs.seed, return_index=True, return_inverse=True)

    def _unit(self, rows: np.ndarray, params: Any = None) -> Unit:
        return Unit(self.experiment, jax.tree.map(lambda a: np.asarray(a)[rows], self.runs), self.place.group, params)

    def pretrain(self, which: np.ndarray) -> Pretrained:
        """Policies at the reference, of some rows of `seeds`.

        Raises:
            ValueError: as `Runner.pretrain`.
        """
        groups = in_groups(which, self.place.group)
        found = dict(self.map_items(pretrain_unit, (self._unit(self._first[rows]) for rows in groups)))
        whole: Pretrained = jax.tree.map(
            lambda *leaves: np.concatenate(leaves), *(found[i] for i in range(len(groups)))
        )
        return whole

    def train(self, rows: np.ndarray, params: Any) -> Iterator[Done]:
        """Train runs, a group on each worker; in the order in which they come back. Ctrl-C ends it at once.

        Args:
            rows: of `runs`.
            params: of the policies at the reference, a leading axis over `seeds`.
        """
        rows = rows[np.argsort(self.seed_of_run[rows], kind="stable")]  # few policies to be sent with each group
        groups = in_groups(rows, self.place.group)
        of_seeds = lambda group: jax.tree.map(lambda a: a[np.unique(self.seed_of_run[group])], params)
        steps = self.experiment.algorithm.gradient_steps
        try:
            units = (self._unit(group, of_seeds(group)) for group in groups)
            for index, done in self.map_items(train_unit, units):
                if self.bar is not None:
                    self.bar.update(len(groups[index]) * steps)
                yield done._replace(rows=groups[index])
        except KeyboardInterrupt:
            say("\nstopped: what the workers had in hand is begun anew the next time")
