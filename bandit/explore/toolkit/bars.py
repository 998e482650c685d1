"""A distribution as bars whose tops are dragged: one vertical slider a category, filled from below; decision 0025."""

from collections.abc import Callable, Sequence

import ipywidgets as w

MOST = 12
"""Categories that are drawn as bars; more than that are typed."""
POSITIONS = 200
"""Steps from 0 to 1 that a bar's top can stand on, but for both ends, so that no bar takes all or nothing."""

STYLE = """
.modeseek-bars { position: relative; overflow: visible; padding: 0 0 4px 113px }
.modeseek-bars:not(:empty)::before { content: "drag a top, or Tab and ↑ ↓"; position: absolute; left: 0; top: 34px;
  width: 101px; text-align: right; font-size: 11px; line-height: 14px }
.modeseek-bars .widget-vslider { width: 34px; height: 136px; min-width: 0; margin: 0 2px }
.modeseek-bars .widget-label { order: 2; width: 100%; max-width: none; height: 16px; line-height: 16px; margin: 0;
  padding: 0; text-align: center }
.modeseek-bars .slider-container { width: 30px; margin: 10px auto 4px; padding: 0; border: none; background: none }
.modeseek-bars .widget-vslider .noUi-target { width: 24px; margin: 0 3px; border: 1px solid #767676; border-radius: 0;
  background: #fff; box-shadow: none; clip-path: inset(-10px -4px 0 -4px) }
.modeseek-bars .noUi-connects { background: none }
.modeseek-bars .widget-vslider .noUi-vertical .noUi-handle { width: 30px; height: 9px; right: -4px; top: -8px;
  bottom: auto; border: 1px solid #fff; border-radius: 2px; background: #000; cursor: ns-resize }
.modeseek-bars .widget-vslider .noUi-vertical .noUi-handle::after { display: block; content: ""; position: absolute;
  left: 3px; top: 7px; width: 22px; height: 140px; background: #9A9A9A }
"""


class Bars:
    """Bars of one distribution, hidden where there are more than `MOST`.

    Attributes:
        box: what is displayed.
        sliders: one a category; as many as were ever needed.
    """

    def __init__(self, moved: Callable[[int, float], None]) -> None:
        """Bars that call `moved(category, mass)` when a top is dragged, or moved by the arrow keys."""
        self._moved = moved
        self.sliders: list[w.IntSlider] = []
        self.box = w.HBox()
        self.box.add_class("modeseek-bars")

    def show(self, value: Sequence[float]) -> None:
        """Bring the tops to a distribution."""
        size = len(value) if len(value) <= MOST else 0
        while len(self.sliders) < size:
            self.sliders.append(self._slider(len(self.sliders)))
        for slider, mass in zip(self.sliders, value[:size], strict=False):
            position = min(max(round(POSITIONS * mass), 1), POSITIONS - 1)
            if slider.value != position:
                slider.value = position
        if len(self.box.children) != size:
            self.box.children = self.sliders[:size]

    def _slider(self, category: int) -> w.IntSlider:
        slider = w.IntSlider(
            value=1, min=1, max=POSITIONS - 1, orientation="vertical", readout=False, description=str(category)
        )
        slider.observe(lambda change: self._moved(category, change["new"] / POSITIONS), "value")
        return slider
