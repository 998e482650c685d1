"""How the KL explorer is drawn: bars with their pushes, curves against the step, region map, triangle; all linked."""

import math
from collections.abc import Hashable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.kl.model import KLModel
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import FINE, Curves, round_up, token_edges
from modeseek.bandit.figures.kl_regions import draw_regions
from modeseek.bandit.figures.kl_simplex import draw_triangle, to_plane
from modeseek.bandit.figures.style import BLACK, FORWARD_KL, REFERENCE_BARS, REVERSE_KL, TARGET, WIDTH

STYLES = (FORWARD_KL, REVERSE_KL)
LEAST_KL = 1e-4
"""Bottom of the logarithmic axes of divergences."""
LABELS_AT = -0.19
"""Where the labels of the left column stand, in widths of its axes."""
NO_MASS_LEFT = 1e5
"""A push below minus this takes all the mass in one step (`KLResult.push`): drawn to the end of the axis."""


class KLScene(Scene):
    """Left: both policies and where they are pushed. Middle: curves. Right: the pair's region, and the triangle."""

    size = (WIDTH, 6.2)

    def panels(self, figure: Figure) -> list[Panel]:
        """Nine views."""
        left, middle, right = rectangles(
            figure, (4.5, 3.55, 3.55), ((1.87, 1.23, 1.87, 1.43), (2.1, 1.9, 2.4), (3.35, 3.05))
        )
        return [
            _Bars(left[0], 0),
            _Pushes(left[1], 0),
            _Bars(left[2], 1),
            _Pushes(left[3], 1),
            _Curves(middle[0], "progress", "expected reward:\nshare of the way"),
            _Curves(middle[1], "forward_kl", "KL(q ‖ p), nats"),
            _Curves(middle[2], "reverse_kl", "KL(p ‖ q), nats"),
            _Regions(right[0]),
            _Triangle(right[1]),
        ]


def _plain_ticks(axis: Axes) -> None:
    """Plain numbers at the decades only: minor ticks and mathematical text take most of a drawing's time."""
    axis.minorticks_off()
    for each, scale in ((axis.xaxis, axis.get_xscale()), (axis.yaxis, axis.get_yscale())):
        if scale == "log":
            each.set_major_formatter("{x:g}")


def _tallest(model: KLModel) -> float:
    tallest = float(np.exp(model.result.log_probs.max()))
    return min(1.0, round_up(max(tallest, *model.values.target, *model.values.start), FINE))


def _strongest(model: KLModel) -> float:
    pushed = np.abs(model.result.push)
    strongest = float(pushed[pushed < NO_MASS_LEFT].max(initial=0.0))
    return round_up(strongest, FINE) if strongest > 0 else 1.0


def _largest_divergence(model: KLModel) -> float:
    values = np.concatenate([model.result.metrics.forward_kl, model.result.metrics.reverse_kl])
    return 10.0 ** math.ceil(math.log10(1.2 * values[np.isfinite(values)].max(initial=1.0)))


class _Bars(Panel):
    """Start hatched, target dashed, policy a thick outline; the chosen pair marked below."""

    def __init__(self, figure: SubFigure, run: int) -> None:
        self.figure, self._run = figure, run
        self._axis = axis = axes_in(figure, 0.75, 0.12, 0.1, 0.27)
        self._start = axis.stairs([0, 0], fill=True, label="start p₀", **REFERENCE_BARS)
        self._policy = axis.stairs([0, 0], color=STYLES[run].color, linewidth=2.0, label="policy p")
        self._target = axis.stairs([0, 0], label="target q", **TARGET)
        (self._pair,) = axis.plot([], [], "^", color=BLACK, ms=6, clip_on=False, label="pair i, j")
        axis.set_title(("forward KL(q ‖ p)", "reverse KL(p ‖ q)")[run], color=STYLES[run].color, y=1.0, pad=3)
        axis.set_ylabel("probability")
        axis.yaxis.set_label_coords(LABELS_AT, 0.5)
        axis.tick_params(labelbottom=False)
        if run == 0:
            axis.legend(ncols=2, loc="upper right", handlelength=1.8, columnspacing=1.0, borderaxespad=0.1)
        self.moving: list[Artist] = [self._start, self._policy, self._target, self._pair]

    def key(self, model: KLModel) -> Hashable:
        return model.values.categories, _tallest(model)

    def adapt(self, model: KLModel) -> None:
        size = model.values.categories
        edges = token_edges(size)
        for stairs in (self._start, self._policy, self._target):
            stairs.set_data(np.zeros(size), edges)
        tallest = _tallest(model)
        self._axis.set(xlim=(edges[0], edges[-1]), ylim=(0, 1.05 * tallest))
        self._axis.set_yticks([0, tallest / 2, tallest], ["0", f"{tallest / 2:g}", f"{tallest:g}"])

    def update(self, model: KLModel) -> None:
        values = model.values
        self._start.set_data(np.asarray(values.start))
        self._target.set_data(np.asarray(values.target))
        self._policy.set_data(model.probs()[self._run])
        self._pair.set_data([values.first, values.second], [0, 0])


class _Pushes(Panel):
    """A line to each push, with an arrowhead at its tip."""

    def __init__(self, figure: SubFigure, run: int) -> None:
        self.figure, self._run, self._limit = figure, run, 1.0
        self._axis = axis = axes_in(figure, 0.75, 0.12, 0.43 if run else 0.23, 0.2)
        color = STYLES[run].color
        self._lines = LineCollection([], colors=color, linewidths=1.3)
        axis.add_collection(self._lines, autolim=False)
        self._heads = [axis.plot([], [], marker, color=color, linestyle="none")[0] for marker in "^v"]
        axis.axhline(0, color=BLACK, linewidth=0.8)
        axis.set_ylabel("nats / η")
        axis.yaxis.set_label_coords(LABELS_AT, 0.5)
        axis.set_xlabel("category" if run else "", labelpad=1)
        self._title = axis.set_title("", y=1.0, pad=2)
        self.moving: list[Artist] = [self._lines, *self._heads]

    def key(self, model: KLModel) -> Hashable:
        return model.values.categories, model.values.optimizer, _strongest(model)

    def adapt(self, model: KLModel) -> None:
        size, self._limit = model.values.categories, _strongest(model)
        self._axis.set(xlim=(-0.5, size - 0.5), ylim=(-1.2 * self._limit, 1.2 * self._limit))
        self._axis.set_yticks([-self._limit, 0, self._limit], [f"{-self._limit:g}", "0", f"{self._limit:g}"])
        formula = ("q − p + Z   (eq. 12)", "p (log q/p + KL) + Z′   (eq. 13)")[self._run]
        own = model.values.optimizer in ("gd", "flow")
        self._title.set_text(f"push of the next step: {formula}" if own else "push of the next step over η")
        for head in self._heads:
            head.set_markersize(5.5 if size <= 20 else 3.0)

    def update(self, model: KLModel) -> None:
        push = np.clip(model.pushes()[self._run], -self._limit, self._limit)
        category = np.arange(push.size)
        ends = np.stack([np.stack([category, 0 * push], -1), np.stack([category, push], -1)], axis=1)
        self._lines.set_segments(list(ends))
        seen = 0.02 * self._limit  # a head on a line shorter than the head says nothing
        for head, chosen in zip(self._heads, (push > seen, push < -seen), strict=True):
            head.set_data(category[chosen], push[chosen])


class _Curves(Curves):
    """One quantity against the step for both runs."""

    def __init__(self, figure: SubFigure, name: str, label: str) -> None:
        self._name = name
        first, last = name == "progress", name == "reverse_kl"
        margins = (0.86, 0.1, 0.43 if last else 0.1, 0.27 if first else 0.07)
        names = ("forward KL", "reverse KL")
        lines = [(s, {**s.line(), "label": n}) for s, n in zip(STYLES, names, strict=True)]
        super().__init__(figure, margins, lines, size=8)
        axes = self.axes
        axes.tick_params(labelbottom=last)
        axes.set_xlabel("step + 1" if last else "", labelpad=1)
        axes.set(xscale="log", ylabel=label)
        if first:
            axes.axhline(1.0, **TARGET)
            above: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.4, 0.98), "ncols": 2}
            axes.legend(**above, handlelength=2.4, columnspacing=0.8, borderaxespad=0.0)
        else:
            axes.set_yscale("log")
        _plain_ticks(axes)

    def key(self, model: KLModel) -> Hashable:
        return model.values.steps, None if self._name == "progress" else _largest_divergence(model)

    def adapt(self, model: KLModel) -> None:
        steps = model.values.steps + 1
        marks = sorted(set(np.geomspace(1, steps, 8).astype(int) - 1))
        for line in self.lines:
            line.set_markevery(marks)
        self.ends = (-0.08, 1.15) if self._name == "progress" else (LEAST_KL, _largest_divergence(model))
        self.axes.set(xlim=(0.95, steps * 1.05), ylim=self.ends)

    def series(self, model: KLModel) -> tuple[np.ndarray, np.ndarray]:
        result = model.result
        named = {"progress": result.progress, **result.metrics._asdict()}
        values = named[self._name] if self._name == "progress" else np.maximum(named[self._name], 1e-12)  # no log of 0
        return np.arange(values.shape[1]) + 1, values


class _Regions(Panel):
    """Theorem E.5, case 1: the plane that the boundary p = L(q₁, q₂) divides, with this start's pairs."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axis = axes_in(figure, 0.65, 0.15, 0.46, 0.27)
        draw_regions(axis)
        _plain_ticks(axis)
        axis.set_title("case 1: whose step separates more?", y=1.0, pad=3)
        self._pairs = [axis.plot([], [], s.marker, color=s.color, mec="white", mew=0.5, ls="none")[0] for s in STYLES]
        (self._chosen,) = axis.plot([], [], "o", ms=12, mfc="none", mec=BLACK, mew=1.6)
        self._note = axis.text(0.03, 0.98, "", transform=axis.transAxes, va="top")
        self.moving: list[Artist] = [*self._pairs, self._chosen]

    def key(self, model: KLModel) -> Hashable:
        return bool(_chosen(model).any())

    def adapt(self, model: KLModel) -> None:
        chosen = "ring: i, j" if self.key(model) else "i, j have p₁ ≠ p₂ or q₁ = q₂"
        self._note.set_text(f"marks: pairs with p₁ = p₂\n{chosen}")

    def update(self, model: KLModel) -> None:
        regions = model.result.regions
        high, low = (np.clip(regions[name].values, 1e-2, 1e2) for name in ("pair_high", "pair_low"))
        holds = regions["pair_holds"].values == 1
        for marker, which in zip(self._pairs, (~holds, holds), strict=True):
            marker.set_data(high[which], low[which])
        chosen = _chosen(model)
        self._chosen.set_data(high[chosen], low[chosen])


def _chosen(model: KLModel) -> np.ndarray:
    """Which of the map's pairs is i, j; none if that pair is no case 1."""
    regions = model.result.regions
    pair = sorted((model.values.first, model.values.second))
    return np.asarray((regions["pair_first"].values == pair[0]) & (regions["pair_second"].values == pair[1]))


class _Triangle(Panel):
    """Both runs over three categories, or over three blocks of neighbouring ones."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axis = axes_in(figure, 0.15, 0.15, 0.1, 0.25)
        self._corners = draw_triangle(axis, ("", "", ""))
        axis.set(xlim=(-0.16, 1.16), ylim=(-0.1, 1.0))
        self._title = axis.set_title("", y=1.0, pad=2)
        (self._target,) = axis.plot([], [], "*", color=BLACK, ms=13, mec="white", label="target", ls="none")
        (self._start,) = axis.plot([], [], "o", ms=9, mfc="none", mec=BLACK, mew=1.4, label="start", ls="none")
        self._paths = [axis.plot([], [], color=s.color, linestyle=s.dash, linewidth=1.7)[0] for s in STYLES]
        self._dots = [axis.plot([], [], s.marker, color=s.color, ms=8, mec=BLACK, mew=1.0)[0] for s in STYLES]
        axis.legend(loc="upper left", borderaxespad=0.0)
        self.moving: list[Artist] = [self._target, self._start, *self._paths, *self._dots]

    def key(self, model: KLModel) -> Hashable:
        return model.values.categories

    def adapt(self, model: KLModel) -> None:
        blocks = np.array_split(np.arange(model.values.categories), 3)
        self._first = np.array([block[0] for block in blocks])
        for corner, block in zip(self._corners, blocks, strict=True):
            corner.set_text(f"category {block[0]}" if block.size == 1 else f"{block[0]}–{block[-1]}")
        whole = model.values.categories == 3
        self._title.set_text("the same runs" + ("" if whole else ", summed into three blocks"))

    def update(self, model: KLModel) -> None:
        def lumped(probs: Any) -> np.ndarray:
            return to_plane(np.add.reduceat(np.asarray(probs), self._first, axis=-1))

        self._target.set_data(*lumped(model.values.target)[:, None])
        self._start.set_data(*lumped(model.values.start)[:, None])
        for line, dot, path in zip(self._paths, self._dots, lumped(np.exp(model.result.log_probs)), strict=True):
            line.set_data(*path.T)
            dot.set_data(*path[model.values.step][:, None])
