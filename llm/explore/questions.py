"""Predictions and exercises of notebook 10; every answer is computed from the stored cells, or from the registry."""

from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.explore.toolkit.checks import Wrong, check, options_of
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.assess import Assessment
from modeseek.bandit.studies.cells import fresh_runs
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.intervals import student
from modeseek.bandit.studies.measures import Measure
from modeseek.checks import require
from modeseek.llm.explore.recorded import effect, of_language, stored
from modeseek.llm.studies.cells import OFFLINE, TOGETHER, LanguageCell
from modeseek.llm.studies.claims import TITLES
from modeseek.llm.studies.draw import METHODS
from modeseek.llm.studies.measures import CHOSEN, FINAL_GOLD, REJECTED
from modeseek.llm.studies.targets import FIG20, STUDY


def end(measure: Measure, cell: LanguageCell) -> float:
    """The mean of a measure over a stored cell's fresh seeds, those that did not diverge.

    Raises:
        ValueError: the cell is not stored.
    """
    results = stored([cell])
    require(cell in results, f"{cell.name} is not stored: `modeseek llm reproduce` makes it")
    return float(np.nanmean(fresh_values(level(measure, cell), results)))


class Spread(NamedTuple):
    """How far apart the five methods of a scenario end in gold reward.

    Attributes:
        best: name of the method that ends highest.
        worst: of the one that ends lowest.
        gap: of these two for each fresh seed, tokens.
        room: what the reference leaves to be gained, tokens: the gold reward is at most zero.
    """

    best: str
    worst: str
    gap: np.ndarray
    room: float


def spread(scenario: str) -> Spread:
    """What the choice of a method is worth."""
    ends = {m: end(FINAL_GOLD, TOGETHER[m, scenario]) for m in METHODS}
    best, worst = max(ends, key=ends.__getitem__), min(ends, key=ends.__getitem__)
    cells = [TOGETHER[m, scenario] for m in METHODS]
    results = stored(cells)
    higher, lower = (fresh_values(level(FINAL_GOLD, TOGETHER[m, scenario]), results) for m in (best, worst))
    starts = [fresh_runs(results[cell])["expected_reward"].isel(step=0).values for cell in cells]
    return Spread(best, worst, higher - lower, -float(np.mean(starts)))


def predict_where() -> Prediction:
    """Is the choice of a method worth as much on Mode Length as on Min Length?"""

    def truth() -> Truth:
        found = {scenario: spread(scenario) for scenario in ("min_length", "mode_length")}
        words = [
            f"{TITLES[scenario]}: {np.nanmean(each.gap):z.1f} of {each.room:z.1f} tokens, from "
            f"{variant(each.worst).title} up to {variant(each.best).title}."
            for scenario, each in found.items()
        ]
        far, near = (each.gap / each.room for each in found.values())
        difference = far - near
        low, high = student(difference[np.isfinite(difference)])
        verdicts = [a.verdict.word if a.verdict else "not run" for a in STUDY.assess(FIG20, stored(FIG20.cells))]
        counts = ", ".join(f"{verdicts.count(word)} {word}" for word in dict.fromkeys(verdicts))
        return Truth(
            0 if low > 0 else 1 if high < 0 else 2,
            f"{' '.join(words)} As shares {np.nanmean(far):z.2f} and {np.nanmean(near):z.2f}; over {len(difference)} "
            f"seeds they differ by {np.nanmean(difference):z.2f} ({low:z.2f} to {high:z.2f}, with best and worst taken "
            "as they ended). The paper's claims that two methods end alike on Mode Length, to within a token: "
            f"{counts}.",
        )

    return Prediction(
        "In the bandit methods end farther apart on R1, whose peak the reference hardly visits, than on R2. Here Min "
        "Length is the far peak (shorter is better), Mode Length the near one (the reference's own mean length is "
        "best). Five methods are tuned. Subtract the worst one's final gold reward from the best one's, and divide by "
        "how far the reference is below the maximum. Where is this share larger?",
        ("On Min Length.", "On Mode Length.", "Ten seeds cannot tell."),
        truth,
    )


def _by(assessment: Assessment) -> int:
    """0: the claim stands; 1: its opposite; 2: neither could be told."""
    return {"reproduced": 0, "reversed": 1}.get(assessment.word, 2)


def predict_on_policy() -> Prediction:
    """DPO on the policy's own pairs, or on the reference's?"""

    def truth() -> Truth:
        faster, higher = of_language("on-policy-dpo-over-dpo-mean-min", "on-policy-dpo-over-dpo-final-min")
        return Truth(
            _by(faster),
            f"On-policy less offline, mean gold reward over the run: {effect(faster)}; at the end: {effect(higher)}. "
            "Offline pairs are the reference's: of responses that only the tuned policy writes they say nothing.",
        )

    return Prediction(
        "Min Length, DPO, as many gradient steps: on pairs that the reference wrote (offline), or on pairs that the "
        "policy writes anew for each step (on-policy). Which has the shorter responses over the run?",
        ("On-policy.", "Offline.", "Ten seeds cannot tell."),
        truth,
    )


def predict_negative_gradient() -> Prediction:
    """Offline: is pushing up what is preferred enough?"""

    def truth() -> Truth:
        (ends,) = of_language("negative-over-pref_ft-min")
        nats = {
            m: [end(measure, OFFLINE[m, "min_length"]) for measure in (CHOSEN, REJECTED)] for m in ("dpo", "pref_ft")
        }
        moved = "; ".join(f"{variant(m).title} {up:+z.1f} and {down:+z.1f}" for m, (up, down) in nats.items())
        return Truth(
            _by(ends),
            f"DPO's final gold reward less Pref-FT's: {effect(ends)}. What each does to the log-likelihood of held-out "
            f"preferred and dispreferred responses, nats: {moved}. Pref-FT too, which only pushes up what it is "
            "trained on, makes held-out preferred responses less likely. A likely reason: learning rates are tuned for "
            "the gold reward, and both methods fit their own pairs too closely.",
        )

    return Prediction(
        "Min Length, offline, the same pairs: DPO pushes the preferred response up and the other one down; Pref-FT "
        "only pushes the preferred one up. Which ends with the shorter responses?",
        ("DPO.", "Pref-FT.", "Ten seeds cannot tell."),
        truth,
    )


@check
def check_both(names: Any) -> str:
    """Exercise 1: which of figure 10's methods sample for themselves and push some responses down."""
    given = options_of(names, {name: variant(name).title for name in METHODS}, "a method of figure 10")
    for name in METHODS:
        row = variant(name)
        if name in given and not row.on_policy:
            raise Wrong(f"{row.title} learns from what the reference wrote.")
        if name in given and not row.method.negative_gradient:
            raise Wrong(f"{row.title} gives every response a weight of at least zero: it pushes none down.")
    both = {name for name in METHODS if variant(name).on_policy and variant(name).method.negative_gradient}
    if given != both:
        raise Wrong(f"{len(given)} of {len(both)} are named.")
    ends = ", ".join(f"{variant(m).title} {-end(FINAL_GOLD, TOGETHER[m, 'min_length']):z.1f}" for m in METHODS)
    return f"tokens of a response at the end on Min Length: {ends}."
