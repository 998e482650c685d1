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

from llm.models.config import ModelConfig
from llm.models.model import Model
from llm.models.parameters import Parameter, Params, parameters
from llm.sharding import RULES
from llm.step import Adam, State, apply, mean_gradients

Adapters = Any
"""`<layer's kernel> → {lora_a [layers, in, r], lora_b [layers, r, out]}`."""


def init(config: ModelConfig, rank: int, dtype: str = "float32", *, key: Array) -> Adapters:
    """Adapters for every kernel of attention and MLP: A is N(0, 1 / in), B is 0, so that the model starts unchanged.

    Raises:
        ValueError: a rank below 1, or above the smallest side of a kernel.
    """
    kernels = _kernels(config)
    most = min(min(p.shape[1:]) for p in kernels)
    if not 1 <= rank <= most:
        raise ValueError(f"rank must be 1 to {most} (the smallest side of a kernel), got {rank}")
    adapters = {}
    for p, k in zip(kernels, jax.random.split(key, len(kernels)), strict=True):
        layers, read, written = p.shape
        a = jax.random.normal(k, (layers, read, rank)) / read**0.5
        adapters[p.path[1]] = {"lora_a": a.astype(dtype), "lora_b": jnp.zeros((layers, rank, written), dtype)}
    return adapters


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
    """Plain parameters that compute the same: W + s·A·B, added in float32; what `llm.weights.save` writes."""
    layers = dict(params["layers"])
    for name, adapter in adapters.items():
        kernel = layers[name]["kernel"]
        a, b = adapter["lora_a"].astype(jnp.float32), adapter["lora_b"].astype(jnp.float32)
        change = scale * jnp.einsum("lir,lro->lio", a, b, precision="highest")
        layers[name] = {**layers[name], "kernel": (kernel.astype(jnp.float32) + change).astype(kernel.dtype)}
    return {**params, "layers": layers}


def for_adapters(mesh: jax.sharding.Mesh, config: ModelConfig) -> Adapters:
    """Shardings of the adapters: A is cut as its kernel's inputs, B as its outputs, the rank is whole."""
    cut = {}
    for p in _kernels(config):
        _, read, written = (RULES[axis] for axis in p.axes)
        cut[p.path[1]] = {
            "lora_a": NamedSharding(mesh, PartitionSpec(None, read, None)),
            "lora_b": NamedSharding(mesh, PartitionSpec(None, None, written)),
        }
    return cut


def make_step(
    model: Model, *, accumulate: int = 1, chunk: int = 4096
) -> Callable[[State, Params, Array, Array, Adam, Any], tuple[State, Array]]:
    """As `llm.step.make_step`, for adapters: `(state, params, tokens, lengths, adam, scale) → (state, loss)`.

    The state holds adapters and their moments alone; the model's parameters, in 16 bits if memory is short, are read.
    """

    @functools.partial(jax.jit, donate_argnums=0)
    def step(
        state: State, params: Params, tokens: Array, lengths: Array, adam: Adam, scale: Array
    ) -> tuple[State, Array]:
        complete = lambda adapters: attach(params, adapters, scale)
        loss, gradients = mean_gradients(
            model, state.params, tokens, lengths, accumulate=accumulate, chunk=chunk, complete=complete
        )
        return apply(state, gradients, adam), loss

    return step


def _kernels(config: ModelConfig) -> tuple[Parameter, ...]:
    return tuple(p for p in parameters(config, ()) if p.path[0] == "layers" and p.path[-1] == "kernel")
