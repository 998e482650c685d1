"""What a follow-up is: a paper, the cells that decide its claims, and the figure that shows them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray
from matplotlib.figure import Figure

from modeseek.bandit.studies.cells import Cell, Results
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.study import Target

HUNDRED = Protocol("hundred", learning_rates=(), tuning_seeds=0, fresh_seeds=100, first_fresh_seed=1000)
"""A hundred seeds that no follow-up was written on: those were below a thousand."""

TWENTY = Protocol("twenty", learning_rates=(), tuning_seeds=0, fresh_seeds=20, first_fresh_seed=1000)
"""The first twenty of them, for what takes minutes a seed."""

FOUR_HUNDRED = Protocol("four-hundred", learning_rates=(), tuning_seeds=0, fresh_seeds=400, first_fresh_seed=2000)
"""Others than all of these, where a hundred were looked at and decided little."""


@dataclasses.dataclass(frozen=True)
class FollowupCell(Cell):
    """One computation of a follow-up.

    Attributes:
        setup: every number that it depends on, as a frozen dataclass; it is kept beside the results.
        compute: `(setup, protocol) → dataset`, with a dimension `seed` that has the protocol's fresh seeds, or none
            where all is enumerated. Behind seeds to tune on, if any, whose number is then its attribute `tuning_seeds`.
        enumerated: whether there are no seeds.
        protocols: those that run it.
    """

    setup: Any
    compute: Callable[[Any, Protocol], xarray.Dataset]
    enumerated: bool = dataclasses.field(default=False, kw_only=True)
    protocols: frozenset[Protocol] = dataclasses.field(default=frozenset({HUNDRED}), kw_only=True)

    @property
    def exact(self) -> bool:
        """Whether its numbers are enumerated."""
        return self.enumerated

    def run(self, protocol: Protocol) -> xarray.Dataset:
        """Compute it under a protocol."""
        return self.compute(self.setup, protocol)


@dataclasses.dataclass(frozen=True, eq=False)
class Followup(Target[FollowupCell]):
    """A paper: its name is its number in the arXiv, what it is about ends with its title.

    Attributes:
        draw: its figure, from the results of its cells.
        describe: one computed sentence for those who do not see it.
    """

    protocols: tuple[Protocol, ...] = (HUNDRED,)
    default: Protocol = HUNDRED
    draw: Callable[[Results], Figure] = dataclasses.field(kw_only=True)
    describe: Callable[[Results], str] = dataclasses.field(kw_only=True)


def log(values: xarray.DataArray) -> xarray.DataArray:
    """The natural logarithm, with its labels."""
    found: xarray.DataArray = xarray.apply_ufunc(np.log, values.astype(float))
    return found


def geometric_mean(values: xarray.DataArray) -> xarray.DataArray:
    """Over seeds."""
    found: xarray.DataArray = xarray.apply_ufunc(np.exp, log(values).mean("seed"))
    return found


def seeds_of(protocol: Protocol) -> range:
    """The fresh seeds of a protocol."""
    return range(protocol.first_judged_seed, protocol.first_judged_seed + protocol.fresh_seeds)
