"""Two series of one picture differ in marker, dash or hatch too: in grey print, and for colour-blind readers."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from test_explore_looks import KINDS, contrast

from modeseek.bandit.categorical.presets import named_problem
from modeseek.bandit.categorical.study import kl_study
from modeseek.bandit.explore import BudgetExplorer, ReproduceExplorer
from modeseek.bandit.explore.demo.model import recorded
from modeseek.bandit.explore.toolkit.canvas import Canvas
from modeseek.bandit.explore.toolkit.explorer import Explorer
from modeseek.bandit.figures.curves import reward_figure
from modeseek.bandit.figures.kl_bars import kl_bars
from modeseek.bandit.figures.kl_curves import kl_curves
from modeseek.bandit.figures.kl_simplex import kl_simplex
from modeseek.bandit.figures.style import BLUE, METHOD_STYLES, ORANGE, VERMILLION, new_figure

NONE = ("None", "none", "", " ", None)
TOLD_APART = 3.0
"""Contrast of two greys that need no other difference: WCAG 2.2, 1.4.11."""


def series(axes: Axes) -> Iterator[tuple[str, Any, str]]:
    """Colour, shape and name of every line, row of markers and stairs that is drawn; no rules across the axes."""
    for line in axes.lines:
        x, y = (np.asarray(each, float) for each in line.get_data())
        if not line.get_visible() or not len(x) or (len(x) == 2 and (x[0] == x[1] or y[0] == y[1])):
            continue
        if len(x) == 1 and to_hex(line.get_markerfacecolor(), keep_alpha=True) == "#00000000":
            continue  # a ring around a point of a curve
        drawn, marker = line.get_linestyle() not in NONE, line.get_marker()
        color = line.get_color() if drawn or marker in NONE else line.get_markerfacecolor()
        color = line.get_markeredgecolor() if str(color) in NONE or to_hex(color) == "#ffffff" else color
        filled = to_hex(line.get_markerfacecolor(), keep_alpha=True) not in ("#ffffffff", "#00000000")
        dash = (str(line._unscaled_dash_pattern), line.get_linewidth() >= 1.2) if drawn else None
        yield to_hex(color), (dash, None if marker in NONE else (marker, filled)), line.get_label()
    for patch in axes.patches:
        if isinstance(patch, StepPatch) and patch.get_visible() and np.any(patch.get_data().values):
            edge = to_hex(patch.get_facecolor() if patch.get_fill() else patch.get_edgecolor())
            yield edge, (patch.get_fill(), patch.get_hatch(), str(patch.get_linestyle())), patch.get_label()


def alike(figure: Figure) -> list[str]:
    """Pairs of series of one pair of axes that are one in grey."""
    found = []
    for axes in figure.findobj(Axes):
        if axes.get_visible():
            for (color, shape, name), (other, others_shape, others_name) in itertools.combinations(series(axes), 2):
                if color != other and shape == others_shape and contrast(color, other) < TOLD_APART:
                    found.append(f"{axes.get_title()!r}: {name} {color} and {others_name} {other}, both {shape}")
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_series_of_an_explorer_differ_in_grey(kind: type[Explorer]):
    canvas = Canvas(kind.Scene())
    names = ("fig16", "fig4", "fig2", "table3") if kind is ReproduceExplorer else list(kind.presets())[:2]
    for preset in names:
        model = kind.Model(preset)
        if "step" in [control.name for control in model.controls]:
            model.set("step", model.limits("step")[1] // 2)
        if kind is BudgetExplorer:
            model.set("scored", "yes")
        canvas.pixels(model)
        assert alike(canvas.figure) == []


def test_series_of_results_differ_in_grey():
    assert alike(reward_figure(recorded())) == []
    data = kl_study(*named_problem("case-2")[:2], steps=30)
    for draw in (kl_curves, kl_bars, kl_simplex):
        assert alike(draw(data)) == []


def test_no_two_methods_have_one_marker_and_dash():
    looks = {name: (style.marker, str(style.dash)) for name, style in METHOD_STYLES.items()}
    assert len(set(looks.values())) == len(looks)


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ({"color": BLUE, "marker": "o"}, {"color": VERMILLION, "marker": "o"}, False),
        ({"color": BLUE}, {"color": VERMILLION}, False),
        ({"color": BLUE, "marker": "o"}, {"color": VERMILLION, "marker": "s"}, True),
        ({"color": BLUE}, {"color": VERMILLION, "ls": "--"}, True),
        ({"color": BLUE}, {"color": BLUE}, True),
        ({"color": "black"}, {"color": ORANGE}, True),
    ],
)
def test_what_is_one_in_grey_is_noticed(one: dict[str, Any], other: dict[str, Any], differ: bool):
    figure, axes = new_figure()
    for look in (one, other):
        axes[0, 0].add_line(Line2D([0, 1, 2], [0, 1, 0], **look))
    assert (alike(figure) == []) is differ
