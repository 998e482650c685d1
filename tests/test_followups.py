"""Follow-ups: cells are run once and kept, exact numbers have verdicts without seeds, the page is what is stored."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import xarray

from modeseek.bandit.studies.assess import assess
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import difference, distinct, level
from modeseek.bandit.studies.followups.document import picture, text
from modeseek.bandit.studies.followups.followup import HUNDRED, FollowupCell, seeds_of
from modeseek.bandit.studies.followups.running import run_cells
from modeseek.bandit.studies.followups.store import CONDITION, STORE
from modeseek.bandit.studies.followups.study import FOLLOWUPS, STUDY
from modeseek.bandit.studies.measures import Measure, Unit
from modeseek.bandit.studies.verdicts import Question, judge_exact
from modeseek.cli import main


def test_the_page_is_what_the_stored_cells_say():
    """To the character; the figures are not drawn again."""
    docs = Path(__file__).parents[1] / "docs"
    whole = text(picture)
    assert whole == (docs / "followups.md").read_text(encoding="utf-8")
    pictures = set(re.findall(r"\(followups/(.*?\.png)\)", whole))
    assert pictures == {path.name for path in (docs / "followups").iterdir()}
    assert "not run yet" not in whole
    for claim in STUDY.claims.values():
        assert claim.text in whole


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLLOWUPS)
def test_a_stored_figure_is_drawn_and_told(name, tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["followups", name, "--stored", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert f"# {name}: " in printed
    assert "| verdict |\n" in printed  # and no column behind it: nothing is tuned
    assert len(list(tmp_path.glob("*.svg"))) == len(list(tmp_path.glob("*.png"))) == 1
    stored = {path.stem for path in (tmp_path / "stored-cells").iterdir()}
    assert stored == {cell.name for cell in FOLLOWUPS[name].cells}


def test_nothing_is_stored_that_no_followup_has():
    named = {cell.name for followup in FOLLOWUPS.values() for cell in followup.cells}
    for protocol in {f.default for f in FOLLOWUPS.values()}:
        assert {path.stem for path in STORE.folder(protocol, CONDITION).glob("*.nc")} <= named


def test_a_paper_that_is_not_there_and_too_much_to_report(capsys):
    for arguments, message in (
        (["followups", "9999.00001"], "there is no follow-up '9999.00001': expected "),
        (["followups", "report", "--stored"], "give it --out alone"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        assert message in capsys.readouterr().err


@dataclasses.dataclass(frozen=True)
class Coin:
    """What a toy cell depends on."""

    mean: float


def tossed(setup: Coin, protocol):
    """A number a seed, around the mean."""
    values = [setup.mean + np.random.default_rng(seed).normal() for seed in seeds_of(protocol)]
    return xarray.Dataset({"value": ("seed", values)}, {"seed": list(seeds_of(protocol))})


def known(setup: Coin, protocol):
    """The mean itself."""
    return xarray.Dataset({"value": setup.mean})


VALUE = Measure("value", lambda data: data["value"], "value", Unit("units", 0.5))
EXACT = FollowupCell("exact", Coin(2.0), known, enumerated=True)
TOSSED = FollowupCell("tossed", Coin(2.0), tossed)


def test_cells_are_run_once_and_an_interrupt_leaves_those_that_are_done(tmp_path):
    calls = []

    def counted(setup, protocol):
        calls.append(setup.mean)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return tossed(setup, protocol)

    cells = tuple(FollowupCell(f"coin-{mean:g}", Coin(mean), counted) for mean in (1.0, 2.0, 3.0))
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells, HUNDRED, tmp_path, say=lambda line: None)
    assert [path.name for path in tmp_path.glob("*.nc")] == ["coin-1.nc"]
    results = run_cells(cells, HUNDRED, tmp_path, say=lambda line: None)
    assert calls == [1.0, 2.0, 2.0, 3.0]
    again = run_cells(cells, HUNDRED, tmp_path, say=lambda line: None)
    assert len(calls) == 4
    for cell in cells:
        np.testing.assert_array_equal(again[cell]["value"], tossed(cell.setup, HUNDRED)["value"])
        assert results[cell].attrs["seconds"] >= 0
    other = dataclasses.replace(cells[0], setup=Coin(5.0))
    with pytest.raises(ValueError, match=r"coin-1\.nc is of another setup: mean differ\. Choose another --out"):
        run_cells((other,), HUNDRED, tmp_path, say=lambda line: None)
    fewer = dataclasses.replace(HUNDRED, fresh_seeds=3)
    with pytest.raises(ValueError, match="another protocol: fresh_seeds differ"):
        run_cells(cells, fewer, tmp_path, say=lambda line: None)


def test_what_is_enumerated_has_a_verdict_without_seeds_and_costs_the_others_nothing(tmp_path):
    results = run_cells((EXACT, TOSSED), HUNDRED, tmp_path, say=lambda line: None)
    sampled = Claim("sampled", "The mean is above one.", "us", level(VALUE, TOSSED, constant=1.0))
    exact = Claim("exact", "The number is two.", "us", level(VALUE, EXACT, constant=2.0), "equal")
    alone = assess([sampled], results, 0.05)[0]
    first, second = assess([exact, sampled], results, 0.05)
    assert (first.word, first.mark, first.verdict.counted) == ("reproduced", ", exact", "exact")
    assert first.verdict.low == first.verdict.effect == first.verdict.high == 0
    assert second == alone
    assert second.verdict.seeds == 100
    assert distinct([exact.contrast, sampled.contrast]) == 1
    # A sampled cell against an enumerated one is a question to seeds.
    both = Claim("both", "They agree.", "us", dataclasses.replace(level(VALUE, TOSSED), constant=0.0), "equal")
    mixed = dataclasses.replace(
        both,
        contrast=dataclasses.replace(both.contrast, terms=(*both.contrast.terms, level(VALUE, EXACT, -1.0).terms[0])),
    )
    assert not mixed.contrast.exact
    verdict = assess([mixed], results, 0.05)[0].verdict
    assert verdict.effect == pytest.approx(float(results[TOSSED]["value"].mean()) - 2)
    assert not verdict.exact


def test_claims_on_fewer_seeds_are_judged_apart_and_the_share_of_each_stays(tmp_path):
    """Two questions at 5 % between them: those on as many seeds share theirs, and that on fewer has its own half."""
    few = FollowupCell(
        "few", Coin(2.0), lambda setup, protocol: tossed(setup, dataclasses.replace(HUNDRED, fresh_seeds=30))
    )
    results = run_cells((few, TOSSED), HUNDRED, tmp_path, say=lambda line: None)
    claims = [Claim(cell.name, "Above one.", "us", level(VALUE, cell, constant=1.0)) for cell in (few, TOSSED)]
    assert assess(claims, results, 0.025) == [assess([claim], results, 0.025)[0] for claim in claims]
    assert [a.verdict.seeds for a in assess(claims, results, 0.025)] == [30, 100]
    with pytest.raises(ValueError, match="cannot be paired"):
        assess([Claim("pair", "Alike.", "us", difference(VALUE, few, TOSSED), "equal")], results, 0.025)


@pytest.mark.parametrize(
    ("value", "kind", "word"),
    [
        (0.6, "more", "reproduced"),
        (0.4, "more", "not reproduced"),
        (-0.6, "more", "reversed"),
        (-0.4, "at_least", "reproduced"),
        (0.4, "equal", "reproduced"),
        (-0.6, "equal", "not reproduced"),
        (0.6, "can", "reproduced"),
        (0.4, "can", "not seen"),
    ],
)
def test_a_number_is_judged_by_the_table_of_intervals(value, kind, word):
    assert judge_exact(value, Question(kind, 0.5)).word == word


def test_a_number_that_is_none_is_refused():
    with pytest.raises(ValueError, match="must be finite, got nan"):
        judge_exact(float("nan"), Question("more", 0.5))
