"""Low-rank adapters (LoRA, Hu et al. 2021): W + s·A·B with A [in, r] and B [r, out] trained and W frozen.

A 7B model's Adam takes 84 GB in float32; its adapters of rank 16 take half a gigabyte. An adapted tree is the model's
own tree with two more leaves beside a kernel, so that the same `Model` trains, scores and decodes it.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from modeseek.llm.models import parameters
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import Params
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.mesh import RULES, optimizer_shardings, replicated
from modeseek.llm.training.step import Adam, State, apply, check_batch, check_memory, check_parts, mean_gradients

Adapters = Any
"""`<layer's kernel> → {lora_a [layers, in, r], lora_b [layers, r, out]}`."""

Step = Callable[[State, Params, Array, Array, Adam, Any], tuple[State, Array]]
"""`(state, params, tokens [B, S], lengths [B], adam, scale) → (state, mean loss in nats a token)`; the state is
donated."""


def init(config: ModelConfig, rank: int, dtype: str = "float32", *, key: Array) -> Adapters:
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
        return (jax.random.normal(key, shape) / shape[1] ** 0.5).astype(dtype)

    return _tree({p.path: start(p.shape, p.path[-1], k) for p, k in zip(entries, keys, strict=True)})


def attach(params: Params, adapters: Adapters, scale: float | Array) -> Params:
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


def merge(params: Params, adapters: Adapters, scale: float | Array) -> Params:
    """Plain parameters that compute the same: W + s·A·B, added in float32; `modeseek.llm.checkpoints.save` writes
    them."""
    layers = dict(params["layers"])
    for name, adapter in adapters.items():
        kernel = layers[name]["kernel"]
        a, b = adapter["lora_a"].astype(jnp.float32), adapter["lora_b"].astype(jnp.float32)
        change = scale * jnp.einsum("lir,lro->lio", a, b, precision="highest")
        layers[name] = {**layers[name], "kernel": (kernel.astype(jnp.float32) + change).astype(kernel.dtype)}
    return {**params, "layers": layers}


def adapter_shardings(mesh: jax.sharding.Mesh, config: ModelConfig) -> Adapters:
    """Shardings of the adapters: A is cut as its kernel's inputs, B as its outputs, the rank is whole."""
    cut = lambda p: NamedSharding(mesh, PartitionSpec(*(RULES[axis] for axis in p.axes)))
    return _tree({p.path: cut(p) for p in parameters.adapters(config, 1)})


def state_shardings(model: Model, mesh: jax.sharding.Mesh) -> State:
    """Where a State of adapters lives on a mesh."""
    cut = adapter_shardings(mesh, model.config)
    shapes = _tree({p.path: jax.ShapeDtypeStruct(p.shape, jnp.float32) for p in parameters.adapters(model.config, 1)})
    return State(cut, optimizer_shardings(mesh, Adam().moments(), shapes, cut))


def make_step(model: Model, mesh: jax.sharding.Mesh | None = None, *, accumulate: int = 1, chunk: int = 4096) -> Step:
    """As `modeseek.llm.training.step.make_step`, for adapters.

    The state holds adapters and their moments alone; the model's parameters, in 16 bits if memory is short, are read.

    Args:
        model: on a mesh, as `modeseek.llm.parallel.mesh.on_mesh` gives it.
        mesh: where state and parameters live; one device, if None.
        accumulate: parts that a batch is taken in.
        chunk: tokens whose logits exist at once.

    Raises:
        ValueError: numbers below 1, and, when the step is first called, rows that do not divide or too little memory.
    """
    check_parts(accumulate, chunk)
    cut = None if mesh is None else state_shardings(model, mesh)

    def step(
        state: State, params: Params, tokens: Array, lengths: Array, adam: Adam, scale: Array
    ) -> tuple[State, Array]:
        check_batch(mesh, tokens, accumulate)
        rank, dtype = jax.tree.leaves(state.params)[0].shape[-1], str(params["norm"]["scale"].dtype)
        estimate = functools.partial(memory.training_adapters, rank=rank, parameter_dtype=dtype)
        there = ("parameters", "adapters", "Adam's moments")
        check_memory(model, mesh, tokens, estimate, there, accumulate=accumulate, chunk=chunk)
        complete = lambda adapters: attach(params, adapters, scale)
        loss, gradients = mean_gradients(
            model, state.params, tokens, lengths, accumulate=accumulate, chunk=chunk, complete=complete
        )
        if cut is not None:
            gradients = jax.lax.with_sharding_constraint(gradients, cut.params)
        return apply(state, gradients, adam), loss

    out = None if mesh is None or cut is None else (cut, replicated(mesh))
    return jax.jit(step, donate_argnums=0, out_shardings=out)


def _tree(entries: dict[tuple[str, ...], Any]) -> Adapters:
    """Leaves of `layers` by path, as adapters are nested."""
    return parameters.tree_of(entries)["layers"]
