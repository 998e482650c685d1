"""A distribution as bars whose tops are dragged: one vertical slider a category, filled from below; decision 0025."""

from collections.abc import Callable, Sequence

import ipywidgets as w

MOST = 12
"""Categories that are drawn as bars; more than that are typed."""
POSITIONS = 200
"""Steps from 0 to 1 that a bar's top can stand on, but for both ends, so that no bar takes all or nothing."""


class Bars:
    """Bars of one distribution, hidden where there are more than `MOST`.

    Attributes:
        box: what is displayed.
        sliders: one a category; as many as were ever needed.
    """

    def __init__(self, moved: Callable[[int, float], None], names: Sequence[str] = ()) -> None:
        """Bars that call `moved(category, mass)` when a top is dragged, or moved by the arrow keys.

        Args:
            moved: what is called.
            names: of the categories; without, their numbers from 0.
        """
        self._moved, self._names = moved, names
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
        name = self._names[category] if self._names else str(category)
        slider = w.IntSlider(
            value=1, min=1, max=POSITIONS - 1, orientation="vertical", readout=False, description=name, tooltip=""
        )
        slider.observe(lambda change: self._moved(category, change["new"] / POSITIONS), "value")
        return slider
