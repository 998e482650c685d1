"""The lessons: what a policy does in each, what is maximised, and what to look at for every answer."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modeseek.bandit.categorical.problem import Problem
from modeseek.bandit.explore.first_steps.mechanics import (
    PAIR,
    Shown,
    advantages,
    bent,
    best,
    clipped_pull,
    collections,
    constant,
    descent,
    dpo_rest,
    dpo_score,
    field_pull,
    gained,
    implicit_rewards,
    ipo_rest,
    ipo_score,
    kl_terms,
    likelihood,
    multiples,
    optimum,
    ratios,
    regularised,
)
from modeseek.bandit.figures.style import BLUE, LineStyle, method_style
from modeseek.checks import require

LEAST_LOG_PROB = -200.0
"""Nats of an answer below which a policy is on its way to none at all."""


@dataclass(frozen=True)
class Lesson:
    """One idea.

    Attributes:
        name: how the text calls it.
        style: its colour and marker.
        bars: what is looked at for every answer.
        mark: what the marks say; empty where there are none.
        curve: what is maximised.
        path: from problem and learning rate to the log-probabilities on the way, `[E, K]`.
        pull: w_j = -∂L/∂log π_j where the policy is, `[E, K]`; None where nothing is descended.
        maximised: of the policies on the way, `[E]`.
        rest: where the policy comes to rest, `[K]`.
        shown: what is looked at.
    """

    name: str
    style: LineStyle
    bars: str
    mark: str
    curve: str
    path: Callable[[Problem, float], np.ndarray]
    pull: Callable[[Problem, np.ndarray], np.ndarray] | None
    maximised: Callable[[Problem, np.ndarray], np.ndarray]
    rest: Callable[[Problem], np.ndarray]
    shown: Callable[[Problem, np.ndarray], Shown]


REGULARISED = "E[r] − β KL(π ‖ π_ref)"

LESSONS = {
    "kl": Lesson(
        name="Reward and KL",
        style=LineStyle(BLUE, "o"),
        bars="each answer's term π log π/π_ref of the KL",
        mark="",
        curve=REGULARISED,
        path=bent,
        pull=None,
        maximised=regularised,
        rest=optimum,
        shown=kl_terms,
    ),
    "policy-gradient": Lesson(
        name="Policy gradient",
        style=method_style("reinforce"),
        bars="advantage A",
        mark="nothing more to gain",
        curve=REGULARISED,
        path=descent("on_policy_reinforce"),
        pull=field_pull("on_policy_reinforce"),
        maximised=regularised,
        rest=optimum,
        shown=advantages,
    ),
    "ppo": Lesson(
        name="PPO",
        style=method_style("ppo"),
        bars="ratio ρ = π/π_gen",
        mark="1 ± ε",
        curve=REGULARISED,
        path=collections,
        pull=clipped_pull,
        maximised=regularised,
        rest=optimum,
        shown=ratios,
    ),
    "dpo": Lesson(
        name="DPO",
        style=method_style("dpo"),
        bars="implicit reward β log π/π_ref, less its mean",
        mark="reward, less its mean",
        curve="E[log σ(β m)]",
        path=descent("offline_dpo", PAIR),
        pull=field_pull("offline_dpo", PAIR),
        maximised=dpo_score,
        rest=dpo_rest,
        shown=implicit_rewards,
    ),
    "ipo": Lesson(
        name="IPO",
        style=method_style("ipo"),
        bars="log π/π_ref, less its mean",
        mark="where IPO holds it",
        curve="−E[(m − 1/(2τ))²]",
        path=descent("offline_ipo", PAIR),
        pull=field_pull("offline_ipo", PAIR),
        maximised=ipo_score,
        rest=ipo_rest,
        shown=gained,
    ),
    "rwr": Lesson(
        name="RWR",
        style=method_style("rwr"),
        bars="π/π_ref",
        mark="weight F",
        curve="E[F log π]",
        path=descent("offline_rwr"),
        pull=constant(optimum),
        maximised=likelihood(optimum),
        rest=optimum,
        shown=multiples(optimum),
    ),
    "best-of-n": Lesson(
        name="Best-of-N",
        style=method_style("best_of_n"),
        bars="π/π_ref",
        mark="P(best)/π_ref",
        curve="E[log π(best)]",
        path=descent("offline_best_of_n"),
        pull=constant(best),
        maximised=likelihood(best),
        rest=best,
        shown=multiples(best),
    ),
}
"""Preset → its lesson, of those in which a policy moves."""


def walk(lesson: Lesson, problem: Problem, learning_rate: float) -> np.ndarray:
    """The log-probabilities on the way, `[E, K]`.

    Raises:
        ValueError: the reference has hardly anything of an answer, or the learning rate is so large that steps grow
            without end.
    """
    if lesson.pull is None:
        return lesson.path(problem, learning_rate)
    least = float(problem.log_reference.min())
    require(
        least > LEAST_LOG_PROB,
        f"reference π_ref must give every answer at least {math.exp(LEAST_LOG_PROB):.2g}, got {math.exp(least):.2g}",
    )
    try:
        log_probs = lesson.path(problem, learning_rate)
        diverged = not (log_probs > LEAST_LOG_PROB).all()
    except ValueError as error:  # of `simulate`, which calls the learning rate a step size
        if "diverged" not in str(error):
            raise
        diverged = True
    require(not diverged, f"{lesson.name} diverges at a learning rate of {learning_rate:g}: take a smaller one")
    return log_probs
