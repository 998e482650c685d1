"""Measures: one number a run, from its curves. Claims are made of them."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import xarray


class Unit(NamedTuple):
    """What a number is counted in.

    Attributes:
        name: in words.
        negligible: a difference, in this unit, that is too small to matter.
    """

    name: str
    negligible: float


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number that every run has; NaN for a run that diverged.

    Attributes:
        name: in files.
        function: from curves `[..., step]` to the number `[...]`.
        meaning: what the number is, in words.
        unit: what it is counted in.
    """

    name: str
    function: Callable[[xarray.Dataset], xarray.DataArray]
    meaning: str
    unit: Unit

    def __call__(self, curves: xarray.Dataset) -> xarray.DataArray:
        """The number of every run of a dataset with dimension `step`."""
        return self.function(curves)

    @property
    def grid(self) -> str:
        """The variable of a cell's dataset that holds it for every learning rate of the grid."""
        return f"grid_{self.name}"
