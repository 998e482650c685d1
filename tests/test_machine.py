"""Work that goes on elsewhere: it is told, both places are named, and the record has all of them."""

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import pytest
import xarray

from modeseek import __version__
from modeseek.bandit.studies.store import made_elsewhere
from modeseek.llm.runs import stages
from modeseek.llm.training import run_folder
from modeseek.llm.training.run_checkpoints import RunCheckpoints
from modeseek.llm.training.run_folder import RunFolder
from modeseek.machine import described, machine, moved, names_of

HERE = {"machine": "two cores", "versions": {"jax": "0.9", "modeseek": "1.0"}}
OLDER = {"machine": "two cores", "versions": {"jax": "0.8", "modeseek": "1.0"}}
ONE_CORE = {"machine": "one core", "versions": {"jax": "0.9", "modeseek": "1.0"}}


@pytest.fixture
def at(monkeypatch):
    """Where the process believes to be."""

    def move(place):
        monkeypatch.setattr(run_folder, "here", lambda: place)
        monkeypatch.setattr(stages, "here", lambda: place)

    return move


def test_this_machine_is_described_by_what_changes_bits():
    found = described("jax", "transformers")
    assert found["machine"] == machine()
    assert "device(s)" in machine()
    assert {"jax", "transformers", "python"} < found["versions"].keys()
    assert found["versions"]["modeseek"] == __version__
    assert moved(found, json.loads(json.dumps(found))) == ""
    assert moved(OLDER, HERE) == "versions.jax: there '0.8', here '0.9'"
    assert names_of([HERE, OLDER, ONE_CORE, HERE]) == ["two cores", "one core", "two cores"]


def _turn(folder):
    """One more turn of a run, from its last checkpoint on; the machines of the run."""
    with RunFolder(folder, {}) as run, RunCheckpoints(run, 1) as checkpoints:
        state = checkpoints.begin(lambda: {"x": jnp.zeros(3), "turn": 0})
        turn = state["turn"] + 1
        run.append({"turn": turn})
        checkpoints.save(turn, {"x": state["x"] + 1, "turn": turn})
        return run.machines


def test_a_run_that_goes_on_elsewhere_says_so_and_keeps_both(tmp_path, at, capsys):
    said = []
    for place in (OLDER, OLDER, HERE, HERE, ONE_CORE):
        at(place)
        machines = _turn(tmp_path / "run")
        said.append(capsys.readouterr().err)
    assert machines == [OLDER, HERE, ONE_CORE] == json.loads((tmp_path / "run" / "machines.json").read_text())
    assert [bool(text) for text in said] == [False, False, True, False, True]
    assert "begun elsewhere (versions.jax: there '0.8', here '0.9'): last bits may differ" in said[2]
    assert "(machine: there 'two cores', here 'one core')" in said[4]
    assert said[4].count("\n") == 1


def test_a_run_that_begins_anew_owes_nothing_to_where_it_was(tmp_path, at, capsys):
    for place in (OLDER, HERE):
        at(place)
        with RunFolder(tmp_path, {}) as run, RunCheckpoints(run, 0) as checkpoints:
            checkpoints.begin(dict)
            assert run.machines == [place]
    assert capsys.readouterr().err == ""


def test_a_record_of_machines_that_is_none_is_named(tmp_path, at):
    at(HERE)
    _turn(tmp_path)
    for content in ("{}", "[3]", "[{}]", "["):
        (tmp_path / "machines.json").write_text(content)
        with pytest.raises(ValueError, match=r"machines\.json"):
            RunFolder(tmp_path, {})
    (tmp_path / "machines.json").unlink()  # as before they were written down
    assert _turn(tmp_path) == [HERE]


def test_a_stage_that_was_done_elsewhere_is_taken_with_a_word(tmp_path, at):
    said = []
    for place in (OLDER, OLDER, HERE):
        at(place)
        assert stages.stage(tmp_path, "sft", lambda own: {"x": 1}, stages.Watch(said.append)) == {"x": 1}
    elsewhere = (
        " elsewhere (versions.jax: there '0.8', here '0.9'): last bits may differ from what would have come there"
    )
    assert said == ["sft …", "sft: done before", f"sft: done before{elsewhere}"]


def test_finished_results_of_elsewhere_are_counted_and_both_are_named():
    def cell(place):
        return xarray.Dataset(attrs={"machine": place["machine"], "versions": json.dumps(place["versions"])})

    assert made_elsewhere([], HERE) == made_elsewhere([cell(HERE), xarray.Dataset()], HERE) == ""
    assert made_elsewhere([cell(HERE), cell(OLDER), cell(ONE_CORE), cell(OLDER)], HERE) == (
        "note: 3 of 4 finished files were made elsewhere and are taken "
        "(versions.jax: there '0.8', here '0.9' | machine: there 'one core', here 'two cores')"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    ["bench", "kl --out out", "reproduce one-token --quick --out out", "llm demo --out out", "llm reproduce fig3"],
)
def test_a_platform_that_is_not_there_is_one_line_of_every_command(arguments, tmp_path):
    environment = {**os.environ, "MODESEEK_CACHE": "off", "JAX_PLATFORMS": "no-such-platform"}
    command = [sys.executable, "-m", "modeseek", *arguments.split()]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 2
    *_, last = done.stderr.splitlines()
    assert last.startswith("modeseek: error: JAX finds no device of the platform 'no-such-platform' (JAX_PLATFORMS)")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
