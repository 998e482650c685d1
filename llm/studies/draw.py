"""Each target's figure from its results: which curves stand in which panel."""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.intervals import Interval, intervals_figure
from modeseek.bandit.figures.methods import styles_of
from modeseek.bandit.figures.panels import Curve, Panel, panels_figure
from modeseek.bandit.figures.style import LineStyle, ladder
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.cells import Cell, Results, fresh_runs
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.intervals import student
from modeseek.bandit.studies.measures import Measure
from modeseek.llm.studies import targets
from modeseek.llm.studies.cells import (
    EOS,
    EOS_METHODS,
    LENGTHS,
    OFFLINE,
    OFFLINE_PLAIN,
    OFFLINE_ULTRA,
    REUSE,
    REUSES,
    STALE,
    STALENESS,
    STALENESS_PLAIN,
    TOGETHER,
    LanguageCell,
)
from modeseek.llm.studies.claims import FAR, TITLES
from modeseek.llm.studies.measures import FINAL_LENGTH, SECONDS_TO_SHORT
from modeseek.llm.studies.targets import LanguageTarget

Rows = Callable[[Results], list[list[Panel]]]
"""From results to rows of panels; the curve of a cell that is not there is left out."""

LEFT_OUT = {"both": "both trained", "no-first": "no first token", "no-eos": "no EOS", "neither": "neither"}


def _curves(results: Results, wanted: Iterable[tuple[str, Cell, LineStyle, bool]]) -> list[Curve]:
    """Curves of `(label, cell, style, open)`, as far as their cells are there; of fresh seeds, as verdicts are."""
    return [
        Curve(label, with_margin(fresh_runs(results[cell])), line, empty, cell)
        for label, cell, line, empty in wanted
        if cell in results
    ]


def with_margin(runs: xarray.Dataset) -> xarray.Dataset:
    """Runs with the margin between their two implicit rewards."""
    return runs.assign(margin=runs["chosen_implicit_reward"] - runs["rejected_implicit_reward"])


def _methods(results: Results, cells: Iterable[LanguageCell]) -> list[Curve]:
    """A curve a cell, named and styled by its method."""
    cells = list(cells)
    styles = styles_of([cell.method for cell in cells])
    named = [(variant(cell.method), cell) for cell in cells]
    return _curves(results, [(method.title, cell, styles[method.name], not method.on_policy) for method, cell in named])


def _panel(title: str, curves: list[Curve], y: str = "expected_reward", *, signed: bool = False) -> Panel:
    return Panel(title, curves, y=y, reward_axis=False, signed=signed)


def _swept(results: Results, cells: Mapping[str, LanguageCell]) -> list[Curve]:
    styles = ladder(len(cells))
    return _curves(
        results, [(name, cell, line, False) for (name, cell), line in zip(cells.items(), styles, strict=True)]
    )


def _stale(results: Results, method: str, scenario: str) -> list[Curve]:
    return _swept(results, {f"B = {k} M" if k > 1 else "B = M": STALENESS[method, scenario, k] for k in (1, STALE)})


def _fig5(results: Results) -> list[list[Panel]]:
    return [
        [_panel(f"{variant(m).method.title}, {TITLES[s]}", _stale(results, m, s)) for s in LENGTHS]
        for m in ("rwr", "reinforce")
    ]


def _fresh(method: str, scenario: str) -> Rows:
    """Length and proxy reward with B = M and more: figures 11 to 13, 21, 22."""

    def rows(results: Results) -> list[list[Panel]]:
        curves = _stale(results, method, scenario)
        return [[_panel(TITLES[scenario], curves, "tokens"), _panel("", curves, "proxy_reward")]]

    return rows


def _fig6(results: Results) -> list[list[Panel]]:
    methods = ("dpo", "pref_ft", "offline_rwr")
    return [[_panel(TITLES[s], _methods(results, [OFFLINE[m, s] for m in methods]), "tokens") for s in LENGTHS]]


def _fig7(results: Results) -> list[list[Panel]]:
    cells = lambda m: {f"B = {k} M" if k > 1 else "B = M": STALENESS_PLAIN[m, k] for k in (1, STALE)}
    named = {m: variant(m).method.title for m in ("rwr", "reinforce")}
    return [[_panel(f"{title}, plain words", _swept(results, cells(m))) for m, title in named.items()]]


FULL = {"plain words": OFFLINE_PLAIN, "UltraFeedback": OFFLINE_ULTRA}


def _full_scale(y: str) -> Rows:
    """A panel a data set whose cells are there: figure 8."""

    def rows(results: Results) -> list[list[Panel]]:
        there = {title: cells for title, cells in FULL.items() if all(cell in results for cell in cells.values())}
        return [[_panel(title, _methods(results, cells.values()), y) for title, cells in there.items()]]

    return rows


def _fig9(results: Results) -> list[list[Panel]]:
    chosen_style, rejected_style, *_ = ladder(2)
    panels = []
    for title, cells in FULL.items():
        for method, cell in cells.items():
            if cell in results:
                runs = fresh_runs(results[cell])
                curves = [
                    Curve("preferred", runs, chosen_style, cell=cell),
                    Curve("dispreferred", runs, rejected_style, cell=cell, y="rejected_implicit_reward"),
                ]
                named = f"{variant(method).method.title}, {title}"
                panels.append(_panel(named, curves, "chosen_implicit_reward", signed=True))
    return [panels]


METHODS = ("on_policy_dpo", "dpo", "ppo", "rwr", "pref_ft")


def _fig10(results: Results) -> list[list[Panel]]:
    curves = {s: _methods(results, [TOGETHER[m, s] for m in METHODS]) for s in FAR}
    above = [_panel(TITLES[s], curves[s], "tokens") for s in FAR]
    below = [_panel("", curves[s])._replace(x="kl_to_reference") for s in FAR]
    return [above, below]


def _fig17(results: Results) -> list[list[Panel]]:
    cells = {TITLES[s]: {m: OFFLINE[m, s] for m in ("dpo", "pref_ft")} for s in FAR} | FULL
    there = {title: each for title, each in cells.items() if all(cell in results for cell in each.values())}
    return [[_panel(title, _methods(results, each.values()), "margin") for title, each in there.items()]]


def _fig20(results: Results) -> list[list[Panel]]:
    curves = _methods(results, [TOGETHER[m, "mode_length"] for m in METHODS])
    return [[_panel("Mode Length", curves), _panel("", curves, "tokens")]]


def _reuse(scenario: str) -> Rows:
    """Length with T passes: figures 15 and 23."""

    def rows(results: Results) -> list[list[Panel]]:
        cells = lambda m: {f"T = {t}": REUSE[m, scenario, t] for t in REUSES}
        named = {m: variant(m).title for m in ("ppo", "best_of_n")}
        return [
            [_panel(f"{title}, {TITLES[scenario]}", _swept(results, cells(m)), "tokens") for m, title in named.items()]
        ]

    return rows


def _eos(results: Results) -> list[list[Panel]]:
    cells = lambda m: {words: EOS[m, name] for name, words in LEFT_OUT.items()}
    panels = [_panel(variant(m).title, _swept(results, cells(m)), "tokens") for m in EOS_METHODS]
    return [panels[:2], panels[2:]]


PANELS: dict[LanguageTarget, tuple[str, Rows]] = {
    targets.FIG5: ("Figure 5: B samples per collection", _fig5),
    targets.FIG6: ("Figure 6: negative gradients, offline", _fig6),
    targets.FIG7: ("Figure 7: B samples per collection, common words in AlpacaFarm's place", _fig7),
    targets.FIG8: ("Figure 8: negative gradients, common words in AlpacaFarm's place", _full_scale("expected_reward")),
    targets.FIG9: ("Figure 9: implicit rewards of held-out responses", _fig9),
    targets.FIG10: ("Figure 10: on-policy sampling and negative gradients", _fig10),
    targets.FIG11: ("Figure 11: PPO, B samples per collection", _fresh("ppo", "min_length")),
    targets.FIG12: ("Figure 12: PPO, B samples per collection", _fresh("ppo", "mode_length")),
    targets.FIG13: ("Figure 13: PPO, B samples per collection", _fresh("ppo", "skew_length")),
    targets.FIG15: ("Figure 15: T passes over each collection", _reuse("min_length")),
    targets.FIG17: ("Figure 17: margin between held-out responses, offline", _fig17),
    targets.FIG20: ("Figure 20: every method on Mode Length", _fig20),
    targets.FIG21: ("Figure 21: RWR, B samples per collection", _fresh("rwr", "min_length")),
    targets.FIG22: ("Figure 22: RWR, B samples per collection", _fresh("rwr", "skew_length")),
    targets.FIG23: ("Figure 23: T passes over each collection", _reuse("skew_length")),
    targets.EOS_TARGET: ("Which tokens are trained, Min Length", _eos),
}
"""Target of curves → its title and panels."""


def _row(results: Results, cell: Cell, label: str, measure: Measure, note: str) -> list[Interval]:
    """A cell's measure as a row; none where the cell is not there."""
    if cell not in results:
        return []
    values = fresh_values(level(measure, cell), results)
    finite = values[np.isfinite(values)]
    mean = float(finite.mean()) if len(finite) else math.nan
    lost = len(values) - len(finite)
    said = note.format(mean) + (f", {lost} of {len(values)} diverged" if lost else "")
    return [Interval(label, mean, *student(finite), said, cell=cell)]


def _table3(results: Results) -> list[Interval]:
    rows = []
    for s in FAR:
        for m in ("dpo", "ppo", "rwr", "on_policy_dpo"):
            for row in _row(results, TOGETHER[m, s], f"{TITLES[s]}: {variant(m).title}", FINAL_LENGTH, "{:.1f} tokens"):
                seconds = fresh_values(level(SECONDS_TO_SHORT, TOGETHER[m, s]), results)
                rows.append(row._replace(note=f"{row.note}, {np.nanmean(seconds):.1f} s until short"))
    return rows


def figure_of(target: LanguageTarget, results: Results, note: str) -> Figure:
    """Any target's figure but figure 3's, which has no runs."""
    if target is targets.TABLE3:
        return intervals_figure(
            f"Table 3: length at the end\n{note}\nmean of the fresh seeds and its 95 % interval",
            _table3(results),
            "length of responses, tokens",
        )
    title, panels = PANELS[target]
    return panels_figure(
        f"{title}\n{note}; mean ± standard error of the fresh seeds{_left_out(results)}", panels(results)
    )


def _left_out(results: Results) -> str:
    """For a title: how many curves' runs end before the others do."""
    lost = sum(int(fresh_runs(one)["expected_reward"].isel(step=-1).isnull().sum()) for one in results.values())
    return f"\n{lost} diverged run(s) left out from where they end" if lost else ""
