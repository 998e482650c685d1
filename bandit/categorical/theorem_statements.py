"""Theorem E.5 and its equal-gap remark as statements that random instances can break."""

from collections.abc import Callable

import numpy as np

from modeseek.bandit.categorical import criteria
from modeseek.bandit.categorical.divergences import forward_kl, reverse_kl
from modeseek.bandit.categorical.optimizers import Settings, gradient_descent, initial
from modeseek.bandit.categorical.problem import Problem
from modeseek.bandit.categorical.search import (
    EDGE,
    Checked,
    Condition,
    Draw,
    Instances,
    Statement,
    descending_pair,
    normalised,
    simplex_points,
    with_equal_pair,
)

BETA, DELTA = 0.01, 0.01
"""The gap β and the bounds δ₁, δ₂ for which the theorem's cases are tried (the paper leaves them open)."""


def one_step_gaps(p: np.ndarray, q: np.ndarray, step_size: float = 0.1) -> criteria.Gaps:
    """Δ_f/η and Δ_r/η as the simulator makes them: a real gradient step on the logits, not Lemma E.4's formula."""
    log_p = np.log(p)
    unused = np.ones(())
    problem = Problem(np.log(q), log_p, log_p, log_p, unused, unused, unused, unused)
    settings = Settings(step_size=step_size)
    measured = []
    for objective in (forward_kl, reverse_kl):
        state = initial(log_p)
        moved = gradient_descent(objective(problem), settings, state).policy.log_probs - state.policy.log_probs
        measured.append((moved[:, 0] - moved[:, 1]) / step_size)
    return criteria.Gaps(*measured)


def _meets_case_1(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    bounded = (p[:, 0] >= DELTA) & (p[:, 0] <= 1 - DELTA)
    return np.asarray(bounded & (np.abs(p[:, 0] - p[:, 1]) < 1e-12) & (q[:, 0] >= q[:, 1] + BETA))


def _case_1(rng: np.random.Generator, batch: int, k: int) -> Instances:
    p, q = with_equal_pair(simplex_points(rng, batch, k)), descending_pair(simplex_points(rng, batch, k))
    keep = _meets_case_1(p, q)
    return Instances(p[keep], q[keep], {})


def _meets_equal_targets(least: float, most: float, relative_to: int) -> Condition:
    """q₁ = q₂ between `least` and `most` times p (of category `relative_to`), p₂ + β ≤ p₁ ≤ 1 - δ₂."""

    def meets(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        ratio = q[:, 0] / p[:, relative_to]
        apart = (p[:, 0] >= p[:, 1] + BETA) & (p[:, 0] <= 1 - DELTA)
        return np.asarray(apart & (np.abs(q[:, 0] - q[:, 1]) < 1e-12) & (ratio >= least) & (ratio <= most))

    return meets


def _equal_targets(low: float, high: float, relative_to: int) -> Draw:
    """Instances with q₁ = q₂ = c p (p of category `relative_to`), c log-uniform in [low, high]; none at K = 2."""
    meets = _meets_equal_targets(low, high, relative_to)

    def draw(rng: np.random.Generator, batch: int, k: int) -> Instances:
        p, q = descending_pair(simplex_points(rng, batch, k)), simplex_points(rng, batch, k)
        value = p[:, relative_to] * np.exp(rng.uniform(np.log(low), np.log(high), batch))
        fits = value < 0.5 - 1e-6 if k > 2 else np.zeros(batch, bool)
        p, q, value = p[fits], q[fits], value[fits, None]
        # The rest of q shares what the pair leaves.
        q = np.concatenate([value, value, normalised(q[:, 2:]) * (1 - 2 * value)], axis=-1) if k > 2 else q
        keep = meets(p, q)
        return Instances(p[keep], q[keep], {})

    return draw


def _equal_gap(rng: np.random.Generator, batch: int, k: int) -> Instances:
    p = descending_pair(simplex_points(rng, batch, k))
    gap = rng.uniform(-1, 1, batch) * np.minimum(p[:, 1], 0.5 * (1 - p[:, 0] - p[:, 1])) * 0.9
    q = p.copy()
    q[:, :2] += gap[:, None]
    q[:, 2:] *= ((1 - q[:, 0] - q[:, 1]) / np.maximum(1 - p[:, 0] - p[:, 1], 1e-300))[:, None]
    keep = (np.abs(gap) > 1e-4) & (p[:, 0] > p[:, 1] + 1e-4) & (q > 0).all(-1)
    return Instances(p[keep], normalised(q[keep]), {}) if k > 2 else Instances(p[:0], q[:0], {})


def _reverse_larger(sign: float) -> Callable[[Instances], Checked]:
    def check(instances: Instances) -> Checked:
        forward, reverse = one_step_gaps(instances.p, instances.q)
        margin = sign * (reverse - forward)
        return Checked(margin > 0, margin, np.abs(margin) > EDGE)

    return check


def _criterion(says: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[Instances], Checked]:
    def check(instances: Instances) -> Checked:
        forward, reverse = one_step_gaps(instances.p, instances.q)
        margin = reverse - forward
        return Checked((margin > 0) == says(instances.p, instances.q), margin, np.abs(margin) > EDGE)

    return check


def _reverse_rises(instances: Instances) -> Checked:
    reverse = one_step_gaps(instances.p, instances.q).reverse
    return Checked(reverse > 0, reverse, np.abs(reverse) > EDGE)


def _rises_criterion(instances: Instances) -> Checked:
    reverse = one_step_gaps(instances.p, instances.q).reverse
    return Checked((reverse > 0) == criteria.case_2_rises(instances.p, instances.q), reverse, np.abs(reverse) > EDGE)


def _gap_preference(instances: Instances) -> Checked:
    forward, reverse = one_step_gaps(instances.p, instances.q)
    return Checked((np.abs(forward) < EDGE) & (reverse > 0), reverse, np.abs(reverse) > EDGE)


_anywhere = _equal_targets(0.001, 100.0, 0)
_above, _meets_above = _equal_targets(1.0, 20.0, 0), _meets_equal_targets(1.0, 20.0, 0)

THEOREM_STATEMENTS = (
    Statement(
        "E.5 case 1, as stated",
        "p₁ = p₂, q₁ ≥ q₂ + β  ⇒  Δr > Δf",
        False,
        _case_1,
        _reverse_larger(1.0),
        _meets_case_1,
    ),
    Statement("E.5 case 1, exact", "Δr > Δf  ⇔  p > L(q₁, q₂)", True, _case_1, _criterion(criteria.case_1)),
    Statement(
        "E.5 case 2, as stated",
        "q₁ = q₂ ≥ p₁ ≥ p₂ + β  ⇒  Δr > Δf  (any c₀ ≥ 1)",
        True,
        _above,
        _reverse_larger(1.0),
        _meets_above,
    ),
    Statement("E.5 case 2, its proof", "q₁ = q₂ ≥ p₁ ≥ p₂ + β  ⇒  Δr > 0", False, _above, _reverse_rises, _meets_above),
    Statement("E.5 case 2, its proof, exact", "Δr > 0  ⇔  q > e I exp(-KL)", True, _above, _rises_criterion),
    *(
        Statement(
            f"E.5 case 3, c₁ = {c}",
            f"q₁ = q₂ < {c} p₂  ⇒  Δr < Δf",
            False,
            _equal_targets(c / 100, c, 1),
            _reverse_larger(-1.0),
            _meets_equal_targets(0.0, c, 1),
        )
        for c in (0.5, 0.1, 0.03)
    ),
    Statement(
        "E.5 cases 2 and 3, exact",
        "Δr > Δf  ⇔  q > I(p₁, p₂) exp(-KL)",
        True,
        _anywhere,
        _criterion(criteria.cases_2_and_3),
    ),
    Statement("E.5 equal gap", "q₁ - p₁ = q₂ - p₂, p₁ > p₂  ⇒  Δf = 0, Δr > 0", True, _equal_gap, _gap_preference),
)
"""Cases 1 to 3, as stated and exact, and the remark."""
