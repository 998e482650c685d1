"""The report: what is stored, what is not, and of how many seeds each number is."""

import re
from pathlib import Path

import numpy as np
import pytest
from reproduce_cases import fake_cell

from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.studies.cells import time_spent
from modeseek.bandit.studies.chart import verdict_rows
from modeseek.bandit.studies.document import chapter, document, numbers_table
from modeseek.bandit.studies.reproduce.cells import HEADLINES, HEADLINES_WITHIN
from modeseek.bandit.studies.reproduce.document import command, picture, text, write_document
from modeseek.bandit.studies.reproduce.draw import DRAWINGS
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD
from modeseek.bandit.studies.reproduce.protocols import FULL, TEN
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
from modeseek.bandit.studies.study import Study
from modeseek.cli import main


@pytest.mark.slow
def test_the_documentation_is_what_the_stored_cells_say():
    """To the character; the figures are not drawn again."""
    written = Path(__file__).parents[1] / "docs" / "reproduction.md"
    whole = text(picture)
    assert whole == written.read_text(encoding="utf-8")
    pictures = set(re.findall(r"\(reproduction/(.*?\.png)\)", whole))
    assert pictures == {path.name for path in (written.parent / "reproduction").iterdir()}


@pytest.mark.slow
def test_the_report_says_what_is_stored_and_what_is_not(tmp_path, monkeypatch, capsys):
    real = Store.folder

    def some(store, protocol, conventions):
        there = conventions == "paper" and protocol.name not in ("more", "full")
        return real(store, protocol, conventions) if there else tmp_path / "nothing"

    monkeypatch.setattr(Store, "folder", some)
    with pytest.raises(SystemExit, match="0"):
        main(["reproduce", "report", "--out", str(tmp_path)])
    whole = (tmp_path / "reproduction.md").read_text()
    assert "Not stored yet: `modeseek reproduce fig4 --conventions released_code` makes it." in whole
    assert "| reference = policy of each collection | 0.01 | 0.473 → 0.999 | +0.526" in whole
    assert (tmp_path / "reproduction" / "short-paper-remedies.png").exists()
    assert "**reversed**" not in whole  # ten seeds and six judge nothing
    assert re.search(r"\| undecided, needs \d+ seeds \| not run yet \| not run yet \|", whole)
    assert re.search(r"\| undecided, needs \d+ seeds \(quick\) \| not run yet \|", whole)  # of the one-token bandit
    for claim in CLAIMS.values():
        assert claim.text in whole


def test_more_seeds_of_a_part_stand_behind_the_whole():
    whole, part = STORE.fullest(ABLATION, "released_code")
    assert (whole.protocol.name, part.protocol.name) == ("short", "more")
    assert whole.results.keys() > part.results.keys()
    assert [there.protocol.name for there in STORE.fullest(REMEDIES_TARGET, "paper")] == ["more"]
    assert [there.protocol.name for there in STORE.fullest(TABLE3, "paper")] == ["more"]


def test_a_part_is_shown_where_nothing_is_complete_and_what_has_the_most_seeds_is_the_verdict(monkeypatch):
    """Ten seeds of all cells, twenty of two, a hundred of one claim's two."""
    ours, rwr, ppo = (HEADLINES[method, "R1"] for method in ("on_policy_ipo", "rwr", "ppo"))
    made = {
        "ten": {cell: fake_cell(0.5, fresh=10, seed=i) for i, cell in enumerate(FIG19.cells_under(TEN))},
        "full": {ours: fake_cell(0.9, seed=1), rwr: fake_cell(0.5, seed=2), ppo: fake_cell(0.9, seed=3)},
        "more": {ours: fake_cell(0.3, fresh=100, seed=1), rwr: fake_cell(0.5, fresh=100, seed=2)},
    }
    there = lambda protocol: made.get(protocol.name, {})

    def missing(store, target, protocol, conventions):
        return tuple(cell for cell in target.cells_under(protocol) if cell not in there(protocol))

    monkeypatch.setattr(Store, "missing", missing)
    monkeypatch.setattr(Store, "_read_all", lambda store, cells, protocol, _: {c: there(protocol)[c] for c in cells})
    found = STORE.fullest(FIG19, "paper")
    assert [each.protocol.name for each in found] == ["ten", "full", "more"]
    study = Study((FIG19,), {"paper": "text"})
    whole = document(study, STORE, "", picture=lambda *_: "", command=command)
    claim = lambda name: CLAIMS[name].text
    (summary, *_) = (line for line in whole.splitlines() if claim("on-policy-ipo-over-rwr-final-R1") in line)
    assert summary.endswith("| reversed |")  # a hundred seeds, where twenty say reproduced
    (summary, *_) = (line for line in whole.splitlines() if claim("on-policy-ipo-matches-ppo-R1") in line)
    assert summary.endswith("| reproduced |")
    assert "Not run yet: on_policy_ipo-R2, ipo-R1" in whole
    judged = [line for line in whole.splitlines() if claim("ppo-trade-off-R1") in line]
    assert len(judged) == 2  # in brief, and under `full`, which would run it


@pytest.mark.slow
def test_seeds_that_diverged_are_named_wherever_a_verdict_or_a_number_stands(tmp_path, monkeypatch):
    cells = {cell: fake_cell(0.5, seed=i) for i, cell in enumerate(FIG19.cells)}
    ppo = HEADLINES_WITHIN["ppo", "R2"]
    cells[ppo]["expected_reward"][-3:, 5:] = np.nan
    there = Stored(FULL, cells)
    monkeypatch.setattr(Store, "fullest", lambda store, target, conventions: [there] if target is FIG19 else [])
    write_document(tmp_path)
    lines = (tmp_path / "reproduction.md").read_text().splitlines()
    (concerned,) = (c.text for c in FIG19.claims if ppo in c.contrast.cells)
    in_brief, *at_length = (line for line in lines if concerned in line)
    assert in_brief.count("; 3/20 diverged") == len(at_length) == len(PRESETS)
    assert all("| 17 of 20, the others diverged |" in line for line in at_length)
    other = CLAIMS["on-policy-ipo-over-rwr-final-R1"].text
    assert not [line for line in lines if other in line and "diverged" in line]
    notes = [row.note for row in verdict_rows(STUDY.assess(FIG19, cells))]
    assert sum(note.endswith("; 3/20 diverged") for note in notes) == 1
    assert "| 17 of 20, the others diverged |" in numbers_table(cells, FINAL_REWARD, "reward")
    title = DRAWINGS[FIG19](cells, "note").get_suptitle()
    assert title.endswith("\n3 diverged run(s) left out from where they end")
    whole = cells | {ppo: fake_cell(0.5)}
    assert "diverged" not in DRAWINGS[FIG19](whole, "note").get_suptitle()
    cells[HEADLINES["ppo", "R1"]]["expected_reward"][-1, -1] = np.nan
    notes = [note.get_text() for note in DRAWINGS[TABLE3](cells, "note").axes[0].texts]
    assert sum("1 of 20 diverged" in note for note in notes) == 1


def test_what_is_known_of_a_last_process_alone_is_a_lower_bound():
    whole, resumed = fake_cell(0.5), fake_cell(0.5)
    resumed.attrs["seconds_of"] = "last process"
    assert time_spent([whole]) == "1.0 min"
    assert time_spent([whole, resumed], digits=0) == "at least 2 min"
    cells = {cell: fake_cell(0.5) for cell in TABLE3.cells} | {HEADLINES["ppo", "R1"]: resumed}
    notes = [note.get_text() for note in DRAWINGS[TABLE3](cells, "note").axes[0].texts]
    assert sum("at least 1.0 min in all" in note for note in notes) == 1
    assert "4 cells, at least 4 min of computation" in chapter(STUDY, TABLE3, cells, [])[0]
