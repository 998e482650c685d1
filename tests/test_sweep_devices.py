"""Sweeps on many devices, in several processes, on workers and through kills: the same bits, and what is refused."""

import dataclasses
import random
import shutil
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from modeseek import cluster
from modeseek.bandit.simulator import results, runner
from modeseek.bandit.simulator.devices import run_mesh
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.memory import UNKNOWN, fitting, of_a_run, sizes_of
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.store import Store
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.simulator.workers import train_unit

PROGRAM = Path(__file__).with_name("sweep_cases.py")
DATA = ("expected_reward", "kl_to_reference", "entropy", "loss", "token_distribution", "pretraining_kl", "finished")


@pytest.mark.parametrize(
    ("devices", "says"),
    [
        (3, "devices must be at most 2, as there are here of the platform cpu, got 3"),
        (0, "devices must be a whole number of at least 1, got 0"),
        (-1, "devices must be a whole number of at least 1, got -1"),
    ],
)
def test_more_devices_than_there_are_and_none_are_refused(devices, says):
    with pytest.raises(ValueError, match=says):
        run_mesh(devices)
    assert run_mesh(1).devices.tolist() == jax.local_devices()[:1]
    assert run_mesh().devices.tolist() == jax.local_devices()


@pytest.mark.parametrize("devices", [1, 3, 8])
@pytest.mark.parametrize("runs", [1, 7, 64, 1000, 10_000])
def test_as_many_runs_advance_together_as_fit_and_all_groups_are_of_one_size(devices, runs):
    """In half of the memory; by the count of groups nobody could do better without passing a power of two."""
    sizes = sizes_of(Experiment(seeds=runs))
    each = sum(of_a_run(sizes).values())
    for memory in (10**6, 10**9, 10**11, None):
        at_once = fitting(sizes, devices, memory)
        most = UNKNOWN if memory is None else max(1, memory // 2 // each)
        assert at_once % devices == 0
        assert 1 <= at_once // devices <= most
        groups = -(-runs // at_once)
        power = 2 ** int(np.log2(most))
        assert groups == -(-runs // (devices * power))
        assert groups * at_once - runs < devices * groups  # of what the last group pads, less than a run a device


def test_a_second_process_opens_the_folder_of_the_first_and_keeps_its_own_files(tmp_path):
    folder, identity = tmp_path / "results.partial", {"format": 1}
    with pytest.raises(ValueError, match=r"process 1 does not find .* they need a folder that all of them see"):
        Store(folder, identity, "a machine", 1)
    assert not folder.exists()
    with Store(folder, identity, "a machine") as first, Store(folder, identity, "another", 1) as second:
        assert first.machines == second.machines == ["a machine"]
        for store, rows in ((first, [0, 2]), (second, [1])):
            store.save_in_flight(np.asarray(rows), 1, [], [])
            store.save_pretrained_part(np.asarray(rows), [10.0 + np.asarray(rows)])
        assert [store.load_in_flight().runs.tolist() for store in (first, second)] == [[0, 2], [1]]
        np.testing.assert_array_equal(first.joined_pretrained(2), [[10, 11, 12]])
        second.save_finished(np.asarray([1]), [np.ones(1)])
        assert second.load_in_flight() is None
        assert first.load_in_flight() is not None
        assert [rows.tolist() for rows, _ in first.load_finished()] == [[1]]
        assert not first.told_to_stop
        second.end(stop=True)
        assert first.told_to_stop
        first.end(stop=False)
        first.wait_for(2)
    with Store(folder, identity, "a machine") as again:  # the marks were of processes that are gone
        assert not again.told_to_stop
        assert not list(folder.glob("ended-*"))
    with pytest.raises(ValueError, match=r"another configuration \(format: there 1, here 2\)"):
        Store(folder, {"format": 2}, "a machine", 1)


def test_one_collection_costs_one_fetch_and_nothing_is_sent(tiny, monkeypatch):
    """Of what JAX moves: implicit transfers to devices are errors while a group is trained, and fetches are counted."""
    plan, mesh = make_plan(tiny), run_mesh()
    runs = runner.Runner(tiny, plan.runs, mesh, mesh.devices.size)
    pretrained = runs.pretrain(np.arange(tiny.seeds))
    fetched, real = [], jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda tree: fetched.append(len(jax.tree.leaves(tree))) or real(tree))
    with jax.transfer_guard("disallow"):
        (done,) = runs.train(np.arange(mesh.devices.size), pretrained.params)
    assert done.rows.tolist() == [0, 1]
    # The start: four numbers and the tokens. Each collection: those, and seven of the step.
    assert fetched == [4 + 1, *[4 + 1 + 7] * tiny.algorithm.collections]


def _equal(first, second):
    for name in DATA:
        np.testing.assert_array_equal(first[name].values, second[name].values, err_msg=name)


def _wide(tiny, folder, seeds=3):
    """More runs than devices, in a number that none of them divides; and its file."""
    experiment = dataclasses.replace(tiny, seeds=seeds)
    (folder / "experiment.json").write_text(experiment.to_json())
    return experiment, folder / "experiment.json"


@pytest.mark.slow  # processes of their own, each of which compiles
def test_devices_and_processes_agree(tiny, tmp_path):
    """To the bit: 2 devices here, 8 in a process, 2 in each of two processes. One device: to rounding."""
    from test_llm_sharding import begin, finish, free_address

    experiment, file = _wide(tiny, tmp_path)
    here = run_sweep(experiment, progress=False).dataset
    address = free_address()
    finish(begin(file, tmp_path / "8.nc", 8, "off", program=PROGRAM))
    both = [begin(file, tmp_path / "2x2.nc", 2, "off", address, index, program=PROGRAM) for index in (0, 1)]
    said = finish(*both)
    assert all("complete" in text for text in said)
    assert "saved runs-000000.npz" in said[0]
    assert "saved runs-000001.npz" in said[1]
    finish(begin(file, tmp_path / "1.nc", 1, "off", program=PROGRAM))
    _equal(results.load(tmp_path / "8.nc"), here)
    _equal(results.load(tmp_path / "2x2.nc"), here)
    alone = results.load(tmp_path / "1.nc")
    for name in ("expected_reward", "kl_to_reference", "entropy"):
        np.testing.assert_allclose(alone[name], here[name], atol=1e-5)
    assert {path.suffix for path in tmp_path.iterdir()} == {".nc", ".json"}


@pytest.mark.slow  # a local cluster, whose workers compile
def test_a_worker_that_is_killed_costs_nothing_but_time(tiny, tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is not installed (the extra cluster)")
    psutil = pytest.importorskip("psutil")
    assert distributed
    experiment, _ = _wide(tiny, tmp_path)
    killed = []

    with cluster.workers_at("local:2") as map_items:

        def watched(function, items):
            for index, result in map_items(function, items):
                yield index, result
                if function is train_unit and not killed:
                    workers = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
                    victim = max(workers, key=lambda process: sum(process.cpu_times()[:2]))
                    victim.kill()
                    killed.append(victim.pid)

        there = run_sweep(experiment, tmp_path / "results.nc", progress=False, workers=watched)
    assert killed
    assert there.complete
    _equal(there.dataset, run_sweep(experiment, progress=False).dataset)


@pytest.mark.slow  # so many processes
@pytest.mark.parametrize("times", [8, pytest.param(20, marks=pytest.mark.release)])
def test_a_sharded_sweep_that_is_killed_again_and_again_ends_with_the_same_bits(times, tiny, tmp_path):
    """kill -9 wherever it is, in pretraining, in any of its groups, between them; on two devices, from one cache."""
    from test_llm_sharding import begin, finish

    experiment, file = _wide(tiny, tmp_path, seeds=5)
    run = lambda name: begin(file, tmp_path / name / "results.nc", 2, tmp_path / "cache", program=PROGRAM)
    for name in ("compiled", "whole"):  # XLA rounds otherwise in a program just compiled than in one from its cache
        finish(run(name))
    chance, last_saved, kills = random.Random(0), set(), 0
    while kills < times:
        if (tmp_path / "run" / "results.nc").exists():  # it came to its end before it was killed
            shutil.rmtree(tmp_path / "run")
        process = run("run")
        assert process.stdout is not None
        patience, last = chance.randrange(1, 4), ""
        for line in process.stdout:
            last, patience = line.split()[-1], patience - 1
            if patience == 0:
                break
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.communicate()
        kills, last_saved = kills + 1, last_saved | {last}
    finish(run("run"))
    _equal(results.load(tmp_path / "run" / "results.nc"), results.load(tmp_path / "whole" / "results.nc"))
    assert len(last_saved) > times // 5
    if times == 20:
        assert {"in-flight.npz", "pretrained.npz"} <= last_saved  # and groups
    assert experiment.seeds == 5
