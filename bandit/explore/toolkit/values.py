"""What an explorer is set to, as one frozen dataclass, and named starting points of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from modeseek.bandit.explore.toolkit.controls import Choice, Control, Distribution, Heights, Number
from modeseek.bandit.objectives.batch import HYPER_RANGES, HyperParameters
from modeseek.bandit.objectives.own import own_names
from modeseek.bandit.objectives.registry import variant


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
        also: a second name, as `Choice` has it; empty if there is none.
    """

    shows: str
    values: V
    also: str = ""


def number(label: str, low: int | float, high: int | float, default: int | float, **look: Any) -> Any:
    """A field that is set by a slider and a box; `look` as in `Number`."""
    return field(default=default, metadata={"control": Number("", label, low, high, **look)})


def hyper_parameter(name: str, **look: Any) -> Any:
    """A field for a hyper-parameter, with the label, range and default that `HyperParameters` declares."""
    swept = HYPER_RANGES[name]
    return number(swept.label, swept.low, swept.high, getattr(HyperParameters(), name), log=swept.log, **look)


def choice(label: str, options: Mapping[str, str], default: str, **look: Any) -> Any:
    """A field that is chosen from a menu; `look` as in `Choice`."""
    return field(default=default, metadata={"control": Choice("", label, options, **look)})


class MethodTitles(Mapping[str, str]):
    """Name → title of some methods, and of those of one's own that there are when it is looked at."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def __getitem__(self, name: str) -> str:
        if name not in self._all:
            raise KeyError(name)
        return variant(name).title

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def _all(self) -> tuple[str, ...]:
        sides = (f"{side}{name}" for name in own_names() for side in ("", "on_policy_", "offline_"))
        return (*self._names, *(name for name in sides if variant(name).name == name))


def method_menu(names: tuple[str, ...], default: str) -> Any:
    """A field that is one of these methods, or one of one's own, on either side."""
    return choice("method", MethodTitles(names), default, help="The algorithm that trains the policy.")


def compiled_with(name: str, together: tuple[str, ...]) -> tuple[str, ...]:
    """The methods that share a method's program: all of a menu's own share one, and what is not of it has its own."""
    return together if name in together else (name,)


def distribution(label: str, default: tuple[float, ...] = (), **look: Any) -> Any:
    """A field that is typed, or dragged bar by bar; `look` as in `Distribution`."""
    return field(default=default, metadata={"control": Distribution("", label, **look)})


def heights(label: str, names: tuple[str, ...], default: tuple[float, ...], **look: Any) -> Any:
    """A field of numbers from 0 to 1 that are typed, or dragged bar by bar; `look` as in `Heights`."""
    return field(default=default, metadata={"control": Heights("", label, names, **look)})


def controls_of(values: Values, presets: Mapping[str, Preset[Any]]) -> tuple[Control, ...]:
    """A control for each field, in their order, the player last; the menu of presets says what each shows."""
    shown = {name: f"{name}: {preset.shows}" for name, preset in presets.items()}
    also = {preset.also: name for name, preset in presets.items() if preset.also}
    menu = Choice("preset", "preset", shown, also=also, help="Sets every control to a named starting point.")
    found = [each.metadata["control"]._replace(name=each.name) if each.metadata else menu for each in fields(values)]
    return tuple(sorted(found, key=lambda control: control.name == "step"))
