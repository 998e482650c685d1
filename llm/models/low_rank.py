"""Low-rank changes of a model's kernels (LoRA, Hu et al. 2021): s·A·B, and a model that has taken them in."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from modeseek.llm.models.parameters import Params

AdapterTree = Any
"""`<layer's kernel> → {lora_a [layers, in, r], lora_b [layers, r, out]}`, of all kernels or of some."""


class Adapter(NamedTuple):
    """What is added to a model's kernels.

    Attributes:
        tree: A and B of each adapted kernel.
        scale: s, often written alpha / rank.
    """

    tree: AdapterTree
    scale: float


def merge(params: Params, adapters: AdapterTree, scale: float | Array) -> Params:
    """Plain parameters that compute the same: W + s·A·B, added in float32; `modeseek.llm.checkpoints.save` writes
    them."""
    layers = dict(params["layers"])
    for name, adapter in adapters.items():
        kernel = layers[name]["kernel"]
        a, b = adapter["lora_a"].astype(jnp.float32), adapter["lora_b"].astype(jnp.float32)
        change = scale * jnp.einsum("lir,lro->lio", a, b, precision="highest")
        layers[name] = {**layers[name], "kernel": (kernel.astype(jnp.float32) + change).astype(kernel.dtype)}
    return {**params, "layers": layers}
