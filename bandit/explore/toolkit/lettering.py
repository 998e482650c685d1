"""Texts are drawn once: where one comes back on the same ground, its pixels are put there again.

Text is what takes longest in a picture, and most of it is the same in the next one: numbers on axes, legends, titles.
What a text makes of the pixels beneath it follows from the text, its look, its place and those pixels. Where all of
these are as they were before, so is what comes out, to the bit, however matplotlib draws its letters.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg

MOST_TEXTS = 1000
"""That are remembered of a picture, those that were seen last; a text's pixels are some 10 kB."""

Kept = TypeVar("Kept")


class Drawn(NamedTuple):
    """A text: its rows and columns, and their pixels, `[height, width, 4]` each, under it and with it."""

    place: tuple[slice, slice]
    before: np.ndarray
    after: np.ndarray


class LetteringRenderer(RendererAgg):
    """A renderer that remembers texts."""

    def __init__(self, width: Any, height: Any, dpi: Any) -> None:
        super().__init__(width, height, dpi)
        self._texts: OrderedDict[Hashable, Drawn] = OrderedDict()
        self._measured: OrderedDict[Hashable, Any] = OrderedDict()

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> Any:
        """As any renderer measures it, once."""
        key = (s, hash(prop), ismath)
        found = self._measured.get(key)
        if found is None:
            found = super().get_text_width_height_descent(s, prop, ismath)
        _remember(self._measured, key, found)
        return found

    def draw_text(
        self, gc: Any, x: Any, y: Any, s: str, prop: Any, angle: Any, ismath: Any = False, mtext: Any = None
    ) -> None:
        """As any renderer draws it, unless the same is remembered; what is clipped by a shape never is."""
        if gc.get_clip_path()[0] is not None:
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
            return
        clip = gc.get_clip_rectangle()
        look = (gc.get_rgb(), gc.get_alpha(), gc.get_forced_alpha(), gc.get_antialiased(), gc.get_snap())
        key = (s, x, y, angle, ismath, hash(prop), look, None if clip is None else clip.bounds)
        pixels = np.asarray(self.buffer_rgba())
        known = self._texts.get(key)
        if known is not None and np.array_equal(known.before, pixels[known.place]):
            pixels[known.place] = known.after
        else:
            place = self._place(x, y, s, prop, angle, ismath)
            before = pixels[place].copy()
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
            known = Drawn(place, before, pixels[place].copy())
        _remember(self._texts, key, known)

    def _place(self, x: Any, y: Any, s: str, prop: Any, angle: Any, ismath: Any) -> tuple[slice, slice]:
        """Rows and columns that a text stands in, half its size around what is measured: letters reach beyond that."""
        width, height, descent = self.get_text_width_height_descent(s, prop, ismath)
        room = self.points_to_pixels(prop.get_size_in_points()) / 2
        across, up = np.array([-room, width + room]), np.array([-descent - room, height - descent + room])
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        columns = x + np.add.outer(cos * across, -sin * up)
        rows = y - np.add.outer(sin * across, cos * up)  # y is from above
        return _between(rows, self.height), _between(columns, self.width)


class LetteringCanvas(FigureCanvasAgg):
    """A canvas whose renderer remembers texts, for figures that are drawn again and again."""

    _lettering: LetteringRenderer
    _size: tuple[Any, ...] = ()

    def get_renderer(self) -> RendererAgg:
        """The renderer for the figure's size as it is now."""
        size = (*self.get_width_height(physical=True), self.figure.dpi)
        if size != self._size:
            self._lettering, self._size = LetteringRenderer(*size), size
        return self._lettering


def _between(places: np.ndarray, end: Any) -> slice:
    """All whole pixels from the first of these places to the last that lie in the picture."""
    low, high = math.floor(places.min()), math.ceil(places.max())
    return slice(min(max(low, 0), int(end)), min(max(high, 0), int(end)))


def _remember(kept: OrderedDict[Hashable, Kept], key: Hashable, value: Kept) -> None:
    """Put it behind all others; what has not been asked for longest is forgotten."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MOST_TEXTS:
        kept.popitem(last=False)
