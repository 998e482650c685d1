"""Intervals for means over seeds: one alone, and many at once without the normal distribution.

Outcomes of training are often of two kinds: some seeds reach the ceiling and others do not. Student's t is then too
sure of a mean (`docs/decisions/0073-verdicts-without-normality.md` has numbers). The studentised bootstrap asks the
seeds themselves. It draws n of the n seeds with replacement, again and again, and looks how far
t* = √n (mean* - mean) / sd* strays. Where one seed in twenty is of another kind, a third of the draws are without it,
their sd* is tiny, and the interval becomes as wide as it should be. Efron and Tibshirani (1993), chapter 12.

Many at once. The same draw of seeds is taken for all claims, so claims that share cells move together, and the
interval pays for what is independent in them alone. Each claim's t* is put on one scale, its rank among that claim's
draws, before the worst of them is looked at, so that all claims are treated alike whatever their tails: Beran (1988),
"Balanced simultaneous confidence sets".
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

CONFIDENCE = 0.95

DRAWS = 50_000
"""Bootstrap samples, by a generator whose stream NumPy has frozen: the same seeds give the same interval."""

SEED = 0
"""Of that generator."""

GUARD = 3.0
"""Standard errors of its own count by which the bootstrap stays on the safe side, so that other draws decide alike."""


class Intervals(NamedTuple):
    """Low and high ends for C means.

    Attributes:
        low: of intervals that hold for all at once; -inf where nothing can be said.
        high: of these.
        low_alone: of intervals that hold one by one.
        high_alone: of these.
    """

    low: Float[np.ndarray, "C"]
    high: Float[np.ndarray, "C"]
    low_alone: Float[np.ndarray, "C"]
    high_alone: Float[np.ndarray, "C"]


def student(values: Float[np.ndarray, "n"]) -> tuple[float, float]:
    """The t interval of a mean, mean ± t sd/√n; infinite from fewer than two values. For pictures of single cells."""
    from scipy.special import stdtrit

    n = len(values)
    if n < 2:
        return -math.inf, math.inf
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * float(values.std(ddof=1)) / math.sqrt(n)
    mean = float(values.mean())
    return mean - half, mean + half


def simultaneous(values: Float[np.ndarray, "C n"], miss: float = 1 - CONFIDENCE) -> Intervals:
    """Intervals of C means over the same n seeds, by the balanced studentised bootstrap.

    Args:
        values: a number of each claim and seed; NaN where there is none.
        miss: how often at most one or more of the simultaneous intervals may miss; in (0, 1).
    """
    present = np.isfinite(values)
    count = present.sum(axis=1)
    mean = np.where(present, values, 0.0).sum(axis=1) / np.maximum(count, 1)
    centred = np.where(present, values - mean[:, None], 0.0)
    spread = np.sqrt((centred**2).sum(axis=1) / np.maximum(count - 1, 1))
    strayed = _strayed(centred, present)
    together, alone = (_guarded(share * DRAWS) for share in (miss, 1 - CONFIDENCE))
    together = min(together, DRAWS - 1)
    far = [_far(t, max(together, alone) + 1) for t in strayed]
    worst = np.full(DRAWS, DRAWS)
    for draws, _, ranks in far:
        worst[draws] = np.minimum(worst[draws], ranks)
    # The largest rank so that at most a share `miss` of the draws has some claim at that rank or before it.
    allowed = int(np.partition(worst, together)[together]) - 1

    def around(rank: int) -> tuple[np.ndarray, np.ndarray]:
        critical = np.array([ordered[-1 - rank] for _, ordered, _ in far])
        half = np.where(spread > 0, critical, 0.0) * spread / np.sqrt(np.maximum(count, 1))
        half = np.where(count > 1, np.nan_to_num(half, nan=np.inf, posinf=np.inf), np.inf)
        return mean - half, mean + half

    return Intervals(*around(allowed), *around(alone))


def _guarded(draws: float) -> int:
    """How many draws may stray, of so many that are expected to: fewer by `GUARD` standard errors of their number."""
    return max(0, math.floor(draws - GUARD * math.sqrt(draws)))


@lru_cache(maxsize=4)
def _multiplicities(n: int, draws: int, seed: int) -> np.ndarray:
    """How often each of n seeds is in each draw, `[draws, n]`; most of the bootstrap's time, and the same each time."""
    drawn = np.random.RandomState(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    return drawn.astype(np.min_scalar_type(n))


def _far(t: Float[np.ndarray, "draws"], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Those of one claim's draws that stray as far as the one at rank `count`, or further: no end lies behind it.

    Returns:
        which draws, by |t*| ascending; their |t*|; their ranks from above, equal ones the last of theirs.
    """
    least = np.partition(t, len(t) - count)[len(t) - count]
    draws = np.flatnonzero(t >= least)
    draws = draws[np.argsort(t[draws])]
    ordered = t[draws]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))  # of those that are equal
    return draws, ordered, len(draws) - np.repeat(first, np.diff(first, append=len(draws)))


def _strayed(centred: Float[np.ndarray, "C n"], present: np.ndarray) -> np.ndarray:
    """|t*| of every claim, `[C, draws]`."""
    drawn = _multiplicities(centred.shape[1], DRAWS, SEED).astype(np.float64)
    total, squares = (np.ascontiguousarray((drawn @ each.T).T) for each in (centred, centred**2))
    whole = np.full(1, float(centred.shape[1]))
    sizes = [whole] * len(centred) if present.all() else list(np.ascontiguousarray((drawn @ present.T).T))
    return np.stack([_studentised(*each) for each in zip(sizes, total, squares, strict=True)])


def _studentised(size: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """|t*| of one claim: a row at a time stays in the processor's cache."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # A draw of one value alone has sd* = 0: it strays without bound, unless it lies on the mean itself.
        variance = np.maximum(squares - total**2 / size, 1e-12 * squares) / (size - 1)
        t = np.abs(total) / np.sqrt(size * variance)
    # To seven digits: draws that are the same but for the order of a sum must have the same rank.
    return np.where(size > 1, np.where(squares > 0, t, 0.0), np.inf).astype(np.float32)
