"""What the displacement explorer is set to, and its presets: figure 18's numbers of prompts, and both sides of the
boundary."""

from dataclasses import dataclass

from modeseek.bandit.explore.toolkit.values import Preset, SteppedValues, number


@dataclass(frozen=True)
class DisplacementValues(SteppedValues):
    """Token probabilities, length, and how many prompts share how many tables of logits."""

    preset: str = "fig18-100-prompts"
    b: float = number(
        "π_B, preferred", 0.001, 0.9, 0.2, log=True, help="Probability of B, with which the preferred response ends."
    )
    c: float = number(
        "π_C, rejected", 0.001, 0.9, 0.1, log=True, help="Probability of C, with which the rejected response ends."
    )
    length: int = number(
        "length N",
        1,
        50,
        10,
        whole=True,
        help="How many tokens a response has: N - 1 times A, then a B or a C.",
    )
    prompts: int = number("prompts", 1, 100, 1, whole=True, help="How many prompts have a pair.")
    tables: int = number(
        "tables",
        1,
        100,
        1,
        whole=True,
        until="prompts",
        help="How many tables of logits they share: fewer tables than prompts is a policy with less capacity.",
    )
    push: float = number(
        "η c of a step",
        0.001,
        0.5,
        0.005,
        log=True,
        help="How far one step goes: the step size times the loss's weight on the pair.",
    )
    steps: int = number("steps", 10, 500, 200, whole=True, help="How many steps are computed; the player ends there.")
    step: int = number(
        "step",
        0,
        500,
        0,
        whole=True,
        view=True,
        until="steps",
        help="After how many steps the likelihoods are looked at.",
    )

    @property
    def sharing(self) -> float:
        """Prompts that share a table, on average."""
        return self.prompts / self.tables


def _preset(b: float, c: float, length: int, prompts: int, tables: int, shows: str) -> Preset[DisplacementValues]:
    return Preset(shows, DisplacementValues(b=b, c=c, length=length, prompts=prompts, tables=tables))


PRESETS = {
    "fig18-5-prompts": _preset(0.006, 0.002, 10, 5, 1, "few prompts: y_w rises at first, and falls from s = 1.3 on"),
    "fig18-20-prompts": _preset(0.006, 0.002, 10, 20, 1, "more prompts: it rises a little, and turns at s = .13"),
    "fig18-100-prompts": _preset(0.006, 0.002, 10, 100, 1, "many prompts: it falls from the first step"),
    "fig18-100-capacity": _preset(0.006, 0.002, 10, 100, 20, "many prompts, but a table for every five of them"),
    "one-token": _preset(0.3, 0.1, 1, 1, 1, "N = 1: nothing else to lose, so it never falls"),
    "boundary": _preset(0.2, 0.1, 10, 1, 1, "N (π_B - π_C) = 1: at the boundary"),
    "beyond": _preset(0.4, 0.1, 10, 1, 1, "N (π_B - π_C) = 3: it falls at once"),
    "rejected-likelier": _preset(0.1, 0.4, 10, 1, 1, "the rejected token is the likelier: it rises for long"),
}
