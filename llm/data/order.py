"""Which rows come when: a function of a seed and a position alone, so a run that resumes goes on as it would have."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from modeseek.checks import whole


class Position(NamedTuple):
    """Where a pass over the data stands: the batch that comes next."""

    epoch: int = 0
    batch: int = 0


BEGINNING = Position()


class Batch(NamedTuple):
    """The rows of one batch, and where the data stands after it."""

    rows: np.ndarray
    following: Position


def order(seed: int, epoch: int, n: int) -> np.ndarray:
    """A permutation of n rows, `[n]` int64, for one epoch.

    Rows are sorted by raw words of the counter-based generator Philox, keyed by seed and epoch: NumPy keeps those for
    good, while its `permutation` may change from one version to the next.
    """
    whole("seed", seed, 0)
    whole("epoch", epoch, 0)
    words = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(n)
    return np.argsort(words, kind="stable")


def batches(n: int, size: int, *, seed: int, start: Position = BEGINNING, drop_last: bool = True) -> Iterator[Batch]:
    """Batches of row numbers without end, epoch after epoch, from `start` on.

    The batches from a position on do not depend on how it was reached.

    Args:
        n: rows of the data.
        size: rows of a batch.
        seed: of the order.
        start: the batch to begin with, such as the `following` of the last one that was used.
        drop_last: rows that fill no batch are left out of an epoch (others in each); if not, they are a smaller one.

    Raises:
        ValueError: no batch fits, or there is no such position.
    """
    whole("size", size, 1)
    per_epoch = n // size if drop_last else -(-n // size)
    if per_epoch < 1:
        raise ValueError(f"{n} rows do not fill a batch of {size}")
    epoch, index = start
    if epoch < 0 or not 0 <= index <= per_epoch:
        raise ValueError(f"an epoch has {per_epoch} batches: there is no batch {index} of epoch {epoch}")
    while True:
        permutation = order(seed, epoch, n)
        for i in range(index, per_epoch):
            following = Position(epoch, i + 1) if i + 1 < per_epoch else Position(epoch + 1, 0)
            yield Batch(permutation[i * size : (i + 1) * size], following)
        epoch, index = epoch + 1, 0
