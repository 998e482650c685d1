"""Checks that configurations make of themselves: each failure says what was expected and what came."""

import dataclasses
import math
import typing
from typing import Any


def require(condition: bool, message: str) -> None:
    """Raise a `ValueError` with that message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def whole(name: str, value: Any, least: int) -> None:
    """Require a whole number of at least `least`."""
    require(
        isinstance(value, int) and not isinstance(value, bool) and value >= least,
        f"{name} must be a whole number of at least {least}, got {value!r}",
    )


def positive(name: str, value: float) -> None:
    """Require a finite number above zero."""
    require(math.isfinite(value) and value > 0, f"{name} must be a positive number, got {value!r}")


def choices(instance: Any) -> None:
    """Require each field of a dataclass that is annotated with a `Literal` to hold one of its values."""
    hints = typing.get_type_hints(type(instance))
    for field in dataclasses.fields(instance):
        if typing.get_origin(hints[field.name]) is typing.Literal:
            allowed, value = typing.get_args(hints[field.name]), getattr(instance, field.name)
            require(value in allowed, f"{field.name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
