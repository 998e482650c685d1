"""Runs that are stopped and go on: the same bits, each step once; what is damaged is named, and the last good stays."""

import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from resume_cases import OFFLINE, ON_POLICY, finetuned, scorer, shorter, tuned

from modeseek.llm.training.run_checkpoints import RunCheckpoints
from modeseek.llm.training.run_folder import RunFolder, read_metrics

unawaited = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""Where a file fails, orbax leaves the others' reads and writes to themselves."""


class State(NamedTuple):
    learner: Any
    turn: int = 0
    extra: Any = None


def begin():
    w = jax.random.normal(jax.random.key(0), (300, 40))
    small = {"bf16": jnp.zeros(3, jnp.bfloat16), "flag": jnp.asarray(True), "count": jnp.zeros((), jnp.int32)}
    return State({"w": w, **small}, extra={"controller": {"beta": 0.2, "on": False, "none": None}})


@jax.jit
def advance(learner):
    return jax.tree.map(lambda a: ~a if a.dtype == bool else a + jnp.ones((), a.dtype), learner)


def turns(folder, last, *, every=2, keep=2, start=begin):
    """A run of any state; what its last one is."""
    with RunFolder(folder, {}) as run, RunCheckpoints(run, every, keep) as checkpoints:
        state = checkpoints.begin(start)
        for turn in range(state.turn + 1, last + 1):
            extra = jax.tree.map(lambda x: x if isinstance(x, bool) else x / 2, state.extra)
            state = State(advance(state.learner), turn, extra)
            run.append({"turn": turn})
            checkpoints.save(turn, state)
        return state


def same(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: bool((np.asarray(a) == np.asarray(b)).all()), one, other))


def test_any_state_comes_back_and_the_last_ones_are_kept(tmp_path):
    """Arrays of any type, numbers, what a stage added: to the bit, and with the type that each had."""
    whole = turns(tmp_path / "whole", 7)
    turns(tmp_path / "run", 5)
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["2", "4"]
    found = turns(tmp_path / "run", 7)
    assert same(found, whole)
    assert jax.tree.structure(found) == jax.tree.structure(whole)
    assert [type(leaf) for leaf in jax.tree.leaves(found)] == [type(leaf) for leaf in jax.tree.leaves(whole)]
    assert found.learner["bf16"].dtype == jnp.bfloat16
    assert [line["turn"] for line in read_metrics(tmp_path / "run")] == [1, 2, 3, 4, 5, 6, 7]  # 5 was cut off, and done
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["4", "6"]


def test_a_state_may_be_given_up_while_it_is_written(tmp_path):
    """The next step takes its memory over; were it written from there, its sums would not be what was noted."""
    step = jax.jit(lambda a: a + 1, donate_argnums=0)
    with RunFolder(tmp_path, {}) as run, RunCheckpoints(run, 1, 9) as checkpoints:
        state = checkpoints.begin(lambda: State(jnp.zeros((500, 500))))
        for turn in range(1, 6):
            state = State(step(state.learner), turn)
            checkpoints.save(turn, state)
    for turn in (5, 4, 3):
        with RunFolder(tmp_path, {}) as run, RunCheckpoints(run, 1, 9) as checkpoints:
            found = checkpoints.begin(lambda: State(jnp.zeros((500, 500))))
        assert (found.learner == found.turn).all()
        assert found.turn == turn
        shutil.rmtree(tmp_path / "checkpoints" / str(turn))


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@unawaited
@pytest.mark.parametrize("damage", ["a bit", "a file", "the note"])
def test_damage_is_named_and_the_checkpoint_before_is_offered(damage, tmp_path):
    turns(tmp_path, 5)
    newest = tmp_path / "checkpoints" / "4"
    biggest = max((p for p in newest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    note = next(p for p in (newest / "note").rglob("*") if p.is_file() and b"marks" in p.read_bytes())
    {"a bit": lambda: flip(biggest), "a file": biggest.unlink, "the note": lambda: flip(note)}[damage]()
    with pytest.raises(ValueError, match=rf"the checkpoint {newest} is damaged .*delete this folder to go on from tu"):
        turns(tmp_path, 7)
    shutil.rmtree(newest)
    assert same(turns(tmp_path, 7), turns(tmp_path / "whole", 7))


def test_what_another_program_wrote_is_refused_by_its_name(tmp_path):
    turns(tmp_path, 4)
    longer = lambda: begin()._replace(learner={**begin().learner, "w": jnp.zeros((300, 41))})
    with pytest.raises(ValueError, match=r"holds \['float32', 300, 40\] at .*'w'.*this run \['float32', 300, 41"):
        turns(tmp_path, 5, start=longer)


@unawaited
def test_a_full_disk_is_one_line_and_the_last_good_checkpoint_stays(tmp_path, capfd):
    """Files above 30 kB fail while turns 5 and 6 are done."""
    turns(tmp_path, 4)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(ValueError, match="could not be written") as error:
            turns(tmp_path, 6)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert f"the checkpoint {tmp_path / 'checkpoints' / '4'} is whole: the same command goes on" in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""
    assert same(turns(tmp_path, 8), turns(tmp_path / "whole", 8))
    assert [p.name for p in sorted((tmp_path / "checkpoints").iterdir())] == ["6", "8"]  # no half one is left


@pytest.mark.parametrize("numbers", [{"every": -1}, {"keep": 0}])
def test_impossible_numbers_are_refused(numbers, tmp_path):
    with pytest.raises(ValueError, match="must be a whole number of at least"):
        turns(tmp_path, 1, **numbers)


def test_without_checkpoints_there_is_no_folder_and_lines_begin_anew(tmp_path):
    turns(tmp_path, 3, every=0)
    assert turns(tmp_path, 2, every=0).turn == 2
    assert not (tmp_path / "checkpoints").exists()
    assert [line["turn"] for line in read_metrics(tmp_path)] == [1, 2]


class Stop(Exception):
    pass


def stopping(after, kind=Stop):
    """Something that is called and raises at its `after`-th call."""
    calls = []

    def call(*_):
        calls.append(1)
        if len(calls) == after:
            raise kind

    return call


def lines(folder):
    """What a run has written, without its seconds."""
    return [{n: v for n, v in line.items() if not n.endswith("seconds")} for line in read_metrics(folder)]


def without_checkpoints(found):
    return [line for line in found if set(line) != {"collection", "step"} and set(line) != {"step"}]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return tuned(folder), without_checkpoints(lines(folder))


@pytest.mark.parametrize("phase", ["sampling", "update", "evaluation"])
def test_ctrl_c_says_how_to_go_on_and_the_run_ends_with_the_same_bits(phase, tmp_path, uninterrupted):
    """In the fifth collection, or the evaluation after the third: the checkpoint before is there."""
    stop = stopping({"sampling": 5, "update": 26, "evaluation": 2}[phase], KeyboardInterrupt)
    good = 2 if phase == "evaluation" else 4
    how = {
        "sampling": {"reward": lambda examples: (stop(), shorter(examples))[1]},
        "update": {"report": stop},
        "evaluation": {"evaluate": lambda params, step: (stop(), {"seen": step})[1]},
    }[phase]
    with pytest.raises(KeyboardInterrupt, match=rf"checkpoints/{good} is whole: the same command goes on"):
        tuned(tmp_path, **how)
    params, records = uninterrupted
    assert same(tuned(tmp_path), params)
    assert without_checkpoints(lines(tmp_path)) == records
    assert same(tuned(tmp_path), params)  # a run that had come to its end gives it once more


@pytest.mark.slow
def test_an_offline_run_goes_on_in_the_middle_of_an_epoch(tmp_path):
    whole = tuned(tmp_path / "whole", OFFLINE)
    with pytest.raises(Stop):
        tuned(tmp_path / "run", OFFLINE, report=stopping(10))
    assert same(tuned(tmp_path / "run", OFFLINE), whole)
    assert without_checkpoints(lines(tmp_path / "run")) == without_checkpoints(lines(tmp_path / "whole"))
    with pytest.raises(ValueError, match=r"another configuration .*method: there 'dpo', here 'ppo'"):
        tuned(tmp_path / "run", ON_POLICY)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [finetuned, pytest.param(scorer, marks=pytest.mark.release)])
def test_sft_and_reward_models_go_on_in_the_middle_of_an_epoch(stage, tmp_path):
    """accelerate#4071: after a resume the data came in another order."""
    whole = stage(tmp_path / "whole")
    with pytest.raises(Stop):
        stage(tmp_path / "run", stopping(8))
    found = stage(tmp_path / "run")
    assert same(found.params, whole.params)
    assert str(found._replace(params=None)) == str(whole._replace(params=None))  # an empty bin is NaN, and not itself
    assert without_checkpoints(lines(tmp_path / "run")) == without_checkpoints(lines(tmp_path / "whole"))
    assert str(stage(tmp_path / "run")._replace(params=None)) == str(whole._replace(params=None))


@pytest.mark.slow
@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.release)])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(kills, tmp_path):
    """So many times kill -9, wherever the process is: sampling, update, evaluation, checkpoint, start."""
    program = [sys.executable, str(Path(__file__).with_name("resume_cases.py"))]
    run = lambda folder: subprocess.Popen(
        [*program, str(folder), str(tmp_path / "cache")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for folder in ("compiled", "whole"):  # XLA rounds otherwise in a program just compiled than in one from its cache
        whole = run(tmp_path / folder)
        told = whole.communicate()
        assert whole.returncode == 0, told[1]
    events = len(told[0].splitlines())
    chance, phases, killed = random.Random(0), [], 0
    while killed < kills:
        if (tmp_path / "run" / "params").exists():  # it came to its end before it was killed
            shutil.rmtree(tmp_path / "run")
        process = run(tmp_path / "run")
        assert process.stdout is not None
        wanted, kind, last = chance.randrange(1, events // 2), ("sampled", "reports")[killed % 2], ""
        for line in process.stdout:
            number, last = line.split()
            if int(number) >= wanted and last == kind:
                break
        time.sleep(chance.random() * 0.05)
        process.kill()
        _, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors
        if process.returncode:
            killed, phases = killed + 1, [*phases, last]
    final = run(tmp_path / "run")
    told = final.communicate()
    assert final.returncode == 0, told[1]
    assert (tmp_path / "run" / "params").read_bytes() == (tmp_path / "whole" / "params").read_bytes()
    assert without_checkpoints(lines(tmp_path / "run")) == without_checkpoints(lines(tmp_path / "whole"))
    assert {"sampled", "reports"} <= set(phases), json.dumps(phases)
