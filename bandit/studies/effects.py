"""Effects: what one change does to a measure, by the rule that judges claims."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from modeseek.bandit.studies.cells import Cell, Results
from modeseek.bandit.studies.contrasts import difference, fresh_values, level
from modeseek.bandit.studies.intervals import CONFIDENCE
from modeseek.bandit.studies.measures import Measure
from modeseek.bandit.studies.verdicts import LEAST_SEEDS, Question, Verdict, judge, scatters
from modeseek.markdown import markdown_table

WORDS = {"reproduced": "raises it", "reversed": "lowers it", "not reproduced": "does not matter"}
"""`judge`'s words for a claim of "more", said of a change."""


class Change(NamedTuple):
    """A cell with something changed, and the cell without.

    Attributes:
        text: what was changed, in words.
        measure: what may move.
        changed: the cell with the change.
        plain: the cell without.
    """

    text: str
    measure: Measure
    changed: Cell
    plain: Cell


def effects(changes: Sequence[Change], results: Results, least: int = LEAST_SEEDS) -> list[Verdict]:
    """The paired effects of changes that are judged together, each cell at its own tuned rate.

    Args:
        changes: whose cells are there.
        results: of all of their cells.
        least: fewer seeds give no verdict.
    """
    if not changes:
        return []
    contrasts = [difference(change.measure, change.changed, change.plain) for change in changes]
    questions = []
    for change in changes:
        margin = change.measure.unit.negligible
        ends = [fresh_values(level(change.measure, cell), results) for cell in (change.plain, change.changed)]
        questions.append(Question("more", margin, any(scatters(end, margin) for end in ends)))
    values = np.stack([fresh_values(contrast, results) for contrast in contrasts])
    return judge(values, questions, 1 - CONFIDENCE, least)


def effects_table(changes: Sequence[Change], results: Results, least: int = LEAST_SEEDS) -> str:
    """A markdown table: tuned rate with each change, measure without and with it, its effect, whether that matters.

    Args:
        changes: of one measure; those whose cells are not there are left out.
        results: of all of their cells, or of some; what is there is judged together.
        least: fewer seeds give no verdict.
    """
    changes = [change for change in changes if change.changed in results]
    rows = []
    for change, v in zip(changes, effects(changes, results, least), strict=True):
        plain, changed = (fresh_values(level(change.measure, c), results) for c in (change.plain, change.changed))
        there = np.isfinite(plain) & np.isfinite(changed)
        rows.append(
            (
                change.text,
                f"{results[change.changed].attrs['learning_rate']:g}",
                " → ".join(f"{values[there].mean():.3f}" if there.any() else "—" for values in (plain, changed)),
                f"{v.effect:+.3f} ({v.low:+.3f} … {v.high:+.3f})",
                v.counted,
                f"**{WORDS.get(v.word, v.wanting)}**",
            )
        )
    unit = changes[0].measure.unit.name if changes else "measure"
    return markdown_table(
        (
            ("change", "left"),
            ("rate", "right"),
            (f"{unit} without → with", "left"),
            ("effect (simultaneous 95 % interval)", "left"),
            ("seeds", "right"),
            ("verdict", "left"),
        ),
        rows,
    )
