"""Lemmas E.1 to E.3, the IPO gradient and the closed forms as statements that random instances can break."""

import numpy as np

from modeseek.bandit.categorical import closed_forms, lemmas
from modeseek.bandit.categorical.search import EDGE, Checked, Instances, Statement, normalised, simplex_points


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


LEMMA_STATEMENTS = (
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
"""The rest of the table."""
