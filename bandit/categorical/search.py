"""Random instances of the theory, batch by batch, and the smallest of those that break a statement."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

EDGE = 1e-11
"""Differences of float64 log-probabilities below this are rounding, not evidence."""


class Instances(NamedTuple):
    """A batch of instances that all meet a statement's condition; unused fields are None.

    Attributes:
        p: policies, `[B, K]`.
        q: targets, `[B, K]`.
        extra: what else a statement needs, by name, `[B]` or `[B, K]` each.
    """

    p: Float[np.ndarray, "B K"]
    q: Float[np.ndarray, "B K"]
    extra: dict[str, np.ndarray]


class Checked(NamedTuple):
    """What a statement says of a batch.

    Attributes:
        holds: whether it holds.
        margin: how far from the edge, signed or not; instances within rounding of it are not counted.
        decided: whether the instance is far enough from the edge for float64 to tell.
    """

    holds: Bool[np.ndarray, "B"]
    margin: Float[np.ndarray, "B"]
    decided: Bool[np.ndarray, "B"]


Draw = Callable[[np.random.Generator, int, int], Instances]
Condition = Callable[[np.ndarray, np.ndarray], np.ndarray]


def always(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """No condition on p and q."""
    return np.ones(len(p), bool)


class Statement(NamedTuple):
    """One row of the table.

    Attributes:
        name: short and unique.
        claim: in words and symbols.
        expected: whether it is a theorem (holds always) or has counter-examples.
        draw: `(rng, batch, K)` → instances that meet the condition (fewer than `batch` may come back).
        check: instances → whether the claim holds.
        meets: `(p, q)` → whether they meet the condition: a shortened counter-example must still do so.
    """

    name: str
    claim: str
    expected: bool
    draw: Draw
    check: Callable[[Instances], Checked]
    meets: Condition = always


def simplex_points(rng: np.random.Generator, batch: int, categories: int) -> Float[np.ndarray, "B K"]:
    """Strictly positive Dirichlet points, concentration log-uniform between 0.1 and 10: sparse to flat."""
    concentration = 10 ** rng.uniform(-1, 1, (batch, 1))
    weights = rng.standard_gamma(np.broadcast_to(concentration, (batch, categories))) + 1e-9
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def normalised(weights: np.ndarray) -> np.ndarray:
    """Weights scaled to sum to 1 over the last axis."""
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def with_equal_pair(points: np.ndarray) -> np.ndarray:
    """Points whose first two categories share their mass equally."""
    points = points.copy()
    points[:, :2] = points[:, :2].mean(-1, keepdims=True)
    return points


def descending_pair(points: np.ndarray) -> np.ndarray:
    """Points whose first category has more mass than the second."""
    points = points.copy()
    points[:, :2] = -np.sort(-points[:, :2], axis=-1)
    return points


def rounded(vector: np.ndarray, digits: int) -> np.ndarray | None:
    """The distribution in `digits` decimals, or None where that makes a zero; the last category takes the remainder."""
    short = np.round(vector, digits)
    short[-1] = np.round(1.0 - short[:-1].sum(), digits)
    return short if (short > 0).all() else None


def simplest(p: np.ndarray, q: np.ndarray, breaks: Any) -> tuple[int, np.ndarray, np.ndarray]:
    """The counter-example in as few decimals as still break the statement, and how many: something to check by hand."""
    for digits in range(1, 7):
        short_p, short_q = rounded(p, digits), rounded(q, digits)
        if short_p is not None and short_q is not None and breaks(short_p, short_q):
            return digits, short_p, short_q
    return 16, p, q


def vector_text(vector: np.ndarray) -> str:
    """`(.6, .399, .001)`."""
    return "(" + ", ".join(f"{x:.6g}".replace("0.", ".", 1) if 0 < x < 1 else f"{x:.6g}" for x in vector) + ")"
