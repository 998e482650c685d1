"""Each target's figure from its results: which curves stand in which panel."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.intervals import Interval, intervals_figure
from modeseek.bandit.figures.methods import styles_of
from modeseek.bandit.figures.panels import Curve, Panel, panels_figure
from modeseek.bandit.figures.problem import problem_figure
from modeseek.bandit.figures.style import LineStyle, ladder
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.conventions import PRESETS, Conventions
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards
from modeseek.bandit.studies.cells import Cell, Results, fresh_runs, time_spent
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.intervals import student
from modeseek.bandit.studies.reproduce import claims, targets
from modeseek.bandit.studies.reproduce.cells import (
    BATCHES,
    DISPLACEMENT,
    FRESHNESS,
    HEADLINE_METHODS,
    HEADLINES,
    INNER_STEPS,
    MENDED,
    MENDED_METHODS,
    MENDS,
    OFFLINE,
    OFFLINE_METHODS,
    ONE_TOKEN,
    ONE_TOKEN_METHODS,
    REGULARISED,
    RELEASED,
    REMEDIES,
    REUSE,
    REWARDS,
    STALENESS,
    WHOLE_RUN,
    BanditCell,
)
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD
from modeseek.bandit.studies.reproduce.store import responses_in
from modeseek.bandit.studies.reproduce.targets import BanditTarget

Drawing = Callable[[Results, str], Figure]
"""From results and a note (protocol, conventions, seeds) to a figure."""

Rows = Callable[[Results], list[list[Panel]]]
"""From results to rows of panels; the curve of a cell that is not there is left out."""

_PLACE = {"R1": "R1 (peak far from the reference)", "R2": "R2 (peak near it)"}


def _curves(results: Results, wanted: Iterable[tuple[str, Cell, LineStyle, bool]]) -> list[Curve]:
    """Curves of `(label, cell, style, open)`, as far as their cells are there; of fresh seeds, as verdicts are."""
    return [
        Curve(label, fresh_runs(results[cell]), line, empty, cell)
        for label, cell, line, empty in wanted
        if cell in results
    ]


def _methods(results: Results, cells: Iterable[BanditCell]) -> list[Curve]:
    """A curve a cell, named and styled by its method."""
    cells = list(cells)
    styles = styles_of([cell.method for cell in cells])
    named = [(variant(cell.method), cell) for cell in cells]
    return _curves(results, [(method.title, cell, styles[method.name], not method.on_policy) for method, cell in named])


def _comparison(methods: tuple[str, ...], cells: dict[tuple[str, str], BanditCell]) -> Rows:
    """Reward against steps above, reward against KL below, a column a reward: figures 16 and 19."""

    def rows(results: Results) -> list[list[Panel]]:
        every = {r: _methods(results, [cells[m, r] for m in methods]) for r in REWARDS}
        curves = {r: found for r, found in every.items() if found} or every  # a reward that was not run has no column
        above = [Panel(_PLACE[r], found) for r, found in curves.items()]
        # The first cell's own configuration says what all cells of a panel draw from and earn.
        limits = [responses_in(found[0].runs) if found else None for found in curves.values()]
        below = [
            Panel("", found, x="kl_to_reference", frontier=most)
            for found, most in zip(curves.values(), limits, strict=True)
        ]
        return [above, below]

    return rows


def _fig4(results: Results) -> list[list[Panel]]:
    styles = dict(zip(BATCHES, ladder(len(BATCHES)), strict=True))
    rows = []
    for r in REWARDS:
        curves = _curves(results, [(f"B = {b}", STALENESS[b, r], styles[b], False) for b in BATCHES])
        # Most of what happens happens in the first tenth of the run.
        above = Panel(_PLACE[r], curves, log_steps=True)
        rows.append([above, above._replace(y="kl_to_behavior", reward_axis=False)])
    return rows


def _fig14(results: Results) -> list[list[Panel]]:
    styles = dict(zip(INNER_STEPS, ladder(len(INNER_STEPS)), strict=True))

    def reused(method: str) -> list[Curve]:
        times = [t for t in INNER_STEPS if (method, t) in REUSE]
        return _curves(results, [(f"T = {t}", REUSE[method, t], styles[t], False) for t in times])

    others = [Panel(f"{variant(m).title}, R1", reused(m)) for m in ("best_of_n", "ppo")]
    return [[Panel("On-policy RWR, R1", reused("rwr")), *others]]


def _fig18(results: Results) -> list[list[Panel]]:
    chosen_style, rejected_style, *_ = ladder(2)
    rows = []
    for r in REWARDS:
        panels = []
        for (prompts, reward), cell in DISPLACEMENT.items():
            if reward == r and cell in results:
                runs = fresh_runs(results[cell])
                curves = [
                    Curve("preferred", runs, chosen_style, cell=cell),
                    Curve("dispreferred", runs, rejected_style, cell=cell, y="rejected_implicit_reward"),
                ]
                title = f"{r}, {prompts} prompts"
                panels.append(Panel(title, curves, y="chosen_implicit_reward", reward_axis=False, signed=True))
        rows += [panels[i : i + 3] for i in range(0, len(panels), 3)]
    return rows


def _one_token(results: Results) -> list[list[Panel]]:
    return [[Panel(_PLACE[r], _methods(results, [ONE_TOKEN[m, r] for m in ONE_TOKEN_METHODS])) for r in REWARDS]]


PANELS: dict[BanditTarget, tuple[str, Rows]] = {
    targets.FIG4: ("Figure 4: on-policy Best-of-N, B samples per collection", _fig4),
    targets.FIG14: ("Figure 14: T passes over each collection", _fig14),
    targets.FIG16: ("Figure 16: negative gradients, offline", _comparison(OFFLINE_METHODS, OFFLINE)),
    targets.FIG18: ("Figure 18: implicit reward, offline IPO (R1: all pairs; R2: best against the rest)", _fig18),
    targets.FIG19: ("Figure 19: on-policy sampling and negative gradients", _comparison(HEADLINE_METHODS, HEADLINES)),
    targets.ONE_TOKEN_BANDIT: ("J.3: the one-token bandit, offline", _one_token),
}
"""Target of curves → its title and panels."""


def _final(results: Results, cell: Cell, label: str, mark: float | None = None) -> list[Interval]:
    """A cell's reward at the end as a row; none where the cell is not there."""
    if cell not in results:
        return []
    values = fresh_values(level(FINAL_REWARD, cell), results)
    finite = values[np.isfinite(values)]
    rate = float(results[cell].attrs["learning_rate"])
    mean = float(finite.mean()) if len(finite) else math.nan
    note = f"{mean:.2f}, rate {rate:g}"
    if lost := len(values) - len(finite):
        note += f", {lost} of {len(values)} diverged"
    return [Interval(label, mean, *student(finite), note, mark, cell=cell, lost=lost)]


def _table3(results: Results) -> list[Interval]:
    rows = []
    for method, reported in claims.TABLE3.items():
        cell = HEADLINES[method, "R1"]
        for row in _final(results, cell, variant(method).title, reported.value):
            paper = f"paper {reported.value:.2f} ± {reported.standard_error:.2f}"
            rows.append(row._replace(note=f"{row.note}, {paper}; {time_spent([results[cell]])} in all"))
    return rows


def _ablation(results: Results) -> list[Interval]:
    rows = []
    for method in MENDED_METHODS:
        released = _final(results, RELEASED[method], f"{variant(method).title}: released")
        rows += [row._replace(emphasis=True) for row in released]
        for name in MENDS:
            if (method, name) in MENDED:
                rows += _final(results, MENDED[method, name], f"{name} mended")
    return rows


def _remedies(results: Results) -> list[Interval]:
    named = [(name, row) for name, r in REMEDIES.items() for row in _final(results, r.cell, r.title)]
    return [row._replace(short=name) for name, row in named]


def _regularised(results: Results) -> list[Interval]:
    names = {"ipo": "on-policy IPO, τ = .05", "kl-in-reward": "PPO, β in the reward", "exact-kl": "PPO, exact KL"}
    return [
        row
        for r in REWARDS
        for name, title in names.items()
        for row in _final(results, REGULARISED[name, r], f"{title}, {r}")
    ]


def _whose_samples(results: Results) -> list[Interval]:
    rows = []
    for (method, b), cell in FRESHNESS.items():
        whose = {100: "the policy's", WHOLE_RUN: "the reference's"}.get(b, f"B = {b}")
        rows += _final(results, cell, f"{variant(method).title}: {whose}")
    return rows


INTERVALS: dict[BanditTarget, tuple[str, Callable[[Results], list[Interval]], str]] = {
    targets.TABLE3: ("Table 3, R1; the bar | is the paper's", _table3, "expected reward at the end"),
    targets.ABLATION: ("From the released code, one difference mended", _ablation, "expected reward, R1"),
    targets.REMEDIES_TARGET: ("On-policy IPO on R1: what helps", _remedies, "expected reward at the end"),
    targets.REGULARISED_TARGET: ("IPO and PPO, equally regularised", _regularised, "expected reward at the end"),
    targets.WHOSE_SAMPLES: ("DPO and IPO on R1, by whose samples they learn from", _whose_samples, "expected reward"),
}
"""Target of final rewards → its title, its rows and their axis; the row of a cell that is not there is left out."""


def _left_out(results: Results) -> str:
    """For a title: how many curves' runs end before the others do."""
    lost = sum(int(fresh_runs(one)["expected_reward"].isel(step=-1).isnull().sum()) for one in results.values())
    return f"\n{lost} diverged run(s) left out from where they end" if lost else ""


def _drawing(target: BanditTarget) -> Drawing:
    def draw(results: Results, note: str) -> Figure:
        if target in PANELS:
            title, panels = PANELS[target]
            return panels_figure(
                f"{title}\n{note}; mean ± standard error of the fresh seeds{_left_out(results)}", panels(results)
            )
        title, intervals, xlabel = INTERVALS[target]
        return intervals_figure(
            f"{title}\n{note}\nmean of the fresh seeds and its 95 % interval", intervals(results), xlabel
        )

    return draw


DRAWINGS: dict[BanditTarget, Drawing] = {target: _drawing(target) for target in (*PANELS, *INTERVALS)}
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


def figure_of(target: BanditTarget, results: Results, note: str, conventions: str) -> Figure:
    """Any target's figure; that of figure 2 is of the conventions alone."""
    if target is targets.FIG2:
        return problem_figure(problem_dataset(PRESETS[conventions]))
    return DRAWINGS[target](results, note)
