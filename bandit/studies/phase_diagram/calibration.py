"""Is what the recommender says true of cells that it has not seen?

Cells of one row (a value of one condition, every place of the peak) are left out together: their neighbours in the row
would give them away. The smoothing that predicts a row is chosen without it, on the other rows, in the same way, so
that no number of a cell enters its own prediction.
"""

from typing import NamedTuple

import numpy as np
import xarray
from jaxtyping import Float, Int

from modeseek.bandit.studies.phase_diagram.recommend import (
    SMOOTHINGS,
    Distance,
    Smoothing,
    features,
    probabilities,
    squared_differences,
)
from modeseek.bandit.studies.phase_diagram.stored import points_of
from modeseek.bandit.studies.phase_diagram.winners import winners
from modeseek.checks import require

EDGES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
"""Bins of predicted probability."""


class Reliability(NamedTuple):
    """Predictions for cells that were left out, and what came.

    Attributes:
        predicted: probability of each method in each cell, `[C, M]`.
        won: its share of the cell's win.
        low: edges of the bins, from below.
        high: from above.
        predictions: how many are in each bin.
        said: their mean.
        came: how often those methods won.
        error: standard error of `came`, by the jackknife over rows, which are left out as one.
        log_score: mean over cells of Σ_m won log predicted.
        uninformed: the log score of how often each method wins in all, which knows no conditions.
        rows: how many were left out, one after the other.
    """

    predicted: Float[np.ndarray, "C M"]
    won: Float[np.ndarray, "C M"]
    low: Float[np.ndarray, "B"]
    high: Float[np.ndarray, "B"]
    predictions: Int[np.ndarray, "B"]
    said: Float[np.ndarray, "B"]
    came: Float[np.ndarray, "B"]
    error: Float[np.ndarray, "B"]
    log_score: float
    uninformed: float
    rows: int


def rows_of(diagram: xarray.Dataset) -> Int[np.ndarray, "C"]:
    """The row of each cell: those that share everything but the place of the peak have one number."""
    rows = [tuple((k, v) for k, v in point.changes().items() if k != "center") for point in points_of(diagram)]
    numbers = {row: i for i, row in enumerate(dict.fromkeys(rows))}
    return np.asarray([numbers[row] for row in rows])


def _without_own_row(squares: Float[np.ndarray, "C C F"], rows: Int[np.ndarray, "C"]) -> Float[np.ndarray, "C C F"]:
    return np.where((rows[:, None] == rows[None])[..., None], np.inf, squares)


def log_score(predicted: Float[np.ndarray, "C M"], won: Float[np.ndarray, "C M"]) -> float:
    """Mean over cells of Σ_m won log predicted; higher is better, and highest where the two agree."""
    return float((won * np.log(predicted)).sum(axis=1).mean())


def choose(squares: Float[np.ndarray, "C C F"], won: Float[np.ndarray, "C M"], rows: Int[np.ndarray, "C"]) -> Smoothing:
    """The smoothing whose predictions for left-out rows have the best log score; of equal ones the first."""
    held_out = _without_own_row(squares, rows)
    return max(SMOOTHINGS, key=lambda each: log_score(probabilities(held_out, won, each), won))


def best_smoothing(diagram: xarray.Dataset, distance: Distance) -> Smoothing:
    """The smoothing that is chosen on all rows of a diagram."""
    cells = features(diagram, distance)
    return choose(squared_differences(cells, cells), winners(diagram).shares, rows_of(diagram))


def reliability(diagram: xarray.Dataset, distance: Distance) -> Reliability:
    """Predict every row from the others, and compare.

    Raises:
        ValueError: the diagram has fewer than three rows: one to predict, and two to choose the smoothing on.
    """
    rows, won, cells = rows_of(diagram), winners(diagram).shares, features(diagram, distance)
    require(int(rows.max()) >= 2, f"calibration needs three rows of cells or more, got {rows.max() + 1}")
    squares = squared_differences(cells, cells)
    predicted, uninformed = np.empty_like(won), np.empty_like(won)
    for row in range(rows.max() + 1):
        own, others = rows == row, rows != row
        smoothing = choose(squares[np.ix_(others, others)], won[others], rows[others])
        predicted[own] = probabilities(squares[np.ix_(own, others)], won[others], smoothing)
        uninformed[own] = (won[others].sum(axis=0) + 1 / won.shape[1]) / (others.sum() + 1)
    bins = np.clip(np.searchsorted(EDGES, predicted, side="right") - 1, 0, len(EDGES) - 2)
    table = [_bin(bins == b, predicted, won, rows) for b in range(len(EDGES) - 1)]
    count, said, came, error = (np.asarray(column) for column in zip(*table, strict=True))
    return Reliability(
        predicted,
        won,
        np.asarray(EDGES[:-1]),
        np.asarray(EDGES[1:]),
        count,
        said,
        came,
        error,
        log_score(predicted, won),
        log_score(uninformed, won),
        int(rows.max()) + 1,
    )


def _bin(
    inside: np.ndarray, predicted: np.ndarray, won: np.ndarray, rows: np.ndarray
) -> tuple[int, float, float, float]:
    """Count, mean prediction, mean win and its standard error over rows of the predictions in a bin."""
    count = int(inside.sum())
    if count == 0:
        return 0, np.nan, np.nan, np.nan
    came = float(won[inside].mean())
    sums = np.asarray([((won - came) * inside)[rows == row].sum() for row in range(rows.max() + 1)])
    n = len(sums)
    return count, float(predicted[inside].mean()), came, float(np.sqrt(n / (n - 1) * (sums**2).sum()) / count)
