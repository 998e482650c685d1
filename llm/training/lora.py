"""Low-rank adapters (LoRA, Hu et al. 2021): W + s·A·B with A [in, r] and B [r, out] trained and W frozen.

A 7B model's Adam takes 84 GB in float32; its adapters of rank 16 take half a gigabyte. An adapted tree is the model's
own tree with two more leaves beside a kernel, so that the same `Model` trains, scores and decodes it;
`modeseek.llm.models.low_rank.merge` makes plain parameters of it.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from modeseek.llm.models import parameters
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.low_rank import AdapterTree
from modeseek.llm.models.parameters import Params
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.mesh import RULES


def init(config: ModelConfig, rank: int, dtype: str = "float32", *, key: Array) -> AdapterTree:
    """Adapters for every kernel of attention and MLP: A is N(0, 1 / in), B is 0, so that the model starts unchanged.

    The key is consumed; a leaf's numbers do not depend on how it is sharded.

    Raises:
        ValueError: a rank below 1, or above the smallest side of a kernel.
    """
    entries = parameters.adapters(config, rank)
    keys = jax.random.split(key, len(entries))

    def start(shape: tuple[int, ...], name: str, key: Array) -> Array:
        if name == "lora_b":
            return jnp.zeros(shape, dtype)
        spread: float = shape[1] ** 0.5
        return (jax.random.normal(key, shape) / spread).astype(dtype)

    return _tree({p.path: start(p.shape, p.path[-1], k) for p, k in zip(entries, keys, strict=True)})


def attach(params: Params, adapters: AdapterTree, scale: float | Array) -> Params:
    """The model's parameters with s·A·B beside the kernels; nothing is copied.

    Args:
        params: of the model, frozen: no gradient goes there.
        adapters: trained.
        scale: s, often written alpha / rank.
    """
    params = jax.lax.stop_gradient(params)
    layers = dict(params["layers"])
    for name, adapter in adapters.items():
        scaled = adapter["lora_b"] * jnp.asarray(scale, adapter["lora_b"].dtype)
        layers[name] = {**layers[name], "lora_a": adapter["lora_a"], "lora_b": scaled}
    return {**params, "layers": layers}


class Frozen(NamedTuple):
    """What adapters stand beside, given to each step and not changed by it.

    Attributes:
        params: the model's parameters, layers stacked, in 16 bits if memory is short.
        scale: s, often written alpha / rank; data, so that another one is no other program.
    """

    params: Params
    scale: float | Array


@dataclasses.dataclass(frozen=True)
class Adapters:
    """A `modeseek.llm.training.trainable.Trainable`: adapters beside the frozen parameters of a model.

    A step on them is given the frozen parameters too:

        step, state = make_step(loss, lora.Adapters(config)), start(lora.init(config, 16, key=key))
        state, value = step(state, batch, Adam(1e-4), lora.Frozen(params, 2.0))

    Attributes:
        config: of the model.
    """

    config: ModelConfig

    HELD: ClassVar[tuple[str, ...]] = ("parameters", "adapters")

    def complete(self, trained: AdapterTree, frozen: Frozen) -> Params:
        """As `attach`."""
        return attach(frozen.params, trained, frozen.scale)

    def shapes(self) -> AdapterTree:
        """Those of adapters of rank 1: where they live does not depend on the rank."""
        entries = parameters.adapters(self.config, 1)
        return _tree({p.path: jax.ShapeDtypeStruct(p.shape, jnp.float32) for p in entries})

    def shardings(self, mesh: jax.sharding.Mesh | AbstractMesh) -> AdapterTree:
        """A is cut as its kernel's inputs, B as its outputs, the rank is whole."""
        cut = lambda p: NamedSharding(mesh, PartitionSpec(*(RULES[axis] for axis in p.axes)))
        return _tree({p.path: cut(p) for p in parameters.adapters(self.config, 1)})

    def memory(self, trained: AdapterTree, frozen: Frozen, work: memory.Work) -> memory.MemoryEstimate:
        """`modeseek.llm.parallel.memory.training_adapters`, of these adapters' rank."""
        rank, dtype = jax.tree.leaves(trained)[0].shape[-1], str(frozen.params["norm"]["scale"].dtype)
        return memory.training_adapters(self.config, **work._asdict(), rank=rank, parameter_dtype=dtype)


def _tree(entries: dict[tuple[str, ...], Any]) -> AdapterTree:
    """Leaves of `layers` by path, as adapters are nested."""
    return parameters.tree_of(entries)["layers"]
