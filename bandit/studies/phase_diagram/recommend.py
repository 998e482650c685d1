"""Which method to take where: how often each won in cells like this one.

A cell is described by what can be known of a problem beforehand: how far the best response lies from the reference,
how far from the policy that wrote the offline data, and how many responses may be drawn anew. The probability that
method m is the best at x is the Nadaraya-Watson mean of the cells' wins, drawn a little to 1/M:

    p_m(x) = (Σ_c k(x, c) y_cm + a/M) / (Σ_c k(x, c) + a),    k(x, c) = exp(-½ Σ_f (z_f(x) - z_f(c))² / h_f²)

y is a cell's one win, shared equally among methods that are tied there; z has logarithms, standardised over cells. The
widths h and the weight a are those with the best log score on rows of cells that were left out (`calibration`).
Conditions that a row varies and that are not asked for (β, width, prompts) are averaged over.
"""

import itertools
from typing import Literal, NamedTuple

import numpy as np
import xarray
from jaxtyping import Float

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.phase_diagram.winners import winners
from modeseek.checks import finite, require

Distance = Literal["to_best", "halfway"]
"""By which KL a distance is measured: of the best response, or of earning half of what there is to earn."""


class Query(NamedTuple):
    """A problem.

    Attributes:
        distance: nats of the best response, or halfway, from the reference.
        data_distance: the same from the policy that wrote the offline data.
        fresh: responses that may be drawn anew.
    """

    distance: float
    data_distance: float
    fresh: int

    def check(self) -> None:
        """Refuse what is no problem.

        Raises:
            ValueError: a distance that is not positive and finite; a negative number of responses.
        """
        for name, value in (("the KL", self.distance), ("the data's KL", self.data_distance)):
            require(finite(value) and value > 0, f"{name} must be a positive number of nats, got {value!r}")
        require(self.fresh >= 0, f"fresh must be zero or more responses, got {self.fresh}")


class Smoothing(NamedTuple):
    """h of each feature, in standard deviations over the cells, and a, in cells."""

    distance: float
    data_distance: float
    fresh: float
    prior: float


SMOOTHINGS = tuple(
    Smoothing(*each) for each in itertools.product((0.2, 0.4, 0.8, 1.6), (0.5, 1.0, 4.0), (0.5, 1.0, 4.0), (0.3, 1.0))
)
"""Those that are chosen from."""


def features(diagram: xarray.Dataset, distance: Distance) -> Float[np.ndarray, "C 3"]:
    """Logarithms of the conditions of every cell."""
    names = (f"nats_{distance}", f"data_{distance}", "fresh_samples")
    return np.log(np.stack([diagram[name].values.astype(np.float64) for name in names], axis=1))


def squared_differences(
    cells: Float[np.ndarray, "C F"], points: Float[np.ndarray, "Q F"]
) -> Float[np.ndarray, "Q C F"]:
    """How far points are from cells, squared, each feature in its standard deviations over the cells."""
    spread = cells.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    squares: Float[np.ndarray, "Q C F"] = ((points[:, None] - cells[None]) / scale) ** 2
    return squares


def exponents(squares: Float[np.ndarray, "Q C F"], smoothing: Smoothing) -> Float[np.ndarray, "Q C"]:
    """log k of points and cells."""
    return np.asarray(-0.5 * squares @ (np.asarray(smoothing[:-1]) ** -2.0))


def probabilities(
    squares: Float[np.ndarray, "Q C F"], wins: Float[np.ndarray, "C M"], smoothing: Smoothing
) -> Float[np.ndarray, "Q M"]:
    """p_m, a row a point.

    Args:
        squares: as `squared_differences` gives them; +inf of a cell that is left out.
        wins: of each cell, rows that sum to 1.
        smoothing: h and a.
    """
    weights = np.exp(exponents(squares, smoothing))
    total = weights.sum(axis=1, keepdims=True) + smoothing.prior
    return np.asarray((weights @ wins + smoothing.prior / wins.shape[1]) / total)


class Recommendation(NamedTuple):
    """What a diagram says of a problem.

    Attributes:
        methods: names, the most probable first.
        probability: of being the best.
        shortfall: expected reward that each is behind the best, a weighted mean over cells.
        cells: indices of the cells that say so, the nearest first.
        weights: of these cells, at most 1 each.
        inside: whether there are cells so near that they weigh one in all.
    """

    methods: tuple[str, ...]
    probability: Float[np.ndarray, "M"]
    shortfall: Float[np.ndarray, "M"]
    cells: tuple[int, ...]
    weights: Float[np.ndarray, "K"]
    inside: bool


def available(diagram: xarray.Dataset, fresh: int) -> xarray.Dataset:
    """The diagram of those methods that can be run: without fresh responses the offline ones.

    Raises:
        ValueError: it has none of them.
    """
    if fresh > 0:
        return diagram
    offline = [name for name in diagram["algorithm"].values.astype(str).tolist() if not variant(name).on_policy]
    require(len(offline) > 0, "this phase diagram has no offline method, and there are no fresh responses")
    return diagram.sel(algorithm=offline)


def recommend(
    diagram: xarray.Dataset, query: Query, distance: Distance, smoothing: Smoothing, shown: int = 5
) -> Recommendation:
    """Which methods to take.

    Args:
        diagram: whose cells are asked.
        query: the problem; without fresh responses, offline methods alone compete, wherever the cells are.
        distance: how the query's distances are measured.
        smoothing: as `calibration.best_smoothing` chooses it.
        shown: how many cells are named.

    Raises:
        ValueError: the query is no problem.
    """
    query.check()
    diagram = available(diagram, query.fresh)
    found, cells = winners(diagram), features(diagram, distance)
    least = float(np.exp(cells[:, 2].min()))
    point = np.log([[query.distance, query.data_distance, query.fresh or least]])
    squares = squared_differences(cells, point)
    each = probabilities(squares, found.shares, smoothing)[0]
    nearness = exponents(squares, smoothing)[0]
    # Far from all cells every weight is 0 to the last bit: the nearest then speak, by the differences alone.
    relative = np.exp(nearness - nearness.max())
    shortfall = relative @ found.gap / relative.sum()
    order = np.argsort(-each, kind="stable")
    near = np.argsort(-nearness, kind="stable")[:shown]
    weights = np.exp(nearness)
    return Recommendation(
        methods=tuple(found.methods[m] for m in order),
        probability=each[order],
        shortfall=shortfall[order],
        cells=tuple(int(c) for c in near),
        weights=weights[near],
        inside=bool(weights.sum() >= 1.0),
    )
