"""A claim, as data: the words, where they stand, and the contrast that decides them."""

import dataclasses
from collections.abc import Mapping

from modeseek.bandit.studies.contrasts import Contrast
from modeseek.bandit.studies.verdicts import Kind


@dataclasses.dataclass(frozen=True)
class Claim:
    """One statement.

    Attributes:
        name: short, unique within a study.
        text: the claim in our words.
        source: where it is made.
        contrast: the number, one a seed; positive where the claim is right.
        kind: how the interval is read, see `verdicts`.
        own_margin: an effect that is too small to matter, where that is another than the unit's.
        quote: the words of the source that make it, shortened; empty where the claim is ours.
        standard_error: of a reported number that the claim is about, as its source gives it.
    """

    name: str
    text: str
    source: str
    contrast: Contrast
    kind: Kind = "more"
    own_margin: float | None = None
    quote: str = ""
    standard_error: float = 0.0

    @property
    def margin(self) -> float:
        """The effect that is too small to matter, in the unit of the contrast."""
        return self.contrast.unit.negligible if self.own_margin is None else self.own_margin


@dataclasses.dataclass(frozen=True)
class Trend:
    """A statement about a curve over a knob: that it is not monotone. It follows from verdicts on its steps.

    Attributes:
        name: short, unique within a study.
        text: the statement in our words.
        source: where it is made.
        quote: the words of the source that make it.
        steps: names of the claims that each step up the knob raises the measure, of the same target.
    """

    name: str
    text: str
    source: str
    quote: str
    steps: tuple[str, ...]

    def word(self, verdicts: Mapping[str, str]) -> str:
        """`reproduced` where a step surely raises and another surely lowers, `not reproduced` where all go one way.

        Args:
            verdicts: word of every claim by name; all hold at once, so what follows from them does too.
        """
        words = {verdicts.get(name, "undecided") for name in self.steps}
        if {"reproduced", "reversed"} <= words:
            return "reproduced"
        return "not reproduced" if words in ({"reproduced"}, {"reversed"}) else "undecided"
