"""Which methods may be the best of a cell: those that no other one beats, by intervals over paired seeds.

Method i is ruled out if some j earns more than it by over a margin: if the one-sided t interval of the mean of the
paired differences r_j - r_i lies above the margin. Each of the M - 1 comparisons with one method, at each of the L
looks at the data, may err with probability miss / ((M - 1) L): so the truly best method stays with probability
1 - miss at least, whatever the others do (Gupta, 1965, "On some multiple decision (selection and ranking) rules";
Bonferroni over comparisons and looks). Nothing is claimed of the order of those that stay.

Student's t is too sure where outcomes are of two kinds: four seeds that agree say little of the fifth. The spread of a
difference is therefore taken to be no less than that of all differences in the cell together (the root of their mean
variance): where some rival fails now and then, any may. Nor is it less than a quarter of the margin. A test counts how
often the best one is lost.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

FLOOR = 0.25
"""Least standard deviation of a difference, in margins."""


class Contest(NamedTuple):
    """What the seeds say of one cell.

    Attributes:
        among: whether a method may be the best, `[M]`: one alone has won, several are tied.
        equal: whether those that are tied differ by no more than the margin, by the same intervals: more seeds would
            not tell them apart.
        seeds: after which this was known, or all that there are.
    """

    among: Bool[np.ndarray, "M"]
    equal: bool
    seeds: int

    @property
    def decided(self) -> bool:
        """Whether more seeds are of no use."""
        return int(self.among.sum()) == 1 or self.equal


def critical(seeds: int, miss: float) -> float:
    """One-sided t quantile of the mean of so many differences."""
    from scipy.special import stdtrit

    return float(stdtrit(seeds - 1, 1 - miss))


def look(rewards: Float[np.ndarray, "M n"], competing: Bool[np.ndarray, "M"], margin: float, miss: float) -> Contest:
    """Compare every two of the competing methods on the same n seeds.

    Args:
        rewards: of each method and seed; finite for those that compete.
        competing: those that have not been ruled out before.
        margin: in units of reward.
        miss: of one comparison.
    """
    n = rewards.shape[1]
    there = np.flatnonzero(competing)
    differences = rewards[there][:, None] - rewards[there][None]  # [j, i, n]
    own = differences.std(axis=-1, ddof=1)
    together = math.sqrt((own**2).sum() / max(1, own.size - len(own)))  # a method does not differ from itself
    spread = np.maximum(own, max(together, FLOOR * margin))
    half = critical(n, miss) * spread / math.sqrt(n)
    mean = differences.mean(axis=-1)
    stays = ~(mean - half > margin).any(axis=0)
    among = np.zeros_like(competing)
    among[there[stays]] = True
    others = ~np.eye(int(stays.sum()), dtype=bool)
    within = (mean + half)[np.ix_(stays, stays)][others] <= margin
    return Contest(among, bool(within.size and within.all()), n)


def contest(rewards: Float[np.ndarray, "M S"], looks: tuple[int, ...], margin: float, miss: float) -> Contest:
    """Look at 4, 8, … seeds, each time among those that are left, until the best is known or the seeds end.

    Args:
        rewards: of each method and seed, 0 where it diverged; NaN where it was not run, being ruled out by then.
        looks: the numbers of seeds; those that are not there yet are not looked at.
        margin: a difference too small to matter, in units of reward.
        miss: how often at most the truly best method is not among those that stay.
    """
    methods = len(rewards)
    found = Contest(np.ones(methods, bool), False, 0)
    for seeds in looks:
        there = np.isfinite(rewards[found.among, :seeds])
        if rewards.shape[1] < seeds or not there.all():
            break
        found = look(rewards[:, :seeds], found.among, margin, miss / (max(1, methods - 1) * len(looks)))
        if found.decided:
            break
    return found
