"""What is measured along a trajectory: exact numbers, all from the log-probabilities."""

from typing import NamedTuple

from modeseek.bandit.categorical.problem import Problem
from modeseek.bandit.categorical.simplex import LOG_ZERO, Vector, finite, namespace, total


class Metrics(NamedTuple):
    """One number a policy, shaped `[*B]`.

    Attributes:
        forward_kl: KL(target ‖ policy), nats; +inf where the policy misses mass that the target has.
        reverse_kl: KL(policy ‖ target), nats; +inf where the target misses mass that the policy has.
        expected_reward: E_p[r].
        reference_kl: KL(policy ‖ reference), nats.
        regularized_reward: E_p[r] - β KL(policy ‖ reference): what KL-regularised RL maximises (eq. 6, sign mended).
        entropy: H(p), nats.
    """

    forward_kl: Vector
    reverse_kl: Vector
    expected_reward: Vector
    reference_kl: Vector
    regularized_reward: Vector
    entropy: Vector


def kl(log_p: Vector, p: Vector, log_q: Vector) -> Vector:
    """KL(p ‖ q) = Σ p (log p - log q), nats, over the last axis; zeros as 0 log 0 = 0 and log 0 = `LOG_ZERO`.

    The same quantity as `bandit.objectives.divergences.kl`, which is JAX only and differentiable; this one serves
    NumPy too and takes p and log p, since a trajectory has both.
    """
    xp = namespace(log_p)
    # A mass that underflows in p, but is there in log p, makes the divergence as infinite as any other.
    missed = (log_q < LOG_ZERO / 2) & (log_p > LOG_ZERO / 2)
    # Rounding may leave -1e-17 where the two are equal.
    return xp.maximum(total(xp.where(missed, xp.inf, p * (log_p - log_q))), 0.0)


def measure(problem: Problem, log_probs: Vector, probs: Vector | None = None) -> Metrics:
    """Every metric of policies `[*B, K]` from their finite log-probabilities (and probabilities, if at hand)."""
    xp = namespace(log_probs)
    log_q, log_reference = finite(problem.log_target), finite(problem.log_reference)
    q, p = xp.exp(log_q), xp.exp(log_probs) if probs is None else probs
    # Leading axes of the policies are made explicit: rank promotion is never implicit in this project.
    lead = (1,) * (log_probs.ndim - 1)
    log_q, log_reference, q, rewards = (x.reshape(*lead, -1) for x in (log_q, log_reference, q, problem.rewards))
    expected_reward, reference_kl = total(p * rewards), kl(log_probs, p, log_reference)
    return Metrics(
        forward_kl=kl(log_q, q, log_probs),
        reverse_kl=kl(log_probs, p, log_q),
        expected_reward=expected_reward,
        reference_kl=reference_kl,
        regularized_reward=expected_reward - problem.beta * reference_kl,
        entropy=-total(p * log_probs),
    )
