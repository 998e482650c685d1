"""A study, as data: its targets, what is claimed about each, and the conditions that each is judged under."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Generic, TypeVar

from modeseek.bandit.studies.assess import Assessment, assess
from modeseek.bandit.studies.cells import Cell, Results
from modeseek.bandit.studies.claims import Claim, Trend
from modeseek.bandit.studies.contrasts import distinct
from modeseek.bandit.studies.effects import Change
from modeseek.bandit.studies.intervals import CONFIDENCE
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.verdicts import LEAST_SEEDS
from modeseek.checks import require

SomeCell = TypeVar("SomeCell", bound=Cell, covariant=True)
"""The kind of cell that a study has."""


@dataclasses.dataclass(frozen=True, eq=False)
class Target(Generic[SomeCell]):
    """A figure or a table: its cells, and what is said about them.

    Attributes:
        name: in commands, titles and file names; unique within a study.
        about: what it shows, in a sentence.
        cells: everything that it needs.
        protocols: those that it is run under, the most seeds first.
        default: the one that it is run under if no other is asked for.
        claims: what is claimed about it.
        trends: statements that follow from verdicts on its claims.
        changes: effects that it shows; judged together.
        deviations: sentences that say in what it differs from what it is held against.
        only: the one condition that it is about; None if it is about all of the study's.

    Raises:
        ValueError: a claim or a change needs a cell that is not the target's, or a trend a claim; the default is no
            protocol of it.
    """

    name: str
    about: str
    cells: tuple[SomeCell, ...]
    protocols: tuple[Protocol, ...]
    default: Protocol
    claims: tuple[Claim, ...] = ()
    trends: tuple[Trend, ...] = ()
    changes: tuple[Change, ...] = ()
    deviations: str = ""
    only: str | None = None

    def __post_init__(self) -> None:
        needed = [cell for claim in self.claims for cell in claim.contrast.cells]
        needed += [cell for change in self.changes for cell in (change.changed, change.plain)]
        foreign = sorted({cell.name for cell in needed if cell not in self.cells})
        require(not foreign, f"what is said about {self.name} needs cells that it has not: {', '.join(foreign)}")
        stepped = {name for trend in self.trends for name in trend.steps} - {claim.name for claim in self.claims}
        require(
            not stepped, f"what is said about {self.name} needs claims that it has not: {', '.join(sorted(stepped))}"
        )
        require(self.default in self.protocols, f"{self.name} is not run under its default, {self.default.name}")

    @property
    def questions(self) -> int:
        """How many questions its claims ask, a claim and its mirror counted once."""
        return distinct(claim.contrast for claim in self.claims)

    def cells_under(self, protocol: Protocol) -> tuple[SomeCell, ...]:
        """Those of its cells that a protocol runs."""
        return tuple(cell for cell in self.cells if protocol in cell.protocols)

    def protocol(self, name: str) -> Protocol:
        """The protocol that a name stands for where it is asked for with this target."""
        return next(protocol for protocol in self.protocols if protocol.name == name)

    def fullest_first(self) -> tuple[Protocol, ...]:
        """Its protocols by cells, then by seeds; what has no cells has no seeds either, and the default alone."""
        if not self.cells:
            return (self.default,)
        return tuple(sorted(self.protocols, key=lambda protocol: -len(self.cells_under(protocol))))


@dataclasses.dataclass(frozen=True, eq=False)
class Study(Generic[SomeCell]):
    """Targets whose claims are judged together.

    Attributes:
        targets: in the order in which they are shown.
        conditions: what every cell is run under, each by itself; name → heading of its column.
        condition: what a condition is called in a heading: "Conventions", "Model"; empty where there is but one, which
            no heading names.
        provisional: protocols whose verdicts are marked, since a fuller one is to come.
        neighbours: heading of the effects on the tuning seeds one place down the grid of learning rates, at the tuned
            rate and one place up; empty where nothing is tuned.
        least_seeds: fewer give no verdict.

    Raises:
        ValueError: two targets, or two claims, or two different cells have one name.
    """

    targets: tuple[Target[SomeCell], ...]
    conditions: Mapping[str, str]
    condition: str = "Condition"
    provisional: frozenset[Protocol] = frozenset()
    neighbours: str = "tuning seeds: one rate lower · tuned · higher"
    least_seeds: int = LEAST_SEEDS

    def __post_init__(self) -> None:
        cells = dict.fromkeys(cell for target in self.targets for cell in target.cells)
        claims = [claim for target in self.targets for claim in target.claims]
        for what, named in (("targets", self.targets), ("claims", claims), ("cells", cells)):
            names = [each.name for each in named]
            twice = sorted({name for name in names if names.count(name) > 1})
            require(not twice, f"{what} of a study must have names of their own, got twice: {', '.join(twice)}")

    @cached_property
    def claims(self) -> dict[str, Claim]:
        """Every claim by name; all are judged together, whichever are shown."""
        return {claim.name: claim for target in self.targets for claim in target.claims}

    @cached_property
    def trends(self) -> dict[str, Trend]:
        """Every trend by name."""
        return {trend.name: trend for target in self.targets for trend in target.trends}

    def conditions_of(self, target: Target[Cell]) -> tuple[str, ...]:
        """Names of the conditions that a target is judged under."""
        return tuple(self.conditions) if target.only is None else (target.only,)

    def assess(self, target: Target[Cell], results: Results) -> list[Assessment]:
        """Judge the claims about one target."""
        return assess(target.claims, results, self.miss, self.least_seeds)

    @property
    def questions(self) -> int:
        """How many questions all of its claims ask, a claim and its mirror counted once."""
        return sum(target.questions for target in self.targets)

    @property
    def miss(self) -> float:
        """How often the interval of a question may miss, so that all of them together miss in 5 % of studies.

        Claims that are judged together share what they have of it. So a verdict does not depend on which targets are
        shown, and where a part of the cells is there only that part of the 5 % is spent.
        """
        return (1 - CONFIDENCE) / max(1, self.questions)
