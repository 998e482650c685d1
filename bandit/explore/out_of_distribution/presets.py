"""What the explorer of three answers is set to, and its presets."""

from dataclasses import dataclass

from modeseek.bandit.explore.toolkit.values import Preset, SteppedValues, choice, distribution, number

OPTIMIZERS = {"adam": "Adam", "flow": "continuous time"}


@dataclass(frozen=True)
class OutOfDistributionValues(SteppedValues):
    """Reference, rewards relative to the rejected answer (`gap` of the preferred, `unseen` of the third), β and τ."""

    preset: str = "y1-rare"
    reference: tuple[float, ...] = distribution(
        "reference π",
        default=(0.02, 0.6, 0.38),
        least=3,
        most=3,
        names=("y₁", "y₂", "y₃"),
        help="The reference's probabilities of the three answers.",
    )
    gap: float = number(
        "r₁ − r₂",
        0.05,
        8.0,
        3.0,
        log=True,
        help="By how much the preferred answer's reward exceeds the rejected one's.",
    )
    unseen: float = number(
        "r₃ − r₂", -8.0, 8.0, -3.0, help="By how much the unseen answer's reward exceeds the rejected one's."
    )
    beta: float = number(
        "β", 0.05, 5.0, 0.5, log=True, help="Weight of the reference: a larger β keeps the policy nearer to it."
    )
    tau: float = number(
        "τ of IPO",
        0.02,
        2.0,
        0.1,
        log=True,
        help="IPO's target margin is 1/(2τ) nats: a smaller τ pulls the two responses further apart.",
    )
    optimizer: str = choice("optimizer", OPTIMIZERS, "adam", help="How a gradient becomes a step.")
    step_size: float = number(
        "step size η", 0.001, 1.0, 0.05, log=True, help="How far one step goes along the gradient."
    )
    steps: int = number("steps", 20, 400, 200, whole=True, help="How many steps are computed; the player ends there.")
    step: int = number(
        "step", 0, 400, 0, whole=True, view=True, until="steps", help="After how many steps the policies are looked at."
    )


PRESETS = {
    "y1-rare": Preset(
        "p₂ ≫ p₁: pushing y₂ down feeds the unseen y₃ first", OutOfDistributionValues(), also="unseen-gains"
    ),
    "y1-very-rare": Preset(
        "a rare y₁: stopped early, DPO answers y₃ mostly",
        OutOfDistributionValues(reference=(0.001, 0.9, 0.099), beta=0.3, tau=0.05),
        also="early-stop",
    ),
    "y1-common": Preset(
        "p₁ > p₂: y₃ falls from the first step",
        OutOfDistributionValues(reference=(0.5, 0.2, 0.3)),
        also="unseen-falls",
    ),
    "unseen-is-best": Preset(
        "y₃ is the best: RL is told and finds it, DPO cannot",
        OutOfDistributionValues(reference=(0.3, 0.3, 0.4), gap=2.0, unseen=4.0),
    ),
    "noisy-labels": Preset("P(y₁ ≻ y₂) = .62: DPO and IPO rest near the peak", OutOfDistributionValues(gap=0.5)),
    "IPO-stops-short": Preset(
        "a target margin of 1 nat: IPO keeps y₃ for good", OutOfDistributionValues(gap=6.0, tau=0.5)
    ),
}
