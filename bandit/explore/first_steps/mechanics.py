"""What the lessons are made of: how a policy moves, what pulls on it, what is maximised, and what is looked at.

Gradients are exact expectations, as `categorical.methods` has them; what is maximised is the negative of the losses of
`bandit.objectives`, averaged over everything that can be drawn.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modeseek.bandit.categorical.closed_forms import contrastive_rest, ipo_gain, regularised_mass
from modeseek.bandit.categorical.divergences import Field
from modeseek.bandit.categorical.dynamics import simulate
from modeseek.bandit.categorical.methods import METHODS, best_of_n_distribution, ppo_weights, preference_probabilities
from modeseek.bandit.categorical.metrics import measure
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.problem import Problem
from modeseek.bandit.categorical.simplex import policy
from modeseek.bandit.explore.first_steps.presets import STEPS
from modeseek.bandit.objectives.likelihood import weighted_likelihood
from modeseek.bandit.objectives.preference import dpo, implicit_reward, ipo, margins

REUSED = 6
"""Gradient steps that PPO takes on the same samples."""

PAIR = 2.0
"""Ways in which two draws come to the pair (i, j): i first, or j. Gradients of `categorical.methods` are of one way."""


class Shown(NamedTuple):
    """What is looked at for every answer; E policies on the way, K answers.

    Attributes:
        values: that move, `[E, K]`.
        marks: lines at each answer's bar, where the value is going or must not go beyond, `[M, K]`; M may be 0.
    """

    values: np.ndarray
    marks: np.ndarray


def optimum(problem: Problem) -> np.ndarray:
    """π_ref exp(r/β)/Z."""
    return np.asarray(np.exp(problem.log_target))


def _data(problem: Problem) -> np.ndarray:
    return np.asarray(np.exp(problem.log_behavior))


def _log_ratios(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
    return np.asarray(log_probs - problem.log_reference[None])


def regularised(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
    """E[r] - β KL, `[E]`."""
    return np.asarray(measure(problem, log_probs).regularized_reward)


# Reward and KL, without any method.


def bent(problem: Problem, learning_rate: float) -> np.ndarray:
    """π_ref exp(λ r)/Z, the highest reward at each distance, λ from 0 to twice the 1/β of the optimum."""
    reference = np.exp(problem.log_reference)
    tilts = np.linspace(0.0, 2.0, STEPS + 1)
    bent = [regularised_mass(reference, tilt * problem.rewards, float(problem.beta)) for tilt in tilts]
    log_probs: np.ndarray = np.log(np.stack(bent))
    return log_probs


def kl_terms(problem: Problem, log_probs: np.ndarray) -> Shown:
    """π log π/π_ref, whose sum is the KL."""
    terms = np.exp(log_probs) * _log_ratios(problem, log_probs)
    return Shown(terms, np.empty((0, terms.shape[-1])))


# Policy gradients: samples of the policy itself.


def descent(objective: str, ways: float = 1.0) -> Callable[[Problem, float], np.ndarray]:
    """Gradient descent from the reference; the loss is `ways` times the objective's."""

    def path(problem: Problem, learning_rate: float) -> np.ndarray:
        settings = Settings(step_size=np.float64(ways * learning_rate))
        (log_probs,), _ = simulate(problem, objectives=(objective,), settings=settings, steps=STEPS)
        return np.asarray(log_probs)

    return path


def field_pull(objective: str, ways: float = 1.0) -> Callable[[Problem, np.ndarray], np.ndarray]:
    """-∂L/∂log π where these sum to zero, so that they are -∂L/∂f; `ways` as of `descent`."""

    def pull(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
        field: Field = METHODS[objective](problem)
        return np.stack([-ways * field.gradient(policy(each)) for each in log_probs])

    return pull


def advantages(problem: Problem, log_probs: np.ndarray) -> Shown:
    """A = r - β log π/π_ref less its mean, 0 at the optimum."""
    gain = problem.rewards[None] - problem.beta * _log_ratios(problem, log_probs)
    return Shown(gain - (np.exp(log_probs) * gain).sum(-1, keepdims=True), np.zeros((1, gain.shape[-1])))


def collections(problem: Problem, learning_rate: float) -> np.ndarray:
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


def clipped_pull(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
    """PPO's pull on the samples of `sampled_at`."""
    pairs = zip(_behavior(log_probs), log_probs, strict=True)
    return np.stack([ppo_weights(problem, policy(mu), policy(current)) for mu, current in pairs])


def ratios(problem: Problem, log_probs: np.ndarray) -> Shown:
    """ρ = π/π_gen, and both ends of the band."""
    ratio = np.exp(log_probs - _behavior(log_probs))
    ones, epsilon = np.ones(ratio.shape[-1]), problem.clip_epsilon
    return Shown(ratio, np.stack([(1 - epsilon) * ones, (1 + epsilon) * ones]))


# Preferences between two samples of the reference.


def _preferred(problem: Problem) -> np.ndarray:
    """How often two draws are i and j, in either order, and i is preferred; sums to 1, `[K, K]`."""
    mu = _data(problem)
    return np.asarray(PAIR * mu[:, None] * mu[None, :] * preference_probabilities(problem.rewards))


@partial(jax.jit, static_argnames="loss")  # without, JAX compiles every operation by itself, in three times the time
def _of_pairs(log_ratios: jax.Array, knob: jax.Array | float, loss: Callable[..., jax.Array]) -> jax.Array:
    return loss(margins(log_ratios), knob)


def _pairs_score(problem: Problem, log_probs: np.ndarray, loss: Callable[..., jax.Array], knob: str) -> np.ndarray:
    of_pairs = _of_pairs(jnp.asarray(_log_ratios(problem, log_probs)), float(getattr(problem, knob)), loss)
    return np.asarray(-(_preferred(problem)[None] * np.asarray(of_pairs, np.float64)).sum((-2, -1)))


def dpo_score(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
    """E[log σ(β m)], `[E]`."""
    return _pairs_score(problem, log_probs, dpo, "beta")


def ipo_score(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
    """-E[(m - 1/(2τ))²], `[E]`."""
    return _pairs_score(problem, log_probs, ipo, "tau")


def _spread(values: np.ndarray) -> np.ndarray:
    """Less their mean: what is the same for all answers changes no margin and no policy."""
    return np.asarray(values - values.mean(-1, keepdims=True))


def implicit_rewards(problem: Problem, log_probs: np.ndarray) -> Shown:
    """β log π/π_ref beside the rewards."""
    implied = implicit_reward(jnp.asarray(_log_ratios(problem, log_probs)), float(problem.beta))
    return Shown(_spread(np.asarray(implied, np.float64)), _spread(problem.rewards)[None])


def _ipo_gain(problem: Problem) -> np.ndarray:
    return ipo_gain(preference_probabilities(problem.rewards), _data(problem), float(problem.tau))


def dpo_rest(problem: Problem) -> np.ndarray:
    """Where every margin of implicit rewards is one of rewards (eq. 4)."""
    return contrastive_rest(np.exp(problem.log_reference), problem.rewards / float(problem.beta))


def ipo_rest(problem: Problem) -> np.ndarray:
    """π_ref exp(p/τ)/Z, p how often an answer is preferred to one of the data."""
    return contrastive_rest(np.exp(problem.log_reference), _ipo_gain(problem))


def gained(problem: Problem, log_probs: np.ndarray) -> Shown:
    """log π/π_ref beside what IPO gives an answer."""
    return Shown(_spread(_log_ratios(problem, log_probs)), _spread(_ipo_gain(problem))[None])


# Likelihood of the reference's samples, weighed or selected.


def best(problem: Problem) -> np.ndarray:
    """The distribution of the best of N draws."""
    return np.asarray(np.exp(best_of_n_distribution(problem.log_behavior, problem.rewards, float(problem.draws))))


def constant(rest: Callable[[Problem], np.ndarray]) -> Callable[[Problem, np.ndarray], np.ndarray]:
    """μ F, which is what is learnt, whatever the policy is."""
    return lambda problem, log_probs: np.broadcast_to(rest(problem), log_probs.shape)


_weighted_likelihood = jax.jit(weighted_likelihood)


def likelihood(rest: Callable[[Problem], np.ndarray]) -> Callable[[Problem, np.ndarray], np.ndarray]:
    """Σ μ F log π, the cross entropy to what is learnt."""

    def maximised(problem: Problem, log_probs: np.ndarray) -> np.ndarray:
        weights = np.broadcast_to(rest(problem), log_probs.shape)
        losses = _weighted_likelihood(jnp.asarray(log_probs), jnp.asarray(weights))
        return np.asarray(-np.asarray(losses, np.float64).sum(-1))

    return maximised


def multiples(rest: Callable[[Problem], np.ndarray]) -> Callable[[Problem, np.ndarray], Shown]:
    """π/π_ref, and that of what is learnt."""

    def shown(problem: Problem, log_probs: np.ndarray) -> Shown:
        return Shown(np.exp(_log_ratios(problem, log_probs)), (rest(problem) / _data(problem))[None])

    return shown
