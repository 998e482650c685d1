"""The view-model of the negative gradient: one response pulled up, one pushed down, and who gets the mass."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.contrast import contrastive_path, push_down_gains
from modeseek.bandit.categorical.simplex import policy
from modeseek.bandit.explore.negative.presets import PRESETS, NegativeValues
from modeseek.bandit.explore.toolkit.model import ViewModel


class NegativeResult(NamedTuple):
    """Everything the views show; E = steps + 1.

    Attributes:
        log_probs: `[2, E, K]`, with the negative term and with c₂ = 0.
        gains: Lemma E.2's gauge at every step of the first, `push_down_gains`, `[E, K]`.
        flow: what one step's negative term adds to every p_j, by two real steps, `[E, K]`; sums to 0.
    """

    log_probs: np.ndarray
    gains: np.ndarray
    flow: np.ndarray


class NegativeModel(ViewModel[NegativeValues, NegativeResult]):
    """Push this answer down: who gets the mass?"""

    kind = "negative"
    title = "Push an answer down: who gets the mass?"
    near = ("start", "chosen", "rejected", "c1", "c2")
    defaults = NegativeValues()
    presets = PRESETS

    def limits(self, name: str) -> tuple[float, float]:
        """Responses end where this problem's do."""
        return (0.0, len(self.values.start) - 1.0) if name in ("chosen", "rejected") else super().limits(name)

    def settle(self, values: NegativeValues, changed: str, before: NegativeValues) -> NegativeValues:
        """Positive probabilities, and two different responses.

        Raises:
            ValueError: a probability is zero.
        """
        if min(values.start) <= 0:
            raise ValueError("start p must be positive everywhere: a softmax has no zeros")
        last = len(values.start) - 1
        chosen, rejected = min(values.chosen, last), min(values.rejected, last)
        if chosen == rejected:
            other = chosen + 1 if chosen < last else chosen - 1
            chosen, rejected = (other, rejected) if changed == "rejected" else (chosen, other)
        if (chosen, rejected) != (values.chosen, values.rejected):
            self.notes.append(f"w and l are two of the {last + 1} responses: w = {chosen} and l = {rejected}")
        return replace(values, chosen=chosen, rejected=rejected)

    def compute(self, values: NegativeValues) -> NegativeResult:
        """Both runs of `contrast.contrastive_path`, and the gauge along the first."""
        start, pair = np.asarray(values.start), (values.chosen, values.rejected)
        numbers = (values.step_size, values.steps)
        log_probs = np.stack([contrastive_path(start, *pair, values.c1, c2, *numbers) for c2 in (values.c2, 0.0)])
        probs = np.exp(log_probs[0])
        probs = probs / probs.sum(-1, keepdims=True)
        gains = np.stack([push_down_gains(p, values.rejected) for p in probs])
        without = log_probs[0] - values.step_size * values.c1 * (probs - np.eye(start.size)[pair[0]])
        with_push = without - values.step_size * values.c2 * (np.eye(start.size)[pair[1]] - probs)
        return NegativeResult(log_probs, gains, policy(with_push).probs - policy(without).probs)

    def probs(self) -> np.ndarray:
        """The policy at the chosen step, `[K]`."""
        return np.asarray(np.exp(self.result.log_probs[0, self.values.step]))

    def top_other(self) -> int:
        """The response that is the likeliest at the end, other than y_w and y_l."""
        end = self.result.log_probs[0, -1].copy()
        end[[self.values.chosen, self.values.rejected]] = -np.inf
        return int(end.argmax())

    def caption(self) -> str:
        """Who gains, the gauge, and both ends, in numbers."""
        values, result, step = self.values, self.result, self.values.step
        w, low, gains = values.chosen, values.rejected, result.gains[step]
        winners = [str(j) for j in range(gains.size) if gains[j] > 0]
        said = f"only {', '.join(winners)}" if len(winners) < gains.size - 1 else "every other response"
        verdict = "holds" if gains[w] >= 0 else "fails"
        end, plain = result.log_probs[:, -1]
        top = self.top_other()
        return (
            f"{values.preset}, c₁ = {values.c1:.3g}, c₂ = {values.c2:.3g}, η = {values.step_size:.3g}, step {step} of "
            f"{values.steps}. Pushing {low} down (p = {self.probs()[low]:.3g}) raises {said}. Lemma E.2's condition "
            f"for w = {w} {verdict}: ∇log p_w·∇log p_l = {-gains[w]:z.3f}. One step's negative term moves p_w by "
            f"{result.flow[step, w]:+z.2g} and p_l by {result.flow[step, low]:+z.2g}. At the end p_w = "
            f"{np.exp(end[w]):.3g}, p_l = {np.exp(end[low]):.2g}, the likeliest other ({top}) {np.exp(end[top]):.3g}; "
            f"with c₂ = 0 they are {np.exp(plain[w]):.3g}, {np.exp(plain[low]):.2g} and {np.exp(plain[top]):.3g}."
        )

    def table(self) -> dict[str, Any]:
        """One row a step."""
        result = self.result
        steps, size = result.gains.shape
        columns: dict[str, Any] = {"step": np.arange(steps)}
        for name, values in (
            ("p", np.exp(result.log_probs[0])),
            ("p_without", np.exp(result.log_probs[1])),
            ("gain", result.gains),
            ("flow", result.flow),
        ):
            columns |= {f"{name}_{k}": values[:, k] for k in range(size)}
        return columns
