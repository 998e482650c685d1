"""Figure 3's data: how long preferred and dispreferred responses are. No run is needed."""

from pathlib import Path

import numpy as np
import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.style import BLUE, VERMILLION, label_lines, new_figure, style
from modeseek.bandit.simulator.results import FORMAT, load, save
from modeseek.files import writable_folder
from modeseek.llm.rewards.functions import without_end
from modeseek.llm.studies.scales import Scale
from modeseek.llm.studies.scenarios import World

FILE = "lengths.nc"
"""Beside the cells of a scale."""

SCENARIOS = {"min_length": "Min Length", "skew_length": "Skew Length"}


def length_counts(world: World, scale: Scale) -> xarray.Dataset:
    """How many preferred and dispreferred responses have each length, `[scenario, which, tokens]`; EOS not counted."""
    most = scale.sizes.max_response
    counts = np.zeros((len(SCENARIOS), 2, most + 1), np.int32)
    for s, name in enumerate(SCENARIOS):
        scenario = world.scenarios[name]
        for pair in (*scenario.pairs, *scenario.held_out):
            for which, ids in enumerate(pair.responses):
                counts[s, which, len(without_end(ids, (world.eos,)))] += 1
    return xarray.Dataset(
        {"pairs": (("scenario", "which", "tokens"), counts, {"long_name": "responses of this length"})},
        {"scenario": list(SCENARIOS), "which": ["preferred", "dispreferred"], "tokens": np.arange(most + 1)},
        attrs={"modeseek_format": FORMAT},
    )


def write_lengths(world: World, scale: Scale, folder: Path) -> None:
    """Save `length_counts` among the cells of a scale, unless it is there."""
    if not (writable_folder(folder) / FILE).exists():
        save(length_counts(world, scale), folder / FILE, small=True)


def read_lengths(folder: Path) -> xarray.Dataset:
    """What `write_lengths` saved.

    Raises:
        ValueError: it is not there, or is no results file.
    """
    return load(folder / FILE)


def lengths_figure(counts: xarray.Dataset, note: str) -> Figure:
    """A panel a scenario: shares of preferred and dispreferred responses by length."""
    with style():
        figure, axes = new_figure(1, len(SCENARIOS), panel=(3.9, 2.7), sharey=True)
        for panel, (name, title) in zip(axes[0], SCENARIOS.items(), strict=True):
            for which, color, hatch in (("preferred", BLUE, ""), ("dispreferred", VERMILLION, "////")):
                found = counts["pairs"].sel(scenario=name, which=which)
                looks = {"edgecolor": color, "facecolor": color if not hatch else "none", "alpha": 0.8}
                shares = found.values / found.values.sum()
                panel.bar(counts["tokens"].values, shares, width=0.9, label=which, hatch=hatch, **looks)
            panel.set(title=title, xlabel="length, tokens")
        axes[0, 0].set_ylabel("share of responses")
        label_lines(axes[0, -1])
        figure.suptitle(f"Figure 3: preference data\n{note}", fontsize=10)
    return figure
