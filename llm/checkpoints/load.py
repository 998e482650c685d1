"""From a checkpoint folder to a parameter tree, one tensor at a time, onto one device or many."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding
from jaxtyping import Array

from modeseek.llm.checkpoints.checkpoint import Checkpoint, beyond, damaged, not_finite
from modeseek.llm.models.config import Head, check_heads
from modeseek.llm.models.parameters import Parameter, Params, parameters, start, tree_of


def load(
    checkpoint: Checkpoint,
    heads: tuple[Head, ...] | None = None,
    *,
    dtype: str = "float32",
    shardings: Params | None = None,
    key: Array | None = None,
    progress: Callable[[Any], Any] = lambda items: items,
) -> Params:
    """The parameters of a checkpoint.

    The host holds one tensor at a time: it is read through a memory map, sent to where it belongs in the type that
    the file has, and there converted and written into its place among the layers. With several hosts each reads its
    own part.

    Args:
        checkpoint: from `open_checkpoint`.
        heads: the heads that the tree shall have; those of the checkpoint, if not given. A head that the checkpoint
            lacks is started afresh, N(0, init_std²); one that is not asked for is not read.
        dtype: of the parameters.
        shardings: a tree like the parameters (`models.parameters.shapes`) of shardings; if not given, all on the
            first device, and not tied to it: a step on such parameters is the same program as on its own results.
            The layers' axis must not be cut.
        key: for fresh heads; consumed.
        progress: wraps the tensors that are read.

    Raises:
        ValueError: a fresh head without a key, or tensors that hold NaN, infinity or numbers beyond the type's range:
            all of them are listed.
    """
    heads = checkpoint.heads if heads is None else heads
    check_heads(heads)
    entries = parameters(checkpoint.config, heads)
    fresh = [p for p in entries if p.path[0] == "heads" and p.path[1] not in checkpoint.heads]
    if fresh and key is None:
        missing = ", ".join(sorted({p.path[1] for p in fresh}))
        raise ValueError(
            f"{checkpoint.folder} has no {missing} head (it has: {', '.join(checkpoint.heads) or 'none'}); "
            "to start one afresh, give a key"
        )
    targets = {p.path: None if shardings is None else _at(shardings, p.path) for p in entries}
    parts = {p.path: _of_tensor(targets[p.path], p) for p in entries}
    leaves = {p.path: jnp.zeros(p.shape, dtype, device=targets[p.path]) for p in entries if p not in fresh}
    wrong = []
    reads = [(p, layer, name) for p in entries if p not in fresh for layer, name in enumerate(p.tensors)]
    for p, layer, name in progress(reads):
        placed = _place(checkpoint.tensors[name].read(), parts[p.path])
        write = _writer(targets[p.path], p.stacked, p.transposed)
        leaves[p.path], finite = write(leaves[p.path], placed, layer)
        if not bool(finite):  # waits for the tensor, so that only one is in flight
            wrong.append(name)
    if wrong:
        raise damaged(checkpoint.folder, [_fault(checkpoint.tensors[name].read(), name, dtype) for name in wrong])
    if fresh:
        assert key is not None
        for p, fresh_key in zip(fresh, jax.random.split(key, len(fresh)), strict=True):
            leaf = start(p, checkpoint.config.init_std, dtype, key=fresh_key)
            leaves[p.path] = jax.device_put(leaf, targets[p.path])
    return tree_of({p.path: leaves[p.path] for p in entries})


def _at(tree: Params, path: tuple[str, ...]) -> Sharding:
    for key in path:
        tree = tree[key]
    sharding: Sharding = tree
    return sharding


def _of_tensor(sharding: Sharding | None, p: Parameter) -> Sharding | None:
    """The sharding of one of Hugging Face's tensors that lands in a leaf with this one."""
    if not isinstance(sharding, NamedSharding):
        return sharding
    spec = [*sharding.spec, *[None] * (len(p.shape) - len(sharding.spec))]
    if p.stacked and spec.pop(0) is not None:
        raise ValueError(f"the layers' axis must not be cut, got {sharding.spec} for {'/'.join(p.path)}")
    return NamedSharding(sharding.mesh, PartitionSpec(*(spec[::-1] if p.transposed else spec)))


def _place(tensor: np.ndarray, sharding: Sharding | None) -> Array:
    with np.errstate(over="ignore"):  # JAX makes float32 of float64; what does not fit is told afterwards
        if sharding is None:
            return jnp.asarray(tensor)
        return jax.make_array_from_callback(tensor.shape, sharding, lambda index: np.ascontiguousarray(tensor[index]))


def _fault(tensor: np.ndarray, name: str, dtype: str) -> str:
    """Why a tensor is not finite in this type."""
    return f"too large: {beyond(tensor, name, dtype)}" if np.isfinite(tensor).all() else not_finite(name)


@functools.lru_cache
def _writer(sharding: Sharding | None, stacked: bool, transposed: bool) -> Any:
    """`(leaf, tensor, layer) → (leaf with the tensor in it, is it finite there)`; updates the leaf in place."""

    def write(leaf: Array, tensor: Array, layer: Array) -> tuple[Array, Array]:
        converted = (tensor.T if transposed else tensor).astype(leaf.dtype)
        written = jax.lax.dynamic_update_index_in_dim(leaf, converted, layer, 0) if stacked else converted
        return written, jnp.isfinite(converted).all()

    return jax.jit(write, donate_argnums=0, out_shardings=(sharding, None))
