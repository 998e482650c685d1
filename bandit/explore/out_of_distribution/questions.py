"""Predictions and exercises of notebook 02; every answer is computed, none is written down."""

import math
from typing import Any

import numpy as np

from modeseek.bandit.categorical.closed_forms import unseen_mass, unseen_peak
from modeseek.bandit.explore.out_of_distribution.model import OutOfDistributionModel
from modeseek.bandit.explore.out_of_distribution.presets import PRESETS
from modeseek.bandit.explore.toolkit.checks import Wrong, check, number
from modeseek.bandit.explore.toolkit.controls import Distribution
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth

REFERENCE = (0.01, 0.64, 0.35)
"""The reference of exercises 1 and 2."""
RARE = 0.05
"""Most mass of the unseen answer in exercise 3."""


def predict_unseen() -> Prediction:
    """DPO on y₁ ≻ y₂: what becomes of y₃'s mass?"""

    def truth() -> Truth:
        model = OutOfDistributionModel("y1-rare")
        start, result = model.values.reference[2], model.result
        path = result.probs[0, :, 2]
        rises, ends_above = path[1] > path[0], result.rests[0, 2] > start
        return Truth(
            {(False, False): 0, (True, True): 2, (True, False): 3}.get((bool(rises), bool(ends_above)), 1),
            f"From {start:z.2f} it rises to {result.peak:z.2f}, though no comparison mentions it, and at rest it has "
            f"{result.rests[0, 2]:z.2f}. DPO moves the logits of y₁ and y₂ by ±s and y₃'s not at all: π₃(s) = p₃/(p₃ + "
            "p₁eˢ + p₂e⁻ˢ). As long as p₂e⁻ˢ is the larger of the two, what y₂ loses y₁ cannot take.",
        )

    return Prediction(
        "The reference has y₁ .02, y₂ .6, y₃ .38. The data hold one comparison, y₁ ≻ y₂, with P = .95; y₃ is never "
        "compared. DPO with β = .5 trains on that. What happens to y₃'s mass?",
        (
            "It falls: y₁ is to have the mass.",
            "It stays: nothing is said about y₃.",
            "It rises, and at rest y₃ has more than the reference gave it.",
            "It rises at first, and at rest it has less than before.",
        ),
        truth,
    )


def predict_stopping() -> Prediction:
    """What does an answer never seen do to the true reward on the way?"""

    def truth() -> Truth:
        model = OutOfDistributionModel("y1-very-rare")
        values, result = model.values, model.result
        dpo, rest = result.reward[0], float(result.rests[0] @ (values.gap, 0.0, values.unseen))
        worst, resting = int(dpo.argmin()), values.gap / (2 * values.beta)
        rises, ends_rising = bool(dpo[1] > dpo[0]), bool(rest > dpo[-1])
        return Truth(
            {(True, True): 0, (False, False): 1, (True, False): 2, (False, True): 3}[rises, ends_rising],
            f"DPO's true reward is {dpo[0]:+z.2f} at the start, {dpo[worst]:+z.2f} at step {worst}, {dpo[-1]:+z.2f} "
            f"at step {dpo.size - 1} and {rest:+z.2f} at rest. y₃'s mass peaks at s = ½ ln(p₂/p₁) = "
            f"{result.peak_at:z.2f}, on the way to s = {resting:z.2f}, where DPO rests. Whoever stops near step "
            f"{worst} answers y₃ most of the time ({result.probs[0, worst, 2]:z.2f}); whoever stops in the first steps "
            "has hardly moved. KL-regularised RL, which is told what y₃ is worth, never earns less than at the start.",
        )

    return Prediction(
        "A rare y₁ (.001), a common y₂ (.9), and y₃ (.099), which nobody compares and which is the worst: their "
        "rewards are 3, 0 and -3. DPO with β = .3 trains on y₁ ≻ y₂, with P = .95, until it comes to rest. What does "
        "its true expected reward do?",
        (
            "It rises all the way.",
            "It falls all the way.",
            "It rises at first and falls later.",
            "It falls at first and rises later.",
        ),
        truth,
    )


@check
def check_peak(mass: Any) -> str:
    """Exercise 1: the largest mass that y₃ passes through under DPO from (.01, .64, .35)."""
    value = number(mass, "a mass", 0.0, 1.0)
    peak = float(unseen_peak(*REFERENCE))
    if abs(value - peak) > 0.005:
        side = "more" if peak > value else "less"
        raise Wrong(f"y₃ reaches {side} than {value:g}. Where is p₁eˢ + p₂e⁻ˢ smallest, and how small is it there?")
    return f"p₃/(p₃ + 2 √(p₁p₂)) = {peak:z.4f}."


@check
def check_return(moved: Any) -> str:
    """Exercise 2: the s > 0 at which y₃ has its first mass again."""
    value = number(moved, "s", 0.0, 20.0)
    mass = float(unseen_mass(*REFERENCE, value))
    back = math.log(REFERENCE[1] / REFERENCE[0])
    if abs(value - back) > 0.02:
        side = "above" if mass > REFERENCE[2] else "below"
        raise Wrong(f"at s = {value:g} y₃ has {mass:z.3f}, {side} the {REFERENCE[2]:g} that it began with.")
    return f"at s = ln(p₂/p₁) = {back:z.3f}, twice the peak's: until then DPO has made the unseen answer likelier."


@check
def check_reference(reference: Any) -> str:
    """Exercise 3: a reference with p₃ ≤ .05 from which DPO passes through π₃ ≥ one half."""
    p = np.asarray(Distribution("reference", "reference", least=3, most=3).accept(reference).value)
    if (p <= 0).any():
        raise Wrong("a softmax has no zeros; one of these probabilities is 0.")
    if p[2] > RARE + 1e-12:
        raise Wrong(f"y₃ should have {RARE:g} at most; it has {p[2]:.3g} once the three are divided by their sum.")
    if p[0] >= p[1]:
        raise Wrong(f"p₁ = {p[0]:.3g} is not below p₂ = {p[1]:.3g}, so y₃ only falls.")
    peak = float(unseen_peak(*p))
    if peak < 0.5:
        raise Wrong(
            f"y₃ reaches {peak:z.3f}. At the peak y₁ and y₂ have √(p₁p₂) each before dividing; what makes it small?"
        )
    known = PRESETS["y1-very-rare"].values.reference
    if np.allclose(p, known):
        raise Wrong("that is the preset y1-very-rare: find one of your own.")
    return f"from {p[2]:.3g} to {peak:z.2f}, without a single comparison."
