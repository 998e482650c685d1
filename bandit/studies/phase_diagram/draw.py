"""A phase diagram as maps and as a table."""

import numpy as np
import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.phase import WinnerMap, phase_figure
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.phase_diagram.grid import RESPONSES, SLICES, Point
from modeseek.bandit.studies.phase_diagram.stored import grid_of, points_of, runs_of
from modeseek.bandit.studies.phase_diagram.winners import Criterion, Winners, winners

TITLES = {
    "reward": "Who has the highest expected reward after {steps} gradient steps?",
    "reward_within_kl": "Who has the highest expected reward within {nats:g} nats of the reference?",
}


def maps_of(diagram: xarray.Dataset, found: Winners) -> list[WinnerMap]:
    """The maps of all slices of a diagram; cells that it has not are white."""
    grid, index = grid_of(diagram), {point: i for i, point in enumerate(points_of(diagram))}
    maps = []
    for name in grid.slices:
        cells = [[index.get(point, -1) for point in row] for row in grid.map(name)]
        place = np.asarray(cells)
        maps.append(
            WinnerMap(
                title=SLICES[name].title,
                rows=[label(name, value) for value in grid.values(name)],
                columns=[str(center) for center in grid.centers],
                base=grid.values(name).index(getattr(Point(), SLICES[name].field)),
                leader=np.where(place >= 0, found.leader[place], -1),
                among=found.among[place] & (place >= 0)[..., None],
            )
        )
    return maps


def label(name: str, value: object) -> str:
    """A value of a slice, in words."""
    if name == "prompts" and value == 0:
        return str(Point().samples_per_collection // RESPONSES)
    if isinstance(value, str):
        return value.replace("bump:peak:20", "around the peak").replace(":", " ")
    return f"{value:g}" if isinstance(value, float) else str(value)


def draw_phase(diagram: xarray.Dataset, criterion: Criterion = "reward") -> Figure:
    """The winner maps of a diagram."""
    budget = grid_of(diagram).budget
    title = TITLES[criterion].format(steps=budget.steps, nats=budget.kl_budget)
    found = winners(diagram, criterion)
    return phase_figure(maps_of(diagram, found), found.methods, f"{title}  ({runs_of(diagram):,} runs; bold: base row)")


def summary(diagram: xarray.Dataset) -> str:
    """How many cells each method has won alone, and how many it may have won."""
    found = winners(diagram)
    alone = found.among & ~found.tied[:, None]
    lines = [f"{len(found.leader)} cells, {int(found.tied.sum())} ties, {runs_of(diagram):,} runs", ""]
    rows = [("method", "won alone", "may be the best")]
    for m in np.argsort(-found.shares.sum(axis=0), kind="stable"):
        rows.append((variant(found.methods[m]).title, str(int(alone[:, m].sum())), str(int(found.among[:, m].sum()))))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines += ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)
