"""Where a run of Algorithm 1 lives on a mesh."""

import math

import jax
from jax.sharding import AbstractMesh

from modeseek.checks import require
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.parallel.mesh import ROWS, MeshShape, check_mesh, on_mesh, parameter_shardings
from modeseek.llm.training.tune_config import TuneConfig


def placed(policy: ModelWithParams, mesh: jax.sharding.Mesh) -> ModelWithParams:
    """A policy that computes on the mesh, its parameters cut; nothing is copied that lies there already."""
    cut = parameter_shardings(mesh, policy.model.config)
    return ModelWithParams(on_mesh(policy.model, mesh), jax.device_put(policy.params, cut))


def check_placement(policy: ModelWithParams, mesh: jax.sharding.Mesh | AbstractMesh, config: TuneConfig) -> None:
    """Refuse a mesh that does not divide what is at work together.

    Raises:
        ValueError: it does not divide the model, or the rows of a gradient step's part, or those that are sampled at
            once.
    """
    shards, part = math.prod(mesh.shape[axis] for axis in ROWS), config.minibatch_size // config.accumulate
    check_mesh(policy.model.config, MeshShape(**mesh.shape), part)
    drawn = min(config.generation_batch, config.sampled_prompts * config.responses_per_prompt)
    require(
        drawn % shards == 0,
        f"{drawn} responses are sampled at once (generation_batch), which {shards} devices (data x fsdp) do not divide",
    )
