"""Forward against reverse KL by name: a problem, an optimiser and a few numbers, checked, then simulated exactly."""

import dataclasses
from typing import Any

import numpy as np
import xarray as xr

from modeseek.bandit.categorical.dynamics import PAIR, check_names, check_run
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.options import KLOptions
from modeseek.bandit.categorical.paths import Progress
from modeseek.bandit.categorical.presets import Named, named_problem
from modeseek.bandit.categorical.problem import Knobs, from_target
from modeseek.bandit.categorical.simplex import check_distribution
from modeseek.bandit.categorical.study import MOST_CATEGORIES, check_size, kl_study
from modeseek.checks import require


def settings_of(options: KLOptions) -> Settings:
    """The optimiser's numbers."""
    return Settings(step_size=options.step_size, damping=options.damping)


def checked(options: KLOptions) -> Named:
    """The problem that the options name and where it is left from; all that can be wrong is found here.

    Raises:
        ValueError: an option is not as described.
    """
    knobs = Knobs(beta=options.beta, tau=options.tau, alpha=options.alpha, draws=options.draws)
    repeated = [name for name in options.also if options.also.count(name) > 1 or name in PAIR]
    if repeated:
        raise ValueError(f"also must name further objectives, each once, got {repeated[0]!r} again")
    check_names(options.also, options.optimizer)
    require(
        options.categories <= MOST_CATEGORIES,
        f"categories must be at most {MOST_CATEGORIES:,}, got {options.categories:,}",
    )
    if options.target:
        problem = from_target(options.target, options.start or None, knobs=knobs)
        named = Named(problem, np.exp(problem.log_reference), "from the given start")
    else:
        named = named_problem(
            options.problem,
            categories=options.categories,
            into_interval=options.reference_recipe,
            seed=options.seed,
            knobs=knobs,
        )
        if options.start:
            named = named._replace(start=check_distribution("start", options.start, named.problem.categories))
    categories = named.problem.categories
    start = check_run(named.start, settings_of(options), options.steps, categories)
    check_size(len(PAIR) + len(options.also), options.steps, categories)
    return named._replace(start=start)


def named_study(
    options: KLOptions, *, configuration: dict[str, Any] | None = None, progress: Progress = iter
) -> xr.Dataset:
    """Trajectories of every objective, their speeds, the region map and the simplex, as one dataset (`kl_study`).

    Args:
        options: what is simulated.
        configuration: what the dataset says it was made of; the options, if not given.
        progress: wraps the steps.

    Raises:
        ValueError: an option is not as described, before any work is done.
    """
    named = checked(options)
    return kl_study(
        named.problem,
        named.start,
        objectives=(*PAIR, *options.also),
        optimizer=options.optimizer,
        settings=settings_of(options),
        steps=options.steps,
        configuration=configuration or dataclasses.asdict(options),
        progress=progress,
    )
