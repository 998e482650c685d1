"""How the refresh question is drawn: reward by B, the saw-tooth, the grid, and the ratios with the clip band."""

from collections.abc import Hashable

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure

from modeseek.bandit.explore.on_policy.model import OnPolicyModel
from modeseek.bandit.explore.on_policy.presets import BUDGET, PASSES, SIZES
from modeseek.bandit.explore.toolkit.canvas import Panel, Scene, axes_in, rectangles
from modeseek.bandit.explore.toolkit.panels import FINE, SHADES, STALE, band, round_up, warning
from modeseek.bandit.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILLION, WIDTH, LineStyle

STYLES = {
    100: LineStyle(BLUE, "o"),
    200: LineStyle(GREEN, "^", (0, (7, 2))),
    500: LineStyle(ORANGE, "X", (0, (5, 1.5, 1, 1.5))),
    1000: LineStyle(VERMILLION, "s", "--"),
}
BINS = np.linspace(-1.5, 1.5, 61)


class OnPolicyScene(Scene):
    """Left: reward and saw-tooth against the gradient step. Right: the grid, and the ratios."""

    size = (WIDTH, 6.2)

    def panels(self, figure: Figure) -> list[Panel]:
        """Four views."""
        left, right = rectangles(figure, (6.2, 5.4), ((3.4, 3.0), (3.2, 3.2)))
        return [
            _Curves(left[0], "expected_reward", "expected reward"),
            _Curves(left[1], "kl_to_behavior", "KL(policy ‖ behavior), nats"),
            _Grid(right[0]),
            _Ratios(right[1]),
        ]


class _Curves(Panel):
    """One quantity against the gradient step, a line for each B with its standard error; the chosen B thick."""

    def __init__(self, figure: SubFigure, name: str, label: str) -> None:
        self.figure, self._name, first = figure, name, name == "expected_reward"
        self._axis = axis = axes_in(figure, 0.65, 0.12, 0.1 if first else 0.45, 0.3)
        self._bands = [band(axis, alpha=0.2, facecolor=STYLES[b].color) for b in SIZES]
        self._lines = [axis.plot([], [], **STYLES[b].line((0.05, 0.12)), label=f"B = {b}")[0] for b in SIZES]
        (self._now,) = axis.plot([], [], color=GREY, linewidth=1.0)
        (self._dot,) = axis.plot([], [], "o", ms=8, mec=BLACK)
        self._warning = warning(axis, 0.6)
        axis.set_ylabel(label)
        axis.tick_params(labelbottom=not first)
        axis.set_xlabel("" if first else "gradient step", labelpad=1)
        self._title = axis.set_title("", y=1.0, pad=4)
        if first:
            axis.legend(loc="upper left", ncols=4, handlelength=3.0, columnspacing=1.2)
        self.moving: list[Artist] = [self._now, *self._bands, *self._lines, self._dot, self._warning]

    def _top(self, model: OnPolicyModel) -> float:
        if self._name == "expected_reward":
            return 1.19  # the legend stands above what can be earned
        highest = max(
            float(np.nanmax(run.mean(self._name) + np.nan_to_num(run.error(self._name)))) for run in model.run.values()
        )
        return round_up(max(highest, 0.1), FINE)

    def key(self, model: OnPolicyModel) -> Hashable:
        return model.drawn.values.inner_steps, self._top(model), next(iter(model.run.values())).seeds

    def adapt(self, model: OnPolicyModel) -> None:
        top, seeds = self._top(model), next(iter(model.run.values())).seeds
        self._axis.set(xlim=(0, BUDGET // 100 * int(model.drawn.values.inner_steps)), ylim=(-0.02 * top, top))
        count = f"{len(seeds)} seeds ± standard error" if len(seeds) > 1 else "one seed: no error bar"
        self._title.set_text(
            f"{BUDGET} samples, equally many gradient steps ({count})"
            if self._name == "expected_reward"
            else "how stale the collection is: back to zero at each refresh"
        )

    def update(self, model: OnPolicyModel) -> None:
        chosen, missing = int(model.values.samples), []
        for b, line, error_band in zip(SIZES, self._lines, self._bands, strict=True):
            run = model.run.get(b)
            if run is None or not run.whole:
                missing.append(b)
            if run is None:
                line.set_data([], [])
                error_band.set_data(np.zeros(2), np.zeros(2), np.zeros(2))
                continue
            mean, error = run.mean(self._name), np.nan_to_num(run.error(self._name))
            low, high = mean - error, mean + error
            steps = run.steps
            if self._name == "kl_to_behavior":
                steps, mean, low, high = run.refreshed(mean, low, high)
            line.set_data(steps, mean)
            line.set_linewidth(3.0 if b == chosen else 1.5)
            error_band.set_data(steps, low, high)
        run = model.chosen_run
        if run is None:
            self._dot.set_data([], [])
            self._now.set_data([], [])
        else:
            at = model.at(run)
            self._dot.set_data([run.steps[at]], [run.mean(self._name)[at]])
            self._dot.set(color=STYLES[chosen].color, marker=STYLES[chosen].marker, markeredgecolor=BLACK)
            self._now.set_data([run.steps[at]] * 2, [-0.02 * self._top(model), self._top(model)])
        unfinished = f"not trained to the end: B = {', '.join(map(str, missing))}" if missing else ""
        shown = self._name == "expected_reward"
        self._warning.set_text((STALE if model.stale else unfinished) if shown else "")


class _Grid(Panel):
    """The expected reward at the end, over B and T; the number stands in each cell."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axis = axes_in(figure, 0.75, 0.2, 0.62, 0.3)
        axis.grid(visible=False)
        shape = len(PASSES), len(SIZES)
        self._image = axis.imshow(np.full((*shape, 4), 255, np.uint8), aspect="auto", interpolation="nearest")
        self._texts = [
            [axis.text(j, i, "", ha="center", va="center") for j in range(shape[1])] for i in range(shape[0])
        ]
        (self._chosen,) = axis.plot([], [], color=VERMILLION, linewidth=2.5)
        axis.set_xticks(range(shape[1]), [f"{b}\n({BUDGET // b}×)" for b in SIZES])
        axis.set_yticks(range(shape[0]), [str(t) for t in PASSES])
        axis.set_xlabel("B, samples per collection (refreshes)", labelpad=1)
        axis.set_ylabel("T, passes")
        axis.set_title("expected reward at the end (frame: chosen)", y=1.0, pad=4)
        self.moving: list[Artist] = [self._chosen]

    def key(self, model: OnPolicyModel) -> Hashable:
        return model.result.reward.tobytes()

    def adapt(self, model: OnPolicyModel) -> None:
        reward = model.result.reward
        known = np.isfinite(reward)
        shades = SHADES[np.round(255 * np.clip(np.where(known, reward, 0), 0, 1)).astype(int)]
        self._image.set_data(np.where(known[..., None], shades, np.uint8(235)))
        for i, row in enumerate(self._texts):
            for j, text in enumerate(row):
                text.set_text(f"{reward[i, j]:z.2f}" if known[i, j] else "not trained")
                text.set_color("white" if known[i, j] and reward[i, j] < 0.5 else BLACK)

    def update(self, model: OnPolicyModel) -> None:
        i, j = PASSES.index(int(model.values.inner_steps)), SIZES.index(int(model.values.samples))
        low, high = -0.48, 0.48
        self._chosen.set_data(
            [j + low, j + high, j + high, j + low, j + low], [i + low, i + low, i + high, i + high, i + low]
        )


class _Ratios(Panel):
    """Importance ratios of the chosen B's collection after its last step, with PPO's band 1 ± ε."""

    def __init__(self, figure: SubFigure) -> None:
        self.figure = figure
        axis = axes_in(figure, 0.75, 0.2, 0.45, 0.3)
        self._bars = axis.stairs(np.zeros(BINS.size - 1), BINS, fill=True)
        self._band = band(axis, color=GREY, alpha=0.25)
        self._edges = [axis.plot([], [], color=BLACK, linestyle="--", linewidth=1.0)[0] for _ in range(2)]
        self._note = axis.text(0.98, 0.93, "", transform=axis.transAxes, ha="right", va="top")
        axis.set(xlim=(BINS[0], BINS[-1]), ylim=(0, 1), ylabel="share of the collection")
        axis.set_xlabel("log policy/behavior of a response, nats (ends: beyond)", labelpad=1)
        axis.set_title("importance ratios at the collection's end; grey: 1 ± ε", fontsize=9.5, y=1.0, pad=4)
        self.moving: list[Artist] = [self._band, self._bars, *self._edges, self._note]

    def update(self, model: OnPolicyModel) -> None:
        ratios, epsilon = model.ratios(), model.values.clip_epsilon
        counts = np.histogram(np.clip(ratios, BINS[0] + 1e-6, BINS[-1] - 1e-6), BINS)[0]
        self._bars.set_data(counts / max(ratios.size, 1))
        self._bars.set_facecolor(STYLES[int(model.values.samples)].color)
        low = float(np.log(max(1 - epsilon, np.exp(BINS[0]))))
        high = float(np.log(1 + epsilon))
        self._band.set_data(np.array([low, high]), np.zeros(2), np.ones(2))
        for edge, at in zip(self._edges, (low, high), strict=True):
            edge.set_data([at, at], [0, 1])
        self._note.set_text(
            f"{model.outside():.0%} of {ratios.size} outside" if ratios.size else "nothing collected yet"
        )
