"""The theory's table: each statement against random instances, with the smallest counter-example that turns up."""

import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from modeseek.bandit.categorical.search import Instances, Statement, simplest, vector_text
from modeseek.bandit.categorical.statements import STATEMENTS
from modeseek.checks import require, whole

CATEGORIES = (2, 3, 4, 5, 10, 30, 100)
MOST_INSTANCES = 10_000_000
"""Of each statement: a quarter of an hour on one core."""
BATCH = 10_000
CANDIDATES = 40
"""Counter-examples of the smallest K that are shortened, to show the one with the fewest decimals."""


class Finding(NamedTuple):
    """One row.

    Attributes:
        name: of the statement.
        claim: what it says.
        expected: whether it should hold always.
        tried: instances that met the condition and were decided (not within rounding of the edge).
        held: those in which it held.
        counter_example: the smallest found, in as few decimals as still break it; empty if none.
        verdict: in words.
    """

    name: str
    claim: str
    expected: bool
    tried: int
    held: int
    counter_example: str
    verdict: str

    @property
    def share(self) -> float:
        """Share of instances in which it held; NaN if none was tried."""
        return self.held / self.tried if self.tried else float("nan")


def examine(statement: Statement, instances: int, seed: int, categories: Iterable[int] = CATEGORIES) -> Finding:
    """Try a statement on about `instances` random instances, an equal number for each K.

    Conditions that few random points meet are given up to 20 times as many draws. The stream of random numbers
    belongs to the statement's name and the seed, so that one row can be repeated without the others.
    """
    categories = tuple(categories)
    rng = np.random.default_rng([seed, zlib.crc32(statement.name.encode())])
    tried = held = 0
    example = ""
    per_size = -(-instances // len(categories))
    for k in sorted(categories):
        found, attempts = 0, 0
        while found < per_size and attempts < 20 * per_size:
            size = min(BATCH, max(1000, per_size - found))
            batch = statement.draw(rng, size, k)
            attempts += size
            if not len(batch.p):
                continue  # the condition cannot be met, or was not, at this K
            holds, margin, decided = statement.check(batch)
            within = np.flatnonzero(decided)[: per_size - found]
            broken = within[~holds[within]]
            found += within.size
            tried += within.size
            held += within.size - broken.size
            if broken.size and not example:
                clearest = broken[np.argsort(-np.abs(margin[broken]))[:CANDIDATES]]
                example = min((_describe(statement, batch, int(index)) for index in clearest), key=lambda x: x[0])[1]
    return Finding(
        statement.name, statement.claim, statement.expected, tried, held, example, _verdict(statement, tried, held)
    )


def _describe(statement: Statement, batch: Instances, index: int) -> tuple[int, str]:
    """The instance, shortened as far as it goes on meeting the condition and breaking the claim; first its decimals."""
    extra = {name: values[index : index + 1] for name, values in batch.extra.items()}
    before, target = batch.p[index], batch.q[index]
    same = np.array_equal(before, target)

    def breaks(p: np.ndarray, q: np.ndarray) -> bool:
        if not (statement.meets(p[None], q[None])[0] and _ordered_alike(before, p) and _ordered_alike(target, q)):
            return False
        holds, _, decided = statement.check(Instances(p[None], q[None], extra))
        return bool(decided[0] and not holds[0])

    digits, p, q = simplest(before, target, breaks)
    parts = [f"p={vector_text(p)}", *([] if same else [f"q={vector_text(q)}"])]
    parts += [f"{name}={values[0]:.4g}" for name, values in extra.items() if values.ndim == 1]
    return digits, "; ".join(parts)


def _ordered_alike(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether rounding kept which of the first two categories has more, or that they have the same."""
    return bool(np.sign(np.round(before[0] - before[1], 12)) == np.sign(np.round(after[0] - after[1], 12)))


def _verdict(statement: Statement, tried: int, held: int) -> str:
    if not tried:
        return "not tried: no instance met the condition"
    if held == tried:
        return "holds" if statement.expected else "no counter-example found, though there are some"
    return "NOT CONFIRMED" if statement.expected else "has counter-examples"


def check_search(instances: int, seed: int) -> None:
    """The search's numbers.

    Raises:
        ValueError: fewer than one instance a number of categories, more than `MOST_INSTANCES`, or a negative seed.
    """
    whole("instances", instances, len(CATEGORIES))
    require(instances <= MOST_INSTANCES, f"instances must be at most {MOST_INSTANCES:,}, got {instances:,}")
    whole("seed", seed, 0)


def table(
    instances: int = 100_000, seed: int = 0, progress: Callable[[Iterable[Statement]], Iterable[Statement]] = iter
) -> list[Finding]:
    """Every statement's finding.

    Args:
        instances: to try per statement.
        seed: of the search.
        progress: wraps the loop over statements, for a progress bar.

    Raises:
        ValueError: as `check_search`.
    """
    check_search(instances, seed)
    return [examine(statement, instances, seed) for statement in progress(STATEMENTS)]
