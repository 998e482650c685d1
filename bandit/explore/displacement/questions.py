"""Predictions and exercises of notebook 04; every answer is computed or read off the recorded runs."""

from typing import Any

import numpy as np

from modeseek.bandit.categorical.closed_forms import displacement_slope, displacement_turn
from modeseek.bandit.explore.displacement.presets import PRESETS
from modeseek.bandit.explore.figure18.model import Figure18Model, recorded
from modeseek.bandit.explore.toolkit.checks import Wrong, check, number
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth
from modeseek.bandit.studies.intervals import student

LENGTHS = (3, 10)
"""Lengths of the responses that the first prediction compares."""
PAIR = (0.16, 0.03)
"""π_B and π_C of exercise 1."""


def predict_length() -> Prediction:
    """One contrastive step on π_B = .3, π_C = .1: at which length does y_w fall?"""

    def truth() -> Truth:
        short, long = (float(displacement_slope(0.3, 0.1, n)) for n in LENGTHS)
        return Truth(
            {(False, False): 0, (False, True): 1, (True, True): 2}[(short < 0, long < 0)],
            f"log π(y_w) changes by η c [1 - N (π_B - π_C)]: by {short:+z.1f} η c for N = {LENGTHS[0]} and by "
            f"{long:+z.1f} η c for N = {LENGTHS[1]}. In log π(y_w) - log π(y_l) the A's cancel, so the step moves the "
            "logits of B and C alone, one up and one down. B gains, but the more likely of the two weighs more in the "
            "normaliser, and y_w pays for that N times, once for each of its tokens.",
        )

    return Prediction(
        "y_w = A…AB and y_l = A…AC, one table of token logits for all positions, π_B = .3 and π_C = .1. One gradient "
        f"step raises log π(y_w) - log π(y_l). Does log π(y_w) itself rise, for N = {LENGTHS[0]} and for N = "
        f"{LENGTHS[1]} tokens?",
        (
            "At both lengths: the loss pulls it up.",
            f"For N = {LENGTHS[0]} it rises, for N = {LENGTHS[1]} it falls.",
            "It falls at both.",
        ),
        truth,
    )


def predict_prompts() -> Prediction:
    """Figure 18: y_w's implicit reward at the end, on 5 and on 100 prompts."""

    def truth() -> Truth:
        result = Figure18Model("gpt", reward="R2").result
        (few, many), errors = result.mean[0, [0, -1], -1], result.error[0, [0, -1], -1]
        table = Figure18Model("table", reward="R2").result.mean[0, [0, -1], -1]
        runs = recorded()["chosen_implicit_reward"].sel(policy="gpt", pairs="best_worst", reward="R2")
        ends = runs.isel(prompts=[0, -1], step=-1).transpose("prompts", "seed").values.astype(np.float64)
        return Truth(
            {(True, True): 0, (True, False): 1, (False, False): 2, (False, True): 3}[(few > 0, many > 0)],
            f"Recorded, {result.seeds} seeds: y_w ends at {few:+z.2f} ± {errors[0]:z.2f} nats on {result.prompts[0]} "
            f"prompts and at {many:+z.2f} ± {errors[1]:z.2f} on {result.prompts[-1]}. All seeds have these signs, but "
            f"the 95 % intervals, {_interval(ends[0])} and {_interval(ends[1])}, contain zero. What so few seeds do "
            f"tell is the difference, {np.mean(ends[0] - ends[1]):z.1f} nats ({_interval(ends[0] - ends[1])}). A "
            f"table that cannot tell prompts apart falls with their number too, from {table[0]:+z.1f} to "
            f"{table[1]:+z.1f}, but stays above zero (policy `table`). Why, the recordings do not say. In the "
            "one-table model more prompts put more B's into one normaliser, and the trend is the same.",
        )

    return Prediction(
        "GPT-Nano, offline IPO, the best of ten responses against the worst, reward R2, 100 gradient steps (figure "
        "18). log π(y_w) - log π_ref(y_w) on the training pairs, at the end, with 5 and with 100 prompts?",
        (
            "Above zero with both.",
            "Above with 5, below with 100.",
            "Below zero with both.",
            "Below with 5, above with 100.",
        ),
        truth,
    )


def _interval(values: np.ndarray) -> str:
    """Student's 95 % interval of a mean over seeds."""
    low, high = student(values)
    return f"{low:z.1f} to {high:z.1f}"


@check
def check_length(length: Any) -> str:
    """Exercise 1: the smallest N at which one step lowers y_w, π_B = .16 and π_C = .03."""
    value = number(length, "a length", 0.0, 1000.0)
    if value != int(value):
        raise Wrong(f"a length is a whole number; this is {value:g}.")
    slope, before = (float(displacement_slope(*PAIR, n)) for n in (value, value - 1))
    if slope > 0:
        raise Wrong(f"with N = {value:g} the step still raises y_w: the slope is {slope:+z.2f}.")
    if before <= 0:
        raise Wrong(f"y_w falls with N = {value:g}, but with N = {value - 1:g} as well.")
    return f"the slope is {slope:+z.2f} for N = {value:g} and {before:+z.2f} for one token less."


@check
def check_turn(moved: Any) -> str:
    """Exercise 2: the s at which y_w turns in the preset `rejected-likelier`."""
    preset = PRESETS["rejected-likelier"].values
    value = number(moved, "s", 0.0, 20.0)
    turn = float(displacement_turn(preset.b, preset.c, preset.length))
    if abs(value - turn) > 0.02:
        z = 1 + preset.b * np.expm1(value) + preset.c * np.expm1(-value)
        product = preset.length * (preset.b * np.exp(value) - preset.c * np.exp(-value)) / z
        state = "still rising" if product < 1 else "falling already"
        raise Wrong(f"at s = {value:g}, N (π_B(s) - π_C(s)) = {product:z.2f}: y_w is {state}.")
    return f"N (π_B(s) - π_C(s)) = 1 at s = {turn:z.3f}; from there on the loss lowers what it was told to raise."


@check
def check_capacity(tables: Any) -> str:
    """Exercise 3: the fewest tables with which 100 prompts' first step raises y_w."""
    preset = PRESETS["fig18-100-prompts"].values
    value = number(tables, "a number of tables", 0.0, 101.0)
    if value != int(value):
        raise Wrong(f"a number of tables is whole; this is {value:g}.")

    def slope(shared: float) -> float:
        return float(displacement_slope(shared * preset.b, shared * preset.c, preset.length))

    mine = slope(preset.prompts / value)
    if mine <= 1e-9:
        raise Wrong(
            f"with {value:g} tables {preset.prompts / value:g} prompts share one, and the slope is {mine:+z.2f}."
        )
    if value > 1 and slope(preset.prompts / (value - 1)) > 1e-9:
        raise Wrong(f"{value:g} tables are enough, and one less is enough as well.")
    return (
        f"{preset.prompts / value:g} prompts share a table, and the slope is {mine:+z.2f}: capacity undoes "
        f"displacement."
    )
