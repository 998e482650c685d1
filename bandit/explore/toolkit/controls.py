"""What a reader can change: a number, a choice, or a distribution; each says how typed input becomes a value."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.explore.toolkit.reading import named, read_number, read_numbers
from modeseek.checks import plain


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
        help: one sentence: what it does.
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
    help: str = ""

    def accept(self, given: Any, low: float, high: float) -> Accepted:
        """The number, moved to the nearest limit, with a note, if it lies outside.

        Raises:
            ValueError: it is no finite number.
        """
        number, read = read_number(given)
        if not math.isfinite(number):
            raise ValueError(f"{self.label} must be a number from {low:g} to {high:g}, got {given!r}")
        value = min(max(number, low), high)
        asked = ""
        if value != number:
            asked = f" must be from {low:g} to {high:g}, got {number:g}: set to {value:g}"
        elif self.whole and round(value) != value:
            asked = f" must be a whole number, got {number:g}: set to {round(value)}"
        note = f"{self.label}{asked}" * bool(asked or read) + f" ({read})" * bool(read)
        return Accepted(round(value) if self.whole else value, note)

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
        also: a second name → the option. It is read, and shown nowhere: a text that says what to choose has the first.
        help: as in `Number`.
    """

    name: str
    label: str
    options: Mapping[str, str]
    view: bool = False
    derived: bool = False
    also: Mapping[str, str] = MappingProxyType({})
    help: str = ""

    def accept(self, given: Any) -> Accepted:
        """The option of this name, of its second one, or of what the menu shows, as `named` reads it.

        Raises:
            ValueError: there is none; the message lists what there is.
        """
        second = {plain(name): option for name, option in self.also.items()}.get(plain(str(given)))
        return Accepted(second or named(given, self.options, self.label))

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
        names: of the categories, where they are not called by their numbers from 0.
        help: as in `Number`.
    """

    name: str
    label: str
    least: int = 2
    most: int = 100
    view: bool = False
    derived: bool = False
    names: tuple[str, ...] = ()
    help: str = ""

    def accept(self, given: Any) -> Accepted:
        """The distribution, as a tuple; divided by its sum, or the other bars scaled, with a note that says so.

        Raises:
            ValueError: not numbers, too few or too many, one negative or not finite, or all zero.
        """
        if isinstance(given, Bar):
            rest = f"the others share {1 - given.mass:.3g} in their old proportions"
            bar = self.names[given.category] if self.names else f"category {given.category}"
            return Accepted(with_bar(*given), f"{self.label}, {bar}: {given.mass:.3g}; {rest}")
        values = read_numbers(given, self.label)
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
        return Accepted(rounded(values / total), f"{self.label} summed to {total:.4g}: divided by its sum")

    def encode(self, value: Any) -> str:
        """For the state string; `accept` of it gives the same bits."""
        return ",".join(repr(float(p)) for p in value)

    def show(self, value: Any) -> str:
        """For the box: as few digits as tell the bars apart."""
        return ", ".join(f"{p:.4g}" for p in value)


class Heights(NamedTuple):
    """Numbers from 0 to 1, each for itself, that are typed, separated by commas or spaces, or dragged bar by bar.

    Attributes:
        name: of the value.
        label: of the box.
        names: of the bars, one each.
        view: as in `Number`.
        derived: as in `Number`.
        help: as in `Number`.
    """

    name: str
    label: str
    names: tuple[str, ...]
    view: bool = False
    derived: bool = False
    help: str = ""

    def accept(self, given: Any) -> Accepted:
        """The heights, as a tuple; moved to the nearest of 0 and 1, with a note, where they lie outside.

        Raises:
            ValueError: not numbers, as many as there are bars, or one is not finite.
        """
        if isinstance(given, Bar):
            # A bar's top stops short of both ends (`bars.POSITIONS`); here they are meant.
            height = 0.0 if given.mass < 0.01 else 1.0 if given.mass > 0.99 else given.mass
            heights = (*given.whole[: given.category], height, *given.whole[given.category + 1 :])
            return Accepted(heights, f"{self.label}, {self.names[given.category]}: {height:.3g}")
        given = given.rpartition(":")[2] if isinstance(given, str) else given  # `knots:0,0.5,1` is what it says
        values = read_numbers(given, self.label)
        if values.size != len(self.names):
            raise ValueError(f"{self.label} must have {len(self.names)} numbers, got {values.size}")
        if not np.isfinite(values).all():
            raise ValueError(f"{self.label} must hold finite numbers, got {values[~np.isfinite(values)][0]:g}")
        clipped = np.clip(values, 0.0, 1.0)
        moved = not np.array_equal(clipped, values)
        return Accepted(tuple(clipped.tolist()), f"{self.label} must be from 0 to 1: moved there" * moved)

    def encode(self, value: Any) -> str:
        """For the state string; `accept` of it gives the same bits."""
        return ",".join(f"{v:g}" if float(f"{v:g}") == v else repr(v) for v in value)

    def show(self, value: Any) -> str:
        """For the box."""
        return ", ".join(f"{v:.4g}" for v in value)


Control = Number | Choice | Distribution | Heights


def rounded(probs: np.ndarray, exact: int | None = None) -> tuple[float, ...]:
    """Probabilities made by hand: four digits of each, so that a state is short; the largest has the rest.

    Args:
        probs: with the sum 1, `[K]`.
        exact: index of one that stays as it is.
    """
    values = np.array([p if k == exact else float(f"{p:.4g}") for k, p in enumerate(probs)])
    open_to_change = np.where(np.arange(values.size) == exact, -1.0, values)
    largest = int(np.argmax(open_to_change))
    values[largest] = round(1.0 - math.fsum(np.delete(values, largest)), 12)
    return tuple(values.tolist())


def with_bar(whole: tuple[float, ...], category: int, mass: float) -> tuple[float, ...]:
    """One probability as asked, the others in their proportions (equal, if they had none); `rounded`."""
    probs = np.asarray(whole)
    rest = probs.sum() - probs[category]
    others = probs / rest if rest > 1e-12 else np.full(probs.size, 1 / (probs.size - 1))
    changed = others * (1.0 - mass)
    changed[category] = mass
    return rounded(changed, category)
