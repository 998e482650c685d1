"""The grid of an experiment: named axes, and the numbers of each run."""

import dataclasses
import itertools
from typing import Any, NamedTuple

import jax
import numpy as np

from modeseek.bandit.objectives.batch import HYPER_RANGES, HyperParameters
from modeseek.bandit.simulator.behavior import make_behavior
from modeseek.bandit.simulator.devices import in_float32
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import make_problem, reference_probs, token_rewards
from modeseek.bandit.simulator.run import Run, make_run


class Axis(NamedTuple):
    """One dimension of the grid: its name, the labels along it, and what each label sets."""

    name: str
    labels: tuple[Any, ...]
    settings: tuple[dict[str, Any], ...]


class Plan(NamedTuple):
    """All runs of an experiment in the order of `itertools.product` over the axes.

    Attributes:
        axes: algorithm, reward, behavior (if there are several), learning_rate (if it is swept), each varied
            number, seed.
        hyper: hyper-parameters of each run, as Python numbers.
        runs: a `Run` whose leaves have a leading axis over all runs (host arrays).
    """

    axes: tuple[Axis, ...]
    hyper: tuple[HyperParameters, ...]
    runs: Run

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(len(axis.labels) for axis in self.axes)

    @property
    def total(self) -> int:
        """Number of runs."""
        return len(self.hyper)


def axes_of(experiment: Experiment) -> tuple[Axis, ...]:
    """The axes that the experiment asks for; algorithm, reward and seed are always there."""
    variants = experiment.variants
    own_rates = experiment.method_learning_rates or (None,) * len(variants)
    methods = tuple(
        {"variant": v} if rate is None else {"variant": v, "learning_rate": rate}
        for v, rate in zip(variants, own_rates, strict=True)
    )
    # Not "method": `DataArray.sel` has an argument of that name; `sel(method="ppo")` would select nothing, silently.
    axes = [
        Axis("algorithm", tuple(v.name for v in variants), methods),
        Axis("reward", experiment.rewards, tuple({"reward": r} for r in experiment.rewards)),
    ]
    if len(experiment.behaviors) > 1:
        axes.append(Axis("behavior", experiment.behaviors, tuple({"behavior": b} for b in experiment.behaviors)))
    swept = dict(experiment.vary)
    if experiment.learning_rates:
        swept = {"learning_rate": experiment.learning_rates, **swept}
    axes += [Axis(name, values, tuple({name: v} for v in values)) for name, values in swept.items()]
    seeds = tuple(range(experiment.first_seed, experiment.first_seed + experiment.seeds))
    return (*axes, Axis("seed", seeds, tuple({"seed": s} for s in seeds)))


@in_float32()
def make_plan(experiment: Experiment) -> Plan:
    """Lay out every run. No work starts here; the experiment has been checked."""
    static = experiment.static
    reference = reference_probs(experiment.reference, experiment.conventions.reference_recipe, experiment.vocab_size)
    problems = {r: make_problem(reference, token_rewards(r, experiment.vocab_size)) for r in experiment.rewards}
    axes = axes_of(experiment)
    hypers, runs = [], []
    for point in itertools.product(*(axis.settings for axis in axes)):
        chosen = {name: value for setting in point for name, value in setting.items()}
        hyper = dataclasses.replace(
            experiment.hyper, **{name: value for name, value in chosen.items() if name in HYPER_RANGES}
        )
        unset = "kl_coefficient" not in chosen and hyper.kl_coefficient == 0
        if unset and chosen["variant"].method.policy_gradient:
            hyper = dataclasses.replace(hyper, kl_coefficient=experiment.conventions.policy_gradient_kl)
        hypers.append(hyper)
        runs.append(
            make_run(
                problems[chosen["reward"]],
                static,
                method=chosen["variant"].method.name,
                on_policy=chosen["variant"].on_policy,
                behavior=make_behavior(
                    chosen.get("behavior", experiment.behaviors[0]),
                    reference,
                    on_policy=chosen["variant"].on_policy,
                ),
                hyper=hyper,
                seed=chosen["seed"],
                reference_every=int(chosen.get("reference_every", experiment.reference_every)),
                reference_decay=chosen.get("reference_decay", experiment.reference_decay),
            )
        )
    stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *runs)
    return Plan(axes, tuple(hypers), stacked)
