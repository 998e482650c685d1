"""An assessment: questions whose answers are computed, so that a teacher may change the numbers, and what earns points.

Each maker takes the numbers that it asks about, and raises `ValueError` where they make no question; `ASSESSMENT` has
one of each.
"""

import math
from dataclasses import dataclass

import numpy as np

from modeseek.bandit.categorical.closed_forms import displacement_slope, logarithmic_mean, unseen_peak
from modeseek.bandit.categorical.contrast import push_down_gains
from modeseek.bandit.categorical.simplex import check_distribution
from modeseek.bandit.explore.kl.model import KLModel
from modeseek.checks import positive, require, whole


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        objective: number of the course's objective that it is about, from 1.
        asks: the question.
        answer: computed.
        rubric: points, and for what.
    """

    objective: int
    asks: str
    answer: str
    rubric: tuple[tuple[int, str], ...]

    @property
    def points(self) -> int:
        """In all."""
        return sum(points for points, _ in self.rubric)


def pushes(start: tuple[float, ...] = (0.7, 0.2, 0.1), target: tuple[float, ...] = (0.1, 0.3, 0.6)) -> Question:
    """One gradient step of both divergences (eqs. 12, 13)."""
    p, q = _distribution("start", start), _distribution("target", target)
    rise = int(np.argmax(q - p))
    require(rise > 0, "start and target: another category than 0, which the others are compared with, must gain most")
    model = KLModel(start=start, target=target, step_size=0.001)
    forward, reverse = (each - each[0] for each in model.result.push[:, 0])
    more = "Forward" if forward[rise] > reverse[rise] else "Reverse"
    change = ", ".join(f"{forward[k]:+z.2f} and {reverse[k]:+z.2f}" for k in range(1, p.size))
    return Question(
        2,
        f"One logit per category, p = {_list(p)}, q = {_list(q)}. For a small step η, how much more does log p "
        "change in categories 1, 2, … than in category 0, in units of η: for KL(q ‖ p), and for KL(p ‖ q)? Which of "
        f"the two moves category {rise} more against category 0, and why?",
        f"From category 1 on, forward and reverse: {change}. {more} KL moves category {rise} more. "
        "Forward KL pushes by q - p; reverse KL by "
        "p [log(q/p) + KL(p ‖ q)], which is small where p is.",
        (
            (2, "both pushes, or one with its formula"),
            (1, "differences, so that the constants Z cancel"),
            (1, "the factor p is named as the reason"),
        ),
    )


def separation(p: float = 0.15, q1: float = 0.4, q2: float = 0.1) -> Question:
    """Case 1 of Theorem E.5."""
    for name, value in (("p", p), ("q1", q1), ("q2", q2)):
        positive(name, value)
    require(q1 != q2, f"q1 and q2 must differ, got {q1:g}")
    require(max(2 * p, q1 + q2) <= 1, f"p and p, and q1 and q2, must sum to at most 1, got {2 * p:g} and {q1 + q2:g}")
    mean = float(logarithmic_mean(q1, q2))
    which = "reverse" if p > mean else "forward"
    return Question(
        2,
        f"One logit per category. Two categories have p = {p:g} each, and targets {q1:g} and {q2:g}. A first, small "
        "gradient step has the same size η on both divergences: on which does it separate log p of the two more? At "
        "which p would it be as much on both?",
        f"{which.capitalize()} KL: p = {p:g} is {'above' if p > mean else 'below'} L(q₁, q₂) = (q₁ - q₂)/log(q₁/q₂) = "
        f"{mean:z.4f}, where both are equal.",
        ((1, "the right divergence"), (2, "Δf = q₁ - q₂ against Δr = p log(q₁/q₂)"), (1, "the logarithmic mean")),
    )


def push_down(p: tuple[float, ...] = (0.5, 0.3, 0.15, 0.05), rejected: int = 3) -> Question:
    """Who gets the mass of a response that is pushed down?"""
    probs = _distribution("p", p)
    whole("rejected", rejected, 0)
    require(rejected < probs.size, f"rejected must be from 0 to {probs.size - 1}, got {rejected}")
    gains = push_down_gains(probs, rejected)
    bound = float((probs * probs).sum()) - p[rejected]
    winners = [k for k in range(probs.size) if k != rejected and gains[k] > 0]
    return Question(
        3,
        f"One logit per response, counted from 0, p = {_list(probs)}. A small gradient step on the logits lowers log p "
        f"of response {rejected}, and does nothing else. Which responses gain probability?",
        f"{', '.join(map(str, winners)) or 'None'}: whoever has p_j > Σ p² - p_l = {bound:z.3f}.",
        ((1, "the condition, or the signs by hand"), (1, "Σ p² - p_l"), (1, "the right responses")),
    )


def unseen(p: tuple[float, float, float] = (0.04, 0.64, 0.32)) -> Question:
    """DPO on one comparison, and the answer that it does not mention."""
    chosen, rejected, third = _distribution("p", p, 3)
    most, peak = float(unseen_peak(*p)), 0.5 * math.log(rejected / chosen)
    return Question(
        3,
        f"DPO sees y₁ ≻ y₂ alone, always labelled like that, so that it never comes to rest. The reference has y₁ "
        f"{chosen:g}, y₂ {rejected:g}, y₃ {third:g}. What is the largest mass that y₃ passes through?",
        f"{most:z.3f}: π₃(s) = p₃/(p₃ + p₁eˢ + p₂e⁻ˢ) is largest at s = ½ log(p₂/p₁) = "
        f"{peak:z.3f}, where the other two have 2 √(p₁p₂) of the denominator."
        if peak > 0
        else f"{third:z.3f}, at the start: π₃(s) = p₃/(p₃ + p₁eˢ + p₂e⁻ˢ) is largest at s = ½ log(p₂/p₁) = "
        f"{peak:z.3f}, and training goes from s = 0 upwards, so that it falls at once.",
        ((1, "the logits of y₁ and y₂ move by ±s, that of y₃ does not"), (1, "where it peaks"), (1, "the mass")),
    )


def displaced(b: float = 0.27, c: float = 0.05) -> Question:
    """The smallest length at which a contrastive step lowers the preferred response.

    Where the slope is zero a step lowers it too, however small: along the step log π(y_w) is strictly concave.
    """
    for name, value in (("b", b), ("c", c)):
        positive(name, value)
    require(
        b - c >= 0.002 and b + c < 1, f"b - c must be .002 at least, and b + c below 1, got b = {b:g} and c = {c:g}"
    )
    length = next(n for n in range(1, 1000) if displacement_slope(b, c, n) < 1e-12)
    return Question(
        4,
        f"y_w = A…AB and y_l = A…AC, N tokens each, one table of logits, π_B = {b:g}, π_C = {c:g}. From which N on "
        "does a small step on log π(y_w) - log π(y_l) lower log π(y_w)?",
        f"N = {length}: the slope is 1 - N (π_B - π_C), and N has to be 1/(π_B - π_C) = {1 / (b - c):z.4g} at least.",
        ((1, "the A's cancel in the margin"), (1, "the slope"), (1, "the first whole number from there on")),
    )


def steps(samples: int = 1000, collection: int = 250, passes: int = 4, minibatch: int = 50) -> Question:
    """What B and T of Algorithm 1 fix."""
    for name, value in (("samples", samples), ("collection", collection), ("passes", passes), ("minibatch", minibatch)):
        whole(name, value, 1)
    require(samples % collection == 0, f"collection must divide samples, got {collection} and {samples}")
    require(collection % minibatch == 0, f"minibatch must divide collection, got {minibatch} and {collection}")
    collections = samples // collection
    each = passes * collection // minibatch
    return Question(
        5,
        f"{samples} samples in all, B = {collection} a collection, T = {passes} passes over each, minibatches of "
        f"{minibatch}. How many collections are taken, how many gradient steps in all, and how many of those on each "
        "collection?",
        f"{collections} collections, {each * collections} steps, {each} on each collection.",
        ((1, "collections"), (1, "steps in all"), (1, "steps on one collection")),
    )


def clip(epsilon: float = 0.2, tokens: int = 20) -> Question:
    """How far a token may rise before PPO's clip stops a response."""
    positive("epsilon", epsilon)
    whole("tokens", tokens, 1)
    rise = math.log(1 + epsilon)
    return Question(
        5,
        f"PPO clips a response's ratio at 1 + ε, ε = {epsilon:g}. A response has {tokens} tokens. By how many nats may "
        "each token's log-probability rise, on average, before a response with a positive advantage is pushed no more?",
        f"log(1 + ε)/{tokens} = {rise / tokens:z.4f} nats.",
        ((1, "a response's log-ratio is a sum over tokens"), (1, "the logarithm of 1 + ε"), (1, "the number")),
    )


def at_the_reference(beta: float = 0.1) -> Question:
    """DPO's loss and pull at policy = reference."""
    positive("beta", beta)
    return Question(
        1,
        f"DPO with β = {beta:g}, policy equal to the reference. What is the loss of one pair, and its derivative by "
        "log π(y_w)?",
        f"log 2 = {math.log(2):z.4f}, as the margin is 0; the derivative is -β σ(0) = {-beta / 2:g}.",
        ((1, "the margin is zero"), (1, "log 2"), (1, "-β/2, with its sign")),
    )


def _distribution(name: str, probs: tuple[float, ...], categories: int | None = None) -> np.ndarray:
    """A distribution without zeros: all here have a logit."""
    vector = check_distribution(name, probs, categories)
    require(bool((vector > 0).all()), f"{name} must be positive everywhere: a softmax has no zeros")
    return vector


def _list(vector: np.ndarray) -> str:
    return f"({', '.join(f'{each:g}' for each in vector)})"


ASSESSMENT = (at_the_reference(), pushes(), separation(), push_down(), unseen(), displaced(), steps(), clip())
"""In the order of the course's objectives."""
