"""Checks that configurations make of themselves: each failure says what was expected and what came."""

import dataclasses
import difflib
import math
import numbers
import re
import types
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


def read_float(given: Any) -> float:
    """A number that was typed or passed, as Python reads it; but `0_1`, a slip for `0,1` or `0.1`, is not 1.

    Raises:
        ValueError: a text is none.
        TypeError: something else is none.
    """
    require(not isinstance(given, str) or "_" not in given, f"a number has no underscore, got {given!r}")
    return float(given)


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


FLOAT32 = (2.0**-126, (2 - 2.0**-23) * 2.0**127)
"""The least and the greatest number above zero that programs of float32 compute with: nearer to zero is zero."""


def positive(name: str, value: float) -> None:
    """Require a finite number above zero, in float32 too."""
    require(finite(value) and value > 0, f"{name} must be a positive number, got {value!r}")
    low, high = FLOAT32
    require(low <= value <= high, f"{name} must be between {low:.3g} and {high:.3g}, as float32 is, got {value!r}")


_HINTS: dict[type, dict[str, Any]] = {}
"""Annotations of each class, read once: a figure's cells make hundreds of configurations."""


def _hints(kind: type) -> dict[str, Any]:
    if kind not in _HINTS:
        _HINTS[kind] = typing.get_type_hints(kind)
    return _HINTS[kind]


def choices(instance: Any) -> None:
    """Require each field of a dataclass that is annotated with a `Literal` to hold one of its values."""
    hints = _hints(type(instance))
    for field in dataclasses.fields(instance):
        if typing.get_origin(hints[field.name]) is typing.Literal:
            allowed, value = typing.get_args(hints[field.name]), getattr(instance, field.name)
            require(value in allowed, f"{field.name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")


def typed(instance: Any) -> None:
    """Hold each field of a frozen dataclass to its annotation, from its `__post_init__`.

    A number of NumPy or JAX becomes Python's and a list or an array becomes a tuple, so that a configuration compares,
    hashes and is written as JSON whatever it was made from. Nothing else is taken for what it is not: no truth value
    and no string for a number, no string for a tuple of its letters.

    Raises:
        ValueError: the first field that holds something else, or none of its `Literal`'s values.
    """
    hints = _hints(type(instance))
    for field in dataclasses.fields(instance):
        held = _held(field.name, getattr(instance, field.name), hints[field.name])
        object.__setattr__(instance, field.name, held)


def number(name: str, value: Any) -> float:
    """A number as Python's float; see `typed`.

    Raises:
        ValueError: it is none, or larger than a float.
    """
    held: float = _held(name, value, float)
    return held


def number_list(name: str, value: Any) -> tuple[float, ...]:
    """A list, tuple or array of numbers as a tuple of Python's floats; see `typed`.

    Raises:
        ValueError: it is none, or one of them is no number.
    """
    held: tuple[float, ...] = _held(name, value, tuple[float, ...])
    return held


def _held(name: str, value: Any, hint: Any) -> Any:
    """A field's value as its annotation has it."""
    if type(value) is hint:  # nearly always
        return value
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "tolist"):  # a scalar or an array of NumPy or JAX
        value = value.tolist()
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        known = any(type(value) is type(each) and value == each for each in arguments)
        require(known, f"{name} must be one of {', '.join(map(repr, arguments))}, got {value!r}")
    elif origin in (typing.Union, types.UnionType):
        return None if value is None and type(None) in arguments else _held(name, value, _something(arguments))
    elif origin is tuple:
        require(isinstance(value, list | tuple | range), f"{name} must be a list, got {value!r}")
        if len(arguments) == 2 and arguments[1] is ...:
            return tuple(_held(name, each, arguments[0]) for each in value)
        require(len(value) == len(arguments), f"{name} must be a list of {len(arguments)}, got {value!r}")
        return tuple(_held(name, each, of) for each, of in zip(value, arguments, strict=True))
    elif hint is float:
        require(isinstance(value, numbers.Real) and not isinstance(value, bool), _must("a number", name, value))
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name} must be a number that a float can hold, got one of its size") from None
    elif hint in (int, bool, str) or dataclasses.is_dataclass(hint):
        what = {int: "a whole number", bool: "true or false", str: "a text"}.get(hint, f"a {hint.__name__}")
        exact = isinstance(value, hint) and (hint is not int or not isinstance(value, bool))
        require(exact, _must(what, name, value))
        return str(value) if hint is str else value
    return value


def _something(arguments: tuple[Any, ...]) -> Any:
    """The X of `X | None`; what may be several things is taken as it is."""
    given = [each for each in arguments if each is not type(None)]
    return given[0] if len(given) == 1 else Any


def _must(what: str, name: str, value: Any) -> str:
    return f"{name} must be {what}, got {value!r}"


def nearest(name: Any, known: Iterable[str]) -> str:
    """The known name that was probably meant; empty if none is near.

    Letters and digits alone count: `IPO`, `ipo` and `i-p_o` are one name. The shortest name that begins like the given
    one comes first, then the most similar.
    """
    names = {plain(each): each for each in reversed(list(known))}  # of equal ones the first
    key = plain(str(name))
    longer = [each for each in reversed(names) if key and each.startswith(key)]
    near = [min(longer, key=len)] if longer else difflib.get_close_matches(key, names, n=1)
    return names[near[0]] if near else ""


def hint(name: Any, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the nearest one, or all that there are."""
    names = list(known)
    near = nearest(name, names)
    return f"did you mean {near!r}?" if near else f"there are {', '.join(names)}"


def suggestion(name: Any, known: Iterable[str]) -> str:
    """The nearest name, to stand behind a list of all; empty if none is near."""
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near else ""


def plain(name: str) -> str:
    """A name's letters and digits: what tells names apart, however they are written."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
