"""What the displacement explorer is set to, and its presets: figure 18's numbers of prompts, and both sides of the
boundary."""

from dataclasses import dataclass

from modeseek.bandit.explore.toolkit.values import Preset, SteppedValues, number


@dataclass(frozen=True)
class DisplacementValues(SteppedValues):
    """Token probabilities, length, and how many prompts share how many tables of logits."""

    preset: str = "fig18-100-prompts"
    b: float = number("π_B, preferred", 0.001, 0.9, 0.2, log=True)
    c: float = number("π_C, rejected", 0.001, 0.9, 0.1, log=True)
    length: int = number("length N", 1, 50, 10, whole=True)
    prompts: int = number("prompts", 1, 100, 1, whole=True)
    tables: int = number("tables (capacity)", 1, 100, 1, whole=True, until="prompts")
    push: float = number("η c of a step", 0.001, 0.5, 0.005, log=True)
    steps: int = number("steps", 10, 500, 200, whole=True)
    step: int = number("step", 0, 500, 0, whole=True, view=True, until="steps")

    @property
    def sharing(self) -> float:
        """Prompts that share a table, on average."""
        return self.prompts / self.tables


def _preset(b: float, c: float, length: int, prompts: int, tables: int, shows: str) -> Preset[DisplacementValues]:
    return Preset(shows, DisplacementValues(b=b, c=c, length=length, prompts=prompts, tables=tables))


PRESETS = {
    "fig18-5-prompts": _preset(0.006, 0.002, 10, 5, 1, "few prompts: y_w rises, as the loss says"),
    "fig18-20-prompts": _preset(0.006, 0.002, 10, 20, 1, "more prompts: it rises a little, and turns"),
    "fig18-100-prompts": _preset(0.006, 0.002, 10, 100, 1, "many prompts: it falls from the first step"),
    "fig18-100-capacity": _preset(0.006, 0.002, 10, 100, 20, "many prompts, but a table for every five of them"),
    "one-token": _preset(0.3, 0.1, 1, 1, 1, "N = 1: nothing else to lose, so it never falls"),
    "boundary": _preset(0.2, 0.1, 10, 1, 1, "N (π_B - π_C) = 1: at the boundary"),
    "beyond": _preset(0.4, 0.1, 10, 1, 1, "N (π_B - π_C) = 3: it falls at once"),
    "rejected-likelier": _preset(0.1, 0.4, 10, 1, 1, "the rejected token is the likelier: it rises for long"),
}
