"""Predictions and exercises of notebook 07; every answer is computed, none is written down."""

from typing import Any

import numpy as np

from modeseek.bandit.categorical.closed_forms import logarithmic_mean
from modeseek.bandit.categorical.criteria import gaps, inspect_pair
from modeseek.bandit.categorical.presets import PRESETS
from modeseek.bandit.explore.kl.model import KLModel
from modeseek.bandit.explore.toolkit.checks import Wrong, check, model_of, number
from modeseek.bandit.explore.toolkit.controls import Distribution
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth

FACTOR = 0.05
"""How far below p₂ the targets of exercise 3 have to lie, as a factor."""


def predict_separation() -> Prediction:
    """Which divergence separates the pair of `case-1-fails` more in its first step?"""

    def truth() -> Truth:
        preset = PRESETS["case-1-fails"]
        verdict = inspect_pair(np.array(preset.start), np.array(preset.target), 0, 1)
        step = KLModel("case-1-fails")
        push = step.result.push[:, 0]
        forward, reverse = push[:, 0] - push[:, 1]
        return Truth(
            0 if verdict.reverse_larger else 1,
            f"One real step of each (eqs. 12 and 13, which stand below) gives Δr = {reverse:z.3f} and Δf = "
            f"{forward:z.3f} (eq. 16). In case 1 the constants Z cancel: Δf = q₁ - q₂, while Δr = p (log q₁ - log "
            "q₂). So Δr > Δf if and only if p > L(q₁, q₂) = (q₁ - q₂)/log(q₁/q₂), the logarithmic mean, here "
            f"{verdict.threshold:z.4f}; and p is {preset.start[0]:g}. The push of reverse KL carries a factor p: it "
            "is strong only where the policy already has mass.",
        )

    return Prediction(
        "Ten equally likely categories, p = .1 each. The target gives the first .5 and the second .1. After one "
        "gradient step, which divergence has moved log(p₁/p₂) further?",
        ("Reverse KL.", "Forward KL.", "Neither: by the same."),
        truth,
    )


def predict_race() -> Prediction:
    """On R1: who reaches half of the reward first, and who nine tenths?"""

    def truth() -> Truth:
        needed = KLModel("R1").result.steps_to
        adam = KLModel("R1", optimizer="adam").result.steps_to
        natural = KLModel("R1", optimizer="natural").result.steps_to
        half, most = (np.argmin(needed[:, i]) for i in (1, 2))
        return Truth(
            {(0, 0): 0, (1, 1): 1, (0, 1): 2, (1, 0): 3}[(int(half), int(most))],
            f"Gradient descent with η = 1 takes forward KL {needed[0, 1]} steps to half of the way and {needed[0, 2]} "
            f"to nine tenths; reverse KL {needed[1, 1]} and {needed[1, 2]}. (Eqs. 12 and 13, below, are their "
            "pushes.) Far from the start reverse KL's push, p (log q/p + KL), is small because p is. "
            "Later what is left is to take mass from tokens that the target hardly has. There forward KL's q - p is "
            "hardly more than -p, and reverse KL's is p times some nats: at forward KL's policy at step "
            f"{needed[0, 2]} it would push these tokens down {_stronger(int(needed[0, 2])):z.1f} times as strongly. "
            "Both fade as p comes near q, and alike. Adam rescales the push and takes the factor p away: "
            f"{adam[0, 1]} and {adam[0, 2]} steps against {adam[1, 1]} and {adam[1, 2]}. With the natural gradient "
            f"they are {natural[0, 1]} and {natural[0, 2]} against {natural[1, 1]} and {natural[1, 2]}.",
        )

    return Prediction(
        "The bandit's reward R1 has its peak far from where the reference has mass; here a response is one token. Both "
        "divergences descend by gradient descent with η = 1. Who is first at half of the achievable reward, and who at "
        "nine tenths?",
        (
            "Forward KL at both.",
            "Reverse KL at both.",
            "Forward KL at half, reverse KL at nine tenths.",
            "Reverse KL at half, forward KL at nine tenths.",
        ),
        truth,
    )


def _stronger(step: int) -> float:
    """How many times forward KL's push reverse KL's is, summed over the categories that have too much: at forward
    KL's policy on R1 after so many steps."""
    model = KLModel("R1")
    q, p = np.asarray(model.values.target), np.exp(model.result.log_probs[0, step])
    excess = np.log(p / q)
    forward, reverse = q - p, -p * (excess - p @ excess)
    return float(reverse[p > q].sum() / forward[p > q].sum())


@check
def check_boundary(q2: Any) -> str:
    """Exercise 1: p = .1 twice and q₁ = .5; the q₂ at which both divergences separate the pair equally."""
    value = number(q2, "q₂", 0.0, 0.5)
    p = 0.1
    mean = float(logarithmic_mean(0.5, value))
    if abs(mean - p) > 0.002:
        which = "reverse" if mean < p else "forward"
        raise Wrong(
            f"with q₂ = {value:g} the {which} step still separates the pair more: p = {p} and L(q₁, q₂) = {mean:z.4f}. "
            "Which way does L go when q₂ falls?"
        )
    return f"L(.5, {value:g}) = {mean:z.4f}, which is p. Below it reverse KL separates the pair more, above it less."


@check
def check_overtaking(answer: Any) -> str:
    """Exercise 2: a problem in which forward KL leads at half of the reward and reverse KL at nine tenths."""
    model = model_of(answer, KLModel)
    if len(model.values.target) > 12:
        size = model.values.categories
        raise Wrong(f"it should have at most 12 categories, so that every bar can be seen; this has {size}.")
    (forward_half, forward_most), (reverse_half, reverse_most) = model.result.steps_to[:, 1:]
    if min(forward_half, forward_most, reverse_half, reverse_most) < 0:
        raise Wrong("one of the two does not get to nine tenths within the run: give it more steps, or larger ones.")
    if forward_half >= reverse_half:
        raise Wrong(
            f"half of the way takes forward KL {forward_half} steps and reverse KL {reverse_half}: reverse KL is not "
            "behind. What would keep its first pushes small?"
        )
    if reverse_most >= forward_most:
        raise Wrong(
            f"forward KL is ahead at half ({forward_half} to {reverse_half}) but reverse KL does not overtake: nine "
            f"tenths take {forward_most} and {reverse_most} steps. How concentrated is the target that it ends on?"
        )
    most = f"reverse KL at nine tenths, {reverse_most} to {forward_most}"
    return f"forward KL leads at half, {forward_half} to {reverse_half}; {most}."


@check
def check_counter_example(start: Any, target: Any) -> str:
    """Exercise 3: q₁ = q₂ < .05 p₂ < p₁, and yet reverse KL does not cut the larger one more."""
    p, q = (np.asarray(Distribution(n, n, least=3).accept(v).value) for n, v in (("start", start), ("target", target)))
    if p.size != q.size:
        raise Wrong(f"start and target must have equally many categories; these have {p.size} and {q.size}.")
    if (p <= 0).any() or (q <= 0).any():
        raise Wrong("the theorem speaks of positive probabilities; there is a zero.")
    if abs(q[0] - q[1]) > 1e-9:
        raise Wrong(f"case 3 needs q₁ = q₂; these are {q[0]:.4g} and {q[1]:.4g} once each is divided by its sum.")
    if p[0] <= p[1]:
        raise Wrong(f"case 3 needs p₁ > p₂; these are {p[0]:.4g} and {p[1]:.4g}.")
    known = PRESETS["case-3-fails"]
    if p.size == len(known.start) and np.allclose(p, known.start) and np.allclose(q, known.target):
        raise Wrong("that is the preset case-3-fails: find one of your own.")
    if q[0] >= FACTOR * p[1]:
        raise Wrong(f"the targets must be below {FACTOR} p₂ = {FACTOR * p[1]:.4g}; they are {q[0]:.4g}.")
    forward, reverse = (float(gap) for gap in gaps(p, q))
    if reverse < forward:
        raise Wrong(
            f"here the theorem holds: Δr = {reverse:z.4f} < Δf = {forward:z.4f}. In Δr the term p₁ log q₁/p₁ pulls "
            "down and p₁ KL pushes up. What makes KL(p ‖ q) large while q₁ and q₂ stay small?"
        )
    share = f"{q[0] / p[1]:z.3f}"
    return (
        f"Δr = {reverse:z.4f} is not below Δf = {forward:z.4f}, though q = {share} p₂: no c₁ above {share} works "
        f"for all."
    )
