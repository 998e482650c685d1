"""Where everything lives on a (data, fsdp, tensor) mesh: the same code on one device and on many.

One table says which mesh axis cuts which logical axis; parameters, the optimizer's moments, rows and caches all follow
from it. The compiler adds the communication: rows are spread over data and fsdp, each layer's parameters are gathered
over fsdp when it is their turn, and tensor cuts between heads and between features of the MLP (Megatron's cut: one sum
after attention and one after the MLP).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import numpy as np
import optax
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array

from modeseek.checks import whole
from modeseek.llm.models.attention import LayerCache
from modeseek.llm.models.config import Head, ModelConfig
from modeseek.llm.models.model import ActivationShardings, KeyValueCache, Model
from modeseek.llm.models.parameters import Parameter, Params, axes

ROWS = ("data", "fsdp")
"""The mesh axes that share a batch's rows."""

RULES: dict[str, str | None] = {
    "layers": None,  # a scan takes one layer after the other
    "vocab": "tensor",
    "embed": "fsdp",
    "heads": "tensor",
    "kv_heads": "tensor",
    "head": None,  # every head is normed alike
    "mlp": "tensor",
    "label": None,
    "rank": None,
}
"""Logical axis of a parameter → the mesh axis that cuts it."""


class MeshShape(NamedTuple):
    """How many devices share the rows (`data`), rows and parameters (`fsdp`), and each layer's features (`tensor`)."""

    data: int = 1
    fsdp: int = 1
    tensor: int = 1


def mesh_shape(text: str) -> MeshShape:
    """The shape that a text like `data=2,fsdp=4` asks for; an axis that it does not name has one device.

    Raises:
        ValueError: another axis, an axis named twice, or no whole number of devices.
    """
    sizes: dict[str, int] = {}
    for part in text.split(","):
        axis, _, size = part.partition("=")
        if axis not in MeshShape._fields or axis in sizes or not size.isdecimal():
            wanted = ", ".join(f"{name}=N" for name in MeshShape._fields)
            raise ValueError(f"a mesh is some of {wanted}, with commas between them, got {part!r} in {text!r}")
        sizes[axis] = int(size)
    return MeshShape(**sizes)


def check_mesh(config: ModelConfig, mesh: MeshShape, batch: int) -> None:
    """Refuse a mesh that does not divide the model or the batch; everything that it does not divide is named.

    Raises:
        ValueError: a size below 1, or heads, features, vocabulary or rows that do not divide.
    """
    for axis, n in mesh._asdict().items():
        whole(f"the mesh's {axis}", n, 1)
    tensor, fsdp = mesh.tensor, mesh.fsdp
    wanted = [
        ("heads", config.heads, "tensor", tensor),
        ("kv_heads", config.kv_heads, "tensor", tensor),
        ("mlp_width", config.mlp_width, "tensor", tensor),
        ("vocab_size", config.vocab_size, "tensor", tensor),
        ("width", config.width, "fsdp", fsdp),
        ("batch", batch, "data x fsdp", mesh.data * fsdp),
    ]
    problems = [f"{what} ({size}) by {axis} ({n})" for what, size, axis, n in wanted if size % n]
    if problems:
        raise ValueError(f"the mesh does not divide the model: {', '.join(problems)}")


def make_mesh(
    sizes: MeshShape, config: ModelConfig, batch: int, devices: Sequence[Any] | None = None
) -> jax.sharding.Mesh:
    """A mesh of all devices (of all hosts, if there are several), or of those given.

    Neighbours share `tensor` first, then `fsdp`, then `data`: what talks most is nearest.

    Args:
        sizes: their product must be the number of devices.
        config: the model that shall live there.
        batch: rows of a batch, on all devices together.
        devices: `jax.devices()`, if not given.

    Raises:
        ValueError: sizes that do not make the number of devices, or do not divide the model or the batch.
    """
    check_mesh(config, sizes, batch)
    devices = jax.devices() if devices is None else devices
    if math.prod(sizes) != len(devices):
        raise ValueError(
            f"a mesh of data {sizes.data} x fsdp {sizes.fsdp} x tensor {sizes.tensor} needs "
            f"{math.prod(sizes)} devices, there are {len(devices)} ({devices[0].platform})"
        )
    return jax.make_mesh(sizes, sizes._fields, (AxisType.Auto,) * 3, devices=devices)


def on_mesh(model: Model, mesh: jax.sharding.Mesh) -> Model:
    """The same model, told to keep its residual stream cut by rows alone, and to look up whole rows of its table."""
    shardings = ActivationShardings(row_sharding(mesh), NamedSharding(mesh, PartitionSpec(RULES["vocab"])))
    return dataclasses.replace(model, compute=dataclasses.replace(model.compute, shardings=shardings))


def row_sharding(mesh: jax.sharding.Mesh) -> NamedSharding:
    """The sharding of tokens, lengths and hidden states: the first axis counts rows, the others are whole."""
    return NamedSharding(mesh, PartitionSpec(ROWS))


def row_shards(mesh: jax.sharding.Mesh) -> int:
    """How many parts a batch's rows are cut into."""
    return math.prod(mesh.shape[axis] for axis in ROWS)


def replicated(mesh: jax.sharding.Mesh) -> NamedSharding:
    """A copy on each device: scalars, hyper-parameters, metrics."""
    return NamedSharding(mesh, PartitionSpec())


def parameter_shardings(
    mesh: jax.sharding.Mesh | AbstractMesh, config: ModelConfig, heads: tuple[Head, ...] = ("lm",)
) -> Params:
    """A tree like the parameters with each leaf's sharding; what `modeseek.llm.checkpoints.load` takes.

    On a mesh without devices (`AbstractMesh`) it says what each would hold.
    """
    named = axes(config, heads)
    is_spec = lambda leaf: isinstance(leaf, PartitionSpec)
    return jax.tree.map(lambda spec: NamedSharding(mesh, _translated(spec)), named, is_leaf=is_spec)


def optimizer_shardings(
    mesh: jax.sharding.Mesh, optimizer: optax.GradientTransformation, params: Params, cut: Params
) -> Any:
    """A tree like the optimizer's state: what is shaped like the parameters lives where they do, all else everywhere.

    Args:
        mesh: of the parameters.
        optimizer: any of optax's.
        params: the parameters, or their shapes.
        cut: their shardings.
    """
    state = jax.eval_shape(optimizer.init, params)
    copied = replicated(mesh)
    return optax.tree.map_params(optimizer, lambda _, s: s, state, cut, transform_non_params=lambda _: copied)


def cache_shardings(mesh: jax.sharding.Mesh, config: ModelConfig) -> Any:
    """A tree like `Model.empty_cache`'s: cut by rows, and between key and value heads."""
    layer = NamedSharding(mesh, PartitionSpec(ROWS, RULES["kv_heads"], None, None))
    tree: Any = layer  # of shardings in place of arrays
    return KeyValueCache((LayerCache(tree, tree),) * config.layers, cast(Any, row_sharding(mesh)))


def put(batch: Any, sharding: NamedSharding) -> Any:
    """Arrays of the host onto the mesh; with several hosts each has the whole arrays and sends its own devices' part.

    Args:
        batch: a tree of NumPy arrays.
        sharding: of each of them, as `row_sharding` gives it.
    """

    def one(array: np.ndarray) -> Array:
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return jax.tree.map(one, batch)


def numbers_per_device(parameter: Parameter, sizes: MeshShape) -> int:
    """Numbers of one leaf that each device holds."""
    cut = [getattr(sizes, RULES[axis] or "", 1) for axis in parameter.axes]
    return math.prod(math.ceil(size / n) for size, n in zip(parameter.shape, cut, strict=True))


def _translated(spec: PartitionSpec) -> PartitionSpec:
    return PartitionSpec(*(RULES[axis] for axis in spec))
