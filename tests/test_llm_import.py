"""How much memory an import takes at its peak: what it makes and little more, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SLACK = 64 * 2**20
"""Bytes beside the parameters: a few tensors in flight (of 4 MB each), and what the process needs anyway."""
SHARDS = 4
STATUS = Path("/proc/self/status")
CONFIG = {
    "model_type": "gpt_neox",
    "vocab_size": 2000,
    "hidden_size": 512,
    "num_hidden_layers": 24,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "max_position_embeddings": 64,
}
"""311 MB in float32 and no tensor above 4.2 MB; the largest stack of layers, 101 MB, is more than what is allowed."""


def write_checkpoint(folder: Path) -> int:
    """A sharded checkpoint whose tensors hold one number each; the bytes of all its parameters."""
    import numpy as np

    from modeseek.llm.checkpoints.checkpoint import INDEX
    from modeseek.llm.checkpoints.safetensors import Pending, write_file
    from modeseek.llm.models.hugging_face import config_from
    from modeseek.llm.models.parameters import parameters

    shapes = {name: p.tensor_shape for p in parameters(config_from(CONFIG)) for name in p.tensors}
    pending = [Pending(n, "F32", s, lambda s=s: np.full(s, 0.5, np.float32)) for n, s in shapes.items()]
    where = {}
    for number in range(SHARDS):
        file = f"model-{number + 1:05d}-of-{SHARDS:05d}.safetensors"
        write_file(folder / file, pending[number::SHARDS])
        where |= {tensor.name: file for tensor in pending[number::SHARDS]}
    (folder / INDEX).write_text(json.dumps({"weight_map": where}))
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return sum(tensor.size for tensor in pending)


def report(small: Path, folder: Path) -> None:
    """Print how many bytes the peak rose while `folder` was loaded onto two devices, each with half of every kernel.

    `small` is loaded first, so that what any import needs (the compiler's own memory) is there before.
    """
    import jax

    from modeseek.llm.checkpoints.checkpoint import open_checkpoint
    from modeseek.llm.checkpoints.load import load
    from modeseek.llm.parallel.mesh import MeshShape, make_mesh, parameter_shardings

    def loaded(folder: Path) -> tuple[int, int]:
        checkpoint = open_checkpoint(folder)
        mesh = make_mesh(MeshShape(fsdp=2), checkpoint.config, batch=2)
        params = load(checkpoint, shardings=parameter_shardings(mesh, checkpoint.config))
        shards = [leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(params)]
        return peak(), sum(shards)

    before, _ = loaded(small)
    after, first = loaded(folder)
    print(json.dumps({"peak": after - before, "first_device": first}))


def peak() -> int:
    """Most bytes that this program has held. Not `getrusage`: that begins with what the parent held, across `exec`."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


@pytest.mark.slow  # 300 MB are written and read
@pytest.mark.skipif(not STATUS.exists(), reason="only Linux says how much a process has held at most")
def test_import_holds_the_parameters_and_no_second_copy(tmp_path):
    """Four files to two devices: the peak rises by the parameters' bytes and less than one stack of layers.

    Reading every tensor first would add as much again, and a stack that is not written in place the third of it.
    """
    from llm_cases import golden

    size = write_checkpoint(tmp_path)
    here = Path(__file__).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    environment |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    environment["PYTHONPATH"] = os.pathsep.join([str(here.parent / "src"), str(here)])
    command = [sys.executable, __file__, str(golden("pythia")), str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert size / 2 <= found["first_device"] < 0.52 * size  # norms and biases are on both
    assert size < found["peak"] < size + SLACK


if __name__ == "__main__":
    report(Path(sys.argv[1]), Path(sys.argv[2]))
