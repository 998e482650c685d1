"""What a reader can change: a number, a choice, or a distribution; each says how typed input becomes a value."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from modeseek.checks import suggestion


class Accepted(NamedTuple):
    """A value, and what had to be done to the input to make it one.

    Attributes:
        value: within the control's range.
        note: for the reader to see; empty if the input was taken as it was.
    """

    value: Any
    note: str = ""


class Number(NamedTuple):
    """A number with a slider and a labelled box.

    Attributes:
        name: of the value in the view-model and in the state string.
        label: of the box, short.
        low: smallest value; a view-model may narrow it (`ViewModel.limits`).
        high: largest value.
        log: whether equal ways of the slider are equal factors.
        whole: whether it is an integer.
        view: whether it changes only what is looked at, so that nothing is computed again.
        derived: whether it is an aspect of another value, and so not part of the state.
        until: name of the value beyond which it does not go; empty if `high` is all that counts.
    """

    name: str
    label: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    view: bool = False
    derived: bool = False
    until: str = ""

    def accept(self, given: Any, low: float, high: float) -> Accepted:
        """The number, moved to the nearest limit, with a note, if it lies outside.

        Raises:
            ValueError: it is no finite number.
        """
        try:
            number = float(given)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"{self.label} must be a number from {low:g} to {high:g}, got {given!r}")
        value = min(max(number, low), high)
        note = f"{self.label} must be from {low:g} to {high:g}, got {number:g}: set to {value:g}" * (value != number)
        if self.whole:
            note = note or f"{self.label} must be a whole number, got {number:g}: set to {round(value)}" * (
                round(value) != value
            )
            return Accepted(round(value), note)
        return Accepted(value, note)

    def encode(self, value: Any) -> str:
        """For the state string; `accept` of it gives the same bits."""
        return str(value) if self.whole else f"{value:g}" if float(f"{value:g}") == value else repr(float(value))


class Choice(NamedTuple):
    """One of several, by name.

    Attributes:
        name: of the value.
        label: of the menu.
        options: name → what the menu shows.
        view: as in `Number`.
        derived: as in `Number`.
    """

    name: str
    label: str
    options: Mapping[str, str]
    view: bool = False
    derived: bool = False

    def accept(self, given: Any) -> Accepted:
        """The option whose letters and digits are these: `case1_fails` is `case-1-fails`.

        Raises:
            ValueError: there is none; the message lists what there is.
        """
        plain = {_plain(option): option for option in self.options}
        if _plain(str(given)) not in plain:
            known = ", ".join(self.options)
            raise ValueError(f"{self.label} must be one of {known}, got {given!r}{suggestion(given, self.options)}")
        return Accepted(plain[_plain(str(given))])

    def encode(self, value: Any) -> str:
        """For the state string."""
        return str(value)


class Bar(NamedTuple):
    """Input to a `Distribution`: the top of one of its bars was dragged.

    Attributes:
        whole: the distribution before.
        category: which bar, from 0.
        mass: what it was dragged to.
    """

    whole: tuple[float, ...]
    category: int
    mass: float


class Distribution(NamedTuple):
    """Probabilities that are typed, separated by commas or spaces, or dragged bar by bar.

    Attributes:
        name: of the value.
        label: of the box.
        least: smallest number of categories.
        most: largest.
        view: as in `Number`.
        derived: as in `Number`.
    """

    name: str
    label: str
    least: int = 2
    most: int = 100
    view: bool = False
    derived: bool = False

    def accept(self, given: Any) -> Accepted:
        """The distribution, as a tuple; divided by its sum, or the other bars scaled, with a note that says so.

        Raises:
            ValueError: not numbers, too few or too many, one negative or not finite, or all zero.
        """
        if isinstance(given, Bar):
            rest = f"the others share {1 - given.mass:.3g} in their old proportions"
            return Accepted(with_bar(*given), f"{self.label}, category {given.category}: {given.mass:.3g}; {rest}")
        words = re.split(r"[,;\s]+", given.strip().strip("[]()")) if isinstance(given, str) else list(given)
        try:
            values = np.asarray([float(word) for word in words if word != ""])
        except (TypeError, ValueError):
            raise ValueError(f"{self.label} must be numbers with commas between them, got {given!r}") from None
        if not self.least <= values.size <= self.most:
            raise ValueError(f"{self.label} must have {self.least} to {self.most} categories, got {values.size}")
        if not np.isfinite(values).all() or (values < 0).any():
            bad = values[~np.isfinite(values) | (values < 0)][0]
            raise ValueError(f"{self.label} must hold finite numbers of at least 0, got {bad:g}")
        total = values.sum()
        if total == 0:
            raise ValueError(f"{self.label} must have mass somewhere, got zeros only")
        if abs(total - 1) <= 1e-9:
            return Accepted(tuple(values.tolist()))
        return Accepted(tuple((values / total).tolist()), f"{self.label} summed to {total:.4g}: divided by its sum")

    def encode(self, value: Any) -> str:
        """For the state string; `accept` of it gives the same bits."""
        return ",".join(repr(float(p)) for p in value)

    def show(self, value: Any) -> str:
        """For the box: as few digits as tell the bars apart."""
        return ", ".join(f"{p:.4g}" for p in value)


Control = Number | Choice | Distribution


def with_bar(whole: tuple[float, ...], category: int, mass: float) -> tuple[float, ...]:
    """One probability as asked, the others in their proportions (equal, if they had none)."""
    probs = np.asarray(whole)
    rest = probs.sum() - probs[category]
    others = probs / rest if rest > 1e-12 else np.full(probs.size, 1 / (probs.size - 1))
    changed = others * (1.0 - mass)
    changed[category] = mass
    return tuple(changed.tolist())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
