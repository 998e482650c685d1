"""The prediction and the exercise on a budget of samples; every answer is read off the recorded plans."""

from typing import Any

import numpy as np

from modeseek.bandit.explore.budget.claims import PULLING
from modeseek.bandit.explore.budget.model import BudgetModel, plan_of
from modeseek.bandit.explore.budget.outcomes import Scored, grid
from modeseek.bandit.explore.budget.plan import PASSES, RATES, samples
from modeseek.bandit.explore.toolkit.checks import Wrong, check, model_of
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth
from modeseek.bandit.objectives.registry import METHODS

ASKED = (("rwr", 2), ("dpo", 1), ("ppo", 2))
"""Method and collections of the three plans."""
REWARD = "far-peak"
ENOUGH = 0.9
"""Score that the exercise asks for."""


def asked() -> list[Scored]:
    """The three plans, each with the passes and the rate that the seeds which choose put first."""
    return [grid().best(REWARD, (name,), (collections,)) for name, collections in ASKED]


def predict_plan() -> Prediction:
    """Which of three plans earns most on the far peak?"""

    def truth() -> Truth:
        found = asked()
        ends = [plan.outcome.ends.mean() for plan in found]
        each = "; ".join(f"{plan.plan.words()}: {end:z.2f}" for plan, end in zip(found, ends, strict=True))
        seeds = found[0].outcome.ends.size
        return Truth(
            int(np.argmax(ends)),
            f"The mean of {seeds} seeds that had no part in choosing passes and rate: {each}. Before training it is "
            f"{grid().reference(REWARD):z.2f}. A likely reason, which was not tested: what only pulls up copies "
            "the best of what was drawn; PPO's clip ends its pushes until the next collection; one that compares pairs "
            "learns from every sample which tokens are better than which.",
        )

    def option(name: str, collections: int) -> str:
        drawn = "all samples drawn at once, offline" if collections == 1 else f"samples drawn {collections} times"
        return f"{METHODS[name].title}, {drawn}."

    return Prediction(
        f"The peak is far: the reference earns {grid().reference(REWARD):z.2f}. Three plans spend {samples()} on a "
        "table of logits, each with the passes and the learning rate that suit it best. Which of them ends highest?",
        tuple(option(*each) for each in ASKED),
        truth,
    )


def fewest() -> int:
    """The smallest number of collections with which a method without a negative gradient has `ENOUGH`."""
    known = grid()
    ends = known.data["ends"].sel({"reward": REWARD, "algorithm": list(PULLING)}).mean("seed")
    low, high = known.reference(REWARD), float(known.best(REWARD).outcome.ends.mean())
    best = (ends.max(("algorithm", "inner_steps", "learning_rate")) - low) / (high - low)
    return int(best["collections"].values[best.values >= ENOUGH].min())


@check
def check_plan(answer: Any) -> str:
    """Exercise 3: without pushing down, 90 % of the way on the far peak, samples drawn as seldom as possible."""
    model = model_of(answer, BudgetModel)
    plan, reward = plan_of(model.values), model.values.preset
    if reward != REWARD:
        raise Wrong(f"this plan is for the {reward.replace('-', ' ')}, and the far peak is asked for.")
    if METHODS[plan.method].negative_gradient:
        raise Wrong(f"{METHODS[plan.method].title} pushes down, and this is to be done without.")
    if not plan.recorded:
        raise Wrong(
            f"{plan.words()} was not recorded. Take {', '.join(map(str, PASSES))} passes, and one of the rates "
            f"{', '.join(f'{rate:g}' for rate in RATES)}."
        )
    found = grid().score(REWARD, grid().outcome(REWARD, plan))
    assert found is not None  # a recorded plan is whole
    if found.mean < ENOUGH:
        raise Wrong(f"{plan.words()}: its score is {found}, and {ENOUGH} is asked for.")
    if plan.collections > fewest():
        raise Wrong(f"its score is {found}, which is enough; but fewer collections than {plan.collections} suffice.")
    return (
        f"{plan.words()}: its score is {found}. With fewer collections no recorded plan that only pulls has {ENOUGH}."
    )
