"""A study of one's own: data that contradict themselves are refused, and nothing of the paper's is needed."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import toy_study
from toy_study import BETTER, BRIEF, CELLS, SMALL, STUDY, WHOLE, made_up, read

from modeseek.bandit.studies.cells import fresh_runs
from modeseek.bandit.studies.store import Store, cell_path, copy_cells, missing_cells
from modeseek.bandit.studies.study import Study


def test_a_study_of_language_models_goes_from_files_to_a_document(tmp_path):
    """In a process of its own: nothing of the paper's study is imported, no simulator, no network."""
    command = [sys.executable, toy_study.__file__, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    text, imported = done.stdout.split("imported: ")
    ours = {name for name in imported.split() if name.count(".") > 1}
    rooms = {name.rpartition(".")[0] for name in ours} - {"modeseek.bandit"}
    assert rooms == {"modeseek.bandit.studies", "modeseek.bandit.figures", "modeseek.bandit.objectives"}
    assert "modeseek.bandit.studies.reproduce" not in ours
    assert "| PPO wins more on chat. | us | reproduced | undecided, needs 20 seeds (brief) |" in text
    assert "| DPO wins more on chat. | us | reversed |" in text
    assert "| PPO's lead is larger on chat. | us | reproduced | not run yet |" in text
    assert "| PPO's answers take 30 bits. | us | reproduced |" in text
    assert "| verdict | tuning seeds: one rate lower · tuned · higher |" in text
    assert "| change | rate | win rate without → with |" in text
    assert "### Model `160m`, protocol `brief`" in text
    assert text.count("## small") == 1
    assert "`160m`" not in text.split("## small")[1]  # it is about the small model alone


def test_what_is_said_of_a_target_is_about_its_cells():
    with pytest.raises(ValueError, match="better needs cells that it has not: dpo-code, ppo-code"):
        dataclasses.replace(BETTER, cells=SMALL.cells)
    with pytest.raises(ValueError, match="small needs cells that it has not: dpo-chat"):
        dataclasses.replace(SMALL, cells=(CELLS["ppo", "chat"],))
    with pytest.raises(ValueError, match="small is not run under its default, whole"):
        dataclasses.replace(SMALL, protocols=(BRIEF,))


def test_names_are_given_once():
    with pytest.raises(ValueError, match="targets of a study must have names of their own, got twice: small"):
        Study((SMALL, SMALL), {})
    again = dataclasses.replace(BETTER, name="again")
    with pytest.raises(ValueError, match="claims of a study must have names of their own, got twice: dpo-wins, harder"):
        Study((BETTER, again), {})
    other = dataclasses.replace(CELLS["ppo", "code"], method="grpo")
    with pytest.raises(ValueError, match="cells of a study must have names of their own, got twice: ppo-code"):
        Study((BETTER, dataclasses.replace(SMALL, cells=(*SMALL.cells, other))), {})
    assert len(STUDY.claims) == 4


def test_a_protocol_runs_the_cells_that_name_it():
    assert [cell.name for cell in BETTER.cells_under(BRIEF)] == ["dpo-chat", "ppo-chat"]
    assert BETTER.cells_under(WHOLE) == BETTER.cells
    assert BETTER.fullest_first() == (WHOLE, BRIEF)
    assert BETTER.protocol("brief") is BRIEF


def test_a_store_knows_what_is_missing_and_refuses_what_is_of_something_else(tmp_path: Path):
    store = Store(tmp_path, read)
    assert store.complete(SMALL, "70m") == ()
    assert store.fullest(SMALL, "70m") == []
    folder = store.folder(WHOLE, "70m")
    folder.mkdir(parents=True)
    first, second = SMALL.cells
    made_up(first, WHOLE, "70m", 0).to_netcdf(cell_path(folder, first), engine="scipy")
    assert store.missing(SMALL, WHOLE, "70m") == (second,)
    made_up(second, WHOLE, "160m", 0).to_netcdf(cell_path(folder, second), engine="scipy")
    assert store.complete(SMALL, "70m") == (WHOLE,)
    with pytest.raises(ValueError, match="dpo-chat is of another run: model differ"):
        store.results(SMALL, WHOLE, "70m")
    # Where both differ it is the protocol that is named.
    made_up(second, BRIEF, "160m", 0).to_netcdf(cell_path(folder, second), engine="scipy")
    with pytest.raises(ValueError, match="dpo-chat is of another protocol: fresh_seeds, most_steps, name differ"):
        store.results(SMALL, WHOLE, "70m")
    copy_cells(SMALL.cells, folder, tmp_path / "copies")
    assert missing_cells(SMALL.cells, tmp_path / "copies") == ()


def test_the_runs_that_judge_are_the_fresh_ones():
    dataset = made_up(CELLS["ppo", "chat"], WHOLE, "70m", 0)
    fresh = fresh_runs(dataset)
    assert set(fresh.data_vars) == {"win_rate", "description"}
    assert fresh["seed"].values.tolist() == list(range(5, 105))
