"""What a claim compares, as data: a sum of measures of cells, taken seed by seed."""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray
from jaxtyping import Float

from modeseek.bandit.studies.cells import Cell, Results, fresh_runs
from modeseek.bandit.studies.measures import Measure, Unit
from modeseek.checks import require


class Term(NamedTuple):
    """One summand: a number times a measure of a cell."""

    coefficient: float
    cell: Cell
    measure: Measure


@dataclasses.dataclass(frozen=True)
class Contrast:
    """Σ coefficient · measure(cell) - constant, one number a seed.

    Raises:
        ValueError: there are no terms, or their measures have several units.
    """

    terms: tuple[Term, ...]
    constant: float = 0.0

    def __post_init__(self) -> None:
        units = sorted({term.measure.unit for term in self.terms})
        named = " and ".join(unit.name for unit in units) or "none"
        require(len(units) == 1, f"the terms of a contrast must have one unit, got {named}")

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells that it needs."""
        return tuple(dict.fromkeys(term.cell for term in self.terms))

    @property
    def exact(self) -> bool:
        """Whether its number is enumerated: no seed has part in it."""
        return all(cell.exact for cell in self.cells)

    @property
    def unit(self) -> Unit:
        """What its number is counted in: the unit of its measures."""
        return self.terms[0].measure.unit

    @property
    def up_to_sign(self) -> tuple[tuple[float, str, str], ...]:
        """The same for two contrasts of which one is the other or its negative: a question and its mirror."""
        terms = [(t.coefficient, t.cell.name, t.measure.name) for t in self.terms] + [(self.constant, "", "")]
        mirrored = [(-coefficient, cell, measure) for coefficient, cell, measure in terms]
        return min(tuple(sorted(each)) for each in (terms, mirrored))


def difference(measure: Measure, better: Cell, worse: Cell) -> Contrast:
    """A measure of one cell less that of another."""
    return Contrast((Term(1.0, better, measure), Term(-1.0, worse, measure)))


def difference_of_differences(measure: Measure, first: tuple[Cell, Cell], second: tuple[Cell, Cell]) -> Contrast:
    """How much larger the first difference is than the second."""
    less = tuple(t._replace(coefficient=-t.coefficient) for t in difference(measure, *second).terms)
    return Contrast((*difference(measure, *first).terms, *less))


def level(measure: Measure, cell: Cell, sign: float = 1.0, constant: float = 0.0) -> Contrast:
    """A measure itself, or its negative, less a constant."""
    return Contrast((Term(sign, cell, measure),), constant)


def distinct(contrasts: Iterable[Contrast]) -> int:
    """How many of them are questions to seeds, of their own: one that is another's mirror is counted once with it."""
    return len({contrast.up_to_sign for contrast in contrasts if not contrast.exact})


Taken = dict[tuple[Cell, Measure], tuple[np.ndarray, np.ndarray]]
"""Cell and measure → the seeds, and the number of each; of an exact cell no seeds, and its number."""


def fresh_values(contrast: Contrast, results: Results, taken: Taken | None = None) -> Float[np.ndarray, "*n"]:
    """The contrast for each fresh seed, each cell at its own tuned learning rate; of an exact one its number, `[]`.

    Args:
        contrast: which.
        results: of its cells.
        taken: what other contrasts have measured in the same results, and where this one leaves what it measures:
            those of a figure share most of it.
    """
    taken = {} if taken is None else taken
    total = np.asarray(-contrast.constant)
    paired: tuple[Cell, np.ndarray] | None = None
    for term in contrast.terms:
        if (term.cell, term.measure) not in taken:
            taken[term.cell, term.measure] = _measured(term, results[term.cell])
        own, values = taken[term.cell, term.measure]
        if not term.cell.exact:
            first, seeds = paired = paired or (term.cell, own)
            same = np.array_equal(own, seeds)
            require(same, f"{term.cell.name} and {first.name} have other fresh seeds and cannot be paired")
        total = total + term.coefficient * values
    return np.asarray(total)


def _measured(term: Term, dataset: xarray.Dataset) -> tuple[np.ndarray, np.ndarray]:
    runs = dataset if term.cell.exact else fresh_runs(dataset)
    seeds = np.empty(0) if term.cell.exact else runs["seed"].values
    return seeds, term.measure(runs).values.astype(np.float64)


def shifted_values(contrast: Contrast, results: Results, shift: int) -> Float[np.ndarray, "n"] | None:
    """The contrast for each tuning seed with every cell's learning rate moved along the grid by `shift` places.

    Positive is larger. None where a cell's tuned rate is so near the edge that there is no such rate, where a cell has
    no rate, or where it is older than a measure and has no grid of it.
    """
    total = np.asarray(-contrast.constant)
    for term in contrast.terms:
        dataset = results[term.cell]
        if "learning_rate" not in dataset.attrs:
            return None
        rates = dataset["learning_rate"].values
        ascending = np.argsort(rates)
        at = int(np.argmin(np.abs(np.log(rates[ascending] / dataset.attrs["learning_rate"])))) + shift
        if not 0 <= at < len(rates) or term.measure.grid not in dataset:
            return None
        # The bare variable: selecting by label takes a millisecond, and a slider asks for a dozen of these.
        grid = dataset.variables[term.measure.grid].transpose("learning_rate", "tuning_seed").values
        total = total + term.coefficient * grid[ascending[at]].astype(np.float64)
    return total
