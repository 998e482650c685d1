"""Notebook 10's parts: what it says is what the stored cells say, and a live run refuses what it cannot do."""

import dataclasses
import html
import importlib.util

import numpy as np
import pytest

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.cells import fresh_runs
from modeseek.bandit.studies.reproduce.cells import STALENESS
from modeseek.bandit.studies.reproduce.protocols import TEN
from modeseek.bandit.studies.reproduce.store import STORE
from modeseek.bandit.studies.reproduce.targets import STUDY as BANDIT
from modeseek.llm.explore import live, questions, recorded
from modeseek.llm.explore.lessons import LESSONS, READINGS, carries_over
from modeseek.llm.explore.live import LiveRuns, told, tune_live, tuned_rate
from modeseek.llm.explore.questions import check_both, predict_negative_gradient, predict_on_policy, predict_where
from modeseek.llm.explore.recorded import Recorded, judged, of_language, stored
from modeseek.llm.studies.cells import OFFLINE, TOGETHER
from modeseek.llm.studies.draw import METHODS
from modeseek.llm.studies.targets import CLAIMS, STUDY, TARGETS


def last_gold(method: str, scenario: str) -> float:
    """The mean over fresh seeds of the gold reward at the last measurement, by hand."""
    cell = TOGETHER[method, scenario]
    runs = fresh_runs(stored([cell])[cell])["expected_reward"]
    return float(runs.isel(step=slice(-1, None)).mean(("step", "seed")))


def test_a_claim_is_judged_as_its_target_judges_it():
    """The interval holds for all of the study's claims, although one alone is asked for."""
    name = "negative-over-pref_ft-min"
    (alone,) = of_language(name)
    target = TARGETS["fig6"]
    (whole,) = (a for a in STUDY.assess(target, stored(target.cells)) if a.claim.name == name)
    assert alone.verdict is not None
    assert alone.verdict == whole.verdict
    values = {m: last_gold(m, "min_length") for m in ("dpo", "pref_ft")}
    assert alone.verdict.effect == pytest.approx(values["dpo"] - values["pref_ft"], abs=1e-4)


def test_a_prediction_is_judged_by_the_stored_cells():
    shares = []
    for s in ("min_length", "mode_length"):
        ends = {m: last_gold(m, s) for m in METHODS}
        best, worst = max(ends, key=ends.__getitem__), min(ends, key=ends.__getitem__)
        cells = [TOGETHER[m, s] for m in METHODS]
        runs = {m: fresh_runs(stored(cells)[TOGETHER[m, s]])["expected_reward"].values for m in METHODS}
        start = np.mean([run[:, 0] for run in runs.values()])
        shares.append((runs[best][:, -1] - runs[worst][:, -1]) / -start)
        found = questions.spread(s)
        assert (found.best, found.worst) == (best, worst)
        assert np.mean(found.gap) == pytest.approx(ends[best] - ends[worst], abs=1e-4)
        assert f"{ends[best] - ends[worst]:.1f} of {-start:.1f} tokens" in predict_where().truth().because
    apart = shares[0] - shares[1]
    half = 2.262157 * apart.std(ddof=1) / np.sqrt(10)  # t(.975, 9)
    truth = predict_where().truth()
    assert truth.option == 0
    assert apart.mean() - half > 0
    assert f"{apart.mean():.2f} ({apart.mean() - half:.2f} to {apart.mean() + half:.2f}" in truth.because


def test_what_notebook_10_says_is_so():
    """Of Skew Length, of the bandit's stale samples, and of RWR without EOS, whose responses get longer."""
    skew = {m: fresh_runs(stored([OFFLINE[m, "skew_length"]])[OFFLINE[m, "skew_length"]]) for m in ("dpo", "pref_ft")}
    ends = {m: -runs["expected_reward"].values[:, -1] for m, runs in skew.items()}
    assert ends["pref_ft"].mean() < ends["dpo"].mean()
    assert (round(ends["dpo"].min()), round(ends["dpo"].max())) == (0, 24)
    (claim,) = of_language("negative-over-pref_ft-skew")
    assert claim.word.startswith("undecided")
    stale = [cell for (_, reward), cell in STALENESS.items() if reward == "R1"]
    runs = [STORE.read(cell, TEN, "paper", STORE.folder(TEN, "paper")) for cell in stale]
    assert min(float(fresh_runs(each)["expected_reward"].isel(step=-1).mean()) for each in runs) > 0.99
    assert {cell.algorithm.samples_per_collection * cell.algorithm.collections for cell in stale} == {100_000}
    (eos,) = (cell for cell in TARGETS["eos"].cells if cell.name == "rwr-no-eos-min")
    lengths = -fresh_runs(stored([eos])[eos])["expected_reward"].values.mean(0)
    assert lengths[-1] > lengths[0] + 5


@pytest.mark.parametrize(
    ("predict", "claim"),
    [
        (predict_on_policy, "on-policy-dpo-over-dpo-mean-min"),
        (predict_negative_gradient, "negative-over-pref_ft-min"),
    ],
)
@pytest.mark.parametrize(
    ("word", "option"), [("reproduced", 0), ("reversed", 1), ("not reproduced", 2), ("undecided", 2)]
)
def test_whichever_way_a_verdict_goes_its_option_is_the_right_one(monkeypatch, predict, claim, word, option):
    real = of_language

    def moved(*names):
        return [a._replace(verdict=a.verdict._replace(word=word)) if a.claim.name == claim else a for a in real(*names)]

    monkeypatch.setattr(questions, "of_language", moved)
    truth = predict().truth()
    assert truth.option == option
    assert f"**{word}" in truth.because


def test_a_method_that_was_not_run_is_named():
    missing = dataclasses.replace(TOGETHER["dpo", "min_length"], name="none-min")
    with pytest.raises(ValueError, match="none-min is not stored: `modeseek llm reproduce` makes it"):
        questions.end(questions.FINAL_GOLD, missing)


@pytest.mark.slow
def test_every_lesson_names_claims_of_both_studies():
    said = carries_over().markdown
    names = {name for lesson in LESSONS for name in lesson.bandit}
    bandit = {words: judged(BANDIT, STORE, conventions, names) for conventions, words in READINGS.items()}
    for lesson in LESSONS:
        assert lesson.text in said
        for name, assessment in zip(lesson.language, of_language(*lesson.language), strict=True):
            assert f"{CLAIMS[name].text} **{assessment.word}**" in said
        for name in lesson.bandit:
            words = [
                f"**shown, not judged**, {a.verdict.effect:+z.2f} on {a.seeds} seeds ({reading})"
                if a.verdict and a.seeds < 20
                else f"**{a.word}**{a.mark} ({reading})"
                for reading, a in ((reading, found[name]) for reading, found in bandit.items())
            ]
            assert f"{BANDIT.claims[name].text} {', '.join(words)}" in said


def test_a_recorded_target_shows_what_is_there_and_names_what_is_not(monkeypatch):
    whole = Recorded("fig10")
    assert whole.picture.png().startswith(b"\x89PNG")
    assert "rwr-min" in whole.picture.caption
    assert whole.verdicts.markdown.count("\n") >= len(whole.target.claims) + 2
    lost = TOGETHER["rwr", "min_length"]
    monkeypatch.setattr(recorded, "stored", lambda cells: stored(c for c in cells if c != lost))
    part = Recorded("fig10")
    assert part.missing == ("rwr-min",)
    assert "Not stored: rwr-min; `modeseek llm reproduce fig10 --scale laptop` makes them" in part.picture.caption
    assert "undecided, not run" in part.verdicts.markdown
    monkeypatch.setattr(recorded, "stored", lambda cells: {})
    with pytest.raises(ValueError, match="nothing is stored of fig10"):
        _ = Recorded("fig10").picture
    with pytest.raises(ValueError, match="no target 'fig3' with curves"):
        Recorded("fig3")


def test_the_exercise_knows_the_registry():
    right = {m for m in METHODS if variant(m).on_policy and variant(m).method.negative_gradient}
    assert check_both(right).right
    for answer, says in (
        (..., "no answer here yet"),
        (7, "names are asked for"),
        ({"sft"}, "a method of figure 10 must be one of"),
        ({"dpo"}, "learns from what the reference wrote"),
        ({"rwr"}, "pushes none down"),
        ({"ppo"}, f"1 of {len(right)}"),
    ):
        feedback = check_both(answer)
        assert not feedback.right
        assert says in feedback.says


def test_progress_is_told_at_each_quarter():
    for most in (1, 3, 24, 150):
        lines: list[str] = []
        assert list(told("SFT", lines.append)(range(most))) == list(range(most))
        steps = [int(line.split()[2]) for line in lines]
        assert steps == sorted({int(np.ceil(most * quarter / 4)) for quarter in (1, 2, 3, 4)})


def test_a_live_run_says_when_responses_have_halved():
    found = LiveRuns({"rwr": [16.0, 12.0, 8.0, 5.0], "on_policy_dpo": [16.0, 12.0, 9.0, 8.5]})
    assert "RWR here: 16.0 tokens at first, half of that at step 2, 5.0 at last" in found.caption
    assert "DPO here: 16.0 tokens at first, never half of that, 8.5 at last" in found.caption
    assert found.png().startswith(b"\x89PNG")
    assert f'<img alt="{html.escape(found.caption)}" src="data:image/png;base64,' in found.still().html


def test_a_live_run_takes_the_recorded_rate():
    cell = TOGETHER["rwr", "min_length"]
    assert tuned_rate("rwr") == stored([cell])[cell].attrs["learning_rate"]
    assert tuned_rate("best_of_n") == live.RATE


def test_a_live_run_refuses_what_has_no_samples(monkeypatch):
    for method in ("dpo", "pref_ft"):
        assert OFFLINE[method, "min_length"].method == method
        with pytest.raises(ValueError, match="learns offline: a live run has no pairs"):
            tune_live(live.Start(None, None), method)  # refused before it is looked at
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"transformers and tokenizers cannot be imported: .*\[notebooks,llm\]"):
        live.begin()
