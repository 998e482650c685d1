"""What an explorer is set to, as one frozen dataclass, and named starting points of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from modeseek.bandit.explore.toolkit.controls import Choice, Control, Distribution, Number
from modeseek.bandit.objectives.batch import HYPER_RANGES, HyperParameters


@dataclass(frozen=True)
class Values:
    """Base of all explorers' values: each field has a default and says how it is set (`number`, `choice`, …)."""

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


def number(label: str, low: int | float, high: int | float, default: int | float, **look: Any) -> Any:
    """A field that is set by a slider and a box; `look` as in `Number`."""
    return field(default=default, metadata={"control": Number("", label, low, high, **look)})


def hyper_parameter(name: str) -> Any:
    """A field for a hyper-parameter, with the label, range and default that `HyperParameters` declares."""
    swept = HYPER_RANGES[name]
    return number(swept.label, swept.low, swept.high, getattr(HyperParameters(), name), log=swept.log)


def choice(label: str, options: Mapping[str, str], default: str, *, view: bool = False) -> Any:
    """A field that is chosen from a menu."""
    return field(default=default, metadata={"control": Choice("", label, options, view)})


def distribution(label: str, default: tuple[float, ...] = (), **look: Any) -> Any:
    """A field that is typed, or dragged bar by bar; `look` as in `Distribution`."""
    return field(default=default, metadata={"control": Distribution("", label, **look)})


def controls_of(values: Values, presets: Mapping[str, Preset[Any]]) -> tuple[Control, ...]:
    """A control for each field, in their order, the player last; the menu of presets says what each shows."""
    menu = Choice("preset", "preset", {name: f"{name}: {preset.shows}" for name, preset in presets.items()})
    found = [each.metadata["control"]._replace(name=each.name) if each.metadata else menu for each in fields(values)]
    return tuple(sorted(found, key=lambda control: control.name == "step"))
