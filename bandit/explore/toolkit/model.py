"""The view-model: every value of an explorer, what follows from them, and the words for it; no widget, no picture."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode

import numpy as np

from modeseek import __version__
from modeseek.bandit.explore.toolkit.controls import Control, Number
from modeseek.bandit.explore.toolkit.values import Preset, V, controls_of
from modeseek.checks import suggestion

R = TypeVar("R")


class ViewModel(Generic[V, R]):
    """Base of all view-models. A kind of explorer defines the attributes and the methods from `settle` on.

    A change either happens as a whole or raises `ValueError` and leaves everything as it was; what had to be mended in
    the input stands in `notes` until the next change.

    Attributes:
        kind: first word of the state string.
        title: heading of the explorer.
        controls: of the values' fields. One is called `preset`; one called `step` gets a player.
        recipe: names of the values from which a preset is made, such as a size or a seed.
        near: names of the three to five controls that stand beside the picture, in this order.
        defaults: values where no preset says otherwise.
        presets: name → what it sets; a name that is not in it leaves the defaults.
        values: of every control.
        notes: what the last change did besides what was asked.
        result: what `compute` made of the values.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    controls: ClassVar[tuple[Control, ...]]
    recipe: ClassVar[tuple[str, ...]] = ()
    near: ClassVar[tuple[str, ...]] = ()
    defaults: V
    presets: Mapping[str, Preset[V]] = MappingProxyType({})
    values: V
    result: R

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "defaults" in vars(cls):
            cls.controls = controls_of(cls.defaults, cls.presets)

    def __init__(self, preset: str | None = None, **values: Any) -> None:
        """Start from a preset, then set the values in the order given.

        Raises:
            ValueError: an unknown name, or a value that cannot be one.
        """
        self.notes: list[str] = []
        name = self.defaults.preset if preset is None else self._accept("preset", preset)
        self._take(self._preset_values(name, {}), fresh=True)
        for other, given in values.items():
            self._set(other, given)
        self._first = self.values

    def control(self, name: str) -> Control:
        """The control of that name.

        Raises:
            ValueError: there is none.
        """
        for control in self.controls:
            if control.name == name:
                return control
        names = [control.name for control in self.controls]
        raise ValueError(f"unknown control {name!r}; there are {', '.join(names)}{suggestion(name, names)}")

    def set(self, name: str, given: Any) -> None:
        """Change one value, and what depends on it.

        Raises:
            ValueError: an unknown name, or input that cannot be a value; nothing has changed then.
        """
        self.notes = []
        self._set(name, given)

    def set_all(self, given: Mapping[str, Any]) -> None:
        """Change several values in the order given, and what depends on them.

        Raises:
            ValueError: as `set`, for the first that cannot be; none has changed then.
        """
        before = dict(vars(self))  # what a kind of explorer holds besides goes back too
        self.notes = []
        try:
            for name, value in given.items():
                self._set(name, value)
        except ValueError:
            vars(self).update(before)
            raise

    def reset(self) -> None:
        """Back to how the explorer was made."""
        self.notes = []
        self._take(self._first, fresh=True)

    def to_state(self) -> str:
        """Everything, the seed included, as one short line that `from_state` understands.

        The preset stands first, and then each value in which it has been departed from.
        """
        name = self.values.preset
        plain = self._preset_values(name, {})
        base = self._preset_values(name, {each: getattr(self.values, each) for each in self.recipe})
        base = replace(base, **{each: getattr(plain, each) for each in self.recipe})
        pairs = [("preset", name)]
        for control in self.controls:
            value = getattr(self.values, control.name)
            if control.name != "preset" and not control.derived and value != getattr(base, control.name):
                pairs.append((control.name, control.encode(value)))
        return f"{self.kind}?{urlencode(pairs, safe=',:')}"

    def load_state(self, text: str) -> None:
        """Take over a state string; what it leaves out is as in its preset.

        Raises:
            ValueError: it is not one of this kind of explorer, or a value in it cannot be one; nothing has changed.
        """
        kind, mark, query = text.strip().partition("?")
        if not mark or kind != self.kind:
            raise ValueError(f"a state of this explorer begins with {self.kind}?, got {text[:60]!r}")
        try:
            values = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        except ValueError:
            raise ValueError(f"a state is {self.kind}?name=value&name=value, got {text[:60]!r}") from None
        notes, self.notes = self.notes, []
        try:
            self._take(self._decoded(values), fresh=True)
        except ValueError:
            self.notes = notes
            raise

    @classmethod
    def from_state(cls, text: str) -> "ViewModel[V, R]":
        """A view-model in the given state.

        Raises:
            ValueError: as `load_state`.
        """
        model = cls()
        model.load_state(text)
        model._first = model.values
        return model

    def limits(self, name: str) -> tuple[float, float]:
        """Smallest and largest value of a `Number` as things stand."""
        control = self.control(name)
        assert isinstance(control, Number)
        high = getattr(self.values, control.until) if control.until else control.high
        return float(control.low), float(high)

    def run_card(self) -> dict[str, Any]:
        """What it takes to make this picture again, and what it says."""
        values = {control.name: getattr(self.values, control.name) for control in self.controls}
        return {
            "explorer": self.kind,
            "state": self.to_state(),
            "values": {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()},
            "caption": self.caption(),
            "versions": {"modeseek": __version__, "numpy": np.__version__, "python": platform.python_version()},
            "again": opening(self.kind, self.to_state()),
        }

    # What a kind of explorer defines.

    def preset(self, values: V) -> V:
        """What the preset of these values sets, given those of `recipe`."""
        chosen = self.presets.get(values.preset)
        return values if chosen is None else replace(chosen.values, preset=values.preset)

    def settle(self, values: V, changed: str, before: V) -> V:
        """Values in which everything agrees again after `changed` has; `self.notes` says what was done.

        `changed` is a control's name, or `state` when a whole state was taken over. What goes beyond another value
        (`Number.until`) is brought back to it afterwards.

        Raises:
            ValueError: they cannot agree.
        """
        return values

    def compute(self, values: V) -> R:
        """What the views show, from the values of all controls that are not `view`."""
        raise NotImplementedError

    def caption(self) -> str:
        """What the picture shows, in numbers: the alt text."""
        raise NotImplementedError

    def table(self) -> dict[str, Any]:
        """The data behind the picture: column name → equally long vector."""
        raise NotImplementedError

    # How it works.

    def _settled(self, values: V, changed: str, before: V) -> V:
        values = self.settle(values, changed, before)
        ends = {c.name: getattr(values, c.until) for c in self.controls if isinstance(c, Number) and c.until}
        return replace(values, **{name: min(getattr(values, name), end) for name, end in ends.items()})

    def _preset_values(self, name: str, given: dict[str, Any]) -> V:
        """A preset as it is made from these values of `recipe`."""
        values = replace(self.preset(replace(self.defaults, preset=name, **given)), **given)
        notes, self.notes = self.notes, []
        settled = self._settled(values, "preset", values)
        self.notes = notes
        return settled

    def _decoded(self, texts: dict[str, str]) -> V:
        """All values of a state at once: none of them makes another one change."""
        accepted = {name: self._accept(name, text, anywhere=True) for name, text in texts.items()}
        name = accepted.get("preset", self.defaults.preset)
        base = self._preset_values(name, {each: accepted[each] for each in self.recipe if each in accepted})
        return self._settled(replace(base, **accepted), "state", base)

    def _accept(self, name: str, given: Any, *, anywhere: bool = False) -> Any:
        """Input as a value; `anywhere`: within the control's own limits, as those of the present state do not count."""
        control = self.control(name)
        if isinstance(control, Number):
            low, high = (float(control.low), float(control.high)) if anywhere else self.limits(name)
            accepted = control.accept(given, low, high)
        else:
            accepted = control.accept(given)
        self.notes += [accepted.note] * bool(accepted.note)
        return accepted.value

    def _set(self, name: str, given: Any) -> None:
        notes = list(self.notes)
        try:
            value = self._accept(name, given)
            if name == "preset":
                self._take(self._preset_values(value, {}), fresh=True)
            elif value != getattr(self.values, name):
                trial = replace(self.values, **{name: value})
                self._take(self._settled(trial, name, self.values), fresh=not self.control(name).view)
        except ValueError:
            self.notes = notes
            raise

    def _take(self, values: V, *, fresh: bool) -> None:
        result = self.compute(values) if fresh else self.result
        self.values, self.result = values, result


def opening(kind: str, state: str) -> str:
    """The line of Python that opens a state."""
    return f"modeseek.explorer({json.dumps(kind)}, state={json.dumps(state)})"


def rows_of(
    name: str, runs: Sequence[Any] | np.ndarray, steps: np.ndarray, curves: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """A table with one row a run and step.

    Args:
        name: of the column that says which run.
        runs: what it says, `[M]`.
        steps: equally many in each run, `[E]`.
        curves: column → its numbers, each `[M, E]`.
    """
    columns: dict[str, Any] = {name: np.repeat(runs, steps.size), "step": np.tile(steps, len(runs))}
    return columns | {column: values.ravel() for column, values in curves.items()}
