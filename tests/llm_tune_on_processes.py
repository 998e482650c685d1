"""A program of its own: Algorithm 1 on two devices, of one process or of two; what was found goes to a file of each.

python llm_tune_on_processes.py FOLDER                  one process with two devices
python llm_tune_on_processes.py FOLDER ADDRESS INDEX    one of two processes with a device each
"""

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np


def run(side, folder, collections=2):
    """Parameters at the end, and every response that was sampled or trained on, in the order of their time."""
    import jax
    from llm_cases import random_params
    from llm_on_devices import cases
    from llm_tune_on_devices import EOS, OFFLINE, ON_POLICY, SGD, pairs, shorter

    from modeseek.llm.inference.scoring import ModelWithParams
    from modeseek.llm.models.model import Model
    from modeseek.llm.parallel.distributed import gathered
    from modeseek.llm.parallel.mesh import MeshShape, make_mesh
    from modeseek.llm.training.run_checkpoints import RunCheckpoints
    from modeseek.llm.training.run_folder import RunFolder
    from modeseek.llm.training.tune import tune

    sizes = cases()["pythia"]
    policy = ModelWithParams(Model(sizes), random_params(sizes, std=0.1))
    mesh = make_mesh(MeshShape(fsdp=2), sizes, 8)
    config = dataclasses.replace({"offline": OFFLINE, "on-policy": ON_POLICY}[side], collections=collections)
    seen = []

    def judge(examples):
        seen.extend(ids for example in examples for ids in example.responses)
        return shorter(examples)

    with RunFolder(folder, {}) as lines, RunCheckpoints(lines, 1) as checkpoints:
        tuned = tune(
            policy,
            pairs(),
            config,
            reward=judge,
            eos=[EOS],
            optimizer=SGD,
            mesh=mesh,
            checkpoints=checkpoints,
            report=lines.append,
        )
    leaves = jax.tree_util.tree_leaves_with_path(gathered(tuned.params))
    found = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    kernel = tuned.params["layers"]["expand"]["kernel"]
    held = sum(shard.data.size for shard in kernel.addressable_shards) / kernel.size
    return found | {"responses": np.concatenate([np.append(ids, -1) for ids in seen]), "held": held}


def main(folder, address=None, index="0"):
    if address is not None:
        from modeseek.llm.parallel.distributed import initialize

        assert initialize(address, 2, int(index), timeout=60)
    for side in ("offline", "on-policy"):
        np.savez(folder / f"{side}-{index}.npz", **run(side, folder / side))


if __name__ == "__main__":
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={2 if len(sys.argv) == 2 else 1}"
    main(Path(sys.argv[1]), *sys.argv[2:])
