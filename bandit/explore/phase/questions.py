"""Predictions and exercises of notebook 08; every answer is read off the recorded runs."""

from typing import Any

import numpy as np

from modeseek.bandit.explore.phase.model import PhaseModel, centers
from modeseek.bandit.explore.toolkit.checks import Wrong, check, model_of, number
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth
from modeseek.bandit.objectives.registry import variant


def predict_crossing() -> Prediction:
    """How far away must the peak be, for Best-of-N to end above on-policy IPO?"""

    def truth() -> Truth:
        result = PhaseModel().result
        best, ipo = (result.mean[result.methods.index(name), :, -1] for name in ("best_of_n", "on_policy_ipo"))
        behind = ipo < best
        each = ", ".join(f"{x:z.2f} against {y:z.2f} at {c}" for x, y, c in zip(best, ipo, centers(), strict=True))
        last = len(centers())
        return Truth(
            int(behind.argmax()) if behind.any() else last,
            f"Best-of-N's mean against on-policy IPO's after {result.steps[-1]} gradient steps: {each}. Both sample "
            "what the reward likes; what holds on-policy IPO where the peak is far is the question of notebook 09.",
        )

    return Prediction(
        "In notebook 00 on-policy IPO was the first above one half on R1, whose peak is at 70, and ended below "
        "Best-of-N. Slide the peak there from 20: which is the first of the recorded places at which it ends below?",
        (*(f"Token {center}." for center in centers()), "None of them, in these runs."),
        truth,
    )


def predict_offline() -> Prediction:
    """How much does offline IPO lose as the peak moves away?"""

    def truth() -> Truth:
        result = PhaseModel().result
        end = result.mean[result.methods.index("ipo"), :, -1]
        fall = int(end[0] > end[-1])
        steady = fall and (np.diff(end) < 0).all()
        each = ", ".join(f"{end[i]:z.2f} at {center}" for i, center in enumerate(centers()))
        return Truth(
            0 if steady else 1 if fall else 2,
            f"At the end {each}. What decides is how often the reference's samples hold a rewarded token, and its mass "
            "does not fall evenly.",
        )

    return Prediction(
        "Slide the peak from 20 to 70. What does offline IPO's reward at the end do?",
        (
            "It falls at every place.",
            "It is lower at 70 than at 20, but does not fall everywhere on the way.",
            "It does not fall.",
        ),
        truth,
    )


@check
def check_half(center: Any) -> str:
    """Exercise 1: the nearest place at which offline IPO ends below one half."""
    value = number(center, "a place of the peak", 0.0, 99.0)
    if value not in centers():
        raise Wrong(f"recorded are peaks at {', '.join(map(str, centers()))}; this is {value:g}.")
    result = PhaseModel().result
    end = result.mean[result.methods.index("ipo"), :, -1]
    at, first = centers().index(int(value)), int(np.argmax(end < 0.5))
    if end[at] >= 0.5:
        raise Wrong(f"with the peak at {value:g} it ends at {end[at]:z.2f}.")
    if at > first:
        raise Wrong(f"there it ends at {end[at]:z.2f}, but it is below one half nearer to the reference already.")
    return f"it ends at {end[at]:z.2f}."


@check
def check_change(first: Any, second: Any) -> str:
    """Exercise 2: two cells of one set of methods, each clearly won, with different winners."""
    one, two = model_of(first, PhaseModel), model_of(second, PhaseModel)
    if one.values.preset != two.values.preset:
        raise Wrong("the two states compare different sets of methods.")
    winners = []
    for model in (one, two):
        c, e = model.cell
        if e == 0:
            raise Wrong("before the first step every method is the same policy.")
        winner = model.result.methods[int(model.result.winner[c, e])]
        if model.result.tied[c, e]:
            raise Wrong(f"{model.to_state()} is a tie: {variant(winner).title} is ahead, but the intervals overlap.")
        winners.append(variant(winner).title)
    if winners[0] == winners[1]:
        raise Wrong(f"{winners[0]} wins both.")
    return f"{winners[0]} wins the first and {winners[1]} the second, beyond the noise of these seeds."


@check
def check_tie(state: Any) -> str:
    """Exercise 3: a tie although the means of the best two differ by .05 or more."""
    model = model_of(state, PhaseModel)
    c, e = model.cell
    best, next_best = np.sort(model.result.mean[:, c, e])[::-1][:2]
    if not model.result.tied[c, e]:
        raise Wrong("that cell is clearly won.")
    if best - next_best < 0.05:
        raise Wrong(f"it is a tie, but the best two means, {best:z.3f} and {next_best:z.3f}, differ by less than .05.")
    seeds = model.result.rewards.shape[-1]
    return (
        f"{best:z.2f} against {next_best:z.2f}: with {seeds} seeds the intervals still overlap. More seeds might "
        f"decide."
    )
