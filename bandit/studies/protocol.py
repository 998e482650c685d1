"""How much is run for a cell: learning rates, tuning seeds, fresh seeds."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Seeds and learning rates of every cell, and where long runs are cut short.

    A learning rate is chosen on some seeds and judged on others: on the same ones the best of ten would look better
    than it is.

    Attributes:
        name: of the protocol, in commands, file names and on figures; a target has one of each name.
        learning_rates: the grid.
        tuning_seeds: seeds 0, 1, … of every learning rate of the grid (the paper: 5).
        fresh_seeds: others, at the chosen rate alone; verdicts are made on these.
        most_steps: gradient steps at which a run is cut short, or None.
        first_fresh_seed: where those begin; if None, right after the tuning seeds.
        tie: rates whose mean final rewards are this near to the best are tied, and the fastest of them is chosen.
    """

    name: str
    learning_rates: tuple[float, ...]
    tuning_seeds: int
    fresh_seeds: int
    most_steps: int | None = None
    first_fresh_seed: int | None = None
    tie: float = 0.02

    @property
    def first_judged_seed(self) -> int:
        """The first of the fresh seeds."""
        return self.tuning_seeds if self.first_fresh_seed is None else self.first_fresh_seed

    def collections(self, uncut: int, steps_per_collection: int, stretch: int = 1) -> int:
        """How many collections are run where `uncut` are without `most_steps`; and `stretch` times as many of them."""
        if self.most_steps is None:
            return uncut * stretch
        return max(1, min(uncut, self.most_steps // steps_per_collection)) * stretch

    def as_dict(self) -> dict[str, Any]:
        """For a run card."""
        return dataclasses.asdict(self)
