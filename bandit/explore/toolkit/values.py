"""What an explorer is set to, as one frozen dataclass, and named starting points of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from modeseek.bandit.explore.toolkit.controls import Choice


@dataclass(frozen=True)
class Values:
    """Base of all explorers' values: one field for each control, under its name, with its default."""

    preset: str


@dataclass(frozen=True)
class SteppedValues(Values):
    """Values of an explorer with a player: `step` is what is looked at."""

    step: int


V = TypeVar("V", bound=Values)


@dataclass(frozen=True)
class Preset(Generic[V]):
    """A named starting point.

    Attributes:
        shows: what there is to see.
        values: that it sets; their own `preset` does not count.
    """

    shows: str
    values: V


def preset_choice(presets: Mapping[str, Preset[Any]]) -> Choice:
    """The menu of presets, each with what it shows."""
    return Choice("preset", "preset", {name: f"{name}: {preset.shows}" for name, preset in presets.items()})
