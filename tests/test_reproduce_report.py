"""The report: what is stored, what is not, and of how many seeds each number is."""

import re

import numpy as np
import pytest
from reproduce_cases import fake_cell

from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.studies.assess import assess_target
from modeseek.bandit.studies.protocol import FULL
from modeseek.bandit.studies.reproduce import document, report, running
from modeseek.bandit.studies.reproduce.cells import cells_of
from modeseek.bandit.studies.reproduce.claims import CLAIMS
from modeseek.bandit.studies.reproduce.draw import DRAWINGS, verdict_rows
from modeseek.cli import main


def test_the_report_says_what_is_stored_and_what_is_not(tmp_path, monkeypatch, capsys):
    real = running.stored_folder

    def some(protocol, conventions):
        there = conventions == "paper" and protocol.name != "more"
        return real(protocol, conventions) if there else tmp_path / "nothing"

    for module in (running, document):
        monkeypatch.setattr(module, "stored_folder", some)
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
    whole, part = document.stored("ablation", "released_code")
    assert (whole.protocol.name, part.protocol.name) == ("short", "more")
    assert whole.cells.keys() > part.cells.keys()
    assert [there.protocol.name for there in document.stored("remedies", "paper")] == ["more"]
    assert [there.protocol.name for there in document.stored("table3", "released_code")] == ["full"]


def test_seeds_that_diverged_are_named_wherever_a_verdict_or_a_number_stands(tmp_path, monkeypatch):
    cells = {name: fake_cell(0.5, seed=i) for i, name in enumerate(cells_of(("fig19",), FULL))}
    cells["ppo-R2"]["expected_reward"][-3:, 5:] = np.nan
    there = document.Stored(FULL, cells)
    monkeypatch.setattr(document, "stored", lambda target, conventions: [there] if target == "fig19" else [])
    document.write_document(tmp_path)
    lines = (tmp_path / "reproduction.md").read_text().splitlines()
    concerned = [c.text for c in CLAIMS.values() if c.figure == "fig19" and "ppo-R2" in c.contrast.cells]
    assert len(concerned) == 2
    for text in concerned:
        in_brief, *at_length = (line for line in lines if text in line)
        assert in_brief.count("; 3/10 diverged") == len(at_length) == len(PRESETS)
        assert all("| 7 of 10, the others diverged |" in line for line in at_length)
    other = CLAIMS["on-policy-ipo-over-rwr-final-R1"].text
    assert not [line for line in lines if other in line and "diverged" in line]
    notes = [row.note for row in verdict_rows(assess_target("fig19", cells))]
    assert sum(note.endswith("; 3/10 diverged") for note in notes) == len(concerned)
    assert "| 7 of 10, the others diverged |" in report.numbers(cells)
    title = DRAWINGS["fig19"](cells, "note").get_suptitle()
    assert title.endswith("\n3 diverged run(s) left out from where they end")
    whole = cells | {"ppo-R2": fake_cell(0.5)}
    assert "diverged" not in DRAWINGS["fig19"](whole, "note").get_suptitle()
    cells["ppo-R1"]["expected_reward"][-1, -1] = np.nan
    notes = [text.get_text() for text in DRAWINGS["table3"](cells, "note").axes[0].texts]
    assert sum("1 of 10 diverged" in note for note in notes) == 1


def test_what_is_known_of_a_last_process_alone_is_a_lower_bound():
    whole, resumed = fake_cell(0.5), fake_cell(0.5)
    resumed.attrs["seconds_of"] = "last process"
    assert running.spent(whole) == "1.0 min"
    assert running.spent(whole, resumed, digits=0) == "at least 2 min"
    cells = {name: fake_cell(0.5) for name in cells_of(("table3",), FULL)} | {"ppo-R1": resumed}
    notes = [text.get_text() for text in DRAWINGS["table3"](cells, "note").axes[0].texts]
    assert sum("at least 1.0 min in all" in note for note in notes) == 1
    assert "4 cells, at least 4 min of computation" in report.chapter("table3", FULL, "paper", cells, [])
