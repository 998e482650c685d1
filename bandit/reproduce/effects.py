"""Ablation and remedies: what one change does to a method's reward at the end, by the rule that judges claims."""

from typing import NamedTuple

import numpy as np

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.reproduce.claims import REWARD
from modeseek.bandit.reproduce.contrasts import Cells, difference, fresh_values, level
from modeseek.bandit.reproduce.settings import HEADLINES, MENDS, REMEDY_TITLES
from modeseek.bandit.reproduce.verdicts import Verdict, judge

WORDS = {"reproduced": "raises it", "reversed": "lowers it", "not reproduced": "does not matter"}
"""`judge`'s words for a claim of "more", said of a change."""


class Change(NamedTuple):
    """A cell with something changed, and the cell without."""

    text: str
    changed: str
    plain: str


CHANGES: dict[str, tuple[Change, ...]] = {
    "ablation": tuple(
        Change(f"{variant(method).title}: {mend}", f"{method}-{mend}-R1", f"{method}-released-R1")
        for method in HEADLINES
        for mend, what in MENDS.items()
        if method in what.methods
    ),
    "remedies": tuple(
        Change(title, f"remedy-{name}-R1", "remedy-none-R1") for name, title in REMEDY_TITLES.items() if name != "none"
    ),
}
"""Target → what is compared; judged together."""


def effect(change: Change, cells: Cells, together: int) -> Verdict:
    """The paired effect of a change on the final reward, each cell at its own tuned rate; one of so many."""
    values = fresh_values(difference("final_reward", change.changed, change.plain), cells)
    return judge(values, "more", REWARD, together)


def effects_table(target: str, cells: Cells) -> str:
    """A markdown table: tuned rate with each change, reward without and with it, its effect, and whether that matters.

    Args:
        target: `ablation` or `remedies`.
        cells: all of the target's, or of some of its methods: changes of the others are left out.
    """
    changes = [change for change in CHANGES[target] if change.changed in cells]
    lines = [
        "| change | rate | reward without → with | effect (simultaneous 95 % interval) | seeds | verdict |",
        "|---|---:|---|---|---:|---|",
    ]
    for change in changes:
        v = effect(change, cells, len(changes))
        rate = f"{cells[change.changed].attrs['learning_rate']:g}"
        plain, changed = (fresh_values(level("final_reward", name), cells) for name in (change.plain, change.changed))
        there = np.isfinite(plain) & np.isfinite(changed)
        rewards = " → ".join(f"{values[there].mean():.3f}" if there.any() else "—" for values in (plain, changed))
        interval = f"{v.effect:+.3f} ({v.low:+.3f} … {v.high:+.3f})"
        word = WORDS.get(v.word, v.wanting)
        lines.append(f"| {change.text} | {rate} | {rewards} | {interval} | {v.counted} | **{word}** |")
    return "\n".join(lines)
