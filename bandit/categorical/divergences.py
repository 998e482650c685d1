"""Gradients, with respect to independent logits, of divergences from a policy p to a target q.

For p = softmax(f) any loss has ∂L/∂f_j = p_j (u_j - Σ p u) with u = ∂L/∂p (the softmax's Jacobian), so every gradient
here sums to zero. A factory takes the problem and returns a `Field`; the arrays it prepares are constants of the loop.

`divergences.kl` of `bandit.objectives` gives the values; here stand the closed forms that a learner wants to see.
"""

from collections.abc import Callable
from typing import NamedTuple

from modeseek.bandit.categorical.problem import Problem
from modeseek.bandit.categorical.simplex import LOG_ZERO, CategoricalPolicy, Vector, finite, namespace, total


class Field(NamedTuple):
    """A loss as the vector field that it makes on the simplex.

    Attributes:
        gradient: of the loss with respect to the logits, from the policy: `[K]`, nats per unit of logit.
        log_support: 0 where a policy may have mass and `LOG_ZERO` where the loss would be +inf. A step first
            conditions the policy on that support: a softmax with finite logits always has mass there, its loss is
            +inf with no direction of descent, and removing that mass is the limit of what gradient descent does as
            q_j → 0. From then on everything is finite.
    """

    gradient: Callable[[CategoricalPolicy], Vector]
    log_support: Vector


def everywhere(like: Vector) -> Vector:
    """No restriction of the support."""
    return namespace(like).zeros_like(like)


def support_of(log_probs: Vector) -> Vector:
    """0 where a distribution has mass, `LOG_ZERO` elsewhere."""
    return namespace(log_probs).where(log_probs > LOG_ZERO / 2, log_probs * 0.0, LOG_ZERO)


def centered(policy: CategoricalPolicy, slope: Vector) -> Vector:
    """p_j (u_j - E_p[u]): the gradient with respect to logits of a loss with ∂L/∂p = u."""
    weighted = policy.probs * slope
    return weighted - policy.probs * total(weighted, keepdims=True)


def forward_kl(problem: Problem) -> Field:
    """Forward KL(q ‖ p): ∂/∂f_j = p_j - q_j. Lemma E.4, eqs. 12 and 14.

    The push on a category does not depend on the mass that it already has. Zeros of q are harmless.
    """
    q = namespace(problem.log_target).exp(problem.log_target)
    return Field(lambda policy: policy.probs - q, everywhere(q))


def reverse_kl(problem: Problem) -> Field:
    """Reverse KL(p ‖ q): ∂/∂f_j = p_j [log p_j/q_j - KL(p ‖ q)]. Lemma E.4, eqs. 13 and 15.

    The push is proportional to the mass that is already there: tiny where p is tiny, however far q lies above.
    Where q = 0 the policy has to have none either (see `Field.log_support`).
    """
    log_q = finite(problem.log_target)
    return Field(lambda policy: centered(policy, policy.log_probs - log_q), support_of(log_q))


def jensen_shannon(problem: Problem) -> Field:
    """½ KL(p ‖ m) + ½ KL(q ‖ m), m = (p + q)/2: u_j = ½ log(p_j/m_j); bounded by log 2, with no support condition."""
    xp = namespace(problem.log_target)
    log_q = finite(problem.log_target)
    log_2 = 0.6931471805599453

    def gradient(policy: CategoricalPolicy) -> Vector:
        log_m = xp.logaddexp(policy.log_probs, log_q) - log_2
        return 0.5 * centered(policy, policy.log_probs - log_m)

    return Field(gradient, everywhere(log_q))


def alpha_divergence(problem: Problem) -> Field:
    """D_α = (Σ p^α q^(1-α) - 1)/(α(α-1)): one family from forward KL (α = 0) to reverse KL (α = 1) and beyond.

    ∂/∂f_j = (w_j - p_j Σ w)/(α-1) with w = p^α q^(1-α); at α = 1 its limit, reverse KL's. Amari's α-divergence, in the
    parametrisation of Cressie and Read. For α ≥ 1 it is +inf where q misses mass that p has, as reverse KL is. For
    α < 0 it is +inf where p misses mass that q has, and so is its gradient, p^α: too large a step diverges.
    """
    xp = namespace(problem.log_target)
    log_q = finite(problem.log_target)
    order = 1.0 - problem.alpha
    # Within 1e-6 of 1 the limit itself: the difference is of order (1-α) and below rounding of (w - p)/(1-α).
    order = xp.where(xp.abs(order) < 1e-6, order * 0.0 + 1e-6, order)

    def gradient(policy: CategoricalPolicy) -> Vector:
        exponent = order * (log_q - policy.log_probs)
        near = policy.probs * xp.expm1(xp.clip(exponent, -1.0, 1.0))
        # A category without mass never gets any: it takes no part (and LOG_ZERO - LOG_ZERO would lose log q).
        present = policy.log_probs > LOG_ZERO / 2
        far = xp.where(present, xp.exp(policy.log_probs + exponent) - policy.probs, 0.0)
        lifted = xp.where(xp.abs(exponent) < 1.0, near, far) / order
        return policy.probs * lifted.sum(-1, keepdims=True) - lifted

    return Field(gradient, xp.where(problem.alpha >= 1.0, support_of(log_q), everywhere(log_q)))


DIVERGENCES: dict[str, Callable[[Problem], Field]] = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "jensen_shannon": jensen_shannon,
    "alpha": alpha_divergence,
}
"""Name → factory."""
