"""One persistent picture for an explorer: what stays is drawn once, what moves is blitted over it.

Measured on the KL explorer: a new figure for each event takes 350 ms, this 15 (docs/decisions/0020).
"""

import io
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from bandit.figures.style import save_figure, style

DPI = 100


class Scene(Protocol):
    """How one kind of explorer is drawn.

    Attributes:
        size: of the figure, inches.
    """

    size: tuple[float, float]

    def lay_out(self, figure: Figure) -> Iterable[Artist]:
        """Make all axes and artists on the empty figure; return the artists that move, in drawing order."""
        ...

    def key(self, model: Any) -> Hashable:
        """Everything that the still part depends on: limits, ticks, titles. A new key draws it again."""
        ...

    def adapt(self, model: Any) -> None:
        """Give the still part the limits, ticks and titles of a new key."""
        ...

    def update(self, model: Any) -> None:
        """Give the moving artists the view-model's data."""
        ...


class Canvas:
    """A scene's figure, its still background, and the way to pixels. Not safe for threads: the explorer has a lock."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.figure = Figure(figsize=scene.size, dpi=DPI)
        self._agg = FigureCanvasAgg(self.figure)
        self._key: Hashable = None
        self._moving: list[Artist] = []
        self._background: Any = None

    def pixels(self, model: Any) -> np.ndarray:
        """The picture of a view-model, `[height, width, 3]` bytes."""
        key = self.scene.key(model)
        if self._background is None or key != self._key:
            self._draw_background(model, key)
        self._agg.restore_region(self._background)
        self.scene.update(model)
        for artist in self._moving:
            artist.draw(self._agg.get_renderer())
        return np.asarray(self._agg.buffer_rgba())[..., :3].copy()

    def _draw_background(self, model: Any, key: Hashable) -> None:
        self._background = None  # a failure below must not leave a background of something else
        with style():
            if not self._moving:
                self._moving = list(self.scene.lay_out(self.figure))
                for artist in self._moving:
                    artist.set_animated(True)
            self.scene.adapt(model)
            self._agg.draw()
        self._background = self._agg.copy_from_bbox(self.figure.bbox)
        self._key = key

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


def encode(pixels: np.ndarray) -> bytes:
    """PNG as fast as it goes: for the screen."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def encode_small(pixels: np.ndarray, colors: int = 64) -> bytes:
    """PNG as small as it goes, with a palette: for a committed notebook."""
    stream = io.BytesIO()
    Image.fromarray(pixels).quantize(colors, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def captioned(pixels: np.ndarray, caption: str) -> np.ndarray:
    """The picture with its caption underneath, where no front end would show one."""
    height, width, _ = pixels.shape
    lines = _wrap(caption, width // 7)
    strip = Figure(figsize=(width / DPI, (16 * len(lines) + 14) / DPI), dpi=DPI)
    agg = FigureCanvasAgg(strip)
    strip.text(12 / width, 0.5, "\n".join(lines), va="center", fontsize=8.5, linespacing=1.35)
    agg.draw()
    return np.concatenate([pixels, np.asarray(agg.buffer_rgba())[..., :3]])


def _wrap(text: str, width: int) -> list[str]:
    import textwrap

    return [line for paragraph in text.split("\n") for line in textwrap.wrap(paragraph, width) or [""]]
