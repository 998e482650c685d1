"""The view-model of likelihood displacement: y_w = A…AB against y_l = A…AC on token logits that all positions share."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.closed_forms import displacement, displacement_slope, displacement_turn
from modeseek.bandit.explore.displacement.presets import PRESETS, DisplacementValues
from modeseek.bandit.explore.toolkit.model import ViewModel

LEFT = 0.02
"""Least mass of the tokens that the two responses share."""
RESPONSES = ("y_w = A…AB", "y_l = A…AC", "A…AA", "B…BB")


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


class DisplacementModel(ViewModel[DisplacementValues, DisplacementResult]):
    """The loss says up; why does log π(y_w) fall?"""

    kind = "displacement"
    title = "Likelihood displacement in the smallest model"
    near = ("b", "c", "prompts", "tables", "push")
    defaults = DisplacementValues()
    presets = PRESETS

    def settle(self, values: DisplacementValues, changed: str, before: DisplacementValues) -> DisplacementValues:
        """Probabilities that leave room for A, and no more tables than prompts."""
        if values.tables > values.prompts:
            values = replace(values, tables=values.prompts)
            self.notes.append(f"there are no more tables than prompts: {values.tables}")
        most = (1.0 - LEFT) / values.sharing
        total = values.b + values.c
        if total > most * (1 + 1e-12):
            if changed == "b" and values.b < most:
                values = replace(values, c=most - values.b)
            elif changed == "c" and values.c < most:
                values = replace(values, b=most - values.c)
            else:
                values = replace(values, b=values.b * most / total, c=values.c * most / total)
            self.notes.append(
                f"{values.sharing:g} prompts share a table, so π_B + π_C can be {most:.3g} at most: they are now "
                f"{values.b:.3g} and {values.c:.3g}"
            )
        return values

    def compute(self, values: DisplacementValues) -> DisplacementResult:
        """Closed forms: all that contrastive steps move is s, half the margin gained."""
        sharing, n = values.sharing, values.length
        b, c = sharing * values.b, sharing * values.c
        moved = values.push * np.arange(values.steps + 1)
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
        values, result, step = self.values, self.result, self.values.step
        product = 1.0 - result.slope
        if abs(result.slope) < 1e-9:
            verdict = "= 1: at the boundary, to first order the first step leaves y_w as it is, beyond that it falls"
        elif result.slope > 0:
            turn = "and never falls" if np.isinf(result.turn) else f"and falls from s = {result.turn:.3g} on"
            verdict = f"is below 1: y_w rises at first, {turn}"
        else:
            verdict = "is above 1: y_w falls from the first step"
        said = f"{values.prompts} prompts, {values.sharing:.3g} sharing a table" if values.prompts > 1 else "one prompt"
        each = ", ".join(f"{n} {g:+z.2f}" for n, g in zip(RESPONSES, result.gains[:, step], strict=True))
        return (
            f"{values.preset}, N = {values.length}, {said}: N Σ(π_B - π_C) = {product:.3g} {verdict}. At step {step} "
            f"(s = {result.moved[step]:.3g}, margin gained {2 * result.moved[step]:.3g} nats) log π - log π_ref is: "
            f"{each}."
        )

    def table(self) -> dict[str, Any]:
        """One row a step."""
        result = self.result
        names = ("chosen", "rejected", "shared_only", "preferred_only")
        return {"step": np.arange(result.moved.size), "moved": result.moved} | dict(
            zip((*names, "p_a", "p_b", "p_c"), (*result.gains, *result.tokens.T), strict=True)
        )
