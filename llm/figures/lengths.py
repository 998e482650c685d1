"""How long chosen and rejected responses are: the paper's figure 3."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import BLACK, BLUE, VERMILLION, new_figure, style
from modeseek.checks import require

SHARE_SHOWN = 0.995
"""Responses up to this quantile have bars of their own; the few that are longer share the last one."""


class Drawn(NamedTuple):
    """A figure, and what stands beneath it, which says the same in words."""

    figure: Figure
    caption: str


def lengths_figure(title: str, chosen: Sequence[int], rejected: Sequence[int], unit: str = "words") -> Drawn:
    """Two histograms over the same bars, with a line at each mean.

    Args:
        title: which data it is.
        chosen: the length of each pair's chosen response.
        rejected: of its rejected one.
        unit: of the lengths.

    Raises:
        ValueError: there are no pairs.
    """
    require(len(chosen) == len(rejected) > 0, f"pairs have two lengths each, got {len(chosen)} and {len(rejected)}")
    both = np.concatenate([chosen, rejected])
    last = max(1, int(np.quantile(both, SHARE_SHOWN, method="higher")))
    width = max(1, -(-(last + 1) // 50))
    edges = np.arange(0, last + width + 1, width) - 0.5  # a bar holds whole numbers
    longer = int((both > edges[-1]).sum())
    with style():
        figure, axes = new_figure(1, 1, panel=(6.0, 3.2))
        panel = axes[0, 0]
        for lengths, label, color, hatch, dash in (
            (chosen, "chosen", BLUE, "", "-"),
            (rejected, "rejected", VERMILLION, "////", "--"),
        ):
            shown = np.minimum(lengths, edges[-1])
            bars = {"bins": edges, "histtype": "stepfilled", "linewidth": 1.2}
            panel.hist(shown, **bars, facecolor=(color, 0.25), edgecolor=color, hatch=hatch, label=label)
            mean = float(np.mean(lengths))
            panel.axvline(mean, color=color, linestyle=dash, linewidth=1.4, label=f"mean {mean:.1f}")
        panel.set(title=title, xlabel=f"length, {unit}", ylabel="responses")
        panel.set_xlim(edges[0], edges[-1])
        if longer:
            panel.text(0.995, 0.98, f"{longer} longer ones are in the last bar", transform=panel.transAxes, **_NOTE)
        panel.legend(loc="upper right", bbox_to_anchor=(1.0, 0.92))
    return Drawn(figure, _caption(title, np.asarray(chosen), np.asarray(rejected), unit))


_NOTE = {"ha": "right", "va": "top", "fontsize": 7.5, "color": BLACK}


def _caption(title: str, chosen: np.ndarray, rejected: np.ndarray, unit: str) -> str:
    shorter = float((chosen < rejected).mean())
    return (
        f"{title}: lengths of {len(chosen)} pairs. Chosen responses have {_told(chosen, unit)}; rejected ones "
        f"{_told(rejected, unit)}. The chosen one is the shorter in {100 * shorter:.0f} % of the pairs."
    )


def _told(lengths: np.ndarray, unit: str) -> str:
    low, middle, high = (int(each) for each in np.quantile(lengths, (0.1, 0.5, 0.9), method="nearest"))
    return f"{lengths.mean():.1f} {unit} on average (tenth, half and nine tenths: up to {low}, {middle} and {high})"
