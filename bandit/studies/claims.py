"""A claim, as data: the words, where they stand, and the contrast that decides them."""

import dataclasses

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
    """

    name: str
    text: str
    source: str
    contrast: Contrast
    kind: Kind = "more"
    own_margin: float | None = None

    @property
    def margin(self) -> float:
        """The effect that is too small to matter, in the unit of the contrast."""
        return self.contrast.unit.negligible if self.own_margin is None else self.own_margin
