"""One row of widgets a control: a slider with its labelled box, a menu, a line of text, a player."""

import html
import math
from collections.abc import Callable
from typing import Any

import ipywidgets as w

from modeseek.bandit.explore.toolkit.bars import Bars
from modeseek.bandit.explore.toolkit.controls import Bar, Choice, Control, Distribution, Heights, Number
from modeseek.bandit.explore.toolkit.reading import read_number

PLAY_MS = 120
POSITIONS = 200
"""Steps of a slider over real numbers."""
LABEL_WIDTH = 105
"""Pixels of a number's label; what is longer would be cut."""
LABELLED = {"description_width": f"{LABEL_WIDTH}px"}
Changed = Callable[[str, Any], None]


class Row:
    """The widgets of one control: each shows the value, and calls `changed(name, input)` when it is used.

    Sliders hold whole positions, and this class turns them into numbers: a front end rounds a real number to its
    slider's nearest step and sends that back, so that merely looking would change the value.

    Attributes:
        box: what is displayed.
        widgets: those that hold the whole value; a number's box, which has the label, before its slider.
        bars: of a distribution, below its box; None for other controls.
    """

    def __init__(self, control: Control, changed: Changed) -> None:
        self.control = control
        self.bars: Bars | None = None
        self._low, self._high = 0.0, 1.0
        if isinstance(control, Number):
            self._low, self._high = float(control.low), float(control.high)
            self.widgets = self._number(control)
        elif isinstance(control, Choice):
            options = [(label, name) for name, label in control.options.items()]
            self.widgets = [w.Dropdown(options=options, **labelled(control.label, control.help))]
        else:
            self.widgets = [w.Text(continuous_update=False, **labelled(control.label, control.help))]
        for widget in self.widgets:
            widget.observe(lambda change: changed(control.name, self._said(change["owner"])), "value")
        self.box = self.widgets[0]
        if isinstance(control, Number):
            self.box = w.HBox(self.widgets)
            self.box.add_class("modeseek-number")
        if control.name == "step":
            self.box.add_class("modeseek-player")
        if isinstance(control, Distribution | Heights):
            self._whole: tuple[float, ...] = ()
            self.bars = Bars(
                lambda category, mass: changed(control.name, Bar(self._whole, category, mass)), control.names
            )
            self.box = w.VBox([self.widgets[0], self.bars.box])
            self.box.add_class("modeseek-distribution")

    def _number(self, control: Number) -> list[Any]:
        slider = w.IntSlider(min=0, max=POSITIONS, readout=False, tooltip="")
        # Text, not a number's widget: that one drops what it does not know, and 2.5 becomes 25 before anybody sees it.
        box = w.Text(style=LABELLED, continuous_update=False, **labelled(control.label, control.help))
        if control.name != "step":
            return [box, slider]
        return [w.Play(value=0, min=0, max=1, interval=PLAY_MS, show_repeat=False), box, slider]

    def show(self, value: Any, limits: tuple[float, float] | None) -> None:
        """Bring the widgets to the value, and a number's to its limits as things stand."""
        if limits is not None:
            self._low, self._high = limits
        for widget in self.widgets:
            if isinstance(widget, w.Play | w.IntSlider) and self.control.whole:  # type: ignore[union-attr]
                low, high = int(self._low), int(self._high)
                if (widget.min, widget.max) != (low, high):
                    widget.min, widget.max = min(low, widget.max), high
                    widget.min = low
            # What says this already is not written to: it may be under the reader's hand.
            if not self._says(widget, value):
                widget.value = self._shown(widget, value)
        if self.bars is not None:
            self._whole = value
            self.bars.show(value)

    def _shown(self, widget: Any, value: Any) -> Any:
        if isinstance(self.control, Distribution | Heights):
            return self.control.show(value)
        if isinstance(widget, w.Text):
            return self.control.encode(value)
        return self._position(value) if self._has_positions(widget) else value

    def _says(self, widget: Any, value: Any) -> bool:
        """Whether a widget shows the value, in whatever spelling that needs no words."""
        said = self._said(widget)
        return bool((read_number(said) if isinstance(self.control, Number) else (said, "")) == (value, ""))

    def _said(self, widget: Any) -> Any:
        """The input that a widget's value means."""
        if not self._has_positions(widget):
            return widget.value
        share = widget.value / POSITIONS
        if self.control.log:  # type: ignore[union-attr]
            return float(f"{self._low * (self._high / self._low) ** share:.3g}")
        return float(f"{self._low + (self._high - self._low) * share:.3g}")

    def _has_positions(self, widget: Any) -> bool:
        return isinstance(widget, w.IntSlider) and isinstance(self.control, Number) and not self.control.whole

    def _position(self, value: int | float) -> int:
        value = min(max(value, self._low), self._high)
        if self.control.log:  # type: ignore[union-attr]
            return round(POSITIONS * math.log(value / self._low) / math.log(self._high / self._low))
        return round(POSITIONS * (value - self._low) / (self._high - self._low))


def labelled(label: str, says: str) -> dict[str, Any]:
    """A label that says what its widget does: ipywidgets shows no `tooltip` of a widget that has a description."""
    said = f'<span title="{html.escape(says)}">{html.escape(label)}</span>'
    return {"description": said, "description_allow_html": True}
