"""The paper's statements as data: how to draw an instance of the condition, and whether the claim holds there."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bandit.categorical import closed_forms, criteria, lemmas
from bandit.categorical.optimizers import Settings, gradient_descent, initial
from bandit.categorical.problem import Problem
from bandit.categorical.search import (
    Checked,
    Instances,
    descending_pair,
    normalised,
    simplex_points,
    with_equal_pair,
)

EDGE = 1e-11
"""Differences of float64 log-probabilities below this are rounding, not evidence."""

BETA, DELTA = 0.01, 0.01
"""The gap β and the bounds δ₁, δ₂ for which the theorem's cases are tried (the paper leaves them open)."""


Draw = Callable[[np.random.Generator, int, int], Instances]
Condition = Callable[[np.ndarray, np.ndarray], np.ndarray]


def always(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """No condition on p and q."""
    return np.ones(len(p), bool)


class Statement(NamedTuple):
    """One row of the table.

    Attributes:
        name: short and unique.
        claim: in words and symbols.
        expected: whether it is a theorem (holds always) or has counter-examples.
        draw: `(rng, batch, K)` → instances that meet the condition (fewer than `batch` may come back).
        check: instances → whether the claim holds.
        meets: `(p, q)` → whether they meet the condition: a shortened counter-example must still do so.
    """

    name: str
    claim: str
    expected: bool
    draw: Draw
    check: Callable[[Instances], Checked]
    meets: Condition = always


def one_step_gaps(p: np.ndarray, q: np.ndarray, step_size: float = 0.1) -> criteria.Gaps:
    """Δ_f/η and Δ_r/η as the simulator makes them: a real gradient step on the logits, not Lemma E.4's formula."""
    from bandit.categorical.divergences import forward_kl, reverse_kl

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
    return bounded & (np.abs(p[:, 0] - p[:, 1]) < 1e-12) & (q[:, 0] >= q[:, 1] + BETA)


def _case_1(rng: np.random.Generator, batch: int, k: int) -> Instances:
    p, q = with_equal_pair(simplex_points(rng, batch, k)), descending_pair(simplex_points(rng, batch, k))
    keep = _meets_case_1(p, q)
    return Instances(p[keep], q[keep], {})


def _meets_equal_targets(least: float, most: float, relative_to: int) -> Condition:
    """q₁ = q₂ between `least` and `most` times p (of category `relative_to`), p₂ + β ≤ p₁ ≤ 1 - δ₂."""

    def meets(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        ratio = q[:, 0] / p[:, relative_to]
        apart = (p[:, 0] >= p[:, 1] + BETA) & (p[:, 0] <= 1 - DELTA)
        return apart & (np.abs(q[:, 0] - q[:, 1]) < 1e-12) & (ratio >= least) & (ratio <= most)

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


def _vanishes(residual: np.ndarray) -> Checked:
    return Checked(residual < 1e-9, residual, np.ones(residual.shape, bool))


def _rl_draw(rng: np.random.Generator, batch: int, k: int) -> Instances:
    extra = {"rewards": rng.normal(size=(batch, k)), "beta": 10 ** rng.uniform(-1, 1, batch)}
    return Instances(simplex_points(rng, batch, k), simplex_points(rng, batch, k), extra)


def _supervised_draw(rng: np.random.Generator, batch: int, k: int) -> Instances:
    weights = rng.exponential(size=(batch, k)) * (rng.random((batch, k)) < 0.7)
    weights[:, 0] += 1e-3  # Σ F > 0, the lemma's condition
    return Instances(simplex_points(rng, batch, k), simplex_points(rng, batch, k), {"weights": weights})


def _contrast_draw(rng: np.random.Generator, batch: int, k: int) -> Instances:
    p = simplex_points(rng, batch, k)
    chosen = rng.integers(k, size=batch)
    rejected = (chosen + rng.integers(1, k, size=batch)) % k
    c1, c2 = rng.uniform(0, 1, batch), rng.uniform(0.05, 1, batch)
    return Instances(p, p, {"chosen": chosen, "rejected": rejected, "c1": c1, "c2": c2})


def _aligned_draw(rng: np.random.Generator, batch: int, k: int) -> Instances:
    p, q, extra = _contrast_draw(rng, batch, k)
    keep = lemmas.alignment(p, extra["chosen"], extra["rejected"]) <= -1e-3
    return Instances(p[keep], q[keep], {name: values[keep] for name, values in extra.items()})


def _contrast(instances: Instances) -> lemmas.ContrastiveStep:
    # η = 1e-5: the lemma is about a small enough step, and second order stays well under the 1e-3 of alignment.
    return lemmas.contrastive_step(instances.p, **instances.extra, step_size=1e-5)


def _margin_grows(instances: Instances) -> Checked:
    margin = _contrast(instances).margin
    return Checked(margin >= 0, margin, np.abs(margin) > EDGE)


def _likelihoods_part(instances: Instances) -> Checked:
    step = _contrast(instances)
    margin = np.minimum(step.chosen, -step.rejected)
    return Checked(margin >= 0, margin, np.abs(margin) > EDGE)


def _some_aligned(instances: Instances) -> Checked:
    chosen, rejected = instances.extra["chosen"], lemmas.aligned_rejection(instances.p)
    other = (chosen + 1) % instances.p.shape[1]
    rejected = np.where(chosen == rejected, other, rejected)
    value = lemmas.alignment(instances.p, chosen, rejected)
    return Checked(value <= 1e-15, -value, np.ones(value.shape, bool))


def _displacement_draw(rng: np.random.Generator, batch: int, k: int) -> Instances:
    p = simplex_points(rng, batch, k)
    return (
        Instances(p, p, {"length": rng.integers(2, 50, batch).astype(float)})
        if k > 2
        else Instances(p[:0], p[:0], {"length": np.zeros(0)})
    )


def _displacement(instances: Instances) -> Checked:
    """A real contrastive step on shared token logits (A, B, C first), against the closed form's sign."""
    p, length, eta = instances.p, instances.extra["length"], 1e-6
    logits = np.log(p)
    logits[:, 1] += eta
    logits[:, 2] -= eta
    moved = logits - np.log(np.exp(logits).sum(-1, keepdims=True)) - np.log(p)
    change = ((length - 1) * moved[:, 0] + moved[:, 1]) / eta
    slope = closed_forms.displacement_slope(p[:, 1], p[:, 2], length)
    return Checked((change < 0) == (p[:, 1] - p[:, 2] > 1 / length), np.abs(change), np.abs(slope) > 1e-3)


def _preferred_rises(instances: Instances) -> Checked:
    slope = closed_forms.displacement_slope(instances.p[:, 1], instances.p[:, 2], instances.extra["length"])
    return Checked(slope >= 0, slope, np.abs(slope) > EDGE)


def _unseen(instances: Instances) -> Checked:
    """DPO's logits of the compared pair moved by ±s: the unseen answer's mass against the closed form and its peak."""
    p = normalised(instances.p[:, :3])
    s = instances.extra["length"] / 5
    logits = np.log(p)
    logits[:, 0] += s
    logits[:, 1] -= s
    mass = normalised(np.exp(logits))[:, 2]
    closed = closed_forms.unseen_mass(p[:, 0], p[:, 1], p[:, 2], s)
    peak = closed_forms.unseen_peak(p[:, 0], p[:, 1], p[:, 2])
    return Checked((np.abs(mass - closed) < 1e-12) & (mass <= peak + 1e-12), peak - mass, np.ones(s.shape, bool))


def _ipo_draw(rng: np.random.Generator, batch: int, k: int) -> Instances:
    p, q = simplex_points(rng, batch, k), simplex_points(rng, batch, k)
    return Instances(p, q, {"tau": 10 ** rng.uniform(-1.5, 0.5, batch)})


def _ipo_coefficient(instances: Instances) -> Checked:
    log_ratio = np.log(instances.p / instances.q)
    margin = log_ratio[:, 0] - log_ratio[:, 1]
    distance = 0.5 / instances.extra["tau"] - margin
    return Checked(lemmas.ipo_coefficient_fits(margin, instances.extra["tau"]), distance, np.abs(distance) > EDGE)


_anywhere = _equal_targets(0.001, 100.0, 0)
_above, _meets_above = _equal_targets(1.0, 20.0, 0), _meets_equal_targets(1.0, 20.0, 0)

STATEMENTS = (
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
    Statement(
        "E.1",
        "-E[r] + β KL(p ‖ ref) = β KL(p ‖ π*) - β log Z",
        True,
        _rl_draw,
        lambda i: _vanishes(lemmas.rl_identity(i.p, i.q, **i.extra) / (1 + i.extra["beta"])),
    ),
    Statement("E.2, eq. 8", "c₂ > 0 widens log p_w - log p_l", True, _contrast_draw, _margin_grows),
    Statement(
        "E.2, eqs. 9-10, no alignment", "c₂ > 0: p_w higher, p_l lower", False, _contrast_draw, _likelihoods_part
    ),
    Statement("E.2, eqs. 9-10, aligned", "∇log p_w · ∇log p_l ≤ 0 ⇒ the same", True, _aligned_draw, _likelihoods_part),
    Statement("E.2, existence", "every θ and y_w have an aligned y_l", True, _contrast_draw, _some_aligned),
    Statement(
        "E.3",
        "-E_ref[F log p] = Z KL(π̃ ‖ p) + Z H(π̃)",
        True,
        _supervised_draw,
        lambda i: _vanishes(lemmas.supervised_identity(i.p, i.q, **i.extra)),
    ),
    Statement("E.1.4, IPO as eq. 7", "c_IPO ≥ 0 at any margin", False, _ipo_draw, _ipo_coefficient),
    Statement("Displacement, naive", "a preference step raises y_w", False, _displacement_draw, _preferred_rises),
    Statement("Displacement, exact", "y_w falls  ⇔  π_B - π_C > 1/N", True, _displacement_draw, _displacement),
    Statement(
        "DPO off its data", "π₃ = p₃/(p₃ + p₁eˢ + p₂e⁻ˢ) ≤ p₃/(p₃ + 2√(p₁p₂))", True, _displacement_draw, _unseen
    ),
)
"""Every row of `modeseek theory`."""
