"""Tabular policies, of which all can be enumerated: over sequences of T tokens, a row of logits for every prefix.

A parameter array has the shape `[rows, V]` with rows = 1 + V + … + V^(T-1), the prefixes in the order of their length.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import log_softmax


class Space(NamedTuple):
    """All Y = V^T sequences.

    Attributes:
        tokens: of each sequence, `[Y, T]`.
        rows: the row of the prefix before each token, `[Y, T]`.
    """

    tokens: Int[np.ndarray, "Y T"]
    rows: Int[np.ndarray, "Y T"]

    @property
    def prefixes(self) -> int:
        """Rows of a policy's parameters."""
        return int(self.rows.max()) + 1


def space(vocab: int, length: int) -> Space:
    """The sequences of `length` tokens out of `vocab`."""
    tokens = np.stack(np.meshgrid(*[np.arange(vocab)] * length, indexing="ij"), -1).reshape(-1, length)
    rows, first, prefix = [], 0, np.zeros(len(tokens), int)
    for t in range(length):
        rows.append(first + prefix)
        first += vocab**t
        prefix = prefix * vocab + tokens[:, t]
    return Space(tokens, np.stack(rows, 1))


def token_log_probs(space: Space, logits: Float[np.ndarray, "*B rows V"]) -> Float[np.ndarray, "*B Y T"]:
    """log π(y_t | y_<t) of every sequence; their sum over t is log π(y)."""
    found: Float[np.ndarray, "*B Y T"] = log_softmax(logits, axis=-1)[..., space.rows, space.tokens]
    return found


def scores(space: Space, logits: Float[np.ndarray, "rows V"]) -> Float[np.ndarray, "Y T rows V"]:
    """∇ log π(y_t | y_<t) by all logits: one-hot(y_t) - π(· | y_<t) in the row of the prefix, elsewhere zero."""
    (count, vocab), (total, length) = logits.shape, space.tokens.shape
    found = np.zeros((total, length, count, vocab))
    y, t = np.indices(space.tokens.shape)
    found[y, t, space.rows] = -np.exp(log_softmax(logits, axis=-1))[space.rows]
    found[y, t, space.rows, space.tokens] += 1
    return found


def draw(probs: Float[np.ndarray, "S Y"], uniform: Float[np.ndarray, "S B"]) -> Int[np.ndarray, "S B"]:
    """Numbers of sampled outcomes: where the cumulative probability passes a uniform number."""
    passed = uniform[:, :, None] > np.cumsum(probs, axis=-1)[:, None, :-1]
    return np.asarray(passed.sum(-1))


def less_the_others(returns: Float[np.ndarray, "*S B"]) -> Float[np.ndarray, "*S B"]:
    """Each sample's return less the mean of the others in its batch: a baseline that biases nothing."""
    return np.asarray(returns - (returns.sum(-1, keepdims=True) - returns) / (returns.shape[-1] - 1))
