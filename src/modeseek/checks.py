"""Checks that configurations make of themselves: each failure says what was expected and what came."""

import dataclasses
import difflib
import math
import numbers
import re
import typing
from collections.abc import Iterable
from typing import Any


def require(condition: bool, message: str) -> None:
    """Raise a `ValueError` with that message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def install(extra: str) -> str:
    """How an extra is installed, in words."""
    return f"python -m pip install -c constraints.txt '.[{extra}]' in a clone of modeseek"


LARGEST = 2**63 - 1
"""No machine counts further; what is larger would overflow, or be worked on for ever."""


def whole(name: str, value: Any, least: int) -> None:
    """Require a whole number of at least `least`, and of at most `LARGEST`."""
    require(
        isinstance(value, int) and not isinstance(value, bool) and value >= least,
        f"{name} must be a whole number of at least {least}, got {value!r}",
    )
    require(value <= LARGEST, f"{name} must be at most {LARGEST}, got {value}")


def finite(value: Any) -> bool:
    """Whether it is a number at all (no truth value), and neither infinite nor NaN, as a float."""
    try:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def positive(name: str, value: float) -> None:
    """Require a finite number above zero."""
    require(finite(value) and value > 0, f"{name} must be a positive number, got {value!r}")


def choices(instance: Any) -> None:
    """Require each field of a dataclass that is annotated with a `Literal` to hold one of its values."""
    hints = typing.get_type_hints(type(instance))
    for field in dataclasses.fields(instance):
        if typing.get_origin(hints[field.name]) is typing.Literal:
            allowed, value = typing.get_args(hints[field.name]), getattr(instance, field.name)
            require(value in allowed, f"{field.name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def nearest(name: Any, known: Iterable[str]) -> str:
    """The known name that was probably meant; empty if none is near.

    Letters and digits alone count: `IPO`, `ipo` and `i-p_o` are one name. The shortest name that begins like the given
    one comes first, then the most similar.
    """
    plain = {_plain(each): each for each in reversed(list(known))}  # of equal ones the first
    key = _plain(str(name))
    longer = [each for each in reversed(plain) if key and each.startswith(key)]
    near = [min(longer, key=len)] if longer else difflib.get_close_matches(key, plain, n=1)
    return plain[near[0]] if near else ""


def hint(name: Any, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the nearest one, or all that there are."""
    names = list(known)
    near = nearest(name, names)
    return f"did you mean {near!r}?" if near else f"there are {', '.join(names)}"


def suggestion(name: Any, known: Iterable[str]) -> str:
    """The nearest name, to stand behind a list of all; empty if none is near."""
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else ""


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
