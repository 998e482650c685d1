"""Predictions and exercises of notebook 01; every answer is computed, none is written down."""

import math
from typing import Any

import numpy as np

from modeseek.bandit.categorical.methods import best_of_n_distribution, preference_probabilities
from modeseek.bandit.categorical.metrics import kl
from modeseek.bandit.explore.first_steps.model import FirstStepsModel
from modeseek.bandit.explore.first_steps.presets import ANSWERS, STEPS
from modeseek.bandit.explore.toolkit.checks import Wrong, check, number
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth

RARE = (0.46, 0.26, 0.16, 0.11, 0.01)
"""A reference that hardly knows the best answer."""
WANTED = 0.9
"""Probability of the preference in exercise 1."""
PAIR = ((0.5, 0.5), (0.25, 0.75))
"""Policy and reference of exercise 2."""
SHARE = 0.5
"""Least share of the best answer in exercise 3."""
BETA, GROWN = 0.5, 4.0
"""β and the grown margin, nats, of exercise 4."""


def predict_first() -> Prediction:
    """Whom does the first step of a policy gradient pull up most?"""

    def truth() -> Truth:
        model = FirstStepsModel("policy-gradient", reference=RARE)
        assert model.result.pulls is not None
        pulls = model.result.pulls[0]
        advantages = model.result.shown.values[0]
        return Truth(
            int(np.array([pulls[4], pulls[1], -np.inf]).argmax()),
            "The pull is π times the advantage, w = π A: how often an answer comes, times how much better it is than "
            f"the average. On y₅ it is {RARE[4]:z.2f} · {advantages[4]:z.2f} = {pulls[4]:z.3f}, on y₂ "
            f"{RARE[1]:z.2f} · {advantages[1]:z.2f} = {pulls[1]:z.3f}. A policy that learns from its own answers "
            "learns little from those that it hardly gives, however good they are.",
        )

    return Prediction(
        "The policy starts at a reference that gives y₅, the best answer (reward 1.5), once in a hundred times, and y₂ "
        "(reward .5) about once in four. Which answer does the first step of a policy gradient pull up most?",
        ("y₅, the best one.", "y₂, which is good and common.", "Both alike: both are better than the average."),
        truth,
    )


def predict_end() -> Prediction:
    """Where do a policy gradient and DPO with one β come to rest?"""

    def truth() -> Truth:
        ends = [FirstStepsModel(preset).result for preset in ("policy-gradient", "dpo")]
        assert ends[0].rest is not None
        assert ends[1].rest is not None
        apart = float(np.abs(ends[0].rest - ends[1].rest).max())
        best = [float(end.rest[4]) for end in ends if end.rest is not None]
        now = [float(np.exp(end.log_probs[STEPS, 4])) for end in ends]
        option = 2 if apart < 1e-9 else int(best[1] > best[0])
        return Truth(
            option,
            f"Both rest at π_ref exp(r/β)/Z, which gives y₅ {best[0]:z.3f}: a margin of the implicit reward (eq. 4) "
            "that fits the preferences is a margin of the rewards. On the way they differ: after "
            f"{STEPS} steps y₅ has {now[0]:z.2f} by the policy gradient and {now[1]:z.2f} by DPO, each at its preset's "
            "learning rate. And it takes comparisons of all the answers (notebook 02 leaves one out) by judges who "
            "differ: if they always agreed, DPO would not come to rest, and y₅ would get everything.",
        )

    return Prediction(
        "A policy gradient is told the rewards of its own answers. DPO is told only which of two answers of the "
        "reference is preferred, by judges who differ as Bradley and Terry say, of as many pairs as it likes. Both "
        "have the same β. If each is trained for ever, which policy gives y₅ more often?",
        ("That of the policy gradient: it knows the rewards.", "That of DPO.", "They are the same policy."),
        truth,
    )


@check
def check_gap(gap: Any) -> str:
    """Exercise 1: the difference of rewards at which the better answer is preferred nine times in ten."""
    value = number(gap, "a difference of rewards", -50.0, 50.0)
    found = float(preference_probabilities(np.array([value, 0.0]))[0, 1])
    exact = math.log(WANTED / (1.0 - WANTED))
    if abs(value - exact) > 0.02:
        raise Wrong(f"at a difference of {value:g} it is preferred with probability {found:z.3f}, not {WANTED:g}.")
    return f"σ(d) = {WANTED:g} where d = log({WANTED:g}/{1 - WANTED:.1g}) = {exact:z.3f}."


@check
def check_kl(nats: Any) -> str:
    """Exercise 2: KL((.5, .5) ‖ (.25, .75)), to a hundredth of a nat."""
    value = number(nats, "a divergence in nats", -10.0, 10.0)
    policy, reference = (np.array(each) for each in PAIR)
    exact, other = (float(kl(np.log(p), p, np.log(q))) for p, q in ((policy, reference), (reference, policy)))
    if abs(value - exact) <= 0.005:
        return f"½ log(½/¼) + ½ log(½/¾) = {exact:z.3f} nats; the other way round it would be {other:z.3f}."
    if abs(value - other) <= 0.005:
        raise Wrong("that is KL(π_ref ‖ π), the other way round: the logarithms are weighed by the policy here.")
    if abs(value - exact / math.log(2.0)) <= 0.005:
        raise Wrong("that is in bits: take the natural logarithm.")
    if value < 0:
        raise Wrong("single terms may be negative, but their sum never is.")
    raise Wrong(
        f"it is {'more' if exact > value else 'less'} than {value:g}. Two terms, π log π/π_ref, one per answer."
    )


@check
def check_draws(draws: Any) -> str:
    """Exercise 3: the smallest N at which the best of N answers of the reference is y₅ half of the time."""
    value = number(draws, "N", 0.0, 10_001.0)
    if value != round(value):
        raise Wrong(f"N is a whole number of draws; this is {value:g}.")
    problem = FirstStepsModel("best-of-n").result.problem

    def share(count: float) -> float:
        return float(np.exp(best_of_n_distribution(problem.log_reference, problem.rewards, count))[-1])

    found = share(value)
    if found < SHARE:
        raise Wrong(f"the best of {value:g} is {ANSWERS[-1]} with probability {found:z.3f}: not yet half of the time.")
    if value > 1 and share(value - 1.0) >= SHARE:
        raise Wrong(f"{value:g} is enough, and so is one less.")
    missed = 1.0 - float(np.exp(problem.log_reference[-1]))
    return (
        f"1 − {missed:g}^{value:g} = {found:z.3f}: {ANSWERS[-1]} is missed by all the draws less than half of the time."
    )


@check
def check_pull(at_reference: Any, at_four_nats: Any) -> str:
    """Exercise 4: DPO's pull on the chosen answer of one pair, where its margin is 0 and where it has grown."""
    given = [number(each, "a pull", -10.0, 10.0) for each in (at_reference, at_four_nats)]
    exact = [BETA * dpo_weight(BETA * margin) for margin in (0.0, GROWN)]
    for value, true, margin in zip(given, exact, (0.0, GROWN), strict=True):
        if abs(value - true) <= 0.005:
            continue
        where = f"where the margin is {margin:g}"
        if abs(value + true) <= 0.005:
            raise Wrong(f"{where} the chosen answer is pulled up: w is minus the derivative of the loss.")
        if abs(value - true / BETA) <= 0.005:
            raise Wrong(f"{where} that is σ(−βm): the loss has βm in it, so its derivative by m has a β in front.")
        if abs(value - (BETA - true)) <= 0.005:
            raise Wrong(f"{where} that is β σ(βm), which grows with the margin. How much is there still to learn?")
        raise Wrong(f"{where} it is {'more' if true > value else 'less'} than {value:g}: w = β σ(−βm).")
    return f"β/2 = {exact[0]:g} at the reference, and β σ(−β · {GROWN:g}) = {exact[1]:z.3f} later: the pull fades."


def dpo_weight(scaled: float) -> float:
    """σ(−βm) of DPO's pull at βm."""
    return 1.0 / (1.0 + math.exp(scaled))
