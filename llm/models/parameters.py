"""The parameter tree: every parameter's path, shape, logical axes, and the tensors of Hugging Face that it holds."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array

from modeseek.llm.models import mistral, neox
from modeseek.llm.models.config import Head, ModelConfig, check_heads
from modeseek.llm.models.names import Names

Params = Any
"""Nested dictionaries of arrays: `embed`, `layers` (every leaf `[layers, …]`), `norm`, `heads`."""

NAMES: dict[str, Names] = {"gpt_neox": neox.NAMES}
NAMES |= dict.fromkeys(("mistral", "llama", "qwen2", "qwen3"), mistral.NAMES)


class Parameter(NamedTuple):
    """One leaf of the parameter tree.

    Attributes:
        path: its keys from the root.
        shape: of the leaf; a leaf under `layers` has all layers in one array, the layer first.
        axes: the name of each axis, which sharding rules speak of: `layers`, `vocab`, `embed` (the residual
            stream), `heads` and `kv_heads` (all heads' features, head by head), `head` (one head's), `mlp`, `label`,
            `rank` (of adapters).
        tensors: Hugging Face's name of the tensor, one for each layer under `layers`, else one.
    """

    path: tuple[str, ...]
    shape: tuple[int, ...]
    axes: tuple[str, ...]
    tensors: tuple[str, ...]

    @property
    def stacked(self) -> bool:
        """Whether the first axis counts layers, one tensor each."""
        return self.path[0] == "layers"

    @property
    def transposed(self) -> bool:
        """Whether Hugging Face's tensor is the transpose: a kernel maps [in, out], its weight is [out, in]."""
        return self.path[-1] == "kernel"

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        """Shape of one tensor of Hugging Face's."""
        shape = self.shape[1:] if self.stacked else self.shape
        return shape[::-1] if self.transposed else shape


def parameters(config: ModelConfig, heads: tuple[Head, ...] = ("lm",)) -> tuple[Parameter, ...]:
    """Every parameter of the model with these heads, in Hugging Face's order: embedding, layers, norm, heads.

    Raises:
        ValueError: heads that there are not.
    """
    check_heads(heads)
    names = NAMES[config.architecture]
    sizes = {
        "layers": config.layers,
        "vocab": config.vocab_size,
        "embed": config.width,
        "heads": config.heads * config.head_size,
        "kv_heads": config.kv_heads * config.head_size,
        "head": config.head_size,
        "qkv": (config.heads + 2 * config.kv_heads) * config.head_size,
        "mlp": config.mlp_width,
        "label": 1,
    }

    def parameter(path: str, tensors: tuple[str, ...], axes: tuple[str, ...]) -> Parameter:
        shape = tuple(sizes[axis] for axis in axes)
        return Parameter(tuple(path.split("/")), shape, tuple("heads" if a == "qkv" else a for a in axes), tensors)

    found = [parameter("embed/embedding", (names.embedding,), ("vocab", "embed"))]
    for path, (tensor, axes) in names.layer(config).items():
        tensors = tuple(f"{names.layers}.{layer}.{tensor}" for layer in range(config.layers))
        found.append(parameter(f"layers/{path}", tensors, ("layers", *axes)))
    found += [parameter(f"norm/{path}", (tensor,), ("embed",)) for path, tensor in names.norm.items()]
    if "lm" in heads and not config.tied:
        found.append(parameter("heads/lm/kernel", (f"{names.lm}.weight",), ("embed", "vocab")))
    if "reward" in heads:
        found.append(parameter("heads/reward/kernel", (f"{names.reward}.weight",), ("embed", "label")))
    if "value" in heads:
        found.append(parameter("heads/value/kernel", (f"{names.value}.weight",), ("embed", "label")))
        found.append(parameter("heads/value/bias", (f"{names.value}.bias",), ("label",)))
    return tuple(found)


def adapters(config: ModelConfig, rank: int) -> tuple[Parameter, ...]:
    """Low-rank adapters of every kernel of attention and MLP: A `[layers, in, r]`, B `[layers, r, out]`.

    `modeseek.llm.training.lora` trains them; no tensor of a checkpoint holds them. Their leaves stand beside the
    kernel's; the rank is never cut.

    Raises:
        ValueError: a rank below 1, or above the smallest side of a kernel.
    """
    most = largest_rank(config)
    if not 1 <= rank <= most:
        raise ValueError(f"rank must be 1 to {most} (the smallest side of a kernel), got {rank}")
    found = []
    for p in parameters(config, ()):
        if p.stacked and p.path[-1] == "kernel":
            (layers, read, written), (_, read_axis, written_axis) = p.shape, p.axes
            beside = p.path[:-1]
            found.append(Parameter((*beside, "lora_a"), (layers, read, rank), ("layers", read_axis, "rank"), ()))
            found.append(Parameter((*beside, "lora_b"), (layers, rank, written), ("layers", "rank", written_axis), ()))
    return tuple(found)


def largest_rank(config: ModelConfig) -> int:
    """The smallest side of a layer's kernel: no adapter needs more."""
    return min(min(p.shape[1:]) for p in parameters(config, ()) if p.stacked and p.path[-1] == "kernel")


def tree_of(entries: "dict[tuple[str, ...], Any]") -> Params:
    """Nested dictionaries from leaves by path."""
    tree: dict[str, Any] = {"heads": {}}
    for path, leaf in entries.items():
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = leaf
    return tree


def shapes(config: ModelConfig, heads: tuple[Head, ...] = ("lm",), dtype: str = "float32") -> Params:
    """The parameter tree with a `jax.ShapeDtypeStruct` for each leaf."""
    return tree_of({p.path: jax.ShapeDtypeStruct(p.shape, jnp.dtype(dtype)) for p in parameters(config, heads)})


def axes(config: ModelConfig, heads: tuple[Head, ...] = ("lm",)) -> Params:
    """The parameter tree with a PartitionSpec of logical axis names for each leaf: what sharding rules translate."""
    return tree_of({p.path: PartitionSpec(*p.axes) for p in parameters(config, heads)})


def init(config: ModelConfig, heads: tuple[Head, ...] = ("lm",), dtype: str = "float32", *, key: Array) -> Params:
    """Fresh parameters: weights N(0, init_std²), norms 1, biases 0; the key is consumed.

    A leaf's numbers depend on the key and its path's place in the tree alone, however it is sharded.
    """
    entries = parameters(config, heads)
    keys = jax.random.split(key, len(entries))
    return tree_of({p.path: start(p, config.init_std, dtype, key=k) for p, k in zip(entries, keys, strict=True)})


def start(parameter: Parameter, std: float, dtype: str, *, key: Array) -> Array:
    """One fresh leaf."""
    if parameter.path[-1] in ("scale", "bias"):
        return jnp.full(parameter.shape, float(parameter.path[-1] == "scale"), dtype)
    return (std * jax.random.normal(key, parameter.shape)).astype(dtype)
