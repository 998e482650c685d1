"""What the explorer of the negative gradient is set to, and its presets."""

from dataclasses import dataclass

from modeseek.bandit.explore.toolkit.values import Preset, SteppedValues, distribution, number

PEAKED = (0.6, 0.2, 0.1, 0.05, 0.03, 0.02)


@dataclass(frozen=True)
class NegativeValues(SteppedValues):
    """A start, a preferred and a rejected response, and the two coefficients of eq. 7."""

    preset: str = "push-rare-down"
    start: tuple[float, ...] = distribution(
        "start p", default=PEAKED, least=3, most=12, help="The policy before the first step."
    )
    chosen: int = number("preferred w", 0, 11, 0, whole=True, help="The response that the loss pulls up.")
    rejected: int = number("rejected l", 0, 11, 1, whole=True, help="The response that the loss pushes down.")
    c1: float = number("pull up c₁", 0.0, 2.0, 1.0, help="Weight of the pull on the preferred response.")
    c2: float = number("push down c₂", 0.0, 2.0, 1.0, help="Weight of the push on the rejected response.")
    step_size: float = number("step size η", 0.01, 2.0, 0.2, log=True, help="How far one step goes along the gradient.")
    steps: int = number("steps", 10, 500, 200, whole=True, help="How many steps are computed; the player ends there.")
    step: int = number(
        "step", 0, 500, 0, whole=True, view=True, until="steps", help="After how many steps the policy is looked at."
    )


def _preset(chosen: int, rejected: int, c1: float, c2: float, shows: str) -> Preset[NegativeValues]:
    return Preset(shows, NegativeValues(chosen=chosen, rejected=rejected, c1=c1, c2=c2))


PRESETS = {
    "push-rare-down": _preset(1, 5, 0.0, 1.0, "only push a rare response down: the likeliest takes it all"),
    "push-likely-down": _preset(3, 0, 0.0, 1.0, "only push the likeliest down: all others gain"),
    "E2-aligned": _preset(3, 0, 1.0, 0.5, "Lemma E.2's condition holds: the negative term helps y_w"),
    "E2-not-aligned": _preset(3, 4, 1.0, 0.5, "it does not hold: the negative term costs y_w"),
    "balanced": _preset(3, 4, 1.0, 1.0, "c₁ = c₂, as in DPO and IPO: nobody else's odds change"),
    "uniform": Preset(
        "a uniform start: everybody gains alike, the next step too",
        NegativeValues(start=(0.125,) * 8, chosen=0, rejected=7, c1=0.0),
    ),
    "pull-only": _preset(3, 0, 1.0, 0.0, "no negative gradient: likelihood training on y_w alone"),
}
