"""How far a reward model's preferences can be trusted: accuracy, and whether its probabilities are what they say."""

from typing import NamedTuple

import numpy as np

from modeseek.checks import require, whole
from modeseek.markdown import Align, markdown_table


class Bin(NamedTuple):
    """The pairs whose confidence lies in one part of [1/2, 1].

    Attributes:
        low: where the part begins.
        high: where it ends; it belongs to the next, but for the last.
        pairs: how many there are.
        confidence: their mean probability that the response with the higher score is the better one; NaN without pairs.
        accuracy: the share of them in which it is; NaN without pairs.
    """

    low: float
    high: float
    pairs: int
    confidence: float
    accuracy: float


class Agreement(NamedTuple):
    """How a reward model judges pairs that it was not trained on.

    Attributes:
        pairs: how many.
        loss: mean of -log σ(r_chosen - r_rejected), nats a pair; log 2 for a model that knows nothing.
        accuracy: share of pairs whose chosen response has the higher score; even scores are half right.
        margin: mean of r_chosen - r_rejected, nats.
        calibration_error: expected calibration error, Σ_b n_b/n |confidence_b - accuracy_b| (Naeini et al. 2015).
        bins: that it is summed over.
    """

    pairs: int
    loss: float
    accuracy: float
    margin: float
    calibration_error: float
    bins: tuple[Bin, ...]

    def table(self) -> str:
        """The bins that hold pairs, in Markdown."""
        rows = [
            (f"{b.low:.2f} to {b.high:.2f}", b.pairs, f"{b.confidence:.3f}", f"{b.accuracy:.3f}")
            for b in self.bins
            if b.pairs
        ]
        columns: list[tuple[str, Align]] = [("confidence", "left"), ("pairs", "right"), ("mean", "right")]
        return markdown_table([*columns, ("share right", "right")], rows)

    def __str__(self) -> str:
        return (
            f"{self.pairs} held-out pairs: accuracy {self.accuracy:.3f}, loss {self.loss:.3f} nats a pair, margin "
            f"{self.margin:.3f} nats, expected calibration error {self.calibration_error:.3f}"
        )


def agreement(margins: np.ndarray, bins: int = 10) -> Agreement:
    """What margins say.

    The order of a pair is known here (chosen first), so a probability σ(m) is compared with nothing but "yes". What a
    model claims is its confidence σ(|m|) ≥ 1/2 that the response which it ranks higher is the better one; bins cut
    [1/2, 1] evenly.

    Args:
        margins: r_chosen - r_rejected of each pair, nats, `[pairs]`.
        bins: how many.

    Raises:
        ValueError: no pairs, margins that are not finite, or no bins.
    """
    whole("bins", bins, 1)
    margins = np.asarray(margins, np.float64)
    require(margins.size > 0, "there are no pairs to agree with")
    require(bool(np.isfinite(margins).all()), "margins must be finite numbers")
    confidence = 1 / (1 + np.exp(-np.abs(margins)))
    right = np.where(margins == 0, 0.5, margins > 0)
    which = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    found = tuple(_bin(i, bins, confidence[which == i], right[which == i]) for i in range(bins))
    gaps = [b.pairs * abs(b.confidence - b.accuracy) for b in found if b.pairs]
    return Agreement(
        pairs=margins.size,
        loss=float(np.logaddexp(0, -margins).mean()),
        accuracy=float(right.mean()),
        margin=float(margins.mean()),
        calibration_error=float(sum(gaps) / margins.size),
        bins=found,
    )


def _bin(index: int, bins: int, confidence: np.ndarray, right: np.ndarray) -> Bin:
    mean = lambda values: float(values.mean()) if len(values) else float("nan")
    low, high = (0.5 + edge / (2 * bins) for edge in (index, index + 1))
    return Bin(low, high, len(confidence), mean(confidence), mean(right))
