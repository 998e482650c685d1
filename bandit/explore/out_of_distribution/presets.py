"""What the explorer of three answers is set to, and its presets."""

from dataclasses import dataclass

from modeseek.bandit.explore.toolkit.values import Preset, SteppedValues


@dataclass(frozen=True)
class OutOfDistributionValues(SteppedValues):
    """Reference, rewards relative to the rejected answer (`gap` of the preferred, `unseen` of the third), β and τ."""

    preset: str = "unseen-gains"
    reference: tuple[float, ...] = (0.02, 0.6, 0.38)
    gap: float = 3.0
    unseen: float = -3.0
    beta: float = 0.5
    tau: float = 0.1
    optimizer: str = "adam"
    step_size: float = 0.05
    steps: int = 200
    step: int = 0


PRESETS = {
    "unseen-gains": Preset("p₂ ≫ p₁: pushing y₂ down feeds the unseen y₃ first", OutOfDistributionValues()),
    "early-stop": Preset(
        "a rare y₁: stopped early, DPO answers y₃ mostly",
        OutOfDistributionValues(reference=(0.001, 0.9, 0.099), beta=0.3, tau=0.05),
    ),
    "unseen-falls": Preset("p₁ > p₂: y₃ falls from the first step", OutOfDistributionValues(reference=(0.5, 0.2, 0.3))),
    "unseen-is-best": Preset(
        "y₃ is the best: RL is told and finds it, DPO cannot",
        OutOfDistributionValues(reference=(0.3, 0.3, 0.4), gap=2.0, unseen=4.0),
    ),
    "noisy-labels": Preset("P(y₁ ≻ y₂) = .62: DPO and IPO rest near the peak", OutOfDistributionValues(gap=0.5)),
    "IPO-stops-short": Preset(
        "a target margin of 1 nat: IPO keeps y₃ for good", OutOfDistributionValues(gap=6.0, tau=0.5)
    ),
}
