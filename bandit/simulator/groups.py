"""The programs of a group of runs: as many as a mesh of devices takes at once, split over it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.devices import run_mesh
from modeseek.bandit.simulator.programs import Programs
from modeseek.bandit.simulator.run import Run
from modeseek.bandit.simulator.train import pretrain_seed, run_collection, start


def _over_runs(function: Callable[..., Any], mesh: Mesh, group: int) -> Callable[..., Any]:
    """`function` of single runs as a function of a group: split over devices, then one by one or batched."""
    per_device = group // mesh.devices.size

    def local(*args: Any) -> Any:
        if per_device > 1:
            return jax.vmap(function)(*args)
        single = jax.tree.map(lambda a: a[0], args)
        return jax.tree.map(lambda a: jnp.asarray(a)[None], function(*single))

    spec = PartitionSpec(mesh.axis_names)  # whatever its axes are called: runs are split over all of them
    return jax.shard_map(local, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)


class GroupPrograms(Programs):
    """The three programs of a sweep, over a group of runs at a time: `pretrain`, `start` and `collection`."""

    def __init__(self, static: Static, group: int, mesh: Mesh | None = None) -> None:
        """Programs of that many runs at a time.

        Args:
            static: what they are compiled for.
            group: runs at a time, a multiple of the mesh's devices.
            mesh: of devices of this process, all of them if none is given.
        """
        self._mesh = run_mesh() if mesh is None else mesh
        super().__init__(NamedSharding(self._mesh, PartitionSpec(self._mesh.axis_names)))
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
def group_programs(static: Static, group: int, mesh: Mesh) -> GroupPrograms:
    """The same programs for the same shapes, so that nothing is compiled twice."""
    return GroupPrograms(static, group, mesh)
