"""Predictions and exercises of notebook 03; every answer is computed, none is written down."""

from dataclasses import asdict
from typing import Any

import numpy as np

from modeseek.bandit.categorical.contrast import contrastive_path, push_down_gains
from modeseek.bandit.explore.four_methods.model import METHODS, FourMethodsModel, FourMethodsValues
from modeseek.bandit.explore.negative.model import NegativeModel
from modeseek.bandit.explore.negative.presets import PRESETS
from modeseek.bandit.explore.toolkit.checks import Wrong, check, model_of, number
from modeseek.bandit.explore.toolkit.controls import Distribution
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth

TINY = 1e-4
"""η of a step that is small enough for its first order."""
PREFERRED = 0.1
"""p_w of exercise 2."""


def predict_winners() -> Prediction:
    """A rare response is pushed down: who gains?"""

    def truth() -> Truth:
        preset = PRESETS["push-rare-down"].values
        gains = push_down_gains(np.array(preset.start), preset.rejected)
        winners = np.flatnonzero(gains > 0)
        square = float(np.square(preset.start).sum())
        end = np.exp(NegativeModel("push-rare-down").result.log_probs[0, -1])
        return Truth(
            {5: 0, 1: 2}.get(winners.size, 3),
            f"Response{'s' * (winners.size != 1)} {', '.join(map(str, winners))} gain{'s' * (winners.size == 1)}. "
            "Pushing y_l down adds η c₂ p_j "
            "to every other logit: the likeliest is lifted most. After normalising, log p_j changes by η c₂ (p_j + "
            f"p_l - Σ p²), so only those above Σ p² - p_l = {square:z.3f} - {preset.start[preset.rejected]:g} gain, "
            f"and the others lose although nobody pushed them. In the long run response 0 has {end[0]:z.2f} of "
            f"the mass.",
        )

    return Prediction(
        "Six responses, counted from 0, with one logit each and p = (.6, .2, .1, .05, .03, .02). A small gradient step "
        "on the logits lowers log p of response 5, the rarest, and does nothing else. Which of the other five become "
        "more likely?",
        (
            "All five, in proportion to what they have.",
            "All five, by the same amount.",
            "Response 0 alone; the other four lose too.",
            "The rarer ones: they have most room.",
        ),
        truth,
    )


def predict_figure16() -> Prediction:
    """Which of figure 16's methods ends highest on R1 when nothing has to be sampled?"""

    def truth() -> Truth:
        model = FourMethodsModel("fig16-R1")
        reward, far = model.result.reward[:, -1], model.result.divergence[:, -1]
        each = ", ".join(
            f"{t} {r:z.2f} at {d:z.1f} nats" for t, r, d in zip(METHODS.values(), reward, far, strict=True)
        )
        plain, pushed = (list(METHODS).index(name) for name in ("best_of_n", "best_of_n_negative"))
        there = float(np.interp(far[plain], model.result.divergence[pushed], model.result.reward[pushed]))
        return Truth(
            int(reward.argmax()),
            f"After {model.values.steps} steps: {each}. Exact gradients know every token's reward, however rare it is "
            "under the reference; there RWR weighs by exp(r/β) and goes as far as β lets it (Lemma E.3: to π* "
            f"itself), while Best-of-N goes to the best of {model.values.draws} draws and no further. β, τ and N "
            "decide this order, and it says nothing against the paper's ranking, which is of samples and of "
            "sequences. The negative gradient takes Best-of-N further, in reward and in nats. At equal nats it "
            f"earns less: {there:z.2f} against {reward[plain]:z.2f} at {far[plain]:z.1f} nats.",
        )

    values = FourMethodsValues()
    return Prediction(
        "The paper's figure 16 compares four offline methods. Here on one token, reward R1: RWR (β = "
        f"{values.beta:g}), IPO (τ = {values.tau:g}), Best-of-N (N = {values.draws}), and Best-of-N with a negative "
        f"gradient of weight {values.weight:g}. Gradients are exact expectations over the reference, so no sample is "
        f"ever missing. Which method has the highest reward after {values.steps} steps?",
        tuple(METHODS.values()),
        truth,
    )


@check
def check_everybody_gains(start: Any, rejected: Any) -> str:
    """Exercise 1: a y_l that is not the likeliest and whose fall raises every other response."""
    p = np.asarray(Distribution("start", "start", least=4).accept(start).value)
    if not isinstance(rejected, int) or isinstance(rejected, bool) or not 0 <= rejected < p.size:
        raise Wrong(f"rejected is the index of one of the {p.size} responses; this is {rejected!r}.")
    if (p <= 0).any():
        raise Wrong("a softmax has no zeros; one of these probabilities is 0.")
    if p[rejected] >= p.max() - 1e-9:
        raise Wrong("that is the likeliest response: Σ p² ≤ max p makes it easy. Take another one.")
    after = np.exp(contrastive_path(p, 0, rejected, 0.0, 1.0, TINY, 1)[1])
    lost = [j for j in range(p.size) if j != rejected and after[j] <= p[j]]
    if lost:
        need = f"p_j above Σ p² - p_l = {float((p * p).sum()) - p[rejected]:z.3f}"
        raise Wrong(
            f"response {lost[0]} with p = {p[lost[0]]:.3g} falls too; to gain it needs {need}. What lowers Σ p²?"
        )
    return f"Σ p² - p_l = {float((p * p).sum()) - p[rejected]:z.3f}, and everybody else has more than that."


@check
def check_boundary(p_l: Any) -> str:
    """Exercise 2: three responses, p_w = .1, p_l and the rest; the p_l at which Lemma E.2's product is zero."""
    value = number(p_l, "p_l", 0.0, 1.0 - PREFERRED)
    p = np.array([PREFERRED, value, 1.0 - PREFERRED - value])
    product = -float(push_down_gains(p, 1)[0])
    if abs(product) > 0.002:
        side = "positive: y_w still falls with y_l" if product > 0 else "negative: y_w gains already"
        raise Wrong(f"with p_l = {value:g} the product ∇log p_w · ∇log p_l = {product:z.3f} is {side}.")
    return (
        f"the product is {product:+z.4f}. If y_l is likelier than that, y_w gains as it falls; if it is rarer, y_w "
        "falls too."
    )


@check
def check_negative_wins(answer: Any) -> str:
    """Exercise 3: change the number of draws alone so that Best-of-N + negative gradient ends above IPO on R1."""
    model, plain = model_of(answer, FourMethodsModel), asdict(FourMethodsModel("fig16-R1").values)
    given = asdict(model.values)
    changed = [name for name in plain if name not in ("draws", "step") and given[name] != plain[name]]
    if changed:
        raise Wrong(f"only the number of draws may differ from fig16-R1; {', '.join(changed)} differs too.")
    names = list(METHODS)
    alone, pushed, ipo = (
        float(model.result.reward[names.index(n), -1]) for n in ("best_of_n", "best_of_n_negative", "ipo")
    )
    if pushed <= ipo:
        raise Wrong(f"it ends at {pushed:z.3f}, IPO at {ipo:z.3f}. How rare is a draw near the peak of R1?")
    return f"{pushed:z.3f} against IPO's {ipo:z.3f}; without the negative term Best-of-N has {alone:z.3f}."
