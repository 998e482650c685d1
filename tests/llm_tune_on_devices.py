"""A program of its own: Algorithm 1 on eight virtual devices, beside one; what was found goes to a JSON file."""

import dataclasses
import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":  # before JAX is imported
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import jax
import numpy as np
import optax
from llm_cases import random_params
from llm_on_devices import apart, cases

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.model import Model
from modeseek.llm.parallel.mesh import MeshShape, make_mesh
from modeseek.llm.training.run_checkpoints import RunCheckpoints
from modeseek.llm.training.run_folder import RunFolder
from modeseek.llm.training.tune import tune
from modeseek.llm.training.tune_config import TuneConfig

EOS = 2
OFFLINE = TuneConfig("dpo", 16, 2, 8, collections=2, max_new_tokens=6, length_multiple=16, generation_batch=8, chunk=64)
ON_POLICY = dataclasses.replace(
    OFFLINE,
    method="ppo",
    inner_steps=2,
    reference_every=1,
    reference_decay=0.5,
    hyper=HyperParameters(learning_rate=1e-3, kl_coefficient=0.1),
)
SGD = optax.sgd(0.05, momentum=0.9)
"""Adam's first step is a sign, which rounding decides near zero."""


def pairs():
    rng = np.random.default_rng(0)
    ids = lambda low, high: rng.integers(3, 53, rng.integers(low, high)).astype(np.int32)
    end = lambda ids: np.append(ids, np.int32(EOS))
    return [Example(ids(2, 5), (end(ids(1, 8)), end(ids(1, 8)))) for _ in range(16)]


def shorter(examples):
    return np.array([[-float(len(y)) + float(y.mean()) / 53 for y in e.responses] for e in examples])


def compared(config: TuneConfig, folder: Path) -> dict[str, object]:
    """A run on one device and on 2 x 2 x 2, and one that was stopped after its first collection and gone on with."""
    sizes = cases()["pythia"]
    policy = ModelWithParams(Model(sizes), random_params(sizes, std=0.1))
    mesh = make_mesh(MeshShape(2, 2, 2), sizes, 8)

    def run(config, mesh, checkpoints=None):
        how = {"reward": shorter, "eos": [EOS], "optimizer": SGD, "mesh": mesh, "checkpoints": checkpoints}
        return tune(policy, pairs(), config, **how).params

    single, many = jax.tree.map(np.asarray, run(config, None)), run(config, mesh)
    for collections in (1, 2):
        with RunFolder(folder, {}) as lines, RunCheckpoints(lines, 1) as checkpoints:
            resumed = run(dataclasses.replace(config, collections=collections), mesh, checkpoints)
    same = jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), resumed, many)
    return {
        "apart": apart(many, single),
        "moved": apart(single, jax.tree.map(np.asarray, policy.params)),
        "kernel": many["layers"]["expand"]["kernel"].addressable_shards[0].data.shape,
        "resumed": jax.tree.all(same),
    }


def main(result: Path) -> None:
    sides = {"offline": OFFLINE, "on-policy": ON_POLICY}
    result.write_text(json.dumps({side: compared(config, result.with_name(side)) for side, config in sides.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
