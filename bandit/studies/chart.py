"""The verdicts of any study as a chart of intervals."""

from collections.abc import Iterable

import numpy as np
from matplotlib.figure import Figure

from modeseek.bandit.figures.intervals import Interval, intervals_figure
from modeseek.bandit.studies.assess import Assessment

VERDICT_AXIS = "claimed effect, in units of what is too small to matter (cut at ±60)"


def verdict_rows(assessments: Iterable[Assessment]) -> list[Interval]:
    """Every claim's effect with its simultaneous interval, in units of the effect that is too small to matter."""
    rows = []
    for a in assessments:
        if a.verdict is None:
            continue
        v, m = a.verdict, a.claim.margin
        effect, low, high = (float(np.clip(x / m, -60, 60)) for x in (v.effect, v.low, v.high))
        emphasis = v.word in ("reversed", "not reproduced")
        rows.append(Interval(a.claim.name, effect, low, high, a.word + a.mark, emphasis=emphasis))
    return rows


def verdict_figure(assessments: Iterable[Assessment], note: str) -> Figure:
    """A row a claim that was judged, see `verdict_rows`."""
    return intervals_figure(
        f"Verdicts\n{note}\n95 % intervals, simultaneous over all claims",
        verdict_rows(assessments),
        VERDICT_AXIS,
        zero=True,
    )
