"""The paper's errata: what is printed, what is right, and which tested statement decides between them."""

import html
from typing import Any, NamedTuple

from modeseek.bandit.categorical.statements import STATEMENTS
from modeseek.bandit.categorical.theory import CATEGORIES, Finding, examine


class Erratum(NamedTuple):
    """One erratum.

    Attributes:
        where: in the paper.
        printed: what stands there.
        right: what it should be.
        printed_as: name of the statement of `modeseek theory` that says what is printed; empty if none does.
        right_as: name of the one that says what is right.
    """

    where: str
    printed: str
    right: str
    printed_as: str = ""
    right_as: str = ""


ERRATA = (
    Erratum(
        "Theorem E.5, case 1",
        "p₁ = p₂ and q₁ > q₂ suffice for Δr > Δf",
        "if and only if p > L(q₁, q₂), the logarithmic mean",
        "E.5 case 1, as stated",
        "E.5 case 1, exact",
    ),
    Erratum(
        "Theorem E.5, case 2, its proof",
        "Δr > 0 along the way",
        "if and only if q > e I exp(-KL); the case itself holds",
        "E.5 case 2, its proof",
        "E.5 case 2, its proof, exact",
    ),
    Erratum(
        "Theorem E.5, case 3",
        "one constant c₁ for all p and q",
        "q < I(p₁, p₂) exp(-KL): no constant does for all",
        "E.5 case 3, c₁ = 0.1",
        "E.5 cases 2 and 3, exact",
    ),
    Erratum("Eq. 6", "the loss subtracts β KL", "a loss adds it: -E[r] + β KL", "", "E.1"),
    Erratum(
        "Eq. 7 and the proof of E.2",
        "the update's sign, and c₁ and c₂ swapped in the difference",
        "c₂ > 0 widens log p_w - log p_l",
        "",
        "E.2, eq. 8",
    ),
    Erratum("I.2.1", "the online D_train holds samples of π_ref", "it holds samples of π"),
    Erratum("I.2.5", "the loss is called REINFORCE", "it is RWR's"),
    Erratum(
        "PPO's loss", "-E[max(ratio r, clip(ratio) r)]", "-E[min(…)]: as printed, clipping never binds where it should"
    ),
)
"""Slips of the mathematics; `modeseek.bandit.simulator.conventions` has what differs between text and released code."""


def finding(name: str, instances: int = 700) -> Finding:
    """A row of `modeseek theory` on so many random instances.

    Raises:
        ValueError: there is no such statement.
    """
    for statement in STATEMENTS:
        if statement.name == name:
            return examine(statement, instances, seed=0)
    raise ValueError(f"unknown statement {name!r}; there are {', '.join(s.name for s in STATEMENTS)}")


class ErrataTable:
    """Every erratum beside what random instances say of it; display it in a notebook."""

    def __init__(self, instances: int = 100 * len(CATEGORIES)) -> None:
        """Try each statement on so many instances."""

        def found(name: str) -> Finding | None:
            return finding(name, instances) if name else None

        self.rows = [(erratum, found(erratum.printed_as), found(erratum.right_as)) for erratum in ERRATA]

    def lines(self) -> list[tuple[str, ...]]:
        """Where, printed, held as printed, right, held as right, counter-example."""
        return [
            (
                erratum.where,
                erratum.printed,
                f"{as_printed.share:.0%} of {as_printed.tried}" if as_printed else "—",
                erratum.right,
                f"{as_right.share:.0%} of {as_right.tried}" if as_right else "—",
                as_printed.counter_example if as_printed else "",
            )
            for erratum, as_printed, as_right in self.rows
        ]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        head = ("where", "printed", "holds in", "right", "holds in", "smallest counter-example to what is printed")
        rows = [head, *self.lines()]
        cells = ["".join(f"<td style='text-align:left'>{html.escape(c)}</td>" for c in row) for row in rows]
        cells[0] = cells[0].replace("<td", "<th").replace("</td", "</th")
        return {
            "text/html": f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>",
            "text/plain": "\n".join(" | ".join(row) for row in rows),
        }
