"""Predictions and exercises of notebook 06; every answer is computed or read off the recorded grids."""

import math
from typing import Any

import numpy as np

from modeseek.bandit.explore.on_policy.model import OnPolicyModel
from modeseek.bandit.explore.on_policy.presets import BUDGET, MINIBATCH, PASSES, SIZES
from modeseek.bandit.explore.toolkit.checks import Wrong, check, number
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth


def predict_size() -> Prediction:
    """Which B ends highest, Best-of-N on R1, 20 passes?"""

    def truth() -> Truth:
        model = OnPolicyModel("R1-best-of-n")
        ends, peaks = model.result.reward[-1], model.result.peak[-1]
        each = ", ".join(f"{end:z.2f} with B = {b}" for b, end in zip(SIZES, ends, strict=True))
        return Truth(
            int(np.argmax(ends)),
            f"{each}, all after {PASSES[-1] * BUDGET // MINIBATCH} gradient steps. The first collection is sampled "
            "from the reference, which hardly ever shows what R1 rewards; a refreshed policy samples nearer to it. "
            f"KL(policy ‖ behavior) climbs to {peaks[0]:z.1f} nats between refreshes with B = {SIZES[0]}, and to "
            f"{peaks[-1]:z.1f} without any.",
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
        grids = {name: OnPolicyModel(f"R1-{name}").result for name in ("ppo", "best-of-n")}
        column = SIZES.index(200)
        ends = {name: float(grid.reward[-1, column]) for name, grid in grids.items()}
        peaks = {name: float(grid.peak[-1, column]) for name, grid in grids.items()}
        return Truth(
            0 if ends["ppo"] > ends["best-of-n"] else 1,
            f"PPO ends at {ends['ppo']:z.2f}, Best-of-N at {ends['best-of-n']:z.2f}. PPO's clip (paper I.2.4) stops "
            "the gradient of a response whose ratio has left 1 ± ε in the direction of its advantage: between two "
            f"refreshes it gets {peaks['ppo']:z.1f} nats from the behavior policy, and Best-of-N "
            f"{peaks['best-of-n']:z.1f}. A leash is safe, "
            "and costs what those nats would have bought, at this learning rate and with so few refreshes.",
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
    return f"log(1.2)/10 = {whole / 10:z.4f} nats a token: two hundredths of a nat, and PPO stops pushing."


@check
def check_peak(samples: Any, nats: Any) -> str:
    """Exercise 3: the collection size with the highest KL(policy ‖ behavior), Best-of-N on R1, T = 20; and that KL."""
    size, value = number(samples, "a collection size", 0.0, 1e5), number(nats, "a divergence", -1.0, 1e4)
    if size not in SIZES:
        raise Wrong(f"B is one of {', '.join(map(str, SIZES))}; this is {size:g}.")
    peaks = OnPolicyModel("R1-best-of-n").result.peak[-1]
    best = int(np.argmax(peaks))
    if SIZES[best] != size:
        raise Wrong(f"B = {size:g} peaks at {peaks[SIZES.index(int(size))]:z.1f} nats, and another one higher.")
    if abs(value - peaks[best]) > 0.1 * peaks[best]:
        raise Wrong(f"B = {size:g} it is; {value:g} is {'too much' if value > peaks[best] else 'too little'}.")
    return f"{peaks[best]:z.1f} nats with B = {size:g}."
