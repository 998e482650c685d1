"""The plane that is mapped: points around one base point, place of the peak against one other condition at a time.

Every slice goes through the base point, so its row there is computed once and belongs to all.
"""

import dataclasses
from typing import Any, Literal

from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.checks import hint, positive, require, typed, whole

MINIBATCH = 40
"""Responses a gradient step, at every point: what one step costs is the same everywhere."""

RESPONSES = 10
"""Responses a prompt."""


@dataclasses.dataclass(frozen=True)
class Point:
    """The conditions that a cell of the map is computed under.

    Attributes:
        center: token at which the reward has its peak; the reference's mode is near token 15.
        width: of the reward's bump, tokens.
        samples_per_collection: B.
        inner_steps: T, passes over a collection: how stale samples become.
        prompts: size of the prompt set; 0 means B/C.
        kl_coefficient: β, the weight of log π/π_ref in the reward of a sample of π: offline data of the reference pay
            nothing.
        behavior: whose responses offline data are, a recipe of `Experiment.behaviors`, in which `peak` stands for the
            place of the peak.
    """

    center: int = 70
    width: float = 10.0
    samples_per_collection: int = 40
    inner_steps: int = 10
    prompts: int = 0
    kl_coefficient: float = 0.0
    behavior: str = "reference"

    def __post_init__(self) -> None:
        typed(self)

    @property
    def recipe(self) -> str:
        """The behavior policy with the peak's place in it."""
        return self.behavior.replace("peak", str(self.center))

    @property
    def name(self) -> str:
        """For file names: what differs from the base point, the place of the peak always."""
        changed = [f"{name}-{value}" for name, value in self.changes().items() if name != "center"]
        return "_".join([f"center-{self.center}", *changed]).replace(":", "-")

    def changes(self) -> dict[str, Any]:
        """Field → value, of those that are not the base point's: a field younger than a file is none of its cells'."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) != field.default
        }


SliceName = Literal["staleness", "batch", "coverage", "kl", "width", "prompts"]


@dataclasses.dataclass(frozen=True)
class Slice:
    """One map: place of the peak against the values of one condition.

    Attributes:
        name: in commands.
        field: of `Point` that it varies.
        values: from first to last as they are drawn, the base point's among them.
        title: of its axis.
    """

    name: SliceName
    field: str
    values: tuple[Any, ...]
    title: str


COVERAGE = ("tempered:0.5", "reference", "mix:0.3", "uniform", "bump:peak:20")
"""Behavior policies, from the one that hardly ever draws a far peak to one that draws around it."""

SLICES: dict[str, Slice] = {
    each.name: each
    for each in (
        Slice("staleness", "inner_steps", (1, 4, 10, 20, 40), "T, gradient steps a sample is used for"),
        Slice("coverage", "behavior", COVERAGE, "offline data drawn from"),
        Slice("batch", "samples_per_collection", (40, 80, 160), "B, samples per collection"),
        Slice("kl", "kl_coefficient", (0.0, 0.003, 0.01, 0.03, 0.1), "β, weight of the KL in the reward"),
        Slice("width", "width", (3.0, 5.0, 10.0, 20.0, 40.0), "width of the peak, tokens"),
        Slice("prompts", "prompts", (0, 10, 30, 100), "prompts trained on"),
    )
}
"""By name, in the order in which they are computed: every prefix is a set of whole maps."""

CENTERS = (20, 30, 40, 50, 60, 70)
"""Places of the peak, tokens: 20 is R2's, 70 is R1's."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What is spent on a cell: methods, learning rates, seeds.

    Attributes:
        methods: that compete, as `objectives.registry.variant` reads them.
        learning_rates: the grid that each method is tuned over in each cell.
        tuning_seeds: of every rate; they judge nothing.
        looks: seeds after which it is looked whether the best method is known; the last is the bound.
        steps: gradient steps of a run.
        evaluation_prompts: that a policy is measured on.
        margin: a difference of expected reward that is too small to matter.
        miss: how often at most the truly best method of a cell may not be among those named best.
        kl_budget: nats from the reference, for the second winner: the most reward within it.
    """

    methods: tuple[str, ...]
    learning_rates: tuple[float, ...] = (0.002, 0.006, 0.02)
    tuning_seeds: int = 2
    looks: tuple[int, ...] = (4, 8, 16)
    steps: int = 40
    evaluation_prompts: int = 50
    margin: float = 0.01
    miss: float = 0.05
    kl_budget: float = 20.0

    def __post_init__(self) -> None:
        typed(self)
        require(len(self.methods) >= 2, f"a phase diagram compares methods: it needs two or more, got {self.methods}")
        require(len(self.learning_rates) > 0, "learning_rates must name at least one rate")
        for rate in self.learning_rates:
            positive("learning_rate", rate)
        whole("tuning_seeds", self.tuning_seeds, 1)
        whole("steps", self.steps, 1)
        whole("evaluation_prompts", self.evaluation_prompts, 1)
        require(len(self.looks) > 0, "looks must name at least one number of seeds")
        require(
            self.looks[0] >= 2 and all(a < b for a, b in zip(self.looks, self.looks[1:], strict=False)),
            f"looks must grow, from two seeds or more, got {self.looks}",
        )
        require(0 < self.miss < 1, f"miss must be between 0 and 1, got {self.miss}")
        require(self.margin >= 0, f"margin must not be negative, got {self.margin}")
        positive("kl_budget", self.kl_budget)

    @property
    def first_judged_seed(self) -> int:
        """The first seed that judges: none of those that tune."""
        return self.tuning_seeds


@dataclasses.dataclass(frozen=True)
class Grid:
    """A phase diagram that is asked for: which slices, which places of the peak, and what a cell may cost.

    Attributes:
        centers: places of the peak.
        slices: names of `SLICES`.
        budget: of every cell.
        thin: take of every slice its base value, its first and its last alone.
    """

    budget: Budget
    centers: tuple[int, ...] = CENTERS
    slices: tuple[str, ...] = tuple(SLICES)
    thin: bool = False

    def __post_init__(self) -> None:
        typed(self)
        for name in self.slices:
            require(name in SLICES, f"there is no slice {name!r}: {hint(name, SLICES)}")
        require(len(set(self.slices)) == len(self.slices), f"slices must differ, got {', '.join(self.slices)}")
        require(len(set(self.centers)) == len(self.centers), f"centers must differ, got {self.centers}")
        require(len(self.points()) > 0, "the grid has no cells: name at least one slice and one place of the peak")
        for point in self.points():
            experiment_at(point, self.budget)

    def values(self, name: str) -> tuple[Any, ...]:
        """The values of a slice that this grid has."""
        every = SLICES[name].values
        base = getattr(Point(), SLICES[name].field)
        return tuple(v for v in every if v in (every[0], base, every[-1])) if self.thin else every

    def points(self) -> tuple[Point, ...]:
        """Every cell once, in the order in which they are computed: the base row, then slice by slice, row by row."""
        rows = [{}, *({SLICES[name].field: value} for name in self.slices for value in self.values(name))]
        cells = [Point(center=center, **row) for row in rows if self.slices for center in self.centers]
        return tuple(dict.fromkeys(cells))

    def map(self, name: str) -> list[list[Point]]:
        """The cells of one slice, `[values][centers]`."""
        field = SLICES[name].field
        return [[Point(center=center, **{field: value}) for center in self.centers] for value in self.values(name)]


def experiment_at(point: Point, budget: Budget, **changes: Any) -> Experiment:
    """What is run at a point, as an experiment that `modeseek bandit --config` would run too.

    Args:
        point: the conditions.
        budget: its steps and methods.
        **changes: fields of `Experiment`: seeds, learning rates.

    Raises:
        ValueError: the gradient steps of a collection do not divide the budget's.
    """
    algorithm = AlgorithmConfig(
        samples_per_collection=point.samples_per_collection,
        responses_per_prompt=RESPONSES,
        minibatch_size=MINIBATCH,
        inner_steps=point.inner_steps,
        prompts=point.prompts,
    )
    require(
        budget.steps % algorithm.steps_per_collection == 0,
        f"the gradient steps of a collection must divide those of a run, got {algorithm.steps_per_collection} and "
        f"{budget.steps} at {point.name}",
    )
    collections = budget.steps // algorithm.steps_per_collection
    base = Experiment(
        methods=budget.methods,
        rewards=(f"bump:{point.center}:{point.width:g}",),
        algorithm=dataclasses.replace(algorithm, collections=collections),
        evaluation=EvaluationConfig(prompts=budget.evaluation_prompts, interval=0, behavior_kl=False),
        behaviors=(point.recipe,),
    )
    hyper = dataclasses.replace(base.hyper, kl_coefficient=point.kl_coefficient)
    return dataclasses.replace(base, hyper=hyper, **changes)
