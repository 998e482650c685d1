"""What a claim compares, as data: a sum of measures of cells, taken seed by seed."""

from typing import NamedTuple

import numpy as np
import xarray
from jaxtyping import Float

from modeseek.bandit.studies.reproduce.measures import CURVES, measure

Cells = dict[str, xarray.Dataset]
"""Cell name → what `cells.run_cell` kept."""


class Term(NamedTuple):
    """One summand: a number times a measure of a cell."""

    coefficient: float
    cell: str
    measure: str


class Contrast(NamedTuple):
    """Σ coefficient · measure(cell) - constant, one number a seed."""

    terms: tuple[Term, ...]
    constant: float = 0.0

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells that it needs."""
        return tuple(dict.fromkeys(term.cell for term in self.terms))


def difference(name: str, better: str, worse: str) -> Contrast:
    """A measure of one cell less that of another."""
    return Contrast((Term(1.0, better, name), Term(-1.0, worse, name)))


def difference_of_differences(name: str, first: tuple[str, str], second: tuple[str, str]) -> Contrast:
    """How much larger the first difference is than the second."""
    less = tuple(t._replace(coefficient=-t.coefficient) for t in difference(name, *second).terms)
    return Contrast((*difference(name, *first).terms, *less))


def level(name: str, cell: str, sign: float = 1.0, constant: float = 0.0) -> Contrast:
    """A measure itself, or its negative, less a constant."""
    return Contrast((Term(sign, cell, name),), constant)


def fresh_runs(dataset: xarray.Dataset) -> xarray.Dataset:
    """The curves of a cell's fresh seeds: those on which its learning rate was not chosen."""
    return dataset[list(CURVES)].isel(seed=slice(int(dataset.attrs["tuning_seeds"]), None))


def fresh_values(contrast: Contrast, cells: Cells) -> Float[np.ndarray, "n"]:
    """The contrast for each fresh seed, each cell at its own tuned learning rate."""
    total = np.asarray(-contrast.constant)
    for term in contrast.terms:
        total = total + term.coefficient * measure(fresh_runs(cells[term.cell]), term.measure).values.astype(np.float64)
    return total


def shifted_values(contrast: Contrast, cells: Cells, shift: int) -> Float[np.ndarray, "n"] | None:
    """The contrast for each tuning seed with every cell's learning rate moved along the grid by `shift` places.

    Positive is larger. None where a cell's tuned rate is so near the edge that there is no such rate.
    """
    total = np.asarray(-contrast.constant)
    for term in contrast.terms:
        dataset = cells[term.cell]
        rates = dataset["learning_rate"].values
        ascending = np.argsort(rates)
        at = int(np.argmin(np.abs(np.log(rates[ascending] / dataset.attrs["learning_rate"])))) + shift
        if not 0 <= at < len(rates):
            return None
        # Of the bare variable: selecting by label takes a millisecond, and a slider asks for a dozen of these.
        grid = dataset.variables[f"grid_{term.measure}"].transpose("learning_rate", "tuning_seed").values
        total = total + term.coefficient * grid[ascending[at]].astype(np.float64)
    return total
