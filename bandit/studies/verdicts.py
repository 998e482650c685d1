"""One rule for every claim: a paired effect over seeds, its interval, and what follows.

Each seed gives a claim one number d: the claimed advantage. It is paired, since runs of one seed share what their
cells do not set: in the bandit the network, prompts and evaluation. With mean m, standard deviation s and n seeds, the
interval is m ± t s/√n, t the quantile of Student's t with n - 1 degrees of freedom at 1 - .05/(2c): simultaneous for c
claims (Bonferroni).

| verdict | the simultaneous interval lies |
|---|---|
| not reproduced | within ±margin ("more"), outside ±margin ("equal"): no effect of the claimed kind that matters |
| reproduced | else above 0 (a claim of "more"), above -margin ("at least as much"), within ±margin ("equal") |
| reversed | else below 0 ("more"), below -margin ("at least as much") |
| undecided | otherwise; or there are fewer seeds than `LEAST_SEEDS` |
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

Kind = Literal["more", "at_least", "equal"]

LEAST_SEEDS = 5
"""Fewer than the paper's five seeds give no verdict."""

CONFIDENCE = 0.95


class Verdict(NamedTuple):
    """What a claim's numbers say.

    Attributes:
        word: `reproduced`, `not reproduced`, `reversed` or `undecided`.
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
        return f"undecided, needs {self.needed if self.needed < MOST_SEEDS else f'{MOST_SEEDS} or more'} seeds"

    @property
    def counted(self) -> str:
        """How many seeds it rests on, in words."""
        return counted(self.seeds, self.lost)


MOST_SEEDS = 1000
"""From here on the answer is "that many or more"."""


def counted(seeds: int, lost: int) -> str:
    """Seeds, and whether those are all: what is said of the others holds only where training does not diverge."""
    return f"{seeds} of {seeds + lost}, the others diverged" if lost else f"{seeds}"


def quantile(probability: float, freedom: int) -> float:
    """Where the distribution function of Student's t, with so many degrees of freedom, has that probability."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def interval(values: Float[np.ndarray, "n"], claims: int = 1) -> tuple[float, float]:
    """The t interval of the mean, simultaneous for so many claims; infinite from fewer than two values."""
    n = len(values)
    if n < 2:
        return -math.inf, math.inf
    half = quantile(1 - (1 - CONFIDENCE) / (2 * claims), n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    mean = float(values.mean())
    return mean - half, mean + half


def decide(low: float, high: float, kind: Kind, margin: float) -> str:
    """The word for an interval, by the table above."""
    if kind == "equal":
        if -margin <= low and high <= margin:
            return "reproduced"
        return "not reproduced" if low > margin or high < -margin else "undecided"
    if kind == "more" and -margin <= low and high <= margin:  # first: of two policies at 1.000, one is .0001 higher
        return "not reproduced"
    bar = 0.0 if kind == "more" else -margin
    if low > bar:
        return "reproduced"
    if high < bar:
        return "reversed"
    return "undecided"


def judge(values: Float[np.ndarray, "n"], kind: Kind, margin: float, claims: int) -> Verdict:
    """The verdict on one claim.

    Args:
        values: d of each seed; NaN of a seed that diverged.
        kind: `more`: the effect is above 0; `at_least`: above -margin; `equal`: within ±margin.
        margin: the effect that is too small to matter, in the measure's unit.
        claims: how many claims are judged together.
    """
    finite = values[np.isfinite(values)]
    n, lost = len(finite), len(values) - len(finite)
    if n == 0:
        return Verdict("undecided", math.nan, -math.inf, math.inf, -math.inf, math.inf, 0, lost, LEAST_SEEDS)
    low, high = interval(finite, claims)
    alone = interval(finite)
    word = decide(low, high, kind, margin) if n >= LEAST_SEEDS else "undecided"
    needed = seeds_needed(finite, kind, margin, claims) if word == "undecided" else 0
    needed = min(MOST_SEEDS, math.ceil(needed * (n + lost) / n))  # as many of them will be lost
    return Verdict(word, float(finite.mean()), low, high, *alone, n, lost, needed)


def seeds_needed(values: Float[np.ndarray, "n"], kind: Kind, margin: float, claims: int) -> int:
    """The smallest n at which this mean and spread would decide; at least `LEAST_SEEDS`, at most `MOST_SEEDS`.

    If they are the true ones, the mean of so many seeds lies on either side of this one with even chances.
    """
    if len(values) < 2:
        return LEAST_SEEDS
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    for n in range(max(LEAST_SEEDS, len(values)), MOST_SEEDS):
        half = quantile(1 - (1 - CONFIDENCE) / (2 * claims), n - 1) * spread / math.sqrt(n)
        if decide(mean - half, mean + half, kind, margin) != "undecided":
            return n
    return MOST_SEEDS
