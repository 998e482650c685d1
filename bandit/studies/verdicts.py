"""One rule for every claim: a paired effect over seeds, its interval, and what follows.

Each seed gives a claim one number d: the claimed advantage. It is paired, since runs of one seed share what their
cells do not set: in the bandit the network, prompts and evaluation. Its interval is that of `intervals.simultaneous`:
it holds for all claims of a study at once, and does not need outcomes that scatter normally.

| verdict | the simultaneous interval lies |
|---|---|
| not reproduced | within ±margin ("more"), outside ±margin ("equal"): no effect of the claimed kind that matters |
| reproduced | above margin ("more", "can"), above -margin ("at least as much"), within ±margin ("equal") |
| reversed | below -margin ("more", "at least as much") |
| not seen | below margin ("can"): here it does not happen, which does not contradict that it can |
| undecided | otherwise; or there are too few seeds, see `LEAST_SEEDS` |

Where a claim's numbers are enumerated there are no seeds and nothing to doubt: `judge_exact` takes the number for both
ends of the interval.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from modeseek.bandit.studies.known import intervals_of
from modeseek.checks import require

Kind = Literal["more", "at_least", "equal", "can"]

LEAST_SEEDS = 20
"""Fewer give no verdict."""

MANY_SEEDS = 100
"""Fewer give none where outcomes scatter, see `scatters`, and none that says that nothing is there: of sets of twenty
seeds a third miss a kind of outcome that one run in twenty has."""

ABSENT = ("not reproduced", "not seen")
"""Words that say that something is not there; so does `reproduced` of a claim that two things are equal."""

MOST_LOST = 0.05
"""The share of seeds that may diverge."""


class Verdict(NamedTuple):
    """What a claim's numbers say.

    Attributes:
        word: `reproduced`, `not reproduced`, `reversed`, `not seen` or `undecided`.
        effect: mean of d.
        low: of the simultaneous interval.
        high: of the simultaneous interval.
        low_alone: of the interval that takes this claim alone.
        high_alone: of the interval that takes this claim alone.
        seeds: n, finite ones.
        lost: seeds that have no number: their runs diverged.
        needed: seeds with an even chance of deciding, by the effect and spread seen so far; 0 where it is decided.
        exact: the numbers were enumerated: the effect is what it is, and both intervals are that point.
    """

    word: str
    effect: float
    low: float
    high: float
    low_alone: float
    high_alone: float
    seeds: int
    lost: int
    needed: int
    exact: bool = False

    @property
    def wanting(self) -> str:
        """What would decide an undecided claim."""
        if self.lost > MOST_LOST * (self.seeds + self.lost):
            return "undecided, too many diverged"
        if 0 < self.needed <= self.seeds + self.lost:  # enough by their spread, were it not for a few that stray
            return "undecided, a few seeds decide it"
        return f"undecided, needs {self.needed if self.needed < MOST_SEEDS else f'{MOST_SEEDS} or more'} seeds"

    @property
    def counted(self) -> str:
        """How many seeds it rests on, in words."""
        return "exact" if self.exact else counted(self.seeds, self.lost)


class Question(NamedTuple):
    """What is asked of a claim's numbers.

    Attributes:
        kind: `more`: the effect is above the margin; `at_least`: above -margin; `equal`: within ±margin; `can`: above
            the margin in this case, where the claim is that there are such cases.
        margin: the effect that is too small to matter, in the measure's unit.
        scattered: whether what the claim compares scatters, see `scatters`.
        error: standard error of a reported number that d is the distance from. Against `equal` it is added to ours, as
            of a normal distribution, since the number itself may be off; for it the number stands as it is reported.
    """

    kind: Kind
    margin: float
    scattered: bool = False
    error: float = 0.0


MOST_SEEDS = 1000
"""From here on the answer is "that many or more"."""


def counted(seeds: int, lost: int) -> str:
    """Seeds, and whether those are all: what is said of the others holds only where training does not diverge."""
    return f"{seeds} of {seeds + lost}, the others diverged" if lost else f"{seeds}"


def scatters(values: Float[np.ndarray, "n"], margin: float) -> bool:
    """Whether outcomes of seeds lie so far apart that few of them do not tell their mean.

    So it is if their standard deviation is more than five margins, or if there is an empty stretch of more than five
    margins and two fifths of their range: some runs reach the ceiling and others rest at a half.

    Args:
        values: an outcome of each seed; those that are not finite do not count.
        margin: what is too small to matter.
    """
    ordered = np.sort(values[np.isfinite(values)])
    if len(ordered) < 2:
        return False
    gap = np.diff(ordered).max()
    empty = gap > 0.4 * (ordered[-1] - ordered[0]) and gap > 5 * margin
    return bool(empty or ordered.std(ddof=1) > 5 * margin)


def decide(low: float, high: float, kind: Kind, margin: float) -> str:
    """The word for an interval, by the table above."""
    within = -margin <= low and high <= margin
    if kind == "equal":
        if within:
            return "reproduced"
        return "not reproduced" if low > margin or high < -margin else "undecided"
    if kind == "can":
        return "reproduced" if low > margin else "not seen" if high < margin else "undecided"
    if kind == "more" and within:
        return "not reproduced"
    if low > (margin if kind == "more" else -margin):
        return "reproduced"
    return "reversed" if high < -margin else "undecided"


def decide_number(low: float, high: float, effect: float, margin: float, error: float) -> str:
    """The word for a distance from a reported number that has a standard error of its own, see `Question.error`.

    Args:
        low: of our interval of the distance.
        high: of the same.
        effect: our distance.
        margin: what is too small to matter.
        error: half of the reported number's interval.
    """
    if decide(low, high, "equal", margin) == "reproduced":
        return "reproduced"
    wider = effect - math.hypot(effect - low, error), effect + math.hypot(high - effect, error)
    return decide(*wider, "equal", margin)


def judge_exact(value: float, question: Question) -> Verdict:
    """The verdict on a claim about enumerated numbers: the same table, with an interval that is one point.

    Raises:
        ValueError: the number is not finite.
    """
    require(math.isfinite(value), f"what was enumerated must be finite, got {value}")
    word = decide(value, value, question.kind, question.margin)
    return Verdict(word, value, value, value, value, value, 0, 0, 0, exact=True)


def judge(
    values: Float[np.ndarray, "C n"], questions: Sequence[Question], miss: float, least: int = LEAST_SEEDS
) -> list[Verdict]:
    """The verdicts on C claims about the same seeds.

    Args:
        values: d of each claim and seed; NaN of a seed that diverged.
        questions: one a claim.
        miss: how often at most one or more of the intervals may miss.
        least: fewer seeds give no verdict.
    """
    if not questions:
        return []
    intervals = intervals_of(values, miss)
    return [
        _verdict(values[c], question, tuple(float(bound[c]) for bound in intervals), miss / len(questions), least)
        for c, question in enumerate(questions)
    ]


def _verdict(
    values: Float[np.ndarray, "n"], question: Question, bounds: tuple[float, ...], miss: float, least: int
) -> Verdict:
    """One of them; `bounds` are the fields of `Intervals`, `miss` is what this claim has of the whole."""
    low, high, low_alone, high_alone = bounds
    finite = values[np.isfinite(values)]
    n, lost = len(finite), len(values) - len(finite)
    wanted = MANY_SEEDS if question.scattered else least
    if n == 0:
        return Verdict("undecided", math.nan, low, high, low_alone, high_alone, 0, lost, wanted)
    effect = float(finite.mean())
    reported = NormalDist().inv_cdf(1 - miss / 2) * question.error
    decided = _word(low, high, effect, question, reported)
    if decided in ABSENT or (decided == "reproduced" and question.kind == "equal"):
        wanted = max(wanted, MANY_SEEDS if least == LEAST_SEEDS else least)
    word = decided if n + lost >= wanted and lost <= MOST_LOST * (n + lost) else "undecided"
    needed = 0
    if word == "undecided":
        needed = max(wanted, seeds_needed(finite, lambda a, b: _word(a, b, effect, question, reported), miss))
    return Verdict(word, effect, low, high, low_alone, high_alone, n, lost, needed)


def _word(low: float, high: float, effect: float, question: Question, reported: float) -> str:
    if question.error:
        return decide_number(low, high, effect, question.margin, reported)
    return decide(low, high, question.kind, question.margin)


def seeds_needed(values: Float[np.ndarray, "n"], word: Callable[[float, float], str], miss: float) -> int:
    """The smallest n at which a t interval with this mean and spread would decide; at most `MOST_SEEDS`.

    If they are the true ones, the mean of so many seeds lies on either side of this one with even chances.

    Args:
        values: of the seeds that there are.
        word: for the ends of an interval.
        miss: how often it may miss.
    """
    from scipy.special import stdtrit

    if len(values) < 2:
        return 2
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    for n in range(max(2, len(values)), MOST_SEEDS):
        half = float(stdtrit(n - 1, 1 - miss / 2)) * spread / math.sqrt(n)
        if word(mean - half, mean + half) != "undecided":
            return n
    return MOST_SEEDS
