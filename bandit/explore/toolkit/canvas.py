"""One persistent picture for an explorer: what stays is drawn once, what moves is blitted over it.

Measured on the KL explorer: a new figure for each event takes 350 ms, this 15 (docs/decisions/0020).
"""

import io
import struct
import zlib
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from modeseek.bandit.explore.toolkit.lettering import LetteringCanvas
from modeseek.bandit.figures.style import StyledFigure, save_figure, style

DPI = 100
SETTINGS: dict[Any, Any] = {"axes.titlesize": "medium", "axes.titley": 1.0}
"""Of a scene beside the grammar's own: nothing is smaller than 9 points, nor larger without a reason, and a title
stands on its axes without asking every tick for room."""
LARGEST_PICTURE = 60_000
"""Bytes of a picture in a committed notebook."""


class Panel:
    """One view in a rectangle of its own, so that it can be drawn again alone.

    Attributes:
        figure: the rectangle; nothing of the view lies outside.
        moving: artists that `update` changes, in drawing order; all others are still.
    """

    figure: SubFigure
    moving: list[Artist]

    def key(self, model: Any) -> Hashable:
        """Everything that the still part depends on: limits, ticks, titles. A new key draws it again."""
        return None

    def adapt(self, model: Any) -> None:
        """Give the still part the limits, ticks and titles of a new key."""

    def update(self, model: Any) -> None:
        """Give the moving artists the view-model's data."""
        raise NotImplementedError


class Scene:
    """What one kind of explorer draws.

    Attributes:
        size: of the figure, inches.
    """

    size: tuple[float, float]

    def panels(self, figure: Figure) -> Sequence[Panel]:
        """Make all views on the empty figure, each in a rectangle from `rectangles`."""
        raise NotImplementedError


def rectangles(figure: Figure, widths: Sequence[float], heights: Sequence[Sequence[float]]) -> list[list[SubFigure]]:
    """Columns of rectangles that fill the figure: relative widths, and for each column its relative heights."""
    columns = figure.add_gridspec(1, len(widths), width_ratios=widths)
    found = []
    for i, rows in enumerate(heights):
        column = figure.add_subfigure(columns[i])  # nested: a subfigure looks at its own grid's ratios alone
        grid = column.add_gridspec(len(rows), 1, height_ratios=rows)
        found.append([column.add_subfigure(grid[j]) for j in range(len(rows))])
    return found


def axes_in(figure: SubFigure, left: float, right: float, bottom: float, top: float) -> Axes:
    """Axes that leave these margins, inches, of a rectangle free."""
    width, height = figure.bbox.width / DPI, figure.bbox.height / DPI
    place = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    axes = figure.add_axes(place)
    axes.set_title("")  # on the axes: without a title matplotlib would look for the place of one
    return axes


class Canvas:
    """A scene's figure, its still background, and the way to pixels. Not safe for threads: the explorer has a lock."""

    def __init__(self, scene: Scene) -> None:
        with style(SETTINGS):
            self.figure = StyledFigure(figsize=scene.size, dpi=DPI)
            self._agg = LetteringCanvas(self.figure)
            self._panels = list(scene.panels(self.figure))
        self._moving = [artist for panel in self._panels for artist in panel.moving]
        for artist in self._moving:
            artist.set_animated(True)
        for panel in self._panels:
            panel.figure.set_facecolor("white")
        self._keys: list[Hashable] = []
        self._background: Any = None

    def pixels(self, model: Any) -> np.ndarray:
        """The picture of a view-model, `[height, width, 3]` bytes."""
        keys = [panel.key(model) for panel in self._panels]
        if self._background is None or keys != self._keys:
            self._draw_background(model, keys)
        self._agg.restore_region(self._background)
        with style(SETTINGS):
            for panel in self._panels:
                panel.update(model)
            for artist in self._moving:
                artist.draw(self._agg.get_renderer())
        rgba = np.asarray(self._agg.buffer_rgba())
        rgb = np.empty((*rgba.shape[:2], 3), np.uint8)
        for channel in range(3):  # five times faster than all three in one slice, nine times than by PIL
            rgb[..., channel] = rgba[..., channel]
        return rgb

    def _draw_background(self, model: Any, keys: list[Hashable]) -> None:
        """The still part of every panel whose key is new."""
        whole, background = self._background is None, self._background
        self._background = None  # a failure below must not leave half a background
        with style(SETTINGS):
            for panel, new, old in zip(self._panels, keys, self._keys or [None] * len(keys), strict=True):
                if whole or new != old:
                    panel.adapt(model)
            if whole:
                self._agg.draw()
            else:
                self._agg.restore_region(background)
                for panel, new, old in zip(self._panels, keys, self._keys, strict=True):
                    if new != old:
                        panel.figure.draw(self._agg.get_renderer())
        self._background = self._agg.copy_from_bbox(self.figure.bbox)
        self._keys = keys

    def save(self, model: Any, stem: Path) -> list[Path]:
        """Write `stem.png` and `stem.svg` of the whole picture."""
        self.pixels(model)
        for artist in self._moving:
            artist.set_animated(False)
        try:
            return save_figure(self.figure, stem)
        finally:
            for artist in self._moving:
                artist.set_animated(True)
            self._background = None  # saving has drawn on the canvas
            with style(SETTINGS):
                self._agg.draw()  # what texts know of their size would else be in the SVG's resolution


def encode(pixels: np.ndarray) -> bytes:
    """PNG as fast as it goes, for the screen: rows without a filter, where PIL tries five on each (6 ms for 20)."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # a first byte of 0 in each row: no filter
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # eight bits a channel, RGB
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def encode_small(pixels: np.ndarray, most_bytes: int = LARGEST_PICTURE) -> bytes:
    """PNG as small as it goes, with a palette: for a committed notebook, where a picture has at most so many bytes.

    The octree keeps the grammar's colours; by median cut vermillion and orange become one (and the file is larger).
    Fewer than 128 colours only where a busy picture needs it; with fewer than 32 shades would merge.
    """
    for colors in (128, 64, 32):
        stream = io.BytesIO()
        few = Image.fromarray(pixels).quantize(colors, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(stream, "PNG", optimize=True)
        if stream.tell() <= most_bytes:
            break
    return stream.getvalue()
