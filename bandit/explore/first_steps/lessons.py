"""The lessons: what a policy does in each, what is maximised, and what to look at for every answer.

Gradients are exact expectations, as `categorical.methods` has them; what is maximised is the negative of the losses of
`bandit.objectives`, averaged over everything that can be drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from modeseek.bandit.categorical.closed_forms import ipo_gain, regularised_mass
from modeseek.bandit.categorical.divergences import Field
from modeseek.bandit.categorical.dynamics import simulate
from modeseek.bandit.categorical.methods import METHODS, best_of_n_distribution, ppo_weights, preference_probabilities
from modeseek.bandit.categorical.metrics import measure
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.problem import Problem
from modeseek.bandit.categorical.simplex import policy
from modeseek.bandit.explore.first_steps.presets import STEPS
from modeseek.bandit.figures.style import BLUE, LineStyle, method_style
from modeseek.bandit.objectives.likelihood import weighted_likelihood
from modeseek.bandit.objectives.preference import dpo, implicit_reward, ipo, margins
from modeseek.checks import require

REUSED = 6
"""Gradient steps that PPO takes on the same samples."""

LEAST_LOG_PROB = -200.0
"""Nats of an answer below which a policy is on its way to none at all."""


class Shown(NamedTuple):
    """What is looked at for every answer; E policies on the way, K answers.

    Attributes:
        values: that move, `[E, K]`.
        marks: lines at each answer's bar, where the value is going or must not go beyond, `[M, K]`; M may be 0.
    """

    values: np.ndarray
    marks: np.ndarray


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


def _optimum(problem: Problem) -> np.ndarray:
    return np.asarray(np.exp(problem.log_target))


def _data(problem: Problem) -> np.ndarray:
    return np.asarray(np.exp(problem.log_behavior))


def _log_ratios(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
    return np.asarray(log_probs - problem.log_reference[None])


def _regularised(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
    return np.asarray(measure(problem, log_probs).regularized_reward)


# Reward and KL, without any method.


def _bent(problem: Problem, learning_rate: float) -> np.ndarray:
    """π_ref exp(λ r)/Z, the highest reward at each distance, λ from 0 to twice the 1/β of the optimum."""
    reference = np.exp(problem.log_reference)
    tilts = np.linspace(0.0, 2.0, STEPS + 1)
    bent = [regularised_mass(reference, tilt * problem.rewards, float(problem.beta)) for tilt in tilts]
    log_probs: np.ndarray = np.log(np.stack(bent))
    return log_probs


def _kl_terms(problem: Problem, log_probs: np.ndarray) -> Shown:
    terms = np.exp(log_probs) * _log_ratios(problem, log_probs)
    return Shown(terms, np.empty((0, terms.shape[-1])))


# Policy gradients: samples of the policy itself.


def _descent(objective: str) -> Callable[[Problem, float], np.ndarray]:
    """Gradient descent from the reference."""

    def path(problem: Problem, learning_rate: float) -> np.ndarray:
        (log_probs,), _ = simulate(
            problem, objectives=(objective,), settings=Settings(step_size=np.float64(learning_rate)), steps=STEPS
        )
        return np.asarray(log_probs)

    return path


def _field_pull(objective: str) -> Callable[[Problem, np.ndarray], np.ndarray]:
    """-∂L/∂log π where these sum to zero, so that they are -∂L/∂f."""

    def pull(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
        field: Field = METHODS[objective](problem)
        return np.stack([-field.gradient(policy(each)) for each in log_probs])

    return pull


def _advantages(problem: Problem, log_probs: np.ndarray) -> Shown:
    gain = problem.rewards[None] - problem.beta * _log_ratios(problem, log_probs)
    advantages = gain - (np.exp(log_probs) * gain).sum(-1, keepdims=True)
    return Shown(advantages, np.zeros((1, gain.shape[-1])))


def _collections(problem: Problem, learning_rate: float) -> np.ndarray:
    """PPO: `REUSED` steps on what the policy would sample, then fresh samples; as Algorithm 1 turns."""
    settings = Settings(step_size=np.float64(learning_rate))
    log_probs = [problem.log_reference]
    while len(log_probs) <= STEPS:
        sampled = problem._replace(log_behavior=log_probs[-1])
        start = np.exp(log_probs[-1])
        (some,), _ = simulate(sampled, start, objectives=("offline_ppo",), settings=settings, steps=REUSED)
        log_probs += list(some[1:])
    return np.stack(log_probs[: STEPS + 1])


def sampled_at(step: int) -> int:
    """The step whose policy drew the samples that are trained on at this one."""
    return step - step % REUSED


def _behavior(log_probs: np.ndarray) -> np.ndarray:
    return np.asarray(log_probs[[sampled_at(step) for step in range(len(log_probs))]])


def _clipped_pull(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
    pairs = zip(_behavior(log_probs), log_probs, strict=True)
    return np.stack([ppo_weights(problem, policy(mu), policy(current)) for mu, current in pairs])


def _ratios(problem: Problem, log_probs: np.ndarray) -> Shown:
    ratios = np.exp(log_probs - _behavior(log_probs))
    ones, epsilon = np.ones(ratios.shape[-1]), problem.clip_epsilon
    return Shown(ratios, np.stack([(1 - epsilon) * ones, (1 + epsilon) * ones]))


# Preferences between two samples of the reference.


def _preferred(problem: Problem) -> np.ndarray:
    """How often i is drawn, j is drawn, and i is preferred, `[K, K]`."""
    mu = _data(problem)
    return np.asarray(mu[:, None] * mu[None, :] * preference_probabilities(problem.rewards))


def _pairs_score(problem: Problem, log_probs: np.ndarray, loss: Callable[..., jnp.ndarray], knob: str) -> np.ndarray:
    of_pairs = loss(margins(jnp.asarray(_log_ratios(problem, log_probs))), float(getattr(problem, knob)))
    return np.asarray(-(_preferred(problem)[None] * np.asarray(of_pairs, np.float64)).sum((-2, -1)))


def _dpo_score(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
    return _pairs_score(problem, log_probs, dpo, "beta")


def _ipo_score(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
    return _pairs_score(problem, log_probs, ipo, "tau")


def _spread(values: np.ndarray) -> np.ndarray:
    """Less their mean: what is the same for all answers changes no margin and no policy."""
    return np.asarray(values - values.mean(-1, keepdims=True))


def _implicit_rewards(problem: Problem, log_probs: np.ndarray) -> Shown:
    implied = implicit_reward(jnp.asarray(_log_ratios(problem, log_probs)), float(problem.beta))
    return Shown(_spread(np.asarray(implied, np.float64)), _spread(problem.rewards)[None])


def _ipo_gain(problem: Problem) -> np.ndarray:
    return ipo_gain(preference_probabilities(problem.rewards), _data(problem), float(problem.tau))


def _ipo_rest(problem: Problem) -> np.ndarray:
    return regularised_mass(np.exp(problem.log_reference), _ipo_gain(problem), 1.0)


def _gained(problem: Problem, log_probs: np.ndarray) -> Shown:
    return Shown(_spread(_log_ratios(problem, log_probs)), _spread(_ipo_gain(problem))[None])


# Likelihood of the reference's samples, weighed or selected.


def _best(problem: Problem) -> np.ndarray:
    return np.asarray(np.exp(best_of_n_distribution(problem.log_behavior, problem.rewards, float(problem.draws))))


def _constant(rest: Callable[[Problem], np.ndarray]) -> Callable[[Problem, np.ndarray], np.ndarray]:
    """μ F, which is what is learnt, whatever the policy is."""
    return lambda problem, log_probs: np.broadcast_to(rest(problem), log_probs.shape)


def _likelihood(rest: Callable[[Problem], np.ndarray]) -> Callable[[Problem, np.ndarray], np.ndarray]:
    def maximised(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
        weights = np.broadcast_to(rest(problem), log_probs.shape)
        losses = weighted_likelihood(jnp.asarray(log_probs), jnp.asarray(weights))
        return np.asarray(-np.asarray(losses, np.float64).sum(-1))

    return maximised


def _multiples(rest: Callable[[Problem], np.ndarray]) -> Callable[[Problem, np.ndarray], Shown]:
    def shown(problem: Problem, log_probs: np.ndarray) -> Shown:
        return Shown(np.exp(_log_ratios(problem, log_probs)), (rest(problem) / _data(problem))[None])

    return shown


REGULARISED = "E[r] − β KL(π ‖ π_ref)"

LESSONS = {
    "kl": Lesson(
        name="Reward and KL",
        style=LineStyle(BLUE, "o"),
        bars="each answer's term π log π/π_ref of the KL",
        mark="",
        curve=REGULARISED,
        path=_bent,
        pull=None,
        maximised=_regularised,
        rest=_optimum,
        shown=_kl_terms,
    ),
    "policy-gradient": Lesson(
        name="Policy gradient",
        style=method_style("reinforce"),
        bars="advantage A",
        mark="nothing more to gain",
        curve=REGULARISED,
        path=_descent("on_policy_reinforce"),
        pull=_field_pull("on_policy_reinforce"),
        maximised=_regularised,
        rest=_optimum,
        shown=_advantages,
    ),
    "ppo": Lesson(
        name="PPO",
        style=method_style("ppo"),
        bars="ratio ρ = π/π_gen",
        mark="1 ± ε",
        curve=REGULARISED,
        path=_collections,
        pull=_clipped_pull,
        maximised=_regularised,
        rest=_optimum,
        shown=_ratios,
    ),
    "dpo": Lesson(
        name="DPO",
        style=method_style("dpo"),
        bars="implicit reward β log π/π_ref, less its mean",
        mark="reward, less its mean",
        curve="E[log σ(β m)]",
        path=_descent("offline_dpo"),
        pull=_field_pull("offline_dpo"),
        maximised=_dpo_score,
        rest=_optimum,
        shown=_implicit_rewards,
    ),
    "ipo": Lesson(
        name="IPO",
        style=method_style("ipo"),
        bars="log π/π_ref, less its mean",
        mark="where IPO holds it",
        curve="−E[(m − 1/(2τ))²]",
        path=_descent("offline_ipo"),
        pull=_field_pull("offline_ipo"),
        maximised=_ipo_score,
        rest=_ipo_rest,
        shown=_gained,
    ),
    "rwr": Lesson(
        name="RWR",
        style=method_style("rwr"),
        bars="π/π_ref",
        mark="weight F",
        curve="E[F log π]",
        path=_descent("offline_rwr"),
        pull=_constant(_optimum),
        maximised=_likelihood(_optimum),
        rest=_optimum,
        shown=_multiples(_optimum),
    ),
    "best-of-n": Lesson(
        name="Best-of-N",
        style=method_style("best_of_n"),
        bars="π/π_ref",
        mark="P(best)/π_ref",
        curve="E[log π(best)]",
        path=_descent("offline_best_of_n"),
        pull=_constant(_best),
        maximised=_likelihood(_best),
        rest=_best,
        shown=_multiples(_best),
    ),
}
"""Preset → its lesson, of those in which a policy moves."""


def walk(lesson: Lesson, problem: Problem, learning_rate: float) -> np.ndarray:
    """The log-probabilities on the way, `[E, K]`.

    Raises:
        ValueError: the learning rate is so large that steps grow without end.
    """
    try:
        log_probs = lesson.path(problem, learning_rate)
        diverged = not (log_probs > LEAST_LOG_PROB).all()
    except ValueError:  # of `simulate`, which calls the learning rate a step size
        diverged = True
    require(not diverged, f"{lesson.name} diverges at a learning rate of {learning_rate:g}: take a smaller one")
    return log_probs
