"""A program of its own: Algorithm 1 on two devices, of one process or of two; what was found goes to a file of each.

python llm_tune_on_processes.py FOLDER                  one process with two devices
python llm_tune_on_processes.py FOLDER ADDRESS INDEX    one of two processes with a device, stopped and gone on with
"""

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np


def tuned(config, folder):
    """Parameters at the end of a run, and every response that was judged, in the order of their time."""
    import jax
    from llm_cases import random_params
    from llm_on_devices import cases
    from llm_tune_on_devices import EOS, SGD, pairs, shorter

    from modeseek.llm.inference.scoring import ModelWithParams
    from modeseek.llm.models.model import Model
    from modeseek.llm.parallel.mesh import MeshShape, make_mesh
    from modeseek.llm.training.run_checkpoints import RunCheckpoints
    from modeseek.llm.training.run_folder import RunFolder
    from modeseek.llm.training.tune import tune
    from modeseek.processes import gathered

    sizes = cases()["pythia"]
    policy = ModelWithParams(Model(sizes), random_params(sizes, std=0.1))
    how = {"eos": [EOS], "optimizer": SGD, "mesh": make_mesh(MeshShape(fsdp=2), sizes, 8)}
    judged = []

    def judge(examples):
        judged.extend(np.append(ids, -1) for example in examples for ids in example.responses)
        return shorter(examples)

    with RunFolder(folder, {}) as lines, RunCheckpoints(lines, 1) as checkpoints:
        params = tune(policy, pairs(), config, reward=judge, checkpoints=checkpoints, report=lines.append, **how).params
        steps = [record["step"] for record in lines.records() if "loss" in record]
    kernel = params["layers"]["expand"]["kernel"]
    leaves = jax.tree_util.tree_leaves_with_path(gathered(params))
    return {
        **{jax.tree_util.keystr(path): leaf for path, leaf in leaves},
        "judged": np.concatenate(judged),
        "steps": steps,
        "held": sum(shard.data.size for shard in kernel.addressable_shards) / kernel.size,
    }


def main(folder, address=None, index="0"):
    if address is not None:
        from modeseek.processes import initialize

        assert initialize(address, 2, int(index), timeout=60)
    from llm_tune_on_devices import OFFLINE, ON_POLICY

    for side, config in {"offline": OFFLINE, "on-policy": ON_POLICY}.items():
        stopped = address is not None  # two processes are stopped after their first collection, and go on
        first = [tuned(dataclasses.replace(config, collections=1), folder / side)] if stopped else []
        last = tuned(config, folder / side)
        judged = np.concatenate([found["judged"] for found in (*first, last)])
        np.savez(folder / f"{side}-{index}.npz", **{**last, "judged": judged})


if __name__ == "__main__":
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = (
        f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={2 if len(sys.argv) == 2 else 1}"
    )
    main(Path(sys.argv[1]), *sys.argv[2:])
