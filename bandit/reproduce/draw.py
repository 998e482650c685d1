"""Each target's figure from its cells: which curves stand in which panel."""

import math
from collections.abc import Callable

import numpy as np
import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.curves import styles_of
from modeseek.bandit.figures.problem import problem_figure
from modeseek.bandit.figures.reproduction import Curve, Interval, Panel, intervals_figure, ladder, panels_figure
from modeseek.bandit.figures.style import LineStyle
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.reproduce.assess import Assessment
from modeseek.bandit.reproduce.cells import spent
from modeseek.bandit.reproduce.claims import TABLE3
from modeseek.bandit.reproduce.contrasts import Cells, fresh_runs, fresh_values, level
from modeseek.bandit.reproduce.settings import (
    BATCHES,
    FIG16_METHODS,
    FIG19_METHODS,
    HEADLINES,
    INNER_STEPS,
    MENDS,
    PROMPTS,
    REMEDY_TITLES,
    REWARDS,
)
from modeseek.bandit.reproduce.verdicts import interval
from modeseek.bandit.simulator.conventions import PRESETS, Conventions
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards

Drawing = Callable[[Cells, str], Figure]
"""From cells and a note (protocol, conventions, seeds) to a figure."""

Rows = Callable[[Cells], list[list[Panel]]]
"""From cells to rows of panels; the curve of a cell that is not there is left out."""

_PLACE = {"R1": "R1 (peak far from the reference)", "R2": "R2 (peak near it)"}


def _curves(cells: Cells, wanted: list[tuple[str, str, LineStyle, bool]]) -> list[Curve]:
    """Curves of `(label, cell, style, open)`, as far as their cells are there; of fresh seeds, as verdicts are."""
    return [
        Curve(label, fresh_runs(cells[name]), line, empty, name) for label, name, line, empty in wanted if name in cells
    ]


def _methods(cells: Cells, methods: tuple[str, ...], suffix: str) -> list[Curve]:
    styles = styles_of(list(methods))
    return _curves(
        cells,
        [(variant(m).title, f"{m}{suffix}", styles[variant(m).name], not variant(m).on_policy) for m in methods],
    )


def _comparison(methods: tuple[str, ...], middle: str) -> Rows:
    """Reward against steps above, reward against KL below, a column a reward: figures 16 and 19."""

    def rows(cells: Cells) -> list[list[Panel]]:
        curves = {r: _methods(cells, methods, f"{middle}-{r}") for r in REWARDS}
        above = [Panel(_PLACE[r], curves[r]) for r in REWARDS]
        below = [Panel("", curves[r], x="kl_to_reference") for r in REWARDS]
        return [above, below]

    return rows


def _fig4(cells: Cells) -> list[list[Panel]]:
    styles = dict(zip(BATCHES, ladder(len(BATCHES)), strict=True))
    rows = []
    for r in REWARDS:
        curves = _curves(cells, [(f"B = {b}", f"best_of_n-B{b}-{r}", styles[b], False) for b in BATCHES])
        # Most of what happens happens in the first tenth of the run.
        above = Panel(_PLACE[r], curves, log_steps=True)
        rows.append([above, above._replace(y="kl_to_behavior", reward_axis=False)])
    return rows


def _fig14(cells: Cells) -> list[list[Panel]]:
    styles = dict(zip(INNER_STEPS, ladder(len(INNER_STEPS)), strict=True))

    def reused(method: str, times: tuple[int, ...]) -> list[Curve]:
        return _curves(cells, [(f"T = {t}", f"{method}-T{t}-R1", styles[t], False) for t in times])

    others = [Panel(f"{variant(m).title}, R1", reused(m, (1, 10))) for m in ("best_of_n", "ppo")]
    return [[Panel("On-policy RWR, R1", reused("rwr", INNER_STEPS)), *others]]


def _fig18(cells: Cells) -> list[list[Panel]]:
    there = [p for p in PROMPTS if f"ipo-{p}-prompts-R1" in cells]
    panels = []
    chosen_style, rejected_style, *_ = ladder(2)
    for p in there:
        name = f"ipo-{p}-prompts-R1"
        runs = fresh_runs(cells[name])
        curves = [
            Curve("preferred", runs, chosen_style, cell=name),
            Curve("dispreferred", runs, rejected_style, cell=name, y="rejected_implicit_reward"),
        ]
        panels.append(Panel(f"{p} prompts", curves, y="chosen_implicit_reward", reward_axis=False, signed=True))
    half = 3 if len(panels) > 3 else max(1, len(panels))
    return [panels[i : i + half] for i in range(0, len(panels), half)]


def _one_token(cells: Cells) -> list[list[Panel]]:
    methods = ("offline_best_of_n", "ipo")
    return [[Panel(_PLACE[r], _methods(cells, methods, f"-one-token-{r}")) for r in REWARDS]]


PANELS: dict[str, tuple[str, Rows]] = {
    "fig4": ("Figure 4: on-policy Best-of-N, B samples a collection", _fig4),
    "fig14": ("Figure 14: T passes over each collection", _fig14),
    "fig16": ("Figure 16: negative gradients, offline", _comparison(FIG16_METHODS, "-100-steps")),
    "fig18": ("Figure 18: implicit reward in offline IPO, R1", _fig18),
    "fig19": ("Figure 19: on-policy sampling and negative gradients", _comparison(FIG19_METHODS, "")),
    "one-token": ("J.3: the one-token bandit, offline", _one_token),
}
"""Target of curves → its title and panels."""


def _final(cells: Cells, name: str, label: str, mark: float | None = None) -> list[Interval]:
    if name not in cells:
        return []
    values = fresh_values(level("final_reward", name), cells)
    finite = values[np.isfinite(values)]
    rate = float(cells[name].attrs["learning_rate"])
    mean = float(finite.mean()) if len(finite) else math.nan
    note = f"{mean:.2f}, rate {rate:g}"
    if lost := len(values) - len(finite):
        note += f", {lost} of {len(values)} diverged"
    return [Interval(label, mean, *interval(finite), note, mark, cell=name)]


def _table3(cells: Cells) -> list[Interval]:
    rows = []
    for method, reported in TABLE3.items():
        for row in _final(cells, f"{method}-R1", variant(method).title, reported):
            rows.append(row._replace(note=f"{row.note}, paper {reported:.2f}; {spent(cells[row.cell])} in all"))
    return rows


def _ablation(cells: Cells) -> list[Interval]:
    rows = []
    for method in HEADLINES:
        released = _final(cells, f"{method}-released-R1", f"{variant(method).title}: released")
        rows += [row._replace(emphasis=True) for row in released]
        for name, mend in MENDS.items():
            if method in mend.methods:
                rows += _final(cells, f"{method}-{name}-R1", f"{name} mended")
    return rows


def _remedies(cells: Cells) -> list[Interval]:
    return [row for name, title in REMEDY_TITLES.items() for row in _final(cells, f"remedy-{name}-R1", title)]


INTERVALS: dict[str, tuple[str, Callable[[Cells], list[Interval]], str]] = {
    "table3": ("Table 3, R1; the bar | is the paper's", _table3, "expected reward at the end"),
    "ablation": ("From the released code, one difference mended", _ablation, "expected reward, R1"),
    "remedies": ("On-policy IPO on R1: what helps", _remedies, "expected reward at the end"),
}
"""Target of final rewards → its title, its rows and their axis; the row of a cell that is not there is left out."""


def _left_out(cells: Cells) -> str:
    """For a title: how many curves' runs end before the others do."""
    lost = sum(int(fresh_runs(cell)["expected_reward"].isel(step=-1).isnull().sum()) for cell in cells.values())
    return f"\n{lost} diverged run(s) left out from where they end" if lost else ""


def _drawing(target: str) -> Drawing:
    def draw(cells: Cells, note: str) -> Figure:
        if target in PANELS:
            title, panels = PANELS[target]
            return panels_figure(
                f"{title}\n{note}; mean ± standard error of the fresh seeds{_left_out(cells)}", panels(cells)
            )
        title, intervals, xlabel = INTERVALS[target]
        return intervals_figure(
            f"{title}\n{note}\nmean of the fresh seeds and its 95 % interval", intervals(cells), xlabel
        )

    return draw


DRAWINGS: dict[str, Drawing] = {target: _drawing(target) for target in (*PANELS, *INTERVALS)}
"""Target → its figure, of those that are drawn from runs."""


def problem_dataset(base: Conventions) -> xarray.Dataset:
    """Figure 2's data: no run is needed."""
    return xarray.Dataset(
        {
            "reference_probs": ("token", reference_probs(ReferenceRecipe(), base.reference_recipe, 100)),
            "token_rewards": (("reward", "token"), np.stack([token_rewards(r, 100) for r in REWARDS])),
        },
        coords={"reward": list(REWARDS)},
        attrs={"reference_recipe": base.reference_recipe},
    )


def figure_of(target: str, cells: Cells, note: str, conventions: str) -> Figure:
    """Any target's figure; that of figure 2 is of the conventions alone."""
    if target == "fig2":
        return problem_figure(problem_dataset(PRESETS[conventions]))
    return DRAWINGS[target](cells, note)


VERDICT_AXIS = "claimed effect, in units of what is too small to matter (cut at ±60)"


def verdict_rows(assessments: list[Assessment]) -> list[Interval]:
    """Every claim's effect with its simultaneous interval, in units of the effect that is too small to matter."""
    rows = []
    for a in assessments:
        if a.verdict is None:
            continue
        v, m = a.verdict, a.claim.margin
        effect, low, high = (float(np.clip(x / m, -60, 60)) for x in (v.effect, v.low, v.high))
        emphasis = v.word in ("reversed", "not reproduced")
        rows.append(Interval(a.claim.name, effect, low, high, a.word + a.mark, emphasis=emphasis))
    return rows


def verdict_figure(assessments: list[Assessment], note: str) -> Figure:
    """A row a claim that was judged, see `verdict_rows`."""
    return intervals_figure(
        f"Verdicts\n{note}\n95 % intervals, simultaneous over all claims",
        verdict_rows(assessments),
        VERDICT_AXIS,
        zero=True,
    )
