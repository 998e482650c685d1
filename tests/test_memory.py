"""An experiment's memory: counted before any work, said, and refused where there is too little of it."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import jax
import pytest

from modeseek.bandit.commands.demo import Demo
from modeseek.bandit.explore.toolkit.runs import train
from modeseek.bandit.simulator import memory, results
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig
from modeseek.bandit.simulator.devices import run_mesh
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.groups import group_programs
from modeseek.bandit.simulator.memory import check_room, estimate, of_a_run, sizes_of
from modeseek.bandit.simulator.policy import make_policy, parameter_count
from modeseek.bandit.simulator.problem import ReferenceRecipe
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.memory import address_space, free_bytes

GiB = 1024**3


@pytest.mark.parametrize(
    ("policy", "length"),
    [
        (PolicyConfig(), 10),
        (PolicyConfig(layers=5, heads=2, width=14), 1),
        (PolicyConfig(kind="tabular"), 7),
        (PolicyConfig(kind="mlp", layers=1, heads=1, width=20), 1),
        (PolicyConfig(kind="mlp", layers=3, heads=1, width=20), 1),
    ],
)
def test_parameters_are_counted_as_jax_counts_them(policy, length):
    experiment = Experiment(policy=policy, response_length=length)
    shapes = jax.eval_shape(make_policy(experiment.static).init, jax.random.key(0))
    assert sizes_of(experiment).parameters == parameter_count(shapes)


@pytest.mark.slow  # each case is a shape of its own to compile
@pytest.mark.release  # as a user's programs are compiled: the tests' way sets other room aside
@pytest.mark.parametrize(
    "experiment",
    [
        Experiment(evaluation=EvaluationConfig(prompts=5000)),
        Experiment(algorithm=AlgorithmConfig(samples_per_collection=6000, minibatch_size=6000)),
        Experiment(
            algorithm=AlgorithmConfig(samples_per_collection=3000, minibatch_size=3000, responses_per_prompt=1500)
        ),
        Experiment(response_length=400),
    ],
    ids=["evaluation", "samples", "pairs", "length"],
)
def test_a_tabular_run_takes_what_the_compiler_sets_aside(experiment):
    """Within a factor of two of the temporary memory of its largest program, where that is what counts."""
    policy = PolicyConfig(kind="tabular")
    one = AlgorithmConfig(
        **{**dataclasses.asdict(experiment.algorithm), "inner_steps": 1, "collections": 1}  # fewer loops to compile
    )
    experiment = dataclasses.replace(experiment, policy=policy, algorithm=one)
    run_sweep(experiment, progress=False)
    mesh = run_mesh()
    programs = group_programs(experiment.static, mesh.devices.size, mesh)._compiled.values()
    taken = max(program.result().memory_analysis().temp_size_in_bytes for program in programs)
    assert taken > 30 * memory.MiB
    assert taken / 2 < sum(of_a_run(sizes_of(experiment)).values()) < 2 * taken


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"response_length": 100_000}, "lower response_length (it is 100,000)"),
        ({"policy": PolicyConfig(heads=1, width=10**6)}, "lower policy.width (it is 1,000,000)"),
        ({"policy": PolicyConfig(layers=10**9)}, "lower policy.layers (it is 1,000,000,000)"),
        ({"evaluation": EvaluationConfig(prompts=10**10)}, "lower evaluation.prompts (it is 10,000,000,000)"),
        ({"evaluation": EvaluationConfig(samples_per_prompt=10**9)}, "lower evaluation.samples_per_prompt"),
        ({"seeds": 2 * 10**9}, "lower seeds (it is 2,000,000,000)"),
        ({"algorithm": AlgorithmConfig(samples_per_collection=10**12, minibatch_size=100)}, "lower samples_per_coll"),
        ({"algorithm": AlgorithmConfig(collections=10**12)}, "lower collections"),
        ({"algorithm": AlgorithmConfig(inner_steps=10**12)}, "lower inner_steps"),
        ({"algorithm": AlgorithmConfig(prompts=10**12)}, "lower prompts"),
        ({"vocab_size": 200_000, "reference": ReferenceRecipe(samples=0)}, "lower vocab_size (it is 200,000)"),
        ({"response_length": 2**62}, "lower response_length"),
    ],
)
def test_a_size_beyond_this_machine_is_refused_by_name(changes, advice):
    experiment = dataclasses.replace(Experiment(), **changes)
    with pytest.raises(
        ValueError, match=r"^this needs about .*iB of memory, and 64\.00 GiB are free: lower "
    ) as refused:
        check_room(experiment, 2, free=64 * GiB)
    assert advice in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_grid_is_refused_for_its_cells_and_what_is_usual_for_the_machine():
    grid = dataclasses.replace(
        Experiment(), vary=tuple((n, tuple(map(float, range(1, 1000)))) for n in ("tau", "beta"))
    )
    with pytest.raises(
        ValueError, match="lower the number of methods, rewards, behaviors, learning rates and varied values"
    ):
        check_room(grid, 2, free=16 * GiB)
    with pytest.raises(ValueError, match="no size of it is large"):
        check_room(Experiment(), 2, free=1000)


def test_the_host_holds_each_seeds_policy_and_each_runs_results():
    """A policy at the reference and the copy that is sent to a device, in float32, for each seed."""
    one, ten = (sizes_of(Experiment(seeds=seeds)) for seeds in (1, 10))
    held = memory.of_the_host(ten)
    assert held["policies at the reference"] == 10 * 2 * 4 * one.parameters
    for name in ("all runs", "results"):
        assert held[name] == 10 * memory.of_the_host(one)[name] > 0


def test_what_is_needed_is_said_if_it_is_much():
    small = Experiment(policy=PolicyConfig(kind="tabular"))
    assert check_room(small, 2, free=64 * GiB) == ""
    large = dataclasses.replace(small, evaluation=EvaluationConfig(prompts=100_000))
    assert check_room(large, 2, free=64 * GiB).startswith("needs about 4.3")
    assert sum(estimate(sizes_of(large), 2).values()) > sum(estimate(sizes_of(large), 1).values())


def test_a_refusal_leaves_no_folder(tmp_path):
    huge = dataclasses.replace(Experiment(), seeds=2 * 10**9)
    with pytest.raises(ValueError, match="lower seeds"):
        run_sweep(huge, tmp_path / "results.nc")
    assert list(tmp_path.iterdir()) == []


def test_the_demo_and_an_explorer_that_have_no_room_are_refused_before_they_train(tmp_path):
    with pytest.raises(ValueError, match="lower seeds"):
        Demo(seeds=2 * 10**9, out=tmp_path / "demo").run()
    assert list(tmp_path.iterdir()) == []
    wide = dataclasses.replace(Experiment(), evaluation=EvaluationConfig(prompts=10**10))
    with pytest.raises(ValueError, match=r"lower evaluation\.prompts"):
        next(train(wide, "ipo"))


def test_what_is_free_is_the_least_that_anything_leaves():
    assert 0 < free_bytes() < 2**60
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    assert address_space() is None or before[0] != resource.RLIM_INFINITY
    try:
        resource.setrlimit(resource.RLIMIT_AS, (2**45, before[1]))
        assert 2**44 < address_space() < 2**45
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _command(*arguments, **environment):
    """A `modeseek bandit`, small unless it is told otherwise, that answers Ctrl-C although tests may run where none
    is heard."""
    small = ["--policy.kind", "tabular", "--vocab-size", "6", "--rewards", "bump:4:1"]
    start = "import signal, runpy; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = [sys.executable, "-c", start + "runpy.run_module('modeseek', run_name='__main__', alter_sys=True)"]
    variables = {**os.environ, "MODESEEK_CACHE": "off", **environment}
    return subprocess.Popen(
        [*code, "bandit", *small, *arguments], stdout=-1, stderr=-1, text=True, env=variables
    )  # -1: a pipe


@pytest.mark.parametrize("platform", ["no-such-platform", "cuda"])
def test_a_platform_that_is_not_there_is_one_line(tmp_path, platform):
    if platform == "cuda" and any(device.platform == "gpu" for device in jax.devices()):
        pytest.skip("it is there")
    process = _command("--out", str(tmp_path / "out"), JAX_PLATFORMS=platform)
    _, said = process.communicate()
    assert process.returncode == 2
    assert said.startswith(f"modeseek: error: JAX finds no device of the platform '{platform}' (JAX_PLATFORMS)")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_interrupt_is_one_line_from_the_first_second_on(tmp_path):
    """While modules are imported, and while programs compile: with three layers, for tens of seconds."""
    process = _command("--out", str(tmp_path / "out"))
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "\nmodeseek: interrupted\n")
    assert process.returncode == 130
    process = _command("--policy.kind", "gpt", "--out", str(tmp_path / "out"))
    said = ""
    while "compiling" not in said and (more := process.stderr.read(1)):
        said += more
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, more = process.communicate()
    assert time.monotonic() - began < 20
    assert process.returncode == 130
    assert more.endswith("\nmodeseek: interrupted\n")
    assert "Traceback" not in more


@pytest.mark.slow
def test_the_numbers_are_of_float32_whatever_jax_is_told(tabular):
    once = dataclasses.replace(tabular, algorithm=dataclasses.replace(tabular.algorithm, collections=2))
    with jax.enable_x64(True):
        wide = run_sweep(once, progress=False).dataset
    group_programs.cache_clear()
    usual = run_sweep(once, progress=False).dataset
    assert wide["expected_reward"].dtype == "float32"
    assert usual.drop_attrs().identical(wide.drop_attrs())
    assert results.settings()["jax_default_prng_impl"] == "threefry2x32"
