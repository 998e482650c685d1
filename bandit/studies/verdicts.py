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
| undecided | otherwise; or there are too few seeds, see `seeds_wanted` |
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from modeseek.bandit.studies.intervals import CONFIDENCE, Intervals, simultaneous

Kind = Literal["more", "at_least", "equal", "can"]

LEAST_SEEDS = 20
"""Fewer give no verdict."""

LEAST_OF_TWO_KINDS = 100
"""Fewer give none where outcomes are of two kinds, see `two_kinds`."""


SMOOTHNESS = 0.25
"""A spread of seeds below this part of the margin counts as this part: finer than that nothing is asked."""


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
        needed: seeds with an even chance of deciding, by the effect and spread seen so far, and where some were lost
            as many more; 0 where it is decided.
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

    @property
    def wanting(self) -> str:
        """What would decide an undecided claim."""
        if 0 < self.needed <= self.seeds + self.lost:  # enough by their spread, were it not for a few that stray
            return "undecided, a few seeds decide it"
        return f"undecided, needs {self.needed if self.needed < MOST_SEEDS else f'{MOST_SEEDS} or more'} seeds"

    @property
    def counted(self) -> str:
        """How many seeds it rests on, in words."""
        return counted(self.seeds, self.lost)


class Question(NamedTuple):
    """What is asked of a claim's numbers.

    Attributes:
        kind: `more`: the effect is above the margin; `at_least`: above -margin; `equal`: within ±margin; `can`: above
            the margin in this case, where the claim is that there are such cases.
        margin: the effect that is too small to matter, in the measure's unit.
        two_kinds: whether what the claim compares has outcomes of two kinds.
        error: standard error of a reported number that d is the distance from. Against `equal` it is added to ours, as
            of a normal distribution, since the number itself may be off; for it the number stands as it is reported.
    """

    kind: Kind
    margin: float
    two_kinds: bool = False
    error: float = 0.0


MOST_SEEDS = 1000
"""From here on the answer is "that many or more"."""


def counted(seeds: int, lost: int) -> str:
    """Seeds, and whether those are all: what is said of the others holds only where training does not diverge."""
    return f"{seeds} of {seeds + lost}, the others diverged" if lost else f"{seeds}"


def two_kinds(values: Float[np.ndarray, "n"], margin: float) -> bool:
    """Whether outcomes of seeds fall into two groups with nothing between them.

    So it is if two neighbours, in the order of their outcomes, lie more than two fifths of the whole range and more
    than five margins apart. Of sets of twenty normal outcomes one in sixty has such a gap.

    Args:
        values: an outcome of each seed; those that are not finite do not count.
        margin: what is too small to matter.
    """
    ordered = np.sort(values[np.isfinite(values)])
    if len(ordered) < 2:
        return False
    gap = np.diff(ordered).max()
    return bool(gap > 0.4 * (ordered[-1] - ordered[0]) and gap > 5 * margin)


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


def seeds_wanted(question: Question, least: int = LEAST_SEEDS) -> int:
    """How many seeds a verdict takes: `least`, and where outcomes are of two kinds `LEAST_OF_TWO_KINDS`."""
    return max(least, LEAST_OF_TWO_KINDS) if question.two_kinds else least


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
    floor = np.array([SMOOTHNESS * question.margin for question in questions])
    intervals = simultaneous(values, miss, floor)
    return [_verdict(values, questions, intervals, c, miss, least) for c in range(len(questions))]


def _verdict(
    values: np.ndarray, questions: Sequence[Question], intervals: Intervals, claim: int, miss: float, least: int
) -> Verdict:
    question, finite = questions[claim], values[claim][np.isfinite(values[claim])]
    n, lost = len(finite), values.shape[1] - len(finite)
    low, high, low_alone, high_alone = (float(bound[claim]) for bound in intervals)
    bounds = low, high, low_alone, high_alone
    wanted = seeds_wanted(question, least)
    if n == 0:
        return Verdict("undecided", math.nan, *bounds, 0, lost, wanted)
    alone = miss / len(questions)
    effect, word, needed = float(finite.mean()), "undecided", 0
    if n >= wanted and question.error:
        reported = NormalDist().inv_cdf(1 - alone / 2) * question.error
        word = decide_number(low, high, effect, question.margin, reported)
    elif n >= wanted:
        word = decide(low, high, question.kind, question.margin)
    if word == "undecided":
        needed = max(wanted, seeds_needed(finite, question.kind, question.margin, alone))
        needed = min(MOST_SEEDS, math.ceil(needed * (n + lost) / n))  # as many of them will be lost
    return Verdict(word, effect, *bounds, n, lost, needed)


def seeds_needed(values: Float[np.ndarray, "n"], kind: Kind, margin: float, miss: float = 1 - CONFIDENCE) -> int:
    """The smallest n at which a t interval with this mean and spread would decide; at most `MOST_SEEDS`.

    If they are the true ones, the mean of so many seeds lies on either side of this one with even chances.
    """
    from scipy.special import stdtrit

    if len(values) < 2:
        return 2
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    for n in range(max(2, len(values)), MOST_SEEDS):
        half = float(stdtrit(n - 1, 1 - miss / 2)) * spread / math.sqrt(n)
        if decide(mean - half, mean + half, kind, margin) != "undecided":
            return n
    return MOST_SEEDS
