"""Claims against results: a verdict each, and how it moves with the learning rate."""

from collections.abc import Iterable
from typing import NamedTuple

from modeseek.bandit.studies.cells import Cell, Results
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import fresh_values, shifted_values
from modeseek.bandit.studies.verdicts import LEAST_SEEDS, Verdict, decide, interval, judge
from modeseek.markdown import Align, markdown_table

SHIFTS = {"lower": -1, "higher": 1}
"""One place down or up the grid of learning rates, for every cell of a contrast at once."""


class Assessment(NamedTuple):
    """A claim and what the results say of it.

    Attributes:
        claim: the claim.
        verdict: at the tuned learning rates, on fresh seeds; None where a cell is missing.
        moved: `lower` and `higher` → the word at the neighbouring learning rates, from the tuning seeds and not
            corrected for many claims; `—` where there is no neighbour, or too few seeds.
        missing: cells that would be needed.
    """

    claim: Claim
    verdict: Verdict | None
    moved: dict[str, str]
    missing: tuple[Cell, ...]

    @property
    def word(self) -> str:
        """The verdict in words, with what would decide it."""
        if self.verdict is None:
            return "undecided, not run"
        if self.verdict.word != "undecided":
            return self.verdict.word
        return self.verdict.wanting

    @property
    def mark(self) -> str:
        """What goes behind the word where seeds diverged, of which it says nothing; else empty."""
        if self.verdict is None or not self.verdict.lost:
            return ""
        return f"; {self.verdict.lost}/{self.verdict.seeds + self.verdict.lost} diverged"


def assess(claims: Iterable[Claim], results: Results, together: int) -> list[Assessment]:
    """Judge claims on the results that are there.

    Args:
        claims: which are shown.
        results: what they are judged on.
        together: how many claims the intervals hold for at once. It is the number of the study's claims, whichever
            are shown: a verdict does not depend on what stands beside it.
    """
    return [_assess(claim, results, together) for claim in claims]


def _assess(claim: Claim, results: Results, together: int) -> Assessment:
    absent = tuple(cell for cell in claim.contrast.cells if cell not in results)
    if absent:
        return Assessment(claim, None, dict.fromkeys(SHIFTS, "—"), absent)
    verdict = judge(fresh_values(claim.contrast, results), claim.kind, claim.margin, together)
    return Assessment(claim, verdict, {name: _moved(claim, results, shift) for name, shift in SHIFTS.items()}, ())


def _moved(claim: Claim, results: Results, shift: int) -> str:
    values = shifted_values(claim.contrast, results, shift)
    if values is None:
        return "—"
    finite = values[values == values]
    if len(finite) < LEAST_SEEDS:
        return "—"
    return decide(*interval(finite), claim.kind, claim.margin)


def verdict_table(assessments: Iterable[Assessment], neighbours: str) -> str:
    """A markdown table: claim, effect and both intervals, verdict, and how it moves.

    Args:
        assessments: a row each.
        neighbours: heading of the last column, the verdicts one place down and up the grid of learning rates.
    """
    columns: list[tuple[str, Align]] = [
        ("claim", "left"),
        ("source", "left"),
        ("effect (95 % interval; simultaneous)", "left"),
        ("seeds", "right"),
        ("verdict", "left"),
        (neighbours, "left"),
    ]
    rows = []
    for a in assessments:
        effect, seeds = "—", "0"
        if v := a.verdict:
            effect = f"{v.effect:+.3f} ({_range(v.low_alone, v.high_alone)}; {_range(v.low, v.high)})"
            seeds = v.counted
        moved = " · ".join(a.moved[name] for name in SHIFTS)
        rows.append((a.claim.text, a.claim.source, effect, seeds, f"**{a.word}**", moved))
    return markdown_table(columns, rows)


def _range(low: float, high: float) -> str:
    return f"{low:+.3f} … {high:+.3f}" if low > -1e300 else "unbounded"
