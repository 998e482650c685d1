"""Figures by name: which ones a dataset has, and how each is drawn."""

from collections.abc import Callable

import xarray
from matplotlib.figure import Figure

from modeseek.bandit.figures.curves import learning_rate_figure, reward_figure
from modeseek.bandit.figures.kl_bars import kl_bars
from modeseek.bandit.figures.kl_curves import kl_curves
from modeseek.bandit.figures.kl_regions import kl_regions
from modeseek.bandit.figures.kl_simplex import kl_simplex
from modeseek.bandit.figures.problem import problem_figure
from modeseek.bandit.figures.runs import runs_figure
from modeseek.bandit.figures.tokens import token_figure
from modeseek.bandit.simulator.results import experiment_of
from modeseek.bandit.simulator.summary import choose_learning_rate, final_values
from modeseek.checks import suggestion

Draw = Callable[[xarray.Dataset], Figure]


def _first(dataset: xarray.Dataset) -> xarray.Dataset:
    """The first value of each further axis, in the configuration's order: a figure has room for one."""
    further = ("behavior", *(name for name, _ in experiment_of(dataset).vary))
    return dataset.isel({name: 0 for name in further if name in dataset.dims})


def _learning_rates(dataset: xarray.Dataset) -> Figure:
    first = _first(dataset)
    return learning_rate_figure(first, final_values(first))


EXPERIMENT: dict[str, Draw] = {
    "reward": lambda dataset: reward_figure(_first(choose_learning_rate(dataset))),
    "tokens": lambda dataset: token_figure(_first(choose_learning_rate(dataset))),
    "problem": problem_figure,
}
"""Figures of an experiment's results; of a grid of learning rates, each method at the one that ends highest."""

RUNS: dict[str, Draw] = {"reward": runs_figure}
"""Figures of runs of language models."""

STUDY: dict[str, Draw] = {"curves": kl_curves, "bars": kl_bars, "regions": kl_regions}
"""Figures of a study of forward against reverse KL."""


def figure_kinds(dataset: xarray.Dataset) -> dict[str, Draw]:
    """Name → how it is drawn, for every figure that a dataset has.

    Args:
        dataset: results of an experiment, of `modeseek llm tune`, or of `kl`.

    Raises:
        ValueError: it is none of them.
    """
    if "expected_reward" in dataset and "algorithm" in dataset.coords and "token_rewards" not in dataset:
        return RUNS
    if "expected_reward" in dataset and "algorithm" in dataset.dims:
        grid = dataset.sizes.get("learning_rate", 0) > 1
        return EXPERIMENT | ({"learning-rates": _learning_rates} if grid else {})
    if "log_prob" in dataset and "objective" in dataset.dims:
        return STUDY | ({"simplex": kl_simplex} if "simplex_prob" in dataset else {})
    raise ValueError(
        "expected the results of an experiment, of llm tune with a gold reward, or of kl, got a dataset with the "
        f"variables {', '.join(map(str, dataset.data_vars)) or 'none'}"
    )


def draw(dataset: xarray.Dataset, kind: str | None = None) -> Figure:
    """A figure of a dataset by its name; the first kind that the dataset has, if none is given.

    Raises:
        ValueError: the dataset has no such figure.
    """
    known = figure_kinds(dataset)
    name = next(iter(known)) if kind is None else kind.replace("_", "-")
    if name not in known:
        raise ValueError(
            f"these results have no figure {kind!r}: there are {', '.join(known)}{suggestion(name, known)}"
        )
    return known[name](dataset)
