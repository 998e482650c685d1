"""One row of widgets a control: a slider with its labelled box, a menu, a line of text, a player."""

import math
from collections.abc import Callable
from typing import Any

import ipywidgets as w

from bandit.explore.controls import Choice, Control, Distribution, Number

PLAY_MS = 120
LABELLED = {"description_width": "105px"}
Changed = Callable[[str, Any], None]


class Row:
    """The widgets of one control: each shows the value, and calls `changed(name, input)` when it is used.

    Attributes:
        box: what is displayed.
        widgets: all of them; the box with the label is the last.
    """

    def __init__(self, control: Control, changed: Changed) -> None:
        self.control = control
        self.widgets: list[Any] = []
        if isinstance(control, Number):
            self._number(control)
        elif isinstance(control, Choice):
            options = [(label, name) for name, label in control.options.items()]
            width = "620px" if max(len(label) for label, _ in options) > 30 else "300px"
            self.widgets = [w.Dropdown(options=options, description=control.label, style=LABELLED)]
            self.widgets[0].layout.width = width
        else:
            self.widgets = [w.Text(description=control.label, continuous_update=False, style=LABELLED)]
            self.widgets[0].layout.width = "620px"
        for widget in self.widgets:
            widget.observe(lambda change: changed(control.name, _sent(change["owner"])), "value")
        self.box = w.HBox(self.widgets) if len(self.widgets) > 1 else self.widgets[0]

    def _number(self, control: Number) -> None:
        start = {"value": control.low, "min": control.low, "max": control.high}
        hidden: dict[str, Any] = {"readout": False, "layout": w.Layout(width="190px")}
        if control.log:
            exponents = {"min": math.log10(control.low), "max": math.log10(control.high), "step": 0.01}
            slider: Any = w.FloatLogSlider(value=control.low, base=10, **exponents, **hidden)
        elif control.whole:
            slider = w.IntSlider(**start, **hidden)
        else:
            slider = w.FloatSlider(**start, step=(control.high - control.low) / 500, **hidden)
        box = (w.IntText if control.whole else w.FloatText)(
            description=control.label, style=LABELLED, continuous_update=False, layout=w.Layout(width="200px")
        )
        player = [w.Play(value=0, min=0, max=1, interval=PLAY_MS, show_repeat=False)] if control.name == "step" else []
        if player:
            slider.layout.width = "520px"
        self.widgets = [*player, slider, box]

    def show(self, value: Any, low: float, high: float) -> None:
        """Bring the widgets to the value, and a number's to its limits as things stand."""
        for widget in self.widgets:
            if (
                hasattr(widget, "max")
                and not isinstance(widget, w.FloatLogSlider)
                and (widget.min, widget.max) != (low, high)
            ):
                widget.min, widget.max = min(low, widget.max), high
                widget.min = low
            # A slider that is being dragged is not written to while it says what the view-model says.
            if _sent(widget) != value:
                widget.value = self.control.show(value) if isinstance(self.control, Distribution) else value


def _sent(widget: Any) -> Any:
    """What a widget's value says: a slider's position in as many digits as anybody can mean."""
    if isinstance(widget, w.FloatSlider | w.FloatLogSlider):
        return float(f"{widget.value:.3g}")
    return widget.value
