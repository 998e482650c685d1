"""Predictions and exercises of notebook 09; every answer is read off stored cells, or is the verdicts' own rule."""

from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.ipo_product import Rest, ipo_product_rest
from modeseek.bandit.explore.reproduce.model import ReproduceModel
from modeseek.bandit.explore.toolkit.checks import Wrong, check, number, options_of
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.studies.cells import Cell, Results
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.reproduce.cells import HEADLINES, REMEDIES
from modeseek.bandit.studies.reproduce.claims import TABLE3
from modeseek.bandit.studies.reproduce.measures import FINAL_KL, FINAL_REWARD, REWARD
from modeseek.bandit.studies.reproduce.store import responses_in
from modeseek.bandit.studies.verdicts import decide
from modeseek.checks import require

CEILING = 0.98
"""A mean reward from here on counts as the ceiling."""


class Ends(NamedTuple):
    """Where a cell's fresh seeds end: mean reward, its standard error, mean KL(policy ‖ reference) in nats.

    Attributes:
        rate: the learning rate that they were run at.
        seeds: those that did not diverge.
    """

    reward: float
    error: float
    nats: float
    rate: float
    seeds: int


def _ends(cell: Cell, results: Results) -> Ends:
    rewards, nats = (fresh_values(level(measure, cell), results) for measure in (FINAL_REWARD, FINAL_KL))
    finite = rewards[np.isfinite(rewards)]
    error = float(finite.std(ddof=1) / np.sqrt(finite.size))
    rate = float(results[cell].attrs["learning_rate"])
    return Ends(float(finite.mean()), error, float(np.nanmean(nats)), rate, finite.size)


def of_table3(method: str, conventions: str) -> Ends:
    """Where a method ends on R1 under a reading of the paper, at the rate of its grid that tuning seeds choose.

    Raises:
        ValueError: the cell is not stored.
    """
    cell, result = HEADLINES[method, "R1"], ReproduceModel("table3", conventions=conventions).result
    row = next(row for row in result.rows if cell in row.contrast.cells)  # of the most seeds that there are
    require(bool(row.cells), f"{cell.name} is not stored under {conventions}. Make it with `{result.command}`")
    return _ends(cell, row.cells)


def remedied() -> dict[str, Ends]:
    """By remedy.

    Raises:
        ValueError: a cell of the remedies is not stored.
    """
    result = ReproduceModel("remedies").result
    if result.missing:
        raise ValueError(f"cells are missing: {', '.join(result.missing)}. Make them with `{result.command}`")
    return {name: _ends(remedy.cell, result.cells) for name, remedy in REMEDIES.items()}


def predict_discarded() -> Prediction:
    """On-policy IPO on R1 with the reference's tails discarded, where it was held back with the tails piled up."""

    def truth() -> Truth:
        plain = remedied()["none"]
        piled, discarded, released = (
            of_table3("on_policy_ipo", name) for name in ("paper", "figure2", "released_code")
        )
        option = 0 if discarded.reward < 0.6 else 1 if discarded.reward < 0.9 else 2
        return Truth(
            option,
            f"{discarded.reward:z.2f} ± {discarded.error:z.2f} over {discarded.seeds} fresh seeds, at "
            f"{discarded.rate:g}. With the tails piled up {plain.reward:z.2f} ± {plain.error:z.2f} over {plain.seeds}, "
            f"at the best of three learning rates (.001 to .01), {plain.nats:z.0f} nats from the reference; at "
            f"{piled.rate:g}, which tuning on the paper's ten chooses, {piled.reward:z.2f} ± {piled.error:z.2f} over "
            f"{piled.seeds}. With the released code's conventions, which score a token with logits that have read it "
            f"already: {released.reward:z.2f} over {released.seeds}; Table 3 says {TABLE3['on_policy_ipo'].value}.",
        )

    return Prediction(
        f"Table 3: on-policy IPO and PPO end at {TABLE3['ppo'].value} on R1. In notebook 08 on-policy IPO stayed far "
        "below that. There the reference is made of random numbers with long tails (Cauchy's), and those outside "
        "(-1, 1) are piled up in the outer bins, tokens 0 and 99. Let them be discarded, the other reading of the "
        "paper's “clip”. Where does on-policy IPO end, at its best rate?",
        ("Below .6, as with the tails piled up.", "Between .6 and .9.", "Above .9."),
        truth,
    )


def _rest_of_independent_tokens() -> Rest:
    """Where on-policy IPO rests on R1 with the remedies' reference, if tokens are drawn independently."""
    cell = REMEDIES["none"].cell
    there = responses_in(ReproduceModel("remedies").result.cells[cell])
    assert there is not None  # their reference stands still
    return ipo_product_rest(there, HyperParameters().tau)


def predict_remedy() -> Prediction:
    """What lifts it?"""
    options = {"longer": "Four times as many steps.", "gap": "Pairs with a clear gap in reward only."}
    options |= {
        "best-worst": "The best response against the worst only.",
        "large-margin": "A margin target five times as far.",
    }

    def truth() -> Truth:
        found = remedied()
        ends = ", ".join(f"{name} {found[name].reward:z.2f}" for name in options)
        best = max(options, key=lambda name: found[name].reward)
        rest = _rest_of_independent_tokens()
        reach = "; ".join(f"{REMEDIES[n].title} ({e.reward:z.2f})" for n, e in found.items() if e.reward > CEILING)
        return Truth(
            list(options).index(best),
            f"{ends}. IPO's loss is (margin - 1/(2τ))²: with τ = .05 it asks 10 nats of a pair, relative to a fixed "
            f"reference. A policy that draws its tokens independently then rests at {rest.reward:z.2f}, "
            f"{rest.nats:z.1f} nats from the reference, and networks near it. What reaches the ceiling: {reach}.",
        )

    return Prediction(
        "With the tails piled up, where on-policy IPO ends below the ceiling on R1: which of these lifts it there?",
        tuple(options.values()),
        truth,
    )


@check
def check_no_effect(low: Any, high: Any) -> str:
    """Exercise 1: an interval that contains zero and still decides a claim of "more" about rewards."""
    low, high = number(low, "the lower end", -1.0, 1.0), number(high, "the upper end", -1.0, 1.0)
    if low >= high:
        raise Wrong(f"an interval runs from its lower to its upper end; this one from {low:g} to {high:g}.")
    word = decide(low, high, "more", REWARD.negligible)
    if not low < 0 < high:
        raise Wrong(f"it should contain zero; with {low:g} to {high:g} the verdict is “{word}”.")
    if word == "undecided":
        raise Wrong(
            f"{low:g} to {high:g} is undecided: an effect that matters (more than {REWARD.negligible}) is still "
            "possible. What would rule that out?"
        )
    return (
        f"{low:g} to {high:g} lies within ±{REWARD.negligible}: “{word}”. Absence of evidence would be a wide interval "
        "instead."
    )


@check
def check_remedies(names: Any) -> str:
    """Exercise 2: every remedy that reaches the ceiling on R1."""
    found = remedied()
    given = options_of(names, {name: remedy.title for name, remedy in REMEDIES.items()}, "a remedy")
    reach = {name for name, ends in found.items() if ends.reward > CEILING}
    if wrong := sorted(given - reach):
        raise Wrong(f"{wrong[0]} ends at {found[wrong[0]].reward:z.2f} only.")
    if len(given) < len(reach):
        raise Wrong(f"those do, but there are more: {len(given)} of {len(reach)}.")
    return ", ".join(f"{name} {found[name].reward:z.2f}" for name in sorted(reach)) + "."


@check
def check_tau(tau: Any) -> str:
    """Exercise 3: the τ of IPO whose target margin is 50 nats."""
    value = number(tau, "τ", 0.0, 10.0)
    target = 1 / (2 * value)
    if abs(target - 50) > 0.5:
        raise Wrong(f"with τ = {value:g} the loss (margin - 1/(2τ))² is smallest at {target:.3g} nats.")
    return f"1/(2 · {value:g}) = {target:g} nats, the remedy `large-margin`."
