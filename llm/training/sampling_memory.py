"""What a run of Algorithm 1 holds while it samples, counted before anything is loaded."""

import math
from collections.abc import Sequence

import jax.numpy as jnp

from modeseek.llm.inference.padding import bucket
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.model import Compute
from modeseek.llm.models.parameters import adapters
from modeseek.llm.parallel.memory import ADAM, MemoryEstimate, OptimizerSize, inference
from modeseek.llm.parallel.mesh import MeshShape
from modeseek.llm.training.tune_config import TuneConfig

ONE_DEVICE = MeshShape()

WIDE = 4
"""Bytes of a number that is trained, or that training began with."""


def sampling_memory(
    sizes: ModelConfig,
    compute: Compute,
    prompts: Sequence[Sequence[int]],
    config: TuneConfig,
    optimizer: OptimizerSize = ADAM,
    mesh: MeshShape = ONE_DEVICE,
) -> MemoryEstimate:
    """Bytes on each device while responses are drawn: decoding's weights, cache and logits beside the run's own state.

    Args:
        sizes: of the model.
        compute: how it is computed.
        prompts: ids of each; the longest counts.
        config: of the run.
        optimizer: what it keeps.
        mesh: the devices that share the work; adapters are counted whole.
    """
    prompt = bucket(max(map(len, prompts)))
    length = prompt + bucket(config.max_new_tokens)
    drawing = dict(inference(sizes, compute, mesh, config.generation_batch, length, prompt).parts)
    model = drawing["parameters"] // jnp.dtype(compute.dtype).itemsize
    trained = sum(math.prod(p.shape) for p in adapters(sizes, config.lora_rank)) if config.lora_rank else model
    return MemoryEstimate(
        {
            "decoding's parameters": drawing.pop("parameters"),
            **drawing,
            "the start": WIDE * model,
            "what is trained": WIDE * trained,
            optimizer.name: round(WIDE * optimizer.numbers * trained),
            **({"the moving reference": WIDE * model} if config.reference_every else {}),
        }
    )
