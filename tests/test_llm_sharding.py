"""Many devices give what one gives: eight in a process, two processes; and meshes that cannot be are refused."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from llm_cases import CASES, random_params
from llm_on_devices import MESHES, batch, cases, found

from modeseek import processes
from modeseek.llm.checkpoints.safetensors import read_header
from modeseek.llm.checkpoints.save import save
from modeseek.llm.commands.tune import Tune
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import shapes
from modeseek.llm.parallel.mesh import MeshShape, make_mesh, mesh_shape, parameter_shardings
from modeseek.llm.training.placement import check_placement
from modeseek.llm.training.run_folder import RunFolder
from modeseek.llm.training.tune_config import TuneConfig
from modeseek.processes import gathered, initialize, one_voice

slow = pytest.mark.slow  # two minutes of compiling in processes of their own

PROGRAM = Path(__file__).with_name("llm_on_devices.py")
PATIENCE = 900
"""Seconds; the work takes a tenth of it."""


def begin(*arguments, program=PROGRAM):
    """A process with devices of its own that compiles as this one does: to the bit, its programs give the same."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(PROGRAM.parents[1] / "src"), str(PROGRAM.parent)])
    command = [sys.executable, str(program), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*processes):
    """What each said, when all are at their end; none outlives this, whatever happens."""
    try:
        said = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, said, strict=True):
        assert process.returncode == 0, text
    return said


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    """What eight devices found, and what they said."""
    result = tmp_path_factory.mktemp("eight") / "result.json"
    said = finish(begin("devices", result))
    return json.loads(result.read_text()), said[0]


@slow
@pytest.mark.parametrize("mesh", ["x".join(map(str, sizes)) for sizes in MESHES])
@pytest.mark.parametrize("family", ["pythia", "qwen3", "mistral"])
def test_eight_devices_give_the_logits_and_gradients_of_one(eight, family, mesh):
    result = eight[0][family][mesh]
    assert result["logits"] < 5e-6
    assert result["loss"] < 5e-6
    assert result["gradients"] < 2e-5
    # What is estimated from the rules is what a device holds.
    assert result["held"] == result["estimated"]
    _, fsdp, tensor = map(int, mesh.split("x"))
    assert result["kernel"] == [2, 48 // fsdp, 80 // tensor]


@slow
def test_a_step_in_parts_on_a_mesh_is_one_devices_step(eight):
    result = eight[0]["step"]
    assert result["loss"] < 5e-6
    assert result["state"] < 1e-4 < 1e-2 < result["moved"]
    assert result["stays"]
    assert result["refused"] == "8 rows do not divide into 4 parts of 4 devices' rows each"
    assert result["cache"] == [2, 1, 4, 6 + 2]  # 8 rows over 4, 2 heads over 2


@slow
@pytest.mark.parametrize("mesh", ["x".join(map(str, sizes)) for sizes in MESHES])
@pytest.mark.parametrize("family", ["pythia", "mistral"])
def test_adapters_on_a_mesh_are_one_devices_adapters(eight, family, mesh):
    result = eight[0][family]["adapters"][mesh]
    assert result["losses"] < 5e-6
    assert result["state"] < 2e-4 < 1e-2 < result["moved"]
    assert result["stays"]
    _, fsdp, tensor = map(int, mesh.split("x"))
    assert (result["a"], result["b"]) == ([2, 80 // tensor, 4], [2, 4, 48 // fsdp])


@slow
@pytest.mark.parametrize("family", ["pythia", "mistral"])
def test_a_mesh_generates_and_scores_as_one_device(eight, family):
    result = eight[0][family]["decoded"]
    assert result["ids"]
    assert result["kinds"] > 2  # greedy ids that vary
    assert result["log_probs"] < 2e-5
    assert result["scores"] < 2e-5


@slow
def test_memory_of_a_mesh_is_what_was_estimated(eight):
    """Only the parts that each device sets aside for a step count, on small shapes: communication is not estimated."""
    assert {mesh: 0.7 < ratio < 1.4 for mesh, ratio in eight[0]["sized"].items()} == dict.fromkeys(
        eight[0]["sized"], True
    ), eight[0]["sized"]


@slow
def test_eight_devices_work_quietly(eight):
    assert eight[1] == ""


@slow
def test_two_processes_give_the_gradients_of_one_and_save_what_they_loaded(tmp_path):
    """And where the first cannot write, both have an error, and none waits for the other."""
    config = cases()["pythia"]
    params = random_params(config)
    save(tmp_path / "model", config, params, shard_bytes=30_000)
    address = free_address()
    folders = [tmp_path / str(index) for index in range(2)]
    for folder in folders:
        folder.mkdir()
    finish(*(begin("process", address, i, tmp_path / "model", f / "result.npz") for i, f in enumerate(folders)))

    logits, loss, gradients = jax.jit(found(Model(config)))(params, *batch())
    for folder in folders:
        result = np.load(folder / "result.npz")
        assert result["held"] == 0.5  # of a kernel's numbers, with no copy
        np.testing.assert_allclose(result["loss"], loss, rtol=1e-6)
        np.testing.assert_allclose(result["logits"], logits, atol=5e-6 * np.abs(logits).max())
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
            apart = np.abs(result[jax.tree_util.keystr(path)] - leaf).max()
            assert apart < 2e-5 * np.abs(leaf).max(), path
    refused = [list(np.load(folder / "result.npz")["refused"]) for folder in folders]
    assert refused[0][0].endswith("again is there already and is not overwritten: name a new folder")
    assert refused[0][1] == "[Errno 28] No space left on device"
    assert refused[1] == ["host 0 failed: its own error says why"] * 2
    assert not list(folders[0].glob("*full*"))
    # The first process writes; what it wrote is what was read, byte for byte.
    assert not (folders[1] / "again").exists()
    saved, read = folders[0] / "again", tmp_path / "model"
    files = sorted(file.name for file in read.iterdir())
    assert len(files) > 4
    assert files == sorted(file.name for file in saved.iterdir())
    for file in files:
        assert (saved / file).read_bytes() == (read / file).read_bytes(), file
    assert read_header(next(saved.glob("*.safetensors")))[1] == []


def test_meshes_that_cannot_be_are_refused():
    config = config_from(CASES["mistral"])
    with pytest.raises(ValueError, match=r"data 2 x fsdp 2 x tensor 1 needs 4 devices, there are 2 \(cpu\)"):
        make_mesh(MeshShape(2, 2, 1), config, 8, jax.devices()[:2])
    with pytest.raises(ValueError, match=r"kv_heads \(2\) by tensor \(3\), .*vocab_size \(53\) by tensor \(3\)"):
        make_mesh(MeshShape(1, 1, 3), config, 8)
    with pytest.raises(ValueError, match=r"batch \(3\) by data x fsdp \(2\)"):
        make_mesh(MeshShape(2, 1, 1), config, 3)
    with pytest.raises(ValueError, match="the mesh's fsdp must be a whole number of at least 1, got 0"):
        make_mesh(MeshShape(1, 0, 1), config, 3)


def test_one_device_is_a_mesh_too():
    config = config_from(CASES["llama"])
    cut = parameter_shardings(make_mesh(MeshShape(), config, 3, jax.devices()[:1]), config)
    assert jax.tree.structure(cut) == jax.tree.structure(shapes(config))
    assert all(
        s.shard_shape(p.shape) == p.shape for s, p in zip(*map(jax.tree.leaves, (cut, shapes(config))), strict=True)
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("here:1234", 2, None), "JAX_PROCESS_ID is not set"),
        ((None, 2, 0), "JAX_COORDINATOR_ADDRESS is not set"),
        (("here", 2, 0), "host:port, got 'here'"),
        (("here:0", 2, 0), "host:port, got 'here:0'"),
        (("here:1234", 0, 0), "processes must be a whole number of at least 1, got 0"),
        (("here:1234", 2, 2), "one of 0 to 1, got 2"),
    ],
)
def test_hosts_that_cannot_join_are_told(arguments, error):
    with pytest.raises(ValueError, match=error):
        initialize(*arguments)


def test_a_host_alone_stays_alone(monkeypatch):
    assert not initialize()
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    with pytest.raises(ValueError, match="JAX_NUM_PROCESSES must be a whole number, got 'two'"):
        initialize("here:1234")


@slow
@pytest.mark.parametrize("side", ["offline", "on-policy"])
def test_algorithm_1_on_eight_devices_gives_what_one_gives(side, tuned_on_eight):
    """DPO on pairs; PPO with its value head and a moving reference on samples; each stopped and gone on with, too."""
    result = tuned_on_eight[side]
    assert result["apart"] < 2e-4
    assert result["moved"] > 100 * result["apart"]
    assert result["kernel"] == [2, 24, 40]  # a half of the width by fsdp, a half of the MLP by tensor
    assert result["resumed"]


@pytest.fixture(scope="module")
def tuned_on_eight(tmp_path_factory):
    result = tmp_path_factory.mktemp("tuned") / "result.json"
    finish(begin(result, program=PROGRAM.with_name("llm_tune_on_devices.py")))
    return json.loads(result.read_text())


@slow
@pytest.mark.parametrize("side", ["offline", "on-policy"])
def test_algorithm_1_of_two_processes_gives_what_one_gives(side, tuned_by_processes):
    """On the same mesh; the two were stopped after a collection. Both know all that the first has written."""
    one, *two = (np.load(folder / f"{side}-{index}.npz") for folder, index in tuned_by_processes)
    assert one["held"] == 1.0
    for result in two:
        assert result["held"] == 0.5
        assert sorted(result.files) == sorted(one.files)
        np.testing.assert_array_equal(result["judged"], one["judged"])
        np.testing.assert_array_equal(result["steps"], one["steps"])
        for name in set(one.files) - {"held", "judged", "steps"}:
            np.testing.assert_allclose(result[name], one[name], rtol=0, atol=1e-6, err_msg=name)


@pytest.fixture(scope="module")
def tuned_by_processes(tmp_path_factory):
    """The folder and the number of the one process, and of each of the two."""
    alone, shared = (tmp_path_factory.mktemp(name) for name in ("alone", "shared"))
    program, address = PROGRAM.with_name("llm_tune_on_processes.py"), free_address()
    finish(begin(alone, program=program))
    finish(*(begin(shared, address, index, program=program) for index in range(2)))
    return (alone, 0), (shared, 0), (shared, 1)


def test_of_several_hosts_the_first_speaks_and_writes(tmp_path, monkeypatch, capsys):
    """And an error of another host is still raised."""
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with pytest.raises(ValueError, match="it says why"), RunFolder(tmp_path / "run", {}) as run, one_voice():
        run.begin()
        run.append({"step": 1})
        run.rewind({})
        assert (run.writes, run.marks(), run.records()) == (False, {}, [])
        print("alike on all")
        print("alike on all", file=sys.stderr)
        raise ValueError("it says why")
    assert not (tmp_path / "run").exists()
    assert capsys.readouterr() == ("", "")
    monkeypatch.undo()
    with RunFolder(tmp_path / "run", {}) as run, one_voice():
        print("heard")
    assert run.writes
    assert capsys.readouterr() == ("heard\n", "")


def test_what_one_process_has_is_not_gathered():
    tree = {"here": jax.numpy.ones(2), "number": 3}
    assert all(a is b for a, b in zip(*map(jax.tree.leaves, (gathered(tree), tree)), strict=True))


def test_several_hosts_need_a_mesh_and_a_folder(monkeypatch):
    monkeypatch.setattr(processes, "initialize", lambda: True)
    for given in ({"mesh": "fsdp=2"}, {"out": Path("run")}, {}):
        with pytest.raises(ValueError, match=r"several hosts share a run: give --mesh, .* and --out, a folder"):
            Tune(model="model", data="data", config=TuneConfig("dpo"), **given).run()


def test_a_mesh_is_read_from_a_text():
    assert mesh_shape("data=2,fsdp=4") == MeshShape(2, 4, 1)
    assert mesh_shape("tensor=8") == MeshShape(1, 1, 8)
    for text in ("data", "rows=2", "data=2,data=2", "data=x", "data=2 fsdp=2", ""):
        with pytest.raises(ValueError, match=r"a mesh is some of data=N, fsdp=N, tensor=N, with commas"):
            mesh_shape(text)


def test_rows_that_a_mesh_does_not_divide_are_refused():
    config = cases()["pythia"]
    mesh = AbstractMesh((2, 2, 1), ("data", "fsdp", "tensor"))
    policy = ModelWithParams(Model(config), {})
    fine = TuneConfig("ppo", 8, 2, 4, generation_batch=4)
    check_placement(policy, mesh, fine)
    with pytest.raises(ValueError, match=r"batch \(2\) by data x fsdp \(4\)"):
        check_placement(policy, mesh, dataclasses.replace(fine, accumulate=2))
    with pytest.raises(ValueError, match=r"6 responses are sampled at once \(generation_batch\), which 4 devices"):
        check_placement(policy, mesh, dataclasses.replace(fine, generation_batch=6))
