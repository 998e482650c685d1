"""Notebook 10's parts: what it says is what the stored cells say, and a live run refuses what it cannot do."""

import dataclasses
import html
import importlib.util

import numpy as np
import pytest

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.cells import fresh_runs
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
    ends = {s: [last_gold(m, s) for m in METHODS] for s in ("min_length", "mode_length")}
    gaps = {s: max(values) - min(values) for s, values in ends.items()}
    for s, gap in gaps.items():
        assert questions.spread(s)[0] == pytest.approx(gap, abs=1e-4)
    ratio = gaps["min_length"] / gaps["mode_length"]
    truth = predict_where().truth()
    assert truth.option == int(ratio >= 2) + int(ratio >= 5)
    assert f"{ratio:.1f}" in truth.because


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
            words = [f"**{found[name].word}**{found[name].mark} ({reading})" for reading, found in bandit.items()]
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
