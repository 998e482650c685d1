"""How the first steps are drawn: the policy, what pulls on it, the lesson's own bars, and what is maximised."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.first_steps.model import LARGEST_GAP, FirstStepsModel
from modeseek.bandit.explore.first_steps.presets import ANSWERS, STEPS
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import FINE, Marker, artists, round_up
from modeseek.bandit.figures.style import BLACK, BLUE, GREY, REFERENCE_BARS, TARGET, LineStyle

COUNT = len(ANSWERS)
PLACES = np.arange(COUNT)
NOTHING = np.empty(0)
SMALL = 9.0
"""Size of the smallest text, points."""
LABELS_AT = -0.135
"""Where the labels of the left column stand, in widths of its axes."""
PREFERENCE = LineStyle(BLUE, "o")


class FirstStepsScene(Scene):
    """Left: the policy beside the reference, and what pulls on every answer. Right: what the lesson looks at."""

    size = (10.4, 5.2)

    def panels(self, figure: Figure) -> list[Panel]:
        """Four views."""
        left, right = rectangles(figure, (1.0, 1.0), ((1.45, 1.15), (1.3, 1.3)))
        return [_Policy(left[0]), _Pulls(left[1]), _Own(right[0]), _Maximised(right[1])]


def _style(model: FirstStepsModel) -> LineStyle:
    return PREFERENCE if model.lesson is None else model.lesson.style


def _bars(heights: np.ndarray, side: int) -> np.ndarray:
    """Heights of `stairs` over `_edges`: of the left (0) or the right (1) bar of each answer."""
    each = np.zeros((COUNT, 3))
    each[:, side] = heights
    return each.ravel()


def _edges() -> np.ndarray:
    """Left bar, right bar and gap of every answer, `[3 K + 1]`."""
    return np.append((PLACES[:, None] + np.array([-0.4, 0.0, 0.4])).ravel(), COUNT - 0.4)


def _levels(heights: np.ndarray, reach: float) -> list[np.ndarray]:
    """A level line through each answer's place."""
    ends = np.stack([PLACES - reach, PLACES + reach], -1)
    return [np.stack([end, np.full(2, height)], -1) for end, height in zip(ends, heights, strict=True)]


def _level_lines(axes: Axes, label: str) -> LineCollection:
    lines = LineCollection([], colors=BLACK, linestyles="--", linewidths=1.6, label=label)
    axes.add_collection(lines, autolim=False)
    return lines


class _Policy(Panel):
    """Reference hatched, policy beside it, and a dashed line where it comes to rest."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axes = axes_in(figure, 0.75, 0.1, 0.12, 0.28)
        zeros, edges = np.zeros(3 * COUNT), _edges()
        self._reference = axes.stairs(zeros, edges, fill=True, label="reference", **REFERENCE_BARS)
        self._policy = axes.stairs(zeros, edges, fill=True, label="policy", edgecolor=BLACK, linewidth=0.8)
        self._rest = _level_lines(axes, "comes to rest")
        axes.set(xlim=(-0.6, COUNT - 0.4), ylim=(0, 1.02), yticks=[0, 0.25, 0.5, 0.75, 1], ylabel="probability")
        axes.set_xticks(PLACES, [""] * COUNT)
        axes.set_title("the policy π, and the reference", y=1.0, pad=4)
        axes.yaxis.set_label_coords(LABELS_AT, 0.5)
        self._legend = axes.legend(fontsize=SMALL, loc="upper center", ncols=3, columnspacing=1.0, borderaxespad=0.1)
        self.moving: list[Artist] = [self._reference, self._policy, self._rest]

    def key(self, model: FirstStepsModel) -> Hashable:
        return model.values.preset

    def adapt(self, model: FirstStepsModel) -> None:
        lesson, texts = model.lesson, self._legend.get_texts()
        handles: list[Any] = self._legend.legend_handles
        handles[1].set_facecolor(_style(model).color)
        texts[2].set_text("best for this β" if lesson is not None and lesson.pull is None else "comes to rest")
        for part in (handles[2], texts[2]):
            part.set_visible(lesson is not None)

    def update(self, model: FirstStepsModel) -> None:
        result = model.result
        self._reference.set_data(_bars(np.asarray(model.values.reference), 0))
        self._policy.set_data(_bars(np.exp(result.log_probs[model.values.step]), 1))
        self._policy.set_facecolor(_style(model).color)
        self._rest.set_segments([] if result.rest is None else _levels(result.rest, 0.42))


class _Pulls(Panel):
    """An arrow to w_j = -∂L/∂log π_j, and a dash at what is left of it for the logit."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure, self._limit = figure, 1.0
        self._axes = axes = axes_in(figure, 0.75, 0.1, 0.45, 0.28)
        axes.axhline(0, color=BLACK, linewidth=0.8)
        self._lines = LineCollection([], linewidths=2.2)
        axes.add_collection(self._lines, autolim=False)
        self._heads = [axes.plot([], [], marker, ms=7, ls="none")[0] for marker in "^v"]
        (self._push,) = axes.plot([], [], "_", color=BLACK, ms=17, mew=2.2, ls="none", label="after the softmax")
        self._title = axes.set_title("", y=1.0, pad=4)
        axes.set_xlim(-0.6, COUNT - 0.4)
        axes.set_ylabel("pull w")
        axes.yaxis.set_label_coords(LABELS_AT, 0.5)
        self._legend = axes.legend(fontsize=SMALL, loc="upper right", borderaxespad=0.1, handlelength=1.6)
        self.moving: list[Artist] = [self._lines, *self._heads, self._push]

    def key(self, model: FirstStepsModel) -> tuple[float, float, bool]:
        pulls = model.result.pulls
        strongest = 1.0 if pulls is None else round_up(max(float(np.abs(pulls).max()), 1e-6), FINE)
        return strongest, model.values.reward, pulls is None

    def adapt(self, model: FirstStepsModel) -> None:
        self._limit, _, still = self.key(model)
        self._axes.set_ylim(-1.25 * self._limit, 1.25 * self._limit)
        self._legend.set_visible(not still)
        self._title.set_text("nothing is trained here" if still else "how the next step pulls on each answer")
        rewards = model.result.problem.rewards
        self._axes.set_xticks(PLACES, [f"{y}\nr = {r:z.3g}" for y, r in zip(ANSWERS, rewards, strict=True)])

    def update(self, model: FirstStepsModel) -> None:
        result, step, color = model.result, model.values.step, _style(model).color
        pulls = np.zeros(COUNT) if result.pulls is None else result.pulls[step]
        push = result.push(step)
        at = PLACES - 0.12
        ends = np.stack([np.stack([at, 0 * pulls], -1), np.stack([at, pulls], -1)], axis=1)
        self._lines.set(segments=list(ends), color=color)
        seen = 0.01 * self._limit
        for head, chosen in zip(self._heads, (pulls > seen, pulls < -seen), strict=True):
            head.set_data(at[chosen], pulls[chosen])
            head.set_color(color)
        where, what = (NOTHING, NOTHING) if push is None else (PLACES + 0.12, push)
        self._push.set_data(where, what)


class _Own(Panel):
    """A bar for every answer of what the lesson looks at, with dashed lines where it goes or must not go beyond."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axes = axes = axes_in(figure, 0.66, 0.12, 0.3, 0.28)
        self._bars = axes.stairs(np.zeros(3 * COUNT), _edges(), fill=True, edgecolor=BLACK, linewidth=0.8)
        self._marks = _level_lines(axes, "")
        self._said = axes.text(0.985, 0.97, "", transform=axes.transAxes, ha="right", va="top", fontsize=SMALL)
        axes.axhline(0, color=BLACK, linewidth=0.8)
        axes.set_xlim(-0.6, COUNT - 0.4)
        axes.set_xticks(PLACES, ANSWERS)
        self._title = axes.set_title("", y=1.0, pad=4)
        self.moving: list[Artist] = [self._bars, self._marks, self._said]

    def key(self, model: FirstStepsModel) -> tuple[str, tuple[float, float], str]:
        values, marks = model.result.shown
        low = min(float(values.min()), float(marks.min(initial=0.0)))
        high = max(float(values.max()), float(marks.max(initial=0.0)))
        ends = (-round_up(-low, FINE) if low < -1e-9 else 0.0, round_up(max(high, 1e-6), FINE))
        return model.values.preset, ends, model.values.other if model.lesson is None else ""

    def adapt(self, model: FirstStepsModel) -> None:
        _, (low, high), other = self.key(model)
        lesson, room = model.lesson, high - low
        self._axes.set_ylim(low - 0.04 * room * (low < 0), high + 0.22 * room)  # room for what the marks say
        chosen = ANSWERS[int(other[1:]) - 1] if other else ""
        self._title.set_text(f"P(y ≻ {chosen}) of every answer y" if lesson is None else lesson.bars)

    def update(self, model: FirstStepsModel) -> None:
        lesson, (values, marks) = model.lesson, model.result.shown
        mark = "one half: equal rewards" if lesson is None else lesson.mark
        spent = model.result.divergence[model.values.step]
        self._said.set_text(f"– –  {mark}" if mark else f"sum: KL(π ‖ π_ref) = {spent:z.3f} nats")
        now = values[model.values.step]
        self._bars.set_data(_bars(now, 0) + _bars(now, 1))
        self._bars.set_facecolor(_style(model).color)
        self._marks.set_segments([line for each in marks for line in _levels(each, 0.42)])


class _Maximised(Panel):
    """What is maximised, step by step; of a preference the curve σ, and y₅'s place on it."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axes = axes = axes_in(figure, 0.66, 0.12, 0.45, 0.28)
        (self._reward,) = axes.plot([], [], color=GREY, linestyle=":", linewidth=2.0, label="E[r]")
        (self._line,) = axes.plot([], [], linewidth=1.8)
        (self._level,) = axes.plot([], [], label="at rest", **TARGET)
        self._marker = Marker(axes, PREFERENCE, 10)
        self._title = axes.set_title("", y=1.0, pad=4)
        self._label = axes.set_xlabel("", labelpad=1)
        self._legend = axes.legend(fontsize=SMALL, loc="lower right", borderaxespad=0.1, ncols=2)
        self.moving: list[Artist] = [self._level, self._reward, self._line, *artists([self._marker])]

    def _both(self, model: FirstStepsModel) -> bool:
        """Whether what is maximised is a reward less its price, so that the reward belongs beside it."""
        return model.values.preset in ("kl", "policy-gradient", "ppo")

    def key(self, model: FirstStepsModel) -> tuple[str, float, float]:
        result = model.result
        seen = [result.curve[1], *([result.reward] if self._both(model) else [])]
        low, high = min(float(s.min()) for s in seen), max(float(s.max()) for s in seen)
        unit = round_up(max(high - low, 1e-6) / 10, FINE)
        ends = unit * np.floor(low / unit - 0.5), unit * np.ceil(high / unit + 0.5)
        return model.values.preset, float(ends[0]), float(ends[1])

    def adapt(self, model: FirstStepsModel) -> None:
        preset, low, high = self.key(model)
        lesson = model.lesson
        self._axes.set_ylim(low, high)
        self._axes.set_xlim(*((-LARGEST_GAP, LARGEST_GAP) if lesson is None else (0, STEPS)))
        if lesson is None:
            self._title.set_text("P(y₅ ≻ y) = σ(r₅ − r)")
            self._label.set_text("difference of the rewards")
        else:
            self._title.set_text(f"maximised: {lesson.curve}")
            self._label.set_text("how far the policy is bent" if preset == "kl" else "gradient step")
        self._legend.set_visible(self._both(model))

    def update(self, model: FirstStepsModel) -> None:
        result, step, style = model.result, model.values.step, _style(model)
        self._line.set_data(*result.curve)
        self._line.set(color=style.color)
        both = self._both(model)
        self._reward.set_data(result.curve[0] if both else NOTHING, result.reward if both else NOTHING)
        best = model.best() if both else None
        self._level.set_data([] if best is None else [0, STEPS], [] if best is None else [best, best])
        self._marker.dot.set(color=style.color, marker=style.marker, markeredgecolor=BLACK)
        x, y = result.points[:, step]
        self._marker.show(float(x), float(y))
