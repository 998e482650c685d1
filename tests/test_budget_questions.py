"""What is asked about a budget: answers are read off the grid, wrong ones are told why, claims are computed."""

import numpy as np
import pytest

from modeseek.bandit.explore import BudgetExplorer
from modeseek.bandit.explore.budget import questions
from modeseek.bandit.explore.budget.claims import PULLING, PUSHING, Gap, by_refreshing, claims, gap
from modeseek.bandit.explore.budget.outcomes import grid, student
from modeseek.bandit.explore.budget.plan import COLLECTIONS, NAMES, PASSES, RATES, Plan
from modeseek.bandit.explore.budget.questions import ASKED, ENOUGH, check_plan, fewest, predict_plan
from modeseek.bandit.objectives.registry import METHODS


def score_of(plan: Plan) -> float:
    """The score by another way: the stored ends themselves."""
    known = grid()
    ends = known.data["ends"].sel(reward="far-peak")
    low = known.reference("far-peak")
    seen = known.data["seen"].sel(reward="far-peak").mean("seen_seed")
    best = ends.isel(seen.argmax(...)).mean("seed")
    at = {"algorithm": plan.method, "collections": plan.collections, "inner_steps": plan.inner_steps}
    return float((ends.sel(at | {"learning_rate": plan.learning_rate}).mean("seed") - low) / (best - low))


def explorer(plan: Plan) -> BudgetExplorer:
    made = BudgetExplorer(
        method=plan.method,
        collections=plan.collections,
        inner_steps=plan.inner_steps,
        learning_rate=plan.learning_rate,
    )
    assert isinstance(made, BudgetExplorer)
    return made


def test_the_prediction_is_read_off_the_grid():
    prediction = predict_plan()
    truth = prediction.truth()
    found = questions.asked()
    ends = [each.outcome.ends for each in found]
    assert [(each.plan.method, each.plan.collections) for each in found] == list(ASKED)
    assert truth.option == int(np.argmax([end.mean() for end in ends]))
    others = [end for i, end in enumerate(ends) if i != truth.option]
    assert all(student(ends[truth.option] - other)[0] > 0.05 for other in others)  # no question of noise
    assert "nan" not in truth.because
    assert f"{ends[0].mean():.2f}" in truth.because


def test_the_exercise_by_another_way():
    """Every recorded plan that only pulls, one after the other: with fewer collections none has the score."""
    scores = {
        (name, collections, passes, rate): score_of(Plan(name, collections, passes, rate))
        for name in PULLING
        for collections in COLLECTIONS
        for passes in PASSES
        for rate in RATES
    }
    enough = {plan for plan, score in scores.items() if score >= ENOUGH}
    least = min(collections for _, collections, *_ in enough)
    assert fewest() == least
    right = next(Plan(*plan) for plan in sorted(enough) if plan[1] == least)
    assert check_plan(explorer(right)).right
    assert check_plan(explorer(right).to_state()).right
    more = next(Plan(*plan) for plan in sorted(enough) if plan[1] > least)
    assert "fewer collections than" in check_plan(explorer(more)).says
    low = next(Plan(*plan) for plan in sorted(scores) if plan not in enough)
    said = check_plan(explorer(low)).says
    assert f"its score is {scores[(low.method, low.collections, low.inner_steps, low.learning_rate)]:z.2f}" in said
    for answer in (more, low):
        feedback = check_plan(explorer(answer))
        assert not feedback.right
        assert f"{least} collections" not in feedback.says  # nothing is given away


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("budget?preset=near-peak&method=rwr", "this plan is for the near peak"),
        ("budget?method=dpo&collections=8", "DPO pushes down"),
        ("budget?method=rwr&learning_rate=0.2", "RWR, one collection, offline, 4 passes, rate 0.2 was not recorded"),
        ("phase?center=30", "begins with budget?"),
        (7, "give an explorer"),
        (..., "no answer here yet"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(answer, says):
    feedback = check_plan(answer)
    assert not feedback.right
    assert says in feedback.says


def test_the_claims_are_computed():
    """One gap by hand, each word by its interval, and every number of the table from the grid."""
    assert set(PULLING) | set(PUSHING) == set(NAMES)
    assert all(METHODS[name].negative_gradient for name in PUSHING)
    known = grid()
    one, other = known.best("far-peak", ("rwr",), COLLECTIONS[1:]), known.best("far-peak", ("rwr",), (1,))
    found = gap(one, other)
    differences = one.outcome.ends - other.outcome.ends
    assert found.mean == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx(student(differences))
    assert by_refreshing("far-peak")["rwr"] == found
    assert [Gap(0.1, *ends).word for ends in ((0.05, 0.2), (-0.2, -0.05), (-0.1, 0.2))] == [
        "more",
        "less",
        "no difference seen",
    ]
    table = claims()
    assert f"RWR {found}" in table.rows[0][1]
    assert "nan" not in repr(table)
    assert table._repr_markdown_().count("\n") == 1 + len(table.rows)
