"""Claims against results: a verdict each, and how it moves with the learning rate."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from modeseek.bandit.studies.cells import Cell, Results
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import Taken, distinct, fresh_values, level, shifted_values
from modeseek.bandit.studies.verdicts import LEAST_SEEDS, Question, Verdict, judge, judge_exact, scatters
from modeseek.markdown import Align, markdown_table

SHIFTS = {"lower": -1, "tuned": 0, "higher": 1}
"""Places down or up the grid of learning rates, for every cell of a contrast at once."""


class Assessment(NamedTuple):
    """A claim and what the results say of it.

    Attributes:
        claim: the claim.
        verdict: at the tuned learning rates, on fresh seeds; None where a cell is missing.
        moved: `lower`, `tuned` and `higher` → the effect on the tuning seeds at the neighbouring learning rates and at
            the tuned ones, which is the paper's own protocol; None where there is no neighbour or no number.
        missing: cells that would be needed.
    """

    claim: Claim
    verdict: Verdict | None
    moved: dict[str, float | None]
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
    def seeds(self) -> int:
        """How many were run."""
        return self.verdict.seeds + self.verdict.lost if self.verdict else 0

    @property
    def mark(self) -> str:
        """What goes behind the word: that it was enumerated, or that seeds diverged, of which it says nothing."""
        if self.verdict is None or not (self.verdict.exact or self.verdict.lost):
            return ""
        if self.verdict.exact:
            return ", exact"
        return f"; {self.verdict.lost}/{self.seeds} diverged"

    def moved_words(self) -> list[str]:
        """The effects on the tuning seeds, `—` where there is none."""
        return ["—" if effect is None else f"{effect:+.3f}" for effect in self.moved.values()]


def assess(claims: Sequence[Claim], results: Results, miss: float, least: int = LEAST_SEEDS) -> list[Assessment]:
    """Judge claims on the results that are there.

    Args:
        claims: which; those whose cells are there are judged together, if they have as many seeds, and else apart, each
            part with its questions' share of what may miss.
        results: what they are judged on; cells with as many fresh seeds have the same ones.
        miss: how often the interval of a question may miss: that of two claims of which one mirrors the other, too.
        least: fewer seeds give no verdict.
    """
    there = [claim for claim in claims if all(cell in results for cell in claim.contrast.cells)]
    sampled = [claim for claim in there if not claim.contrast.exact]
    taken: Taken = {}
    values = {claim.name: fresh_values(claim.contrast, results, taken) for claim in sampled}
    verdicts: dict[str, Verdict] = {}
    for seeds in dict.fromkeys(map(len, values.values())):
        alike = [claim for claim in sampled if len(values[claim.name]) == seeds]
        questions = [
            Question(claim.kind, claim.margin, _scattered(claim, results, taken), claim.standard_error)
            for claim in alike
        ]
        together = miss * distinct(claim.contrast for claim in alike)
        judged = judge(np.stack([values[claim.name] for claim in alike]), questions, together, least)
        verdicts |= dict(zip([claim.name for claim in alike], judged, strict=True))
    for claim in there:
        if claim.contrast.exact:
            value = float(fresh_values(claim.contrast, results))
            verdicts[claim.name] = judge_exact(value, Question(claim.kind, claim.margin))
    return [
        Assessment(
            claim,
            verdicts.get(claim.name),
            {name: _moved(claim, results, shift) for name, shift in SHIFTS.items()},
            tuple(cell for cell in claim.contrast.cells if cell not in results),
        )
        for claim in claims
    ]


def on_most_seeds(found: Mapping[str, Assessment], judged: Iterable[Assessment]) -> dict[str, Assessment]:
    """Those that rest on as many seeds as what was found of their claims before, or on more; by the claim's name."""
    return {a.claim.name: a for a in judged if a.claim.name not in found or a.seeds >= found[a.claim.name].seeds}


def _scattered(claim: Claim, results: Results, taken: Taken) -> bool:
    """Whether the seeds of some cell of a claim scatter in what the claim measures."""
    return any(
        scatters(fresh_values(level(term.measure, term.cell), results, taken), term.measure.unit.negligible)
        for term in claim.contrast.terms
        if not term.cell.exact
    )


def _moved(claim: Claim, results: Results, shift: int) -> float | None:
    if any(cell not in results for cell in claim.contrast.cells):
        return None
    values = shifted_values(claim.contrast, results, shift)
    if values is None or not np.isfinite(values).all():
        return None
    return float(values.mean())


def verdict_table(assessments: Iterable[Assessment], neighbours: str) -> str:
    """A markdown table: claim, effect and both intervals, verdict, and how it moves.

    Args:
        assessments: a row each.
        neighbours: heading of the last column, the effects on the tuning seeds one place down the grid of learning
            rates, at the tuned rate, and one place up; empty where nothing is tuned, and there is no such column.
    """
    columns: list[tuple[str, Align]] = [
        ("claim", "left"),
        ("source, its words", "left"),
        ("effect (95 % interval; simultaneous)", "left"),
        ("seeds", "right"),
        ("verdict", "left"),
    ]
    columns += [(neighbours, "left")] if neighbours else []
    rows: list[tuple[str, ...]] = []
    for a in assessments:
        effect, seeds = "—", "0"
        if v := a.verdict:
            intervals = f" ({_range(v.low_alone, v.high_alone)}; {_range(v.low, v.high)})"
            effect = f"{v.effect:+.3f}{'' if v.exact else intervals}"
            seeds = v.counted
        source = f'{a.claim.source}: "{a.claim.quote}"' if a.claim.quote else a.claim.source
        moved = [" · ".join(a.moved_words())] if neighbours else []
        rows.append((a.claim.text, source, effect, seeds, f"**{a.word}**", *moved))
    return markdown_table(columns, rows)


def _range(low: float, high: float) -> str:
    return f"{low:+.3f} … {high:+.3f}" if low > -1e300 else "unbounded"
