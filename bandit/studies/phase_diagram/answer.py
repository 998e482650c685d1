"""A recommendation in words."""

import xarray

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.phase_diagram.calibration import best_smoothing
from modeseek.bandit.studies.phase_diagram.grid import SLICES, Point
from modeseek.bandit.studies.phase_diagram.recommend import Distance, Query, available, recommend
from modeseek.bandit.studies.phase_diagram.stored import points_of
from modeseek.bandit.studies.phase_diagram.winners import winners

DISTANCES = {"to_best": "the best response", "halfway": "half of what there is to earn"}


def answer(diagram: xarray.Dataset, query: Query, distance: Distance, shown: int = 5) -> str:
    """Which methods, how sure, and which cells say so.

    Args:
        diagram: that is asked.
        query: the problem.
        distance: how its distances are measured.
        shown: how many cells are named.

    Raises:
        ValueError: the query is no problem, or the diagram has no method that can be run.
    """
    query.check()
    diagram = available(diagram, query.fresh)
    found = recommend(diagram, query, distance, best_smoothing(diagram, distance), shown)
    lines = [
        f"{DISTANCES[distance]} lies {query.distance:.3g} nats from the reference, {query.data_distance:.3g} from the "
        f"data; {query.fresh or 'no'} fresh responses",
        "",
        f"{'method':<24}{'best with probability':>22}{'behind the best by':>20}",
    ]
    lines += [
        f"{variant(name).title:<24}{probability:>22.2f}{shortfall:>20.2f}"
        for name, probability, shortfall in zip(found.methods, found.probability, found.shortfall, strict=True)
    ]
    lines += ["", "the nearest cells:"]
    points, won = points_of(diagram), winners(diagram)
    for cell, weight in zip(found.cells, found.weights, strict=True):
        among = " or ".join(
            variant(name).title for name, stays in zip(won.methods, won.among[cell], strict=True) if stays
        )
        far = float(diagram[f"nats_{distance}"][cell])
        lines.append(f"  {_described(points[cell])} ({far:.3g} nats; weight {weight:.2f}): {among}")
    if not found.inside:
        lines += [
            "",
            "note: no cell is near: the phase diagram does not reach there, and these probabilities say little",
        ]
    return "\n".join(lines)


def _described(point: Point) -> str:
    names = {each.field: each.name for each in SLICES.values()}
    changed = [f"{names[field]} {value}" for field, value in point.changes().items() if field in names]
    return ", ".join([f"peak at {point.center}", *changed])
