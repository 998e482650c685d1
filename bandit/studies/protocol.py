"""How much is run for a figure: the paper's protocol, or minutes of it."""

import dataclasses
from typing import Any

PAPER_LEARNING_RATES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001, 0.00003, 0.00001)
"""The grid of paper I.3."""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Seeds and learning rates of every cell.

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
    def judged_from(self) -> int:
        """The first of the fresh seeds."""
        return self.tuning_seeds if self.first_fresh_seed is None else self.first_fresh_seed

    def collections(self, whole: int, steps_per_collection: int, stretch: int = 1) -> int:
        """How many collections are run where the paper's protocol has `whole`, or `stretch` times as many."""
        if self.most_steps is None:
            return whole * stretch
        return max(1, min(whole, self.most_steps // steps_per_collection)) * stretch

    def as_dict(self) -> dict[str, Any]:
        """For a run card."""
        return dataclasses.asdict(self)


FULL = Protocol("full", PAPER_LEARNING_RATES, tuning_seeds=5, fresh_seeds=10)

MORE = Protocol("more", PAPER_LEARNING_RATES, tuning_seeds=5, fresh_seeds=100, first_fresh_seed=15)
"""The full protocol with a hundred other fresh seeds, for what ten left undecided; those ten judge no more."""

QUICK = Protocol("quick", (0.01, 0.003, 0.001), tuning_seeds=1, fresh_seeds=2, most_steps=200)

SHORT = Protocol("short", (0.01, 0.003, 0.001), tuning_seeds=2, fresh_seeds=6, most_steps=500)
"""Three rates that win, half the steps, and fresh seeds enough for verdicts: a tenth to a fifth of the work."""

MORE_OF_SHORT = dataclasses.replace(SHORT, name="more", fresh_seeds=20, first_fresh_seed=8)
"""The same with twenty other fresh seeds; what `more` is for targets whose whole protocol is `short`."""
