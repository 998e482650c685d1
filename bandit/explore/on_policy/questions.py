"""Predictions and exercises of notebook 06; every answer is computed or read off the recorded grids."""

import math
from typing import Any

import numpy as np

from modeseek.bandit.explore.on_policy.model import OnPolicyModel
from modeseek.bandit.explore.on_policy.presets import BUDGET, MINIBATCH, PASSES, SIZES
from modeseek.bandit.explore.toolkit.checks import Wrong, check, number
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth

BEST_OF_TEN = 0.13
"""Mean reward R1 of the best of ten responses of the reference; the reference's own is .04."""


def predict_size() -> Prediction:
    """Which B ends highest, Best-of-N on R1, 20 passes?"""

    def truth() -> Truth:
        model = OnPolicyModel("R1-best-of-n")
        ends = model.result.reward[-1]
        each = ", ".join(f"{end:z.2f} with B = {b}" for b, end in zip(SIZES, ends, strict=True))
        return Truth(
            int(np.argmax(ends)),
            f"{each}, all after {PASSES[-1] * BUDGET // MINIBATCH} gradient steps. All begin with samples of the "
            f"reference. B = {SIZES[-1]} gets no others, and ends at what the best of ten responses of the reference "
            f"earn on average ({BEST_OF_TEN:g}): notebook 01 says that Best-of-N rests there. After a refresh it is "
            "the best of ten of a policy that is better already.",
        )

    return Prediction(
        f"Best-of-N on R1 may draw {BUDGET} samples and makes {PASSES[-1]} passes over each collection, as many "
        "gradient steps whatever B is. Which collection size ends with the highest expected reward?",
        tuple(f"B = {b}: {BUDGET // b} collection{'s' * (b < BUDGET)}." for b in SIZES),
        truth,
    )


def predict_reuse() -> Prediction:
    """Who gets farther on stale data, PPO or Best-of-N?"""

    def truth() -> Truth:
        models = {name: OnPolicyModel(f"R1-{name}") for name in ("ppo", "best-of-n")}
        column = SIZES.index(200)
        ends = {name: float(model.result.reward[-1, column]) for name, model in models.items()}
        peaks = {name: float(model.result.peak[-1, column]) for name, model in models.items()}
        tops = {name: float(model.run[200].mean("expected_reward").max()) for name, model in models.items()}
        return Truth(
            0 if ends["ppo"] > ends["best-of-n"] else 1,
            f"PPO ends at {ends['ppo']:z.2f}, Best-of-N at {ends['best-of-n']:z.2f}, at this learning rate and with so "
            "few refreshes. PPO's clip (paper I.2.4) ends the push on a response whose ratio has left 1 ± ε in the "
            f"direction of its advantage: between two refreshes PPO gets {peaks['ppo']:z.1f} nats from the behavior "
            f"policy, and Best-of-N {peaks['best-of-n']:z.1f}. While the last collection is used up PPO's reward sinks "
            f"from {tops['ppo']:z.2f} to {ends['ppo']:z.2f}, in all five seeds; Best-of-N's goes from "
            f"{tops['best-of-n']:z.2f} to {ends['best-of-n']:z.2f}.",
        )

    return Prediction(
        f"R1, {PASSES[-1]} passes over each of five collections (B = 200). Who ends higher?",
        ("PPO, which clips.", "Best-of-N, which does not."),
        truth,
    )


@check
def check_budget(steps: Any, refreshes: Any) -> str:
    """Exercise 1: gradient steps and collections of B = 500 and T = 20, in minibatches of 100."""
    given = number(steps, "a number of steps", 0.0, 1e6), number(refreshes, "a number of collections", 0.0, 1e6)
    collections = BUDGET // 500
    each = 20 * 500 // MINIBATCH
    if given[1] != collections:
        raise Wrong(f"{given[1]:g} collections of 500 samples would be {given[1] * 500:g} samples.")
    if given[0] == each:
        raise Wrong(f"{each} are taken on one collection.")
    if given[0] != each * collections:
        raise Wrong(f"{given[0]:g} gradient steps of {MINIBATCH} samples see {given[0] * MINIBATCH:g} samples in all.")
    return f"{collections} collections, {each} steps on each: T · {BUDGET}/{MINIBATCH} in all, whatever B is."


@check
def check_band(nats: Any) -> str:
    """Exercise 2: how much a token's log-probability may rise, on average, before ε = .2 clips a ten-token response."""
    value = number(nats, "a log-probability", -5.0, 5.0)
    whole = math.log(1.2)
    if abs(value - whole) < 0.005:
        raise Wrong(f"{value:g} nats is the whole response's; its log-ratio is a sum over ten tokens.")
    if abs(value - 0.02) < 5e-4:
        raise Wrong("nearly: a ratio is not its logarithm; 1.2 is exp of what?")
    if abs(value - whole / 10) > 5e-4:
        raise Wrong(
            f"ten tokens that rise by {value:g} nats each make a ratio of {math.exp(10 * value):z.3f}, not 1.2."
        )
    return f"log(1.2)/10 = {whole / 10:z.4f} nats per token: two hundredths of a nat, and PPO stops pushing."


@check
def check_peaks(best_of_n: Any, ppo: Any) -> str:
    """Exercise 3: the highest KL(policy ‖ behavior) on R1 with B = 500 and T = 20, of Best-of-N and of PPO."""
    column = SIZES.index(500)
    peaks = []
    for name, title, given in (("best-of-n", "Best-of-N", best_of_n), ("ppo", "PPO", ppo)):
        value = number(given, f"the divergence of {title}", -1.0, 1e4)
        peak = float(OnPolicyModel(f"R1-{name}").result.peak[-1, column])
        if abs(value - peak) > 0.1 * peak:
            raise Wrong(f"for {title} {value:g} nats is {'too much' if value > peak else 'too little'}.")
        peaks.append(peak)
    return f"{peaks[0]:z.1f} against {peaks[1]:z.1f} nats, {peaks[0] / peaks[1]:z.0f} times as far."
