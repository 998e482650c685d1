"""A categorical distribution as log-probabilities, for JAX and NumPy arrays alike.

Functions take either kind and ask the array itself for its namespace (`__array_namespace__`, the array API standard),
so the NumPy path is the same line of code, needs no compilation, and can be compared digit by digit.

Zero probability has log -inf outside and `LOG_ZERO`, a finite number whose exponential is exactly 0, inside: with it
0 · log 0 = 0 and log 0 - log 0 = 0 hold without a branch, and no NaN can arise.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

LOG_ZERO = -1e30
"""log 0 as a finite number; sums and differences of a few of them stay finite in float32 too."""

Vector = Any
"""A `jax.Array` or a `numpy.ndarray` of shape `[*B, K]`."""


class CategoricalPolicy(NamedTuple):
    """A distribution with both of its faces, since every step needs both and one exponential makes them.

    Attributes:
        log_probs: log p, nats; `LOG_ZERO` where p = 0.
        probs: p; sums to 1 to rounding.
    """

    log_probs: Vector
    probs: Vector


def namespace(array: Vector) -> Any:
    """`jax.numpy` or `numpy`, whichever the array belongs to."""
    # The short way first: a NumPy trajectory asks ten thousand times.
    return np if isinstance(array, np.ndarray) else array.__array_namespace__()


def total(terms: Vector, *, keepdims: bool = False) -> Vector:
    """Σ over the last axis, `[*B, K]` → `[*B]`, or `[*B, 1]` with `keepdims`.

    In JAX a product with ones, in full precision: XLA's CPU backend runs it through its matrix kernel, and a sum over
    rows one number at a time.
    """
    xp = namespace(terms)
    if xp is np:
        return terms.sum(-1, keepdims=keepdims)
    sums = xp.matmul(terms, xp.ones(terms.shape[-1], terms.dtype), precision="highest")
    return sums[..., None] if keepdims else sums


def policy(logits: Vector) -> CategoricalPolicy:
    """The softmax of logits, with its logarithm by log-sum-exp. `[*B, K]` over the last axis."""
    xp = namespace(logits)
    shifted = logits - logits.max(-1, keepdims=True)
    exponentials = xp.exp(shifted)
    normalizer = total(exponentials, keepdims=True)
    return CategoricalPolicy(shifted - xp.log(normalizer), exponentials / normalizer)


def finite(log_probs: Vector) -> Vector:
    """Log-probabilities with `LOG_ZERO` for -inf."""
    return namespace(log_probs).maximum(log_probs, LOG_ZERO)


def exact(log_probs: Vector) -> Vector:
    """Log-probabilities with -inf for `LOG_ZERO`: what leaves this package."""
    xp = namespace(log_probs)
    return xp.where(log_probs > LOG_ZERO / 2, log_probs, -math.inf)


def log_of(probs: Float[np.ndarray, "*B K"]) -> Float[np.ndarray, "*B K"]:
    """Log p in float64, -inf where p = 0, without NumPy's warning."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probs))


def check_distribution(name: str, probs: Any, categories: int | None = None) -> Float[np.ndarray, "K"]:
    """The vector in float64, after every way in which it may fail to be a distribution has been ruled out.

    Args:
        name: how the message calls it.
        probs: K probabilities; exact zeros are allowed.
        categories: the K that is expected, if one is.

    Raises:
        ValueError: not a vector, K < 2, another length, NaN or infinity, a negative entry, or a sum that is not 1.
    """
    vector = _vector(name, probs)
    if vector.size < 2:
        raise ValueError(f"{name} must have at least 2 categories, got {vector.size}")
    if categories is not None and vector.size != categories:
        raise ValueError(f"{name} must have {categories} categories like the other vectors, got {vector.size}")
    if not np.isfinite(vector).all():
        bad = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise ValueError(f"{name} must be finite, got {vector[bad]} for category {bad}")
    if (vector < 0).any():
        bad = int(np.flatnonzero(vector < 0)[0])
        raise ValueError(f"{name} must not be negative, got {vector[bad]} for category {bad}")
    if abs(vector.sum() - 1) > 1e-6:
        raise ValueError(f"{name} must sum to 1, got a sum of {vector.sum():.9g}")
    return np.asarray(vector / vector.sum())


def check_rewards(rewards: Any, categories: int) -> Float[np.ndarray, "K"]:
    """The rewards in float64.

    Raises:
        ValueError: not K of them, or one is not finite.
    """
    vector = _vector("rewards", rewards)
    if vector.size != categories:
        raise ValueError(f"rewards must have {categories} categories like the other vectors, got {vector.size}")
    if not np.isfinite(vector).all():
        bad = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise ValueError(f"rewards must be finite, got {vector[bad]} for category {bad}")
    return vector


LEAST = 1e-300
"""Of a positive number: what is smaller is 1/0 to float64, or nearly."""


def check_positive(name: str, value: Any) -> float:
    """A finite number above 0, and not so near to it that dividing by it overflows.

    Raises:
        ValueError: it is not.
    """
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    if number < LEAST:
        raise ValueError(f"{name} must be at least {LEAST:g}, got {value!r}")
    return number


def _vector(name: str, values: Any) -> np.ndarray:
    try:
        vector = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a vector of numbers, got {values!r}") from None
    if vector.ndim != 1:
        raise ValueError(f"{name} must be a vector, got an array of shape {vector.shape}")
    return vector
