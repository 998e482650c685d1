"""Predictions and exercises of notebook 05; every answer is read off the recorded runs."""

from typing import Any

import numpy as np

from modeseek.bandit.categorical.frontier import nats_at, reward_at
from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.toolkit.checks import Wrong, check, number
from modeseek.bandit.explore.toolkit.explorer import Explorer
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth

BETWEEN = slice(35, 50)
"""Tokens on the way from the reference's bulk to R1's peak at 70."""

REINFORCE_NATS = 22
"""`nats_at_half` of REINFORCE on R1, three seeds, at PPO's learning rate; trained anew by a test."""


def predict_wave() -> Prediction:
    """Does probability travel along the token axis, or does it grow where it is rewarded?"""

    def truth() -> Truth:
        model = BanditModel("R1-ppo")
        mass = model.run.token_distribution.mean(axis=1)
        between, peak = mass[:, BETWEEN].sum(axis=1), mass[:, 60:81].sum(axis=1)
        half = int(np.argmax(peak > 0.5))
        return Truth(
            0 if between.max() > 2 * between[0] else 1,
            f"Tokens 35 to 49 never hold more than {between.max():z.3f}, and held {between[0]:z.3f} before training; "
            f"when half of the mass has come to tokens 60 to 80, after collection {half}, they are at "
            f"{between[half]:z.3f}. A response is pushed up or down as it was sampled (eq. 19 standardises its reward "
            "into an advantage), token 38 knows nothing of token 39, and a softmax takes the mass from wherever it is.",
        )

    return Prediction(
        "The reference has most of its mass on tokens 0 to 35 and on 99; R1 rewards tokens around 70. While PPO "
        "trains, how does the mass get there?",
        (
            "As a wave: first to tokens 35 to 50, then on.",
            "It grows at the peak from the first samples that fell there.",
        ),
        truth,
    )


def nats_at_half(preset: str) -> float:
    """KL(policy ‖ reference), nats a response, at which a recorded run's mean expected reward is one half."""
    run = BanditModel(preset).run
    return float(np.interp(0.5, run.mean("expected_reward"), run.mean("kl_to_reference")))


def predict_price() -> Prediction:
    """Who pays fewer nats for one half of the reward, PPO or Best-of-N?"""

    def truth() -> Truth:
        ppo, best = nats_at_half("R1-ppo"), nats_at_half("R1-best-of-n")
        result = BanditModel("R1-ppo").result
        least = float(nats_at(result.responses, 0.5))
        return Truth(
            0 if ppo < best else 1,
            f"PPO has moved {ppo:z.1f} nats when its expected reward is one half, Best-of-N {best:z.1f}; {least:z.1f} "
            "is the least possible, by the reference tilted by the reward. Is it because PPO pushes down? REINFORCE "
            "pushes down by the same advantages, but without PPO's ratio and clip. Train it in the explorer: three "
            f"seeds of ours had moved {REINFORCE_NATS} nats at one half. The push alone does not make a method cheap.",
        )

    return Prediction(
        "On R1 both PPO, which pushes half of its batch down, and Best-of-N, which only pulls up, reach reward one "
        "half. Which of them is then nearer to the reference, in KL(policy ‖ reference)?",
        ("PPO.", "Best-of-N."),
        truth,
    )


@check
def check_half(collection: Any) -> str:
    """Exercise 1: the first collection after which PPO's mean expected reward on R1 is above one half."""
    value = number(collection, "a collection", -1.0, 41.0)
    run = BanditModel("R1-ppo").run
    reward = run.mean("expected_reward")
    if value != int(value):
        raise Wrong(f"collections are whole; this is {value:g}.")
    at = int(value)
    if reward[at] <= 0.5:
        raise Wrong(f"after collection {at} the mean of the {len(run.seeds)} seeds is {reward[at]:z.2f}: scrub on.")
    if reward[at - 1] > 0.5:
        raise Wrong(f"it is {reward[at]:z.2f} there, and was above one half before.")
    return f"{reward[at]:z.2f}, and {reward[at - 1]:z.2f} one collection earlier."


@check
def check_best_of_n(best: Any, others: Any) -> str:
    """Exercise 2: the weights of Best-of-N's batch, ten prompts with ten responses each."""
    weights = BanditModel("R1-best-of-n").run.weights[0]
    given = number(best, "a weight", -10.0, 10.0), number(others, "a weight", -10.0, 10.0)
    true = float(weights.max()), float(weights.min())
    if abs(given[1] - true[1]) > 1e-6:
        raise Wrong(f"does a response that is not selected enter the loss at all? {given[1]:g} would push it.")
    if given[0] <= 0:
        raise Wrong(f"a weight of {given[0]:g} would not push the best response up.")
    if abs(given[0] - true[0]) > 1e-4:
        raise Wrong(f"{given[0]:g} for each of the ten selected ones: over how many responses does the mean run?")
    count = int((weights > 0).sum())
    return f"{count} of {weights.size} responses have weight {true[0]:g}, the others {true[1]:g}: none is pushed down."


@check
def check_gap(reward: Any) -> str:
    """Exercise 3: what offline IPO leaves on the table at its end on R1, to two hundredths."""
    value = number(reward, "a difference of rewards", -1.0, 1.0)
    model = BanditModel("R1-ipo")
    nats, earned = (float(model.run.mean(name)[-1]) for name in ("kl_to_reference", "expected_reward"))
    could = float(reward_at(model.result.responses, nats))
    if abs(value - (could - earned)) > 0.02:
        side = "too much" if value > could - earned else "too little"
        near = "the reward that it earns" if abs(value - earned) < 0.02 else side
        raise Wrong(
            f"{value:g} is {near}. The grey line in the lower right view goes from the run to the dashed curve."
        )
    return f"{could:z.2f} could be had at {nats:z.0f} nats, and offline IPO earns {earned:z.2f}."


@check
def check_faster(answer: Any) -> str:
    """Exercise 4: a trained PPO on R1 that is above one half in fewer gradient steps than the recorded one."""
    if not isinstance(answer, Explorer) or not isinstance(answer.model, BanditModel):
        raise Wrong(f"give a BanditExplorer that was trained; this is {type(answer).__name__}.")
    model, known = answer.model, BanditModel("R1-ppo")
    for name in ("method", "center", "width", "location", "scale", "policy"):
        mine, theirs = getattr(model.values, name), getattr(known.values, name)
        if mine != theirs:
            raise Wrong(f"the same problem and method, please: {model.control(name).label} is {mine}, not {theirs}.")
    if model.stale:
        raise Wrong("its curves are of other settings: train it first.")
    first, step = first_above_half(known), first_above_half(model)
    if step is None:
        raise Wrong(
            f"its mean expected reward stays below one half: it ends at {model.run.mean('expected_reward')[-1]:z.2f}."
        )
    assert first is not None
    if step >= first:
        raise Wrong(
            f"it is above one half at gradient step {step}, the recorded run at {first}. What sets the size of a step?"
        )
    return f"above one half at gradient step {step}, where the recorded run needs {first}."


def first_above_half(model: BanditModel) -> int | None:
    """The first measured gradient step with a mean expected reward above one half."""
    above = model.run.mean("expected_reward") > 0.5
    return int(model.run.steps[above.argmax()]) if above.any() else None
