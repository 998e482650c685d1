"""Winner maps: place of the peak against another condition, one colour per method, ties grey and hatched."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from modeseek.bandit.figures.methods import method_line, styles_of
from modeseek.bandit.figures.style import BLACK, WIDTH, LineStyle, new_figure, style
from modeseek.bandit.objectives.registry import variant

OFFLINE_TINT = 0.45
"""How much white an offline method's colour has, where both sides of one method are drawn."""
TIE = 0.9
"""Grey of a cell that nobody has won."""
HATCH: dict[str, Any] = {"hatch": "////", "edgecolor": "#BDBDBD", "linewidth": 0}
"""On that grey."""


class WinnerMap(NamedTuple):
    """One slice, `[rows, columns]`, a column for each place of the peak.

    Attributes:
        title: what the rows vary.
        rows: their labels, from below.
        columns: their labels.
        base: the row that all slices share.
        leader: index of the method with the highest mean; -1 where nothing has been run.
        among: which methods may be the best, `[rows, columns, M]`.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    base: int
    leader: Int[np.ndarray, "A B"]
    among: Bool[np.ndarray, "A B M"]


def phase_figure(maps: Sequence[WinnerMap], methods: Sequence[str], title: str, columns: int = 3) -> Figure:
    """All slices side by side, and one legend.

    In a cell stand the markers of all methods that may be the best there. One alone has won, and the cell has its
    colour; several are tied, and the cell is grey and hatched. White was not run.

    Args:
        maps: one a slice.
        methods: names, in the order of the indices.
        title: of the figure.
        columns: maps side by side.
    """
    rows = -(-len(maps) // columns)
    width = min(columns, len(maps))
    figure, grid = new_figure(rows, width, panel=(min(3.9, WIDTH / width), 2.75))
    with style():
        for axes, each in zip(grid.flat, maps, strict=False):
            _draw(axes, each, methods)
        for axes in list(grid.flat)[len(maps) :]:
            axes.axis("off")
        figure.suptitle(title, fontsize=10)
        shown = [m for m in range(len(methods)) if any(each.among[each.leader >= 0][:, m].any() for each in maps)]
        handles: list[Any] = [method_key(methods, m) for m in shown]
        tie = Rectangle((0, 0), 1, 1, facecolor=(TIE,) * 3, label="a tie", **HATCH)
        figure.legend(handles=[*handles, tie], loc="outside lower center", ncols=min(5, len(handles) + 1))
    return figure


def colors_of(methods: Sequence[str]) -> np.ndarray:
    """RGB of each method, `[M, 3]`: its colour everywhere; whiter for the offline one where both sides are drawn."""
    styles, colors = styles_of(list(methods)), []
    for name in methods:
        both = sum(variant(other).method == variant(name).method for other in methods) > 1
        color = np.asarray(to_rgb(styles[name].color))
        tint = OFFLINE_TINT if both and not variant(name).on_policy else 0.0
        colors.append((1 - tint) * color + tint)
    return np.asarray(colors)


def method_key(methods: Sequence[str], m: int) -> Line2D:
    """A method's entry in a map's legend: its colour, and on it its marker, open for an offline one."""
    color = colors_of(methods)[m]
    line = styles_of(list(methods))[methods[m]]
    face = "white" if not variant(methods[m]).on_policy else BLACK
    return Line2D(
        [],
        [],
        color=color,
        linewidth=7,
        marker=line.marker,
        markersize=5 * _size(line.marker),
        markerfacecolor=face,
        markeredgecolor=BLACK,
        markeredgewidth=0.6,
        label=method_line(methods[m], line)["label"],
    )


def draw_cells(
    axes: Axes, leader: Int[np.ndarray, "A B"], tied: Bool[np.ndarray, "A B"], methods: Sequence[str]
) -> list[Artist]:
    """The cells of a map: the winner's colour, grey and hatched where the best are tied, white where nothing was run.

    Args:
        axes: cell `[a, b]` is the square of side 1 around b, a.
        leader: index of the method with the highest mean; -1 where nothing has been run.
        tied: whether others may be the best too.
        methods: names, in the order of the indices.
    """
    there = leader >= 0
    fill = np.where(there[..., None], colors_of(methods)[leader], 1.0)
    fill = np.where((tied & there)[..., None], TIE, fill)
    drawn: list[Artist] = [axes.imshow(fill, origin="lower", aspect="auto", interpolation="nearest")]
    for a, b in np.argwhere(tied & there):
        drawn.append(axes.add_patch(Rectangle((b - 0.5, a - 0.5), 1, 1, fill=False, **HATCH)))
    return drawn


def marker_in_cell(name: str, line: LineStyle, *, tied: bool, size: float) -> dict[str, Any]:
    """A method's marker for `Axes.plot`: open if it is offline, of its colour where the ground is a tie's grey.

    Args:
        name: of the method.
        line: its style.
        tied: whether it stands in a tied cell.
        size: of a square.
    """
    ink = line.color if tied else BLACK
    on_policy = variant(name).on_policy
    return {
        "linestyle": "none",
        "marker": line.marker,
        "color": ink if on_policy else "white",
        "markersize": size * _size(line.marker),
        "markeredgecolor": BLACK if on_policy else ink,
        "markeredgewidth": 0.4 if on_policy else 1.0,
    }


def _draw(axes: Axes, each: WinnerMap, methods: Sequence[str]) -> None:
    styles = styles_of(list(methods))
    draw_cells(axes, each.leader, each.among.sum(axis=-1) > 1, methods)
    for a, b in np.argwhere(each.leader >= 0):
        among = np.flatnonzero(each.among[a, b]).tolist()
        for place, m in zip(_places(len(among)), among, strict=True):
            look = marker_in_cell(methods[m], styles[methods[m]], tied=len(among) > 1, size=4.6)
            axes.plot(b + place[0], a + place[1], **look)
    axes.grid(False)
    axes.set_xticks(range(len(each.columns)), list(each.columns))
    axes.set_yticks(range(len(each.rows)), list(each.rows))
    axes.get_yticklabels()[each.base].set_fontweight("bold")
    axes.set(
        xlabel="peak of the reward, token", xlim=(-0.5, len(each.columns) - 0.5), ylim=(-0.5, len(each.rows) - 0.5)
    )
    axes.set_title(each.title, fontsize=9)


def _size(marker: str) -> float:
    """A star has little area within its edge, and would not be seen among squares and disks."""
    return 1.7 if marker == "*" else 1.0


def _places(count: int) -> list[tuple[float, float]]:
    """Where so many markers stand in a cell of side 1, in rows of four at most."""
    per_row = min(count, 4)
    rows = -(-count // per_row) if count else 0
    return [((i % per_row - (per_row - 1) / 2) * 0.22, -(i // per_row - (rows - 1) / 2) * 0.4) for i in range(count)]
