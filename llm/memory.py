"""How much memory a model needs, from its configuration alone: before anything is loaded or compiled."""

import math
import os
from typing import Any, NamedTuple

import jax
import numpy as np

from llm.models.config import Head, ModelConfig
from llm.models.model import Compute
from llm.models.parameters import parameters
from llm.sharding import Mesh, count_on_a_device

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "float64": 8}


class Memory(NamedTuple):
    """Bytes on each device, by what they are for."""

    parts: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of all parts."""
        return sum(self.parts.values())


def parameter_count(config: ModelConfig, heads: tuple[Head, ...] = ("lm",)) -> int:
    """Numbers in the parameter tree."""
    return sum(count_by_part(config, heads).values())


def count_by_part(config: ModelConfig, heads: tuple[Head, ...] = ("lm",)) -> dict[str, int]:
    """Numbers in the embedding, the layers, the last norm and the heads."""
    parts: dict[str, int] = {}
    for p in parameters(config, heads):
        parts[p.path[0]] = parts.get(p.path[0], 0) + math.prod(p.shape)
    return parts


def inference(config: ModelConfig, compute: Compute, mesh: Mesh, batch: int, length: int) -> Memory:
    """Generating `batch` rows of `length` tokens, prompt included: weights in the dtype of computing, the cache with
    all its keys and values, and one step's logits."""
    width, rows = _BYTES[compute.dtype], _rows(batch, mesh)
    cached = 2 * config.layers * rows * length * config.kv_heads * config.head_size // mesh.tensor
    return Memory(
        {
            "parameters": width * _share(config, mesh),
            "cache": width * cached,
            "logits": 4 * rows * config.vocab_size // mesh.tensor,
        }
    )


def scoring(config: ModelConfig, compute: Compute, mesh: Mesh, batch: int, length: int, chunk: int) -> Memory:
    """Scoring `batch` rows of `length` tokens without a gradient: weights in the dtype of computing, one layer at
    work, and logits of `chunk` tokens with their log-probs."""
    width, tokens = _BYTES[compute.dtype], _rows(batch, mesh) * length
    return Memory(
        {
            "parameters": width * _share(config, mesh),
            "activations": tokens * _kept_by_a_layer(config, compute, length, mesh),
            "logits": 2 * 4 * min(chunk, tokens) * config.vocab_size // mesh.tensor,
        }
    )


def training(
    config: ModelConfig,
    compute: Compute,
    mesh: Mesh,
    batch: int,
    length: int,
    parameter_dtype: str = "float32",
    chunk: int = 4096,
) -> Memory:
    """One step of Adam on `batch` rows of `length` tokens: parameters, gradients, two moments, what the forward pass
    keeps for the backward one, one layer at work, and logits of `chunk` tokens with their gradient."""
    own, width = _BYTES[parameter_dtype], _BYTES[compute.dtype]
    share, tokens = _share(config, mesh), _rows(batch, mesh) * length
    layer = tokens * _kept_by_a_layer(config, compute, length, mesh)
    kept = {
        "none": config.layers * layer,
        "dots": config.layers * width * tokens * (config.width + _written_by_products(config) // mesh.tensor),
        "full": config.layers * width * tokens * config.width,
    }
    at_work = 0 if compute.remat == "none" else layer
    return Memory(
        {
            "parameters": own * share,
            "gradients": own * share,
            "Adam's moments": 2 * own * share,
            "activations": kept[compute.remat] + at_work,
            "logits": 2 * 4 * min(chunk, tokens) * config.vocab_size // mesh.tensor,
        }
    )


def _rows(batch: int, mesh: Mesh) -> int:
    return math.ceil(batch / (mesh.data * mesh.fsdp))


def _share(config: ModelConfig, mesh: Mesh) -> int:
    """Parameters on one device: as the sharding rules cut each of them, not all of them alike."""
    return sum(count_on_a_device(p, mesh) for p in parameters(config))


def _written_by_products(config: ModelConfig) -> int:
    """Features that a layer's products with weights write, one token."""
    attention = (config.heads + 2 * config.kv_heads) * config.head_size + config.width
    gated = config.architecture != "gpt_neox"
    return attention + config.mlp_width * (2 if gated else 1) + config.width


def _kept_by_a_layer(config: ModelConfig, compute: Compute, length: int, mesh: Mesh) -> int:
    """Bytes a token that one layer's backward pass needs: what its products read and write, norms in float32, and,
    without a fused kernel, attention's weights in float32 and in the dtype of computing."""
    width = _BYTES[compute.dtype]
    features = width * (config.width * 3 + (_written_by_products(config) + config.mlp_width) // mesh.tensor)
    norms = 2 * 4 * config.width
    weights = 0 if compute.attention == "cudnn" else (4 + width) * config.heads * length // mesh.tensor
    return features + norms + weights


def require_memory(estimate_bytes: int, what: str, device: Any = None) -> None:
    """Refuse work that cannot fit, before anything is compiled.

    Args:
        estimate_bytes: needed on each device, parameters that are there already included.
        what: the work, as the error names it: "training at batch 64 of 384 tokens".
        device: one of those that do it; the first of this process, if not given.

    Raises:
        ValueError: the device has less. A device that does not say how much it has is trusted.
    """
    device = jax.local_devices()[0] if device is None else device
    room = capacity(device)
    if room is not None and estimate_bytes > room:
        raise ValueError(
            f"{what} needs about {readable(estimate_bytes)} on each device, and {device.device_kind} has "
            f"{readable(room)}: take fewer rows or shorter ones, remat 'full', more devices along fsdp or tensor, or "
            "adapters (llm.lora) in place of all parameters"
        )


def capacity(device: Any) -> int | None:
    """Bytes that programs on this device may use; None if it is not known. Devices of the host share its memory."""
    if device.platform == "cpu":
        try:
            whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        except (ValueError, OSError, AttributeError):
            return None
        return whole // jax.local_device_count("cpu")
    return (device.memory_stats() or {}).get("bytes_limit")


def readable(count: int) -> str:
    """Bytes in the unit that a person would choose."""
    if count <= 0:
        return "0 B"
    step = min(int(np.log2(count) // 10), 4)
    return f"{count / 1024**step:.{0 if step == 0 else 2}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[step]}"
