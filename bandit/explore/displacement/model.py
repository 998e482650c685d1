"""The view-model of likelihood displacement: y_w = A…AB against y_l = A…AC on token logits that all positions share."""

from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.closed_forms import displacement, displacement_slope, displacement_turn
from modeseek.bandit.explore.toolkit.controls import Choice, Number
from modeseek.bandit.explore.toolkit.model import ViewModel

LEFT = 0.02
"""Least mass of the tokens that the two responses share."""
RESPONSES = ("y_w = A…AB", "y_l = A…AC", "A…AA", "B…BB")


class Preset(NamedTuple):
    """Token probabilities, length, and how many prompts share how many tables of logits."""

    b: float
    c: float
    length: int
    prompts: int
    tables: int
    shows: str


PRESETS = {
    "fig18-5-prompts": Preset(0.006, 0.002, 10, 5, 1, "few prompts: y_w rises, as the loss says"),
    "fig18-20-prompts": Preset(0.006, 0.002, 10, 20, 1, "more prompts: it rises a little, and turns"),
    "fig18-100-prompts": Preset(0.006, 0.002, 10, 100, 1, "many prompts: it falls from the first step"),
    "fig18-100-capacity": Preset(0.006, 0.002, 10, 100, 20, "many prompts, but a table for every five of them"),
    "one-token": Preset(0.3, 0.1, 1, 1, 1, "N = 1: nothing else to lose, so it never falls"),
    "boundary": Preset(0.2, 0.1, 10, 1, 1, "N (π_B - π_C) = 1: at the boundary"),
    "beyond": Preset(0.4, 0.1, 10, 1, 1, "N (π_B - π_C) = 3: it falls at once"),
    "rejected-likelier": Preset(0.1, 0.4, 10, 1, 1, "the rejected token is the likelier: it rises for long"),
}


class DisplacementResult(NamedTuple):
    """Everything the views show; E = steps + 1.

    Attributes:
        b: π_B of one table, summed over the prompts that share it.
        c: π_C, likewise.
        slope: d log π(y_w) / d(η c) of the first step: 1 - N (b - c).
        turn: the s from which y_w falls.
        moved: s at every step, `[E]`.
        gains: log π - log π_ref of `RESPONSES`, `[4, E]`.
        tokens: probabilities of A (all that is neither), B and C, each summed over prompts, `[E, 3]`.
    """

    b: float
    c: float
    slope: float
    turn: float
    moved: np.ndarray
    gains: np.ndarray
    tokens: np.ndarray


class DisplacementModel(ViewModel):
    """The loss says up; why does log π(y_w) fall?"""

    kind = "displacement"
    title = "Likelihood displacement in the smallest model"
    controls = (
        Choice("preset", "preset", {n: f"{n}: {p.shows}" for n, p in PRESETS.items()}, "fig18-100-prompts"),
        Number("b", "π_B, preferred", 0.001, 0.9, 0.2, log=True),
        Number("c", "π_C, rejected", 0.001, 0.9, 0.1, log=True),
        Number("length", "length N", 1, 50, 10, whole=True),
        Number("prompts", "prompts", 1, 100, 1, whole=True),
        Number("tables", "tables (capacity)", 1, 100, 1, whole=True),
        Number("push", "η c of a step", 0.001, 0.5, 0.005, log=True),
        Number("steps", "steps", 10, 500, 200, whole=True),
        Number("step", "step", 0, 500, 0, whole=True, view=True),
    )

    def limits(self, name: str) -> tuple[float, float]:
        """No more tables than prompts; the player ends with the run."""
        if name == "tables":
            return 1.0, float(self.values["prompts"])
        return (0.0, float(self.values["steps"])) if name == "step" else super().limits(name)

    def preset(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """Its six numbers."""
        return {key: value for key, value in PRESETS[name]._asdict().items() if key != "shows"}

    def settle(self, values: dict[str, Any], changed: str, before: dict[str, Any]) -> dict[str, Any]:
        """Probabilities that leave room for A; no more tables than prompts; a step of the run."""
        values = dict(values)
        if values["tables"] > values["prompts"]:
            values["tables"] = values["prompts"]
            self.notes.append(f"there are no more tables than prompts: {values['tables']}")
        sharing = _sharing(values)
        most = (1.0 - LEFT) / sharing
        total = values["b"] + values["c"]
        if total > most * (1 + 1e-12):
            if changed in ("b", "c") and values[changed] < most:
                other = "c" if changed == "b" else "b"
                values[other] = most - values[changed]
            else:
                values |= {each: values[each] * most / total for each in ("b", "c")}
            self.notes.append(
                f"{sharing:g} prompts share a table, so π_B + π_C can be {most:.3g} at most: they are now "
                f"{values['b']:.3g} and {values['c']:.3g}"
            )
        return values | {"step": min(values["step"], values["steps"])}

    def compute(self, values: dict[str, Any]) -> DisplacementResult:
        """Closed forms: all that contrastive steps move is s, half the margin gained."""
        sharing, n = _sharing(values), values["length"]
        b, c = sharing * values["b"], sharing * values["c"]
        moved = values["push"] * np.arange(values["steps"] + 1)
        chosen = displacement(b, c, n, moved)
        rest = chosen - moved  # -N log Z
        tokens = np.stack([np.full(moved.shape, 1.0 - b - c), b * np.exp(moved), c * np.exp(-moved)], -1)
        return DisplacementResult(
            b,
            c,
            float(displacement_slope(b, c, n)),
            float(displacement_turn(b, c, n)),
            moved,
            np.stack([chosen, rest - moved, rest, rest + n * moved]),
            tokens / tokens.sum(-1, keepdims=True),
        )

    def caption(self) -> str:
        """Side of the boundary, turning point, and all four responses at this step."""
        values, result, step = self.values, self.result, self.values["step"]
        product = 1.0 - result.slope
        if abs(result.slope) < 1e-9:
            verdict = "= 1: at the boundary, the first step leaves y_w as it is"
        elif result.slope > 0:
            turn = "and never falls" if np.isinf(result.turn) else f"and falls from s = {result.turn:.3g} on"
            verdict = f"is below 1: y_w rises at first, {turn}"
        else:
            verdict = "is above 1: y_w falls from the first step"
        sharing = _sharing(values)
        said = f"{values['prompts']} prompts, {sharing:.3g} sharing a table" if values["prompts"] > 1 else "one prompt"
        each = ", ".join(f"{n} {g:+.2f}" for n, g in zip(RESPONSES, result.gains[:, step], strict=True))
        return (
            f"{values['preset']}, N = {values['length']}, {said}: N Σ(π_B - π_C) = {product:.3g} {verdict}. At "
            f"step {step} "
            f"(s = {result.moved[step]:.3g}, margin gained {2 * result.moved[step]:.3g} nats) log π - log π_ref "
            f"is: {each}."
        )

    def table(self) -> dict[str, Any]:
        """One row a step."""
        result = self.result
        names = ("chosen", "rejected", "shared_only", "preferred_only")
        return {"step": np.arange(result.moved.size), "moved": result.moved} | dict(
            zip((*names, "p_a", "p_b", "p_c"), (*result.gains, *result.tokens.T), strict=True)
        )


def _sharing(values: dict[str, Any]) -> float:
    """Prompts that share a table, on average."""
    return float(values["prompts"] / values["tables"])
