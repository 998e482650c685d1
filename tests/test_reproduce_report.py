"""The report: what is stored, what is not, and of how many seeds each number is."""

import re
from pathlib import Path

import numpy as np
import pytest
from reproduce_cases import fake_cell

from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.studies.cells import time_spent
from modeseek.bandit.studies.chart import verdict_rows
from modeseek.bandit.studies.document import chapter, numbers_table
from modeseek.bandit.studies.reproduce.cells import HEADLINES
from modeseek.bandit.studies.reproduce.document import picture, text, write_document
from modeseek.bandit.studies.reproduce.draw import DRAWINGS
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD
from modeseek.bandit.studies.reproduce.protocols import FULL
from modeseek.bandit.studies.reproduce.store import STORE
from modeseek.bandit.studies.reproduce.targets import (
    ABLATION,
    CLAIMS,
    FIG19,
    REMEDIES_TARGET,
    STUDY,
    TABLE3,
)
from modeseek.bandit.studies.store import Store, Stored
from modeseek.cli import main


def test_the_documentation_is_what_the_stored_cells_say():
    """To the character; the figures are not drawn again."""
    written = Path(__file__).parents[1] / "docs" / "reproduction.md"
    whole = text(picture)
    assert whole == written.read_text(encoding="utf-8")
    pictures = set(re.findall(r"\(reproduction/(.*?\.png)\)", whole))
    assert pictures == {path.name for path in (written.parent / "reproduction").iterdir()}


def test_the_report_says_what_is_stored_and_what_is_not(tmp_path, monkeypatch, capsys):
    real = Store.folder

    def some(store, protocol, conventions):
        there = conventions == "paper" and protocol.name != "more"
        return real(store, protocol, conventions) if there else tmp_path / "nothing"

    monkeypatch.setattr(Store, "folder", some)
    with pytest.raises(SystemExit, match="0"):
        main(["reproduce", "report", "--out", str(tmp_path)])
    text = (tmp_path / "reproduction.md").read_text()
    assert "Not stored yet: `modeseek reproduce fig4 --conventions released_code` makes it." in text
    assert "| reference = policy of each collection | 0.01 | 0.473 → 0.999 | +0.526" in text
    assert (tmp_path / "reproduction" / "short-paper-remedies.png").exists()
    assert "**reversed**" in text
    assert "| reversed | not run yet |" in text
    assert re.search(r"\| undecided, needs \d+ seeds \(quick\) \| not run yet \|", text)  # of the one-token bandit
    for claim in CLAIMS.values():
        assert claim.text in text


def test_more_seeds_of_a_part_stand_behind_the_whole():
    whole, part = STORE.fullest(ABLATION, "released_code")
    assert (whole.protocol.name, part.protocol.name) == ("short", "more")
    assert whole.results.keys() > part.results.keys()
    assert [there.protocol.name for there in STORE.fullest(REMEDIES_TARGET, "paper")] == ["more"]
    assert [there.protocol.name for there in STORE.fullest(TABLE3, "released_code")] == ["full"]


def test_seeds_that_diverged_are_named_wherever_a_verdict_or_a_number_stands(tmp_path, monkeypatch):
    cells = {cell: fake_cell(0.5, seed=i) for i, cell in enumerate(FIG19.cells)}
    ppo = HEADLINES["ppo", "R2"]
    cells[ppo]["expected_reward"][-3:, 5:] = np.nan
    there = Stored(FULL, cells)
    monkeypatch.setattr(Store, "fullest", lambda store, target, conventions: [there] if target is FIG19 else [])
    write_document(tmp_path)
    lines = (tmp_path / "reproduction.md").read_text().splitlines()
    concerned = [c.text for c in FIG19.claims if ppo in c.contrast.cells]
    assert len(concerned) == 2
    for text in concerned:
        in_brief, *at_length = (line for line in lines if text in line)
        assert in_brief.count("; 3/10 diverged") == len(at_length) == len(PRESETS)
        assert all("| 7 of 10, the others diverged |" in line for line in at_length)
    other = CLAIMS["on-policy-ipo-over-rwr-final-R1"].text
    assert not [line for line in lines if other in line and "diverged" in line]
    notes = [row.note for row in verdict_rows(STUDY.assess(FIG19, cells))]
    assert sum(note.endswith("; 3/10 diverged") for note in notes) == len(concerned)
    assert "| 7 of 10, the others diverged |" in numbers_table(cells, FINAL_REWARD, "reward")
    title = DRAWINGS[FIG19](cells, "note").get_suptitle()
    assert title.endswith("\n3 diverged run(s) left out from where they end")
    whole = cells | {ppo: fake_cell(0.5)}
    assert "diverged" not in DRAWINGS[FIG19](whole, "note").get_suptitle()
    cells[HEADLINES["ppo", "R1"]]["expected_reward"][-1, -1] = np.nan
    notes = [text.get_text() for text in DRAWINGS[TABLE3](cells, "note").axes[0].texts]
    assert sum("1 of 10 diverged" in note for note in notes) == 1


def test_what_is_known_of_a_last_process_alone_is_a_lower_bound():
    whole, resumed = fake_cell(0.5), fake_cell(0.5)
    resumed.attrs["seconds_of"] = "last process"
    assert time_spent([whole]) == "1.0 min"
    assert time_spent([whole, resumed], digits=0) == "at least 2 min"
    cells = {cell: fake_cell(0.5) for cell in TABLE3.cells} | {HEADLINES["ppo", "R1"]: resumed}
    notes = [text.get_text() for text in DRAWINGS[TABLE3](cells, "note").axes[0].texts]
    assert sum("at least 1.0 min in all" in note for note in notes) == 1
    assert "4 cells, at least 4 min of computation" in chapter(STUDY, TABLE3, cells, [])[0]
