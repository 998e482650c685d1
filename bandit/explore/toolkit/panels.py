"""What several explorers draw alike: curves with a marker at the present step, axes of tokens, bands, warnings."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import SubFigure
from matplotlib.text import Text
from matplotlib.transforms import ScaledTranslation

from modeseek.bandit.explore.toolkit.canvas import Panel, axes_in
from modeseek.bandit.figures.frontier import FRONTIER, POINT_MASS
from modeseek.bandit.figures.style import BLACK, BLUE, GREY, ORANGE, VERMILLION, LineStyle

SHADES = (255 * matplotlib.colormaps["cividis"](np.linspace(0, 1, 256))).astype(np.uint8)
"""Colours of a heat map, dark to bright, `[256, 4]` bytes."""
CHOSEN, REJECTED, OTHER = LineStyle(BLUE, "^", "-"), LineStyle(VERMILLION, "v", "--"), LineStyle(ORANGE, "o", ":")
"""Preferred response, rejected one, and whoever else gains."""
STALE = "these curves are of other settings: press Train"
REWARD_ENDS = (-0.02, 1.05)
"""Ends of an axis of expected rewards."""
LINE = 15.0
"""From one number beyond the axes to the next, points."""
FINE = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
COARSE = (1, 1.5, 2, 3, 5, 7, 10)


def round_up(value: float, steps: Sequence[int | float] = COARSE) -> float:
    """The next of these steps times a power of ten, so that small changes leave an axis as it is."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-12)))
    return float(next(step * power for step in steps if value <= step * power * (1 + 1e-9)))


def token_edges(size: int) -> np.ndarray:
    """Edges of bars around whole numbers, `[size + 1]`."""
    return np.arange(size + 1) - 0.5


def band(axes: Axes, **look: Any) -> FillBetweenPolyCollection:
    """An area between two curves that does not move the axes; `set_data(x, low, high)` fills it."""
    found = FillBetweenPolyCollection("x", np.zeros(2), np.zeros(2), np.zeros(2), linewidth=0, **look)
    axes.add_collection(found, autolim=False)
    return found


def warning(axes: Axes, height: float) -> Text:
    """A line across the curves that says why they are not what the controls ask for; empty at first."""
    return axes.text(
        0.5,
        height,
        "",
        transform=axes.transAxes,
        ha="center",
        fontsize=9,
        fontweight="bold",
        color="#8A1C00",
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 2.0},
    )


class Limit:
    """The most reward that KL allows, and its end, behind the curves of one pair of axes."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        (self.line,) = axes.plot([], [], **FRONTIER)
        (self.end,) = axes.plot([], [], **POINT_MASS)

    def show(self, curve: tuple[np.ndarray, np.ndarray]) -> None:
        """Put them where `frontier` says, and go on level behind its end."""
        nats, reward = curve
        self.line.set_data(np.append(nats, 100 * nats[-1]), np.append(reward, reward[-1]))
        self.end.set_data(nats[-1:], reward[-1:])

    def legend(self, **look: Any) -> None:
        """The axes' legend, which names the end where it is to be seen."""
        seen = np.all(np.asarray(self.end.get_xdata(), float) <= self._axes.get_xlim()[1])
        self.end.set_label(POINT_MASS["label"] if seen else "_beyond")
        self._axes.legend(loc="lower right", **look)


class Marker:
    """A marker at the present step; where that lies beyond the axes, its number stands at their end instead.

    Attributes:
        dot: the marker.
        beyond: the number, with an arrow to where it lies; empty where the marker is to be seen.
    """

    def __init__(self, axes: Axes, style: LineStyle, size: int | float, **look: Any) -> None:
        """Nothing to be seen yet; `look` as of `Axes.plot`."""
        self._axes = axes
        look = {"color": style.color, "ms": size, "mec": BLACK, "ls": "none", **look}
        (self.dot,) = axes.plot([], [], style.marker, **look)
        frame = {"facecolor": "white", "edgecolor": style.color, "linewidth": 1.3, "pad": 1.5}
        self.beyond = axes.text(0.0, 0.0, "", bbox=frame)

    def show(self, x: float, y: float, beside: Sequence["Marker"] = ()) -> None:
        """Put it there; a number beyond the same end as others' stands in a line of its own.

        Args:
            x: where.
            y: how high.
            beside: markers that have been put before.
        """
        (left, right), (bottom, top) = self._axes.get_xlim(), self._axes.get_ylim()
        self.beyond.set_text("")
        if x > right:
            height = min(max(y, bottom), top)
            self.beyond.set(
                x=right, y=height, text=f"{x:.3g} →", ha="right", va="center", transform=self._axes.transData
            )
        elif y > top or y < bottom:
            arrow, end, side = ("↑", top, "top") if y > top else ("↓", bottom, "bottom")
            half = "right" if x > (left + right) / 2 else "left"  # where there is room
            before = sum(other.beyond.get_text()[:1] == arrow for other in beside)
            inward = before * (-LINE if arrow == "↑" else LINE)
            place = self._axes.transData + ScaledTranslation(0, inward / 72, self._axes.figure.dpi_scale_trans)
            self.beyond.set(x=x, y=end, text=f"{arrow} {y:.3g}", ha=half, va=side, transform=place)
        inside = not self.beyond.get_text()
        self.dot.set_data([x] * inside, [y] * inside)


def artists(markers: Sequence[Marker]) -> list[Artist]:
    """All that markers draw, in drawing order."""
    return [*(marker.dot for marker in markers), *(marker.beyond for marker in markers)]


class Curves(Panel):
    """Lines with a marker on each at the present step, and a grey line through them there.

    A kind of panel says what is drawn (`series`), where its axis ends (`key`, `adapt`), and what stands beside it.

    Attributes:
        axes: of the curves.
        lines: the curves.
        markers: at the present step.
        now: the line through it.
        ends: of the vertical axis.
    """

    def __init__(
        self,
        figure: SubFigure,
        margins: tuple[float, float, float, float],
        lines: Sequence[tuple[LineStyle, dict[str, Any]]],
        *,
        size: int = 9,
        ends: tuple[float, float] = (0.0, 1.0),
        vertical: bool = True,
    ) -> None:
        """Empty axes.

        Args:
            figure: rectangle.
            margins: left, right, below and above the axes, inches.
            lines: style of each line's marker at the present step, and keyword arguments of its `Axes.plot`.
            size: of the markers; 0 for none.
            ends: of the vertical axis.
            vertical: whether a line is drawn through the present step.
        """
        self.figure, self.ends, self._vertical = figure, ends, vertical
        self.axes = axes = axes_in(figure, *margins)
        self.lines = [axes.plot([], [], **look)[0] for _, look in lines]
        (self.now,) = axes.plot([], [], color=GREY, linewidth=1.0)
        faces = [look.get("markerfacecolor", style.color) for style, look in lines]
        self.markers = [
            Marker(axes, style, size, mfc=face) for (style, _), face in zip(lines, faces, strict=True) if size
        ]
        self.moving: list[Artist] = [self.now, *self.lines, *artists(self.markers)]

    def series(self, model: Any) -> tuple[np.ndarray, np.ndarray]:
        """Where the points are, `[E]` or for each line `[M, E]`, and their values, `[M, E]`."""
        raise NotImplementedError

    def mark_every(self, share: int, steps: int) -> None:
        """Put so many markers on each line, however long it is."""
        for line in self.lines:
            line.set_markevery(max(1, steps // share))

    def update(self, model: Any) -> None:
        """Lines, markers and the line through the present step."""
        at = model.values.step
        x, values = self.series(model)
        each = np.broadcast_to(x, values.shape)
        for line, one, y in zip(self.lines, each, values, strict=True):
            line.set_data(one, y)
        for i, (marker, one, y) in enumerate(zip(self.markers, each, values, strict=False)):
            marker.show(float(one[at]), float(y[at]), self.markers[:i])
        if self._vertical:
            self.now.set_data([each[0, at]] * 2, self.ends)
