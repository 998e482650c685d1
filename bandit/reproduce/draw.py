"""Each target's figure from its cells: which curves stand in which panel."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from bandit.figures.curves import styles_of
from bandit.figures.reproduction import Curve, Interval, Panel, intervals_figure, ladder, panels_figure
from bandit.objectives.methods import variant
from bandit.reproduce.assess import Assessment
from bandit.reproduce.claims import TABLE3
from bandit.reproduce.contrasts import Cells, fresh_values, level
from bandit.reproduce.settings import (
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
from bandit.reproduce.verdicts import interval

Drawing = Callable[[Cells, str], Figure]
"""From cells and a note (protocol, conventions, seeds) to a figure."""

BANDS, INTERVALS = "mean ± standard error", "mean of the fresh seeds and its 95 % interval"

_PLACE = {"R1": "R1 (peak far from the reference)", "R2": "R2 (peak near it)"}


def _methods(cells: Cells, methods: tuple[str, ...], suffix: str) -> list[Curve]:
    styles = styles_of(list(methods))
    return [
        Curve(variant(m).title, cells[f"{m}{suffix}"], styles[variant(m).name], not variant(m).on_policy)
        for m in methods
    ]


def _comparison(methods: tuple[str, ...], middle: str, title: str) -> Drawing:
    """Reward against steps above, reward against KL below, a column a reward: figures 16 and 19."""

    def draw(cells: Cells, note: str) -> Figure:
        curves = {r: _methods(cells, methods, f"{middle}-{r}") for r in REWARDS}
        above = [Panel(_PLACE[r], curves[r]) for r in REWARDS]
        below = [Panel("", curves[r], x="kl_to_reference") for r in REWARDS]
        return panels_figure(f"{title}\n{note}; {BANDS}", [above, below])

    return draw


def _fig4(cells: Cells, note: str) -> Figure:
    styles = dict(zip(BATCHES, ladder(len(BATCHES)), strict=True))
    rows = []
    for r in REWARDS:
        curves = [Curve(f"B = {b}", cells[f"best_of_n-B{b}-{r}"], styles[b]) for b in BATCHES]
        rows.append([Panel(_PLACE[r], curves), Panel(_PLACE[r], curves, y="kl_to_behavior", reward_axis=False)])
    return panels_figure(f"Figure 4: on-policy Best-of-N, B samples a collection\n{note}; {BANDS}", rows)


def _fig14(cells: Cells, note: str) -> Figure:
    styles = dict(zip(INNER_STEPS, ladder(len(INNER_STEPS)), strict=True))
    rwr = [Curve(f"T = {t}", cells[f"rwr-T{t}-R1"], styles[t]) for t in INNER_STEPS]
    others = [
        Panel(f"{variant(m).title}, R1", [Curve(f"T = {t}", cells[f"{m}-T{t}-R1"], styles[t]) for t in (1, 10)])
        for m in ("best_of_n", "ppo")
    ]
    return panels_figure(
        f"Figure 14: T passes over each collection\n{note}; {BANDS}", [[Panel("On-policy RWR, R1", rwr), *others]]
    )


def _fig18(cells: Cells, note: str) -> Figure:
    there = [p for p in PROMPTS if f"ipo-{p}-prompts-R1" in cells]
    panels = []
    chosen_style, rejected_style, *_ = ladder(2)
    for p in there:
        runs = cells[f"ipo-{p}-prompts-R1"]
        renamed = runs.drop_vars("chosen_implicit_reward").rename(rejected_implicit_reward="chosen_implicit_reward")
        curves = [Curve("preferred", runs, chosen_style), Curve("dispreferred", renamed, rejected_style)]
        panels.append(Panel(f"{p} prompts", curves, y="chosen_implicit_reward", reward_axis=False))
    half = 3 if len(panels) > 3 else len(panels)
    rows = [panels[i : i + half] for i in range(0, len(panels), half)]
    return panels_figure(f"Figure 18: implicit reward in offline IPO, R1\n{note}; {BANDS}", rows)


def _one_token(cells: Cells, note: str) -> Figure:
    methods = ("offline_best_of_n", "ipo")
    panels = [Panel(_PLACE[r], _methods(cells, methods, f"-one-token-{r}")) for r in REWARDS]
    return panels_figure(f"J.3: the one-token bandit, offline\n{note}; {BANDS}", [panels])


def _final(cells: Cells, name: str, label: str, mark: float | None = None, note: str = "") -> Interval:
    values = fresh_values(level("final_reward", name), cells)
    finite = values[np.isfinite(values)]
    rate = float(cells[name].attrs["learning_rate"])
    text = note or f"{finite.mean():.2f}, rate {rate:g}"
    return Interval(label, float(finite.mean()), *interval(finite), text, mark)


def _table3(cells: Cells, note: str) -> Figure:
    rows = []
    for method, reported in TABLE3.items():
        minutes = float(cells[f"{method}-R1"].attrs["seconds"]) / 60
        row = _final(cells, f"{method}-R1", variant(method).title, reported)
        rows.append(row._replace(note=f"{row.note}, paper {reported:.2f}; {minutes:.1f} min in all"))
    return intervals_figure(
        f"Table 3, R1; the bar | is the paper's\n{note}\n{INTERVALS}", rows, "expected reward at the end"
    )


def _ablation(cells: Cells, note: str) -> Figure:
    rows = []
    for method in HEADLINES:
        rows.append(
            _final(cells, f"{method}-released-R1", f"{variant(method).title}: released")._replace(emphasis=True)
        )
        rows += [
            _final(cells, f"{method}-{mend}-R1", f"{mend} mended") for mend, (_, m) in MENDS.items() if method in m
        ]
    return intervals_figure(
        f"From the released code, one difference mended\n{note}\n{INTERVALS}", rows, "expected reward, R1"
    )


def _remedies(cells: Cells, note: str) -> Figure:
    rows = [_final(cells, f"remedy-{name}-R1", title) for name, title in REMEDY_TITLES.items()]
    return intervals_figure(f"On-policy IPO on R1: what helps\n{note}\n{INTERVALS}", rows, "expected reward at the end")


DRAWINGS: dict[str, Drawing] = {
    "fig4": _fig4,
    "fig14": _fig14,
    "fig16": _comparison(FIG16_METHODS, "-100-steps", "Figure 16: negative gradients, offline"),
    "fig18": _fig18,
    "fig19": _comparison(FIG19_METHODS, "", "Figure 19: on-policy sampling and negative gradients"),
    "table3": _table3,
    "one-token": _one_token,
    "ablation": _ablation,
    "remedies": _remedies,
}
"""Target → its figure; figure 2 has no runs and is `bandit.figures.problem`'s."""


def verdict_figure(assessments: list[Assessment], note: str) -> Figure:
    """Every claim's effect with its simultaneous interval, in units of the effect that is too small to matter."""
    rows = []
    for a in assessments:
        if a.verdict is None:
            continue
        v, m = a.verdict, a.claim.margin
        effect, low, high = (float(np.clip(x / m, -60, 60)) for x in (v.effect, v.low, v.high))
        emphasis = v.word in ("reversed", "not reproduced")
        rows.append(Interval(a.claim.name, effect, low, high, a.word, emphasis=emphasis))
    return intervals_figure(
        f"Verdicts\n{note}\n95 % intervals, simultaneous over all claims",
        rows,
        "claimed effect, in units of what is too small to matter (cut at ±60)",
        zero=True,
    )
