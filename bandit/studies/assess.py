"""Claims against cells: a verdict each, and how it moves with the learning rate."""

from collections.abc import Iterable
from typing import NamedTuple

from modeseek.bandit.studies.contrasts import Cells, fresh_values, shifted_values
from modeseek.bandit.studies.reproduce.claims import CLAIMS, Claim
from modeseek.bandit.studies.verdicts import LEAST_SEEDS, Verdict, decide, interval, judge

SHIFTS = {"lower": -1, "higher": 1}
"""One place down or up the grid of learning rates, for every cell of a contrast at once."""


class Assessment(NamedTuple):
    """A claim and what the cells say of it.

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
    missing: tuple[str, ...]

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


def assess(claims: Iterable[Claim], cells: Cells) -> list[Assessment]:
    """Judge claims on the cells that are there."""
    return [_assess(claim, cells) for claim in claims]


def assess_target(target: str, cells: Cells) -> list[Assessment]:
    """Judge the claims about one figure."""
    return assess([claim for claim in CLAIMS.values() if claim.figure == target], cells)


def _assess(claim: Claim, cells: Cells) -> Assessment:
    absent = tuple(name for name in claim.contrast.cells if name not in cells)
    if absent:
        return Assessment(claim, None, dict.fromkeys(SHIFTS, "—"), absent)
    # As many as there are in all, whichever are shown: a verdict does not depend on what stands beside it.
    verdict = judge(fresh_values(claim.contrast, cells), claim.kind, claim.margin, len(CLAIMS))
    return Assessment(claim, verdict, {name: _moved(claim, cells, shift) for name, shift in SHIFTS.items()}, ())


def _moved(claim: Claim, cells: Cells, shift: int) -> str:
    values = shifted_values(claim.contrast, cells, shift)
    if values is None:
        return "—"
    finite = values[values == values]
    if len(finite) < LEAST_SEEDS:
        return "—"
    return decide(*interval(finite), claim.kind, claim.margin)


def table(assessments: list[Assessment]) -> str:
    """A markdown table: claim, effect and both intervals, verdict, and how it moves."""
    lines = [
        "| claim | source | effect (95 % interval; simultaneous) | seeds | verdict | rates ÷3 · ×3 |",
        "|---|---|---|---:|---|---|",
    ]
    for a in assessments:
        effect, seeds = "—", "0"
        if v := a.verdict:
            effect = f"{v.effect:+.3f} ({_range(v.low_alone, v.high_alone)}; {_range(v.low, v.high)})"
            seeds = v.counted
        moved = " · ".join(a.moved[name] for name in SHIFTS)
        lines.append(f"| {a.claim.text} | {a.claim.source} | {effect} | {seeds} | **{a.word}** | {moved} |")
    return "\n".join(lines)


def _range(low: float, high: float) -> str:
    return f"{low:+.3f} … {high:+.3f}" if low > -1e300 else "unbounded"
