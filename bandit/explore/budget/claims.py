"""What the paper claims of fresh samples and of pushing down, against the best plans of the grid; all computed."""

from typing import NamedTuple

import numpy as np

from modeseek.bandit.explore.budget.model import SIDES
from modeseek.bandit.explore.budget.outcomes import Scored, grid
from modeseek.bandit.explore.budget.plan import NAMES, samples
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.studies.intervals import student

PUSHING = tuple(name for name in NAMES if METHODS[name].negative_gradient)
PULLING = tuple(name for name in NAMES if not METHODS[name].negative_gradient)


class Gap(NamedTuple):
    """By how much one plan ends above another: mean over the same seeds, and the 95 % interval of their differences."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+z.2f} ({self.low:z.2f} to {self.high:z.2f})"

    @property
    def word(self) -> str:
        """Which way, beyond the interval."""
        return "more" if self.low > 0 else "less" if self.high < 0 else "no difference seen"


def gap(one: Scored, other: Scored) -> Gap:
    """What one recorded plan ends above another, seed by seed."""
    differences = one.outcome.ends - other.outcome.ends
    return Gap(float(differences.mean()), *student(np.asarray(differences)))


def by_refreshing(reward: str) -> dict[str, Gap]:
    """Method → what its best plan with fresh samples ends above its best offline one."""
    known = grid()
    return {
        name: gap(known.best(reward, (name,), SIDES["refreshed"]), known.best(reward, (name,), SIDES["offline"]))
        for name in NAMES
    }


def by_pushing(reward: str, side: str) -> Gap:
    """What the best plan with a negative gradient ends above the best without, on one of `SIDES`."""
    known = grid()
    return gap(known.best(reward, PUSHING, SIDES[side]), known.best(reward, PULLING, SIDES[side]))


class Claims(NamedTuple):
    """A table: what the paper says, and what these plans say.

    Attributes:
        rows: pairs of both.
    """

    rows: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return "\n\n".join(f"{paper}\n  {here}" for paper, here in self.rows)

    def _repr_markdown_(self) -> str:
        seeds = grid().data.sizes["seed"]
        head = f"| the paper (section 5) | the grid's best plans, {seeds} seeds, {samples()}, a table of logits |"
        return "\n".join([head, "|---|---|", *(f"| {paper} | {here} |" for paper, here in self.rows)])


def claims() -> Claims:
    """The paper's claims that a budget of samples bears on."""
    far, near = (by_refreshing(reward) for reward in ("far-peak", "near-peak"))

    def listed(gaps: dict[str, Gap]) -> str:
        return ", ".join(f"{METHODS[name].title} {found}" for name, found in gaps.items())

    def counted(gaps: dict[str, Gap]) -> str:
        words = [found.word for found in gaps.values()]
        return ", ".join(f"{words.count(word)} {word}" for word in ("more", "less", "no difference seen"))

    larger = sum(far[name].mean > near[name].mean for name in NAMES)
    pushing = {side: [by_pushing(reward, side) for reward in ("far-peak", "near-peak")] for side in SIDES}
    both = grid().best("far-peak")
    return Claims(
        (
            (
                "Fresh samples help.",
                f"Fresh against offline, far peak: {listed(far)}. Of {len(NAMES)} methods: {counted(far)}.",
            ),
            (
                "They help more where the peak is far.",
                f"Near peak: {listed(near)}; {counted(near)}. The far peak's mean is larger for {larger} of "
                f"{len(NAMES)} methods.",
            ),
            (
                "Pushing down helps.",
                "The best that pushes down against the best that does not: offline "
                f"{pushing['offline'][0]} on the far peak and {pushing['offline'][1]} on the near one; with fresh "
                f"samples {pushing['refreshed'][0]} and {pushing['refreshed'][1]}.",
            ),
            (
                "Both together are best.",
                f"The best known on the far peak: {both.plan.words()}. It ends "
                f"{gap(both, grid().best('far-peak', PUSHING, SIDES['offline']))} above the best offline plan that "
                "pushes down.",
            ),
        )
    )
