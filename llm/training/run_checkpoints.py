"""Checkpoints of a run: all that it carries from one turn to the next, whatever that is, in orbax's format.

A state is any pytree of JAX arrays and Python numbers; what a stage adds to its own is kept without a line here. A
checkpoint is written in the background and appears in one step, so that a killed process leaves whole ones alone. It
says how far the run's lines reached, and a sum over the bits of each array, by which damage is found.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import Array, UInt32

from modeseek.checks import require, whole
from modeseek.foreign import reason
from modeseek.llm.training.run_folder import RunFolder

FOLDER = "checkpoints"

T = TypeVar("T")

logging.getLogger("absl").setLevel(logging.CRITICAL)  # what fails in orbax is raised here too, in one line


class RunCheckpoints:
    """The last checkpoints of a run, in its folder; what a turn is (a collection, a step) is the run's to say.

        with RunFolder(…) as run, RunCheckpoints(run, every=10, keep=2) as checkpoints:
            state = checkpoints.begin(start)
            for turn in range(state.turn + 1, turns + 1):
                state = …
                checkpoints.save(turn, state, last=turn == turns)

    Args:
        run: whose lines go with the states.
        every: turns between two checkpoints; with 0 there are none.
        keep: how many of the last ones stay.

    Raises:
        ValueError: numbers that are none.
    """

    def __init__(self, run: RunFolder, every: int, keep: int = 2) -> None:
        whole("checkpoint_every", every, 0)
        whole("keep", keep, 1)
        self.run, self.every = run, every
        self.folder = run.folder / FOLDER
        self.good = 0
        """The last turn whose checkpoint is known to be whole; 0 for none."""
        self._pending = 0
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True)
        self._manager = ocp.CheckpointManager(self.folder.absolute(), options=options) if every else None

    def __enter__(self) -> "RunCheckpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for what is being written; that it failed is told unless something else went wrong before.

        Raises:
            ValueError: as `save`.
            KeyboardInterrupt: where there was one; it says now how the run can go on.
        """
        if self._manager is None:
            return
        try:
            self._finish()
        except ValueError:
            if kind is None:
                raise
        finally:
            self._manager.close()
        if kind is KeyboardInterrupt:
            raise KeyboardInterrupt(self.how_to_go_on())

    def begin(self, start: Callable[[], T]) -> T:
        """The last checkpoint's state, lines that were written after it cut off; without any, the run begins anew.

        Args:
            start: gives the state before the first turn, which says what a checkpoint must hold and where it lives.

        Raises:
            ValueError: a checkpoint that is damaged or holds something else; it is named.
        """
        turns = [] if self._manager is None else sorted(self._manager.all_steps())
        if not turns:
            self.run.begin()
            return start()
        leaves, structure = jax.tree_util.tree_flatten_with_path(start())
        like = {jax.tree_util.keystr(path): _abstract(leaf) for path, leaf in leaves}
        del leaves  # two states at once would be one too many
        try:
            found, note = self._restore(turns[-1], like)
        except Exception as error:
            before = f"to go on from turn {turns[-2]}" if turns[:-1] else "to begin anew"
            damaged = f"the checkpoint {self.folder / str(turns[-1])} is damaged ({reason(error)})"
            raise ValueError(f"{damaged}: delete this folder {before}") from error
        self.run.rewind(note["marks"])
        self.run.go_on()
        self.good = turns[-1]
        restored: T = jax.tree_util.tree_unflatten(structure, [found[name] for name in like])
        return restored

    def save(self, turn: int, state: Any, *, last: bool = False) -> bool:
        """Whether a checkpoint of the state after a turn is due: if so, it is written while the run goes on.

        Args:
            turn: from 1 on.
            state: may be given up as soon as this returns.
            last: whether this turn is the run's last, whose checkpoint is always due.

        Raises:
            ValueError: this checkpoint or the one before could not be written; the last good one is named.
        """
        if self._manager is None or not (last or turn % self.every == 0):
            return False
        self._finish()
        named = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}
        arrays = {name: _shared(leaf) for name, leaf in named.items() if isinstance(leaf, jax.Array)}
        note = {
            "numbers": {name: leaf for name, leaf in named.items() if name not in arrays},
            "arrays": {name: [str(leaf.dtype), *leaf.shape] for name, leaf in arrays.items()},
            "sums": dict(zip(arrays, np.asarray(_sums(list(arrays.values()))).tolist(), strict=True)),
            "marks": self.run.marks(),
        }
        items = {"state": ocp.args.StandardSave(arrays), "note": ocp.args.JsonSave({**note, "sum": _sum(note)})}
        self._writing(turn, lambda manager: manager.save(turn, args=ocp.args.Composite(**items)))
        self._pending = turn
        return True

    def _finish(self) -> None:
        """Wait until the last checkpoint is whole."""
        if self._pending:
            turn, self._pending = self._pending, 0
            self._writing(turn, lambda manager: manager.wait_until_finished())
            self.good = turn

    def _writing(self, turn: int, act: Callable[[ocp.CheckpointManager], Any]) -> None:
        assert self._manager is not None
        try:
            act(self._manager)
        except Exception as error:
            raise ValueError(
                f"the checkpoint {self.folder / str(turn)} could not be written ({reason(error)}): is there room on "
                f"the disk? {self.how_to_go_on()}"
            ) from error

    def how_to_go_on(self) -> str:
        """What becomes of a run that has stopped here, in words."""
        if not self.good:
            return "there is no checkpoint yet: the same command begins anew"
        return f"the checkpoint {self.folder / str(self.good)} is whole: the same command goes on from there"

    def _restore(self, turn: int, like: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """Leaves by name, and the note; any exception is damage, or another program's work."""
        assert self._manager is not None
        note = dict(self._manager.restore(turn, args=ocp.args.Composite(note=ocp.args.JsonRestore()))["note"])
        require(note.pop("sum", None) == _sum(note), "its note is not as it was written")
        wanted = {name: leaf for name, leaf in like.items() if hasattr(leaf, "dtype")}
        holds = {name: [str(leaf.dtype), *leaf.shape] for name, leaf in wanted.items()}
        for name in sorted({*holds, *note["arrays"]}):
            there, here = note["arrays"].get(name, "nothing"), holds.get(name, "nothing")
            require(there == here, f"it holds {there} at {name}, and this run {here}")
        items = ocp.args.Composite(state=ocp.args.StandardRestore(wanted))
        restored = self._manager.restore(turn, args=items)["state"]
        arrays = {name: jnp.asarray(array) for name, array in restored.items()}
        sums = np.asarray(_sums([_shared(arrays[name]) for name in note["sums"]])).tolist()
        for name, there, here in zip(note["sums"], note["sums"].values(), sums, strict=True):
            require(there == here, f"{name} is not as it was written")
        numbers = {name: type(leaf)(note["numbers"][name]) for name, leaf in like.items() if name not in wanted}
        return {**arrays, **numbers}, note


def _shared(array: Array) -> Any:
    """As programs and checkpoints of several hosts take it: what each has for itself, alike on all, is NumPy's."""
    return np.asarray(array) if jax.process_count() > 1 and array.is_fully_addressable else array


def _abstract(leaf: Any) -> Any:
    """Shape, type and place of an array; a number as it is.

    What is not cut among devices comes back by way of the host, so that it is tied to no device, as at the start.
    """
    if not isinstance(leaf, jax.Array):
        return leaf
    if len(leaf.sharding.device_set) == 1:
        return np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


@jax.jit
def _sums(arrays: list[Array]) -> UInt32[Array, "n"]:
    """A sum over each array's words, each times an odd number of its place, mod 2^32: no changed word keeps it.

    Sums of whole numbers do not depend on their order, and so not on where an array lives.
    """

    def one(array: Array) -> Array:
        if array.dtype == jnp.bool_:
            array = array.astype(jnp.uint8)
        size = min(array.dtype.itemsize, 4)
        words = jax.lax.bitcast_convert_type(array, jnp.dtype(f"uint{8 * size}")).astype(jnp.uint32)
        place = jnp.zeros(words.shape, jnp.uint32)
        for axis in range(words.ndim):
            place = place * jnp.uint32(2654435761) + jax.lax.broadcasted_iota(jnp.uint32, words.shape, axis)
        total: Array = (words * (2 * place + jnp.uint32(1))).sum(dtype=jnp.uint32)
        return total

    return jnp.stack([one(array) for array in arrays])


def _sum(note: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()
