"""How a bandit in training is drawn: what is rewarded, where the mass is, what the batch pushes; and the curves."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.bandit.model import LENGTH, TOKENS, BanditModel
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import (
    REWARD_ENDS,
    SHADES,
    STALE,
    Limit,
    band,
    token_edges,
    warning,
)
from modeseek.bandit.figures.problem import root_axis
from modeseek.bandit.figures.style import (
    BLACK,
    BLUE,
    GREY,
    REFERENCE_BARS,
    TARGET,
    VERMILLION,
    WIDTH,
    LineStyle,
    method_style,
)

MARGINS = (0.75, 0.12)
"""Left and right of the token axes, inches: they stand exactly below each other."""
WHITE = np.full((1, TOKENS, 4), 255, np.uint8)
"""A batch without a response."""


class BanditScene(Scene):
    """Left, on one token axis: distributions, positions, batch. Right: reward against step, and against nats."""

    size = (WIDTH, 6.4)

    def panels(self, figure: Figure) -> list[Panel]:
        """Five views."""
        left, right = rectangles(figure, (6.6, 5.0), ((2.2, 1.9, 2.5), (3.3, 3.3)))
        return [_Marginal(left[0]), _Positions(left[1]), _Batch(left[2]), _Reward(right[0]), _Frontier(right[1])]


def _style(model: BanditModel) -> LineStyle:
    return method_style(model.drawn.values.method)


class _Marginal(Panel):
    """The policy's mean over positions, beside the reference, the reward, and the best at the same distance."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axis = axis = axes_in(figure, *MARGINS, 0.1, 0.5)
        edges = token_edges(TOKENS)
        empty = np.zeros(TOKENS)
        self._reference = axis.stairs(empty, edges, fill=True, label="reference", **REFERENCE_BARS)
        self._policy = axis.stairs(empty, edges, linewidth=2.0, color=BLUE, label="policy, mean over positions")
        self._best = axis.stairs(empty, edges, label="best at this KL", **TARGET)
        (self._reward,) = axis.plot(np.arange(TOKENS), empty, ":", color=BLACK, linewidth=1.3, label="reward")
        root_axis(axis, 1.03)
        axis.set_xlim(edges[0], edges[-1])
        axis.set_ylabel("probability (root)")
        axis.tick_params(labelbottom=False)
        self.moving: list[Artist] = [self._reference, self._reward, self._policy, self._best]

    def key(self, model: BanditModel) -> Hashable:
        return _style(model)

    def adapt(self, model: BanditModel) -> None:
        self._policy.set_edgecolor(_style(model).color)
        self._axis.legend(ncols=4, loc="lower right", bbox_to_anchor=(1.01, 0.98), columnspacing=1.0)

    def update(self, model: BanditModel) -> None:
        self._reference.set_data(model.result.reference)
        self._reward.set_ydata(model.result.token_rewards)
        self._policy.set_data(model.marginal())
        self._best.set_data(model.best())


class _Positions(Panel):
    """The token distribution at each position, the root of the probability as brightness."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axis = axes_in(figure, *MARGINS, 0.1, 0.25)
        axis.grid(visible=False)
        self._image = axis.imshow(
            SHADES[np.zeros((LENGTH, TOKENS), int)],
            aspect="auto",
            interpolation="nearest",
            extent=(-0.5, TOKENS - 0.5, LENGTH + 0.5, 0.5),
        )
        axis.set_yticks([1, 4, 7, 10])
        axis.set_ylabel("position")
        axis.tick_params(labelbottom=False)
        axis.set_title("the mass at each position (bright: likely; root scale)", y=1.0, pad=3)
        self.moving: list[Artist] = [self._image]

    def update(self, model: BanditModel) -> None:
        self._image.set_data(SHADES[np.round(255 * np.sqrt(model.positions())).astype(int)])


def batch_picture(responses: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A row a response, strongest push up first; a cell where it has the token; `[B, V, 4]` bytes.

    Blue is pushed up, vermillion down, grey neither; paler where the push is weak.
    """
    strength = np.abs(weights) / max(float(np.abs(weights).max(initial=0.0)), 1e-30)
    share = np.where(weights == 0, 1.0, 0.35 + 0.65 * np.sqrt(strength))[:, None]
    colors = np.where(
        weights[:, None] > 0, _rgb(BLUE), np.where(weights[:, None] < 0, _rgb(VERMILLION), _rgb("#C8C8C8"))
    )
    picture = np.full((len(weights), TOKENS, 4), 255, np.uint8)
    rows = np.arange(len(weights))[:, None]
    picture[rows, responses, :3] = (255 + share * (colors - 255.0)).astype(np.uint8)[:, None]
    return picture


def _rgb(color: str) -> np.ndarray:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], float)


class _Batch(Panel):
    """The responses that the last collection's gradient steps were taken on."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axis = axis = axes_in(figure, *MARGINS, 0.45, 0.25)
        axis.grid(visible=False)
        self._image = axis.imshow(WHITE, aspect="auto", interpolation="nearest")
        (self._border,) = axis.plot([], [], color=BLACK, linewidth=1.0)
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
        place: dict[str, Any] = {"transform": axis.transAxes, "ha": "right", "fontsize": 9, "bbox": ground}
        self._up = axis.text(0.99, 0.96, "", va="top", color=BLUE, **place)
        self._down = axis.text(0.99, 0.05, "", va="bottom", color="#A34700", **place)
        axis.set(xlim=(-0.5, TOKENS - 0.5), xlabel="token")
        axis.xaxis.labelpad = 1
        axis.set_ylabel("response")
        self._title = axis.set_title("", y=1.0, pad=3)
        self.moving: list[Artist] = [self._image, self._border, self._up, self._down]

    def key(self, model: BanditModel) -> Hashable:
        return len(model.batch()[1])

    def adapt(self, model: BanditModel) -> None:
        rows = max(len(model.batch()[1]), 1)
        self._image.set_extent((-0.5, TOKENS - 0.5, rows, 0))
        self._axis.set(xlim=(-0.5, TOKENS - 0.5), ylim=(rows, 0), yticks=[0, rows // 2, rows])
        self._title.set_text("the last batch, one row per response; strongest pushes outside")

    def update(self, model: BanditModel) -> None:
        responses, weights, _ = model.batch()
        up, down = int((weights > 0).sum()), int((weights < 0).sum())
        self._image.set_data(batch_picture(responses, weights) if len(weights) else WHITE)
        self._border.set_data(
            [-0.5, TOKENS - 0.5, np.nan, -0.5, TOKENS - 0.5], [up, up, np.nan, *[len(weights) - down] * 2]
        )
        self._up.set_text(f"{up} pushed up")
        self._down.set_text(f"{down} pushed down")


class _Reward(Panel):
    """Expected reward against the gradient step: each seed, their mean and its standard error."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axis = axis = axes_in(figure, 0.6, 0.15, 0.45, 0.3)
        self._band = band(axis, alpha=0.25)
        self._seeds = [axis.plot([], [], color=GREY, linewidth=0.7)[0] for _ in range(5)]
        (self._mean,) = axis.plot([], [], linewidth=2.0)
        (self._now,) = axis.plot([], [], color=GREY, linewidth=1.0)
        (self._dot,) = axis.plot([], [], "o", ms=8, mec=BLACK)
        axis.axhline(1.0, **TARGET)
        self._warning = warning(axis, 0.55)
        axis.set(ylabel="expected reward", ylim=REWARD_ENDS)
        axis.set_xlabel("gradient step", labelpad=1)
        self._title = axis.set_title("", y=1.0, pad=4)
        self.moving: list[Artist] = [self._now, self._band, *self._seeds, self._mean, self._dot, self._warning]

    def key(self, model: BanditModel) -> Hashable:
        return _style(model), model.run.asked, int(model.run.steps[-1]) if model.run.whole else None, model.run.seeds

    def adapt(self, model: BanditModel) -> None:
        run, line = model.run, _style(model)
        self._band.set_facecolor(line.color)
        for each in (self._mean, self._dot):
            each.set_color(line.color)
        self._mean.set_linestyle(line.dash)
        self._dot.set(marker=line.marker, markeredgecolor=BLACK)
        per_collection = run.steps[-1] / run.done if run.done else model.drawn.values.inner_steps
        self._axis.set_xlim(0, max(per_collection * run.asked, 1))
        count = len(run.seeds)
        self._title.set_text(
            f"{count} seeds, mean and standard error" if count > 1 else f"one seed ({run.seeds[0]}): no error bar"
        )

    def update(self, model: BanditModel) -> None:
        run, at = model.run, model.evaluation
        values, mean, error = run.curves["expected_reward"], run.mean("expected_reward"), run.error("expected_reward")
        error = np.nan_to_num(error)
        self._band.set_data(run.steps, mean - error, mean + error)
        for i, line in enumerate(self._seeds):
            line.set_data(run.steps, values[i]) if i < len(values) and len(values) > 1 else line.set_data([], [])
        self._mean.set_data(run.steps, mean)
        self._dot.set_data([run.steps[at]], [mean[at]])
        self._now.set_data([run.steps[at]] * 2, REWARD_ENDS)
        stopped = "" if run.whole else f"{run.done} of {run.asked} collections"
        self._warning.set_text(STALE if model.stale else stopped)


class _Frontier(Panel):
    """Expected reward against KL(policy ‖ reference): the way taken, below the most that is possible."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        self._axis = axis = axes_in(figure, 0.6, 0.15, 0.45, 0.3)
        self._limit = Limit(axis)
        (self._path,) = axis.plot([], [], linewidth=2.0, label="mean of the seeds")
        (self._dot,) = axis.plot([], [], "o", ms=8, mec=BLACK)
        (self._gap,) = axis.plot([], [], color=GREY, linewidth=1.0)
        axis.set(ylabel="expected reward", ylim=REWARD_ENDS)
        axis.set_xlabel("KL(policy ‖ reference), nats per response", labelpad=1)
        axis.set_title("… and what did it cost?", y=1.0, pad=4)
        self.moving: list[Artist] = [self._gap, self._limit.line, self._limit.end, self._path, self._dot]

    def _farthest(self, model: BanditModel) -> float:
        farthest = float(np.nanmax(model.run.mean("kl_to_reference")))
        return 10.0 * float(np.ceil(1.05 * max(farthest, 1.0) / 10))

    def key(self, model: BanditModel) -> Hashable:
        farthest = self._farthest(model)
        return _style(model), farthest, bool(model.drawn_problem.frontier_kl[-1] <= farthest)

    def adapt(self, model: BanditModel) -> None:
        line = _style(model)
        for each in (self._path, self._dot):
            each.set_color(line.color)
        self._path.set_linestyle(line.dash)
        self._dot.set(marker=line.marker, markeredgecolor=BLACK)
        self._axis.set_xlim(0, self._farthest(model))
        self._show_limit(model)
        self._limit.legend(handlelength=3.0)

    def _show_limit(self, model: BanditModel) -> None:
        self._limit.show((model.drawn_problem.frontier_kl, model.drawn_problem.frontier_reward))

    def update(self, model: BanditModel) -> None:
        run, at, result = model.run, model.evaluation, model.drawn_problem
        reward, nats = run.mean("expected_reward"), run.mean("kl_to_reference")
        self._show_limit(model)
        self._path.set_data(nats, reward)
        self._dot.set_data([nats[at]], [reward[at]])
        could = np.interp(nats[at], result.frontier_kl, result.frontier_reward)  # where the drawn line is
        self._gap.set_data([nats[at]] * 2, [reward[at], could])
