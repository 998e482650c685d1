"""Which of an explorer's controls are shown, and where: beside the picture, under it as its player, or folded."""

from collections.abc import Sequence
from typing import NamedTuple

FEW = 5
"""Controls that stand beside a picture at once; where no more are shown, none is folded."""
PARTS = ("export", "state")
"""What can be hidden and is no control."""


class Layout(NamedTuple):
    """Names of the controls that are shown, in the order in which they stand.

    Attributes:
        near: beside the picture.
        player: under it: `step`, or nothing.
        more: folded.
    """

    near: tuple[str, ...]
    player: tuple[str, ...]
    more: tuple[str, ...]


def hidden(controls: Sequence[str], hide: Sequence[str], show: Sequence[str] | None) -> tuple[str, ...]:
    """Names of what is not shown, of the controls and of `PARTS`.

    Args:
        controls: all of them, by name.
        hide: what a teacher takes away.
        show: what alone is left; None for everything.

    Raises:
        ValueError: an unknown name, or both were given.
    """
    known = [*controls, *PARTS]
    for what, names in (("hide", hide), ("show", show or ())):
        if isinstance(names, str):
            raise ValueError(f"{what} must be a tuple of names, such as ({names!r},), got {names!r}")
        for name in names:
            if name not in known:
                raise ValueError(f"{what}: unknown control {name!r}; there are {', '.join(known)}")
    if show is None:
        return tuple(hide)
    if hide:
        raise ValueError("give hide or show, not both: what is not in show is hidden")
    return tuple(name for name in known if name not in show)


def arranged(shown: Sequence[str], near: Sequence[str]) -> Layout:
    """Where each of the controls stands that are shown.

    Args:
        shown: their names, in the order of the view-model's fields.
        near: those that the view-model wants beside the picture; where it does not say, the first `FEW`.
    """
    player = tuple(name for name in shown if name == "step")
    preset = tuple(name for name in shown if name == "preset")
    rest = [name for name in shown if name not in player + preset]
    chosen = [name for name in near or rest[:FEW] if name in rest]
    chosen += [name for name in rest if name not in chosen and len(rest) <= FEW]
    return Layout(preset + tuple(chosen), player, tuple(name for name in rest if name not in chosen))
