"""What the explorer of first steps is set to; a preset is a lesson, with a learning rate that suits it."""

from dataclasses import dataclass, replace
from typing import Any

from modeseek.bandit.explore.toolkit.values import Preset, SteppedValues, choice, distribution, number

ANSWERS = ("y₁", "y₂", "y₃", "y₄", "y₅")
RATED = (-1.0, 0.5, 0.0, -1.5)
"""Rewards of the first four answers; that of the last is the reader's to set."""
STEPS = 60
"""Gradient steps of a run."""


@dataclass(frozen=True)
class FirstStepsValues(SteppedValues):
    """The reference, the reward of y₅, the answer that it is compared with, and the methods' numbers."""

    preset: str = "preference"
    reference: tuple[float, ...] = distribution(
        "reference π_ref",
        default=(0.45, 0.25, 0.15, 0.1, 0.05),
        least=5,
        most=5,
        names=ANSWERS,
        help="How often the model gives each answer before training.",
    )
    reward: float = number("reward of y₅", -3.0, 3.0, 1.5, help="How good the fifth answer is.")
    other: str = choice(
        "compared with",
        {f"y{k + 1}": name for k, name in enumerate(ANSWERS)},
        "y1",
        help="The answer that y₅ stands beside in a preference.",
    )
    beta: float = number(
        "β (τ of IPO)",
        0.1,
        3.0,
        0.5,
        log=True,
        help="What a nat of KL costs: a larger β keeps the policy nearer to the reference.",
    )
    draws: int = number(
        "N of Best-of-N", 1, 64, 4, whole=True, help="How many answers are drawn, of which the best is kept."
    )
    learning_rate: float = number(
        "learning rate η", 0.05, 50.0, 1.0, log=True, help="How far one step goes along the gradient."
    )
    step: int = number(
        "step", 0, STEPS, 0, whole=True, view=True, help="After how many gradient steps the policy is looked at."
    )


def _lesson(shows: str, **values: Any) -> Preset[FirstStepsValues]:
    return Preset(shows, replace(FirstStepsValues(), **values))


PRESETS = {
    "preference": _lesson("two rewards make the probability of a preference"),
    "kl": _lesson("a policy is bent towards reward, and KL is what that costs"),
    "policy-gradient": _lesson("answers of its own, weighed by their advantage"),
    "ppo": _lesson("the same answers for several steps, within a band", learning_rate=1.5),
    "dpo": _lesson("pairs of the reference's answers, and a margin without end", learning_rate=15.0),
    "ipo": _lesson("pairs of the reference's answers, and a margin to reach", beta=0.15),
    "rwr": _lesson("the reference's answers, weighed by the exponential of their reward"),
    "best-of-n": _lesson("the best of N answers of the reference"),
}
