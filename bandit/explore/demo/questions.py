"""Predictions and exercises of notebook 00; every answer is read off the recorded run."""

from typing import Any

import numpy as np

from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.demo.model import METHODS, DemoModel, recorded
from modeseek.bandit.explore.toolkit.checks import Wrong, check, number
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth
from modeseek.bandit.explore.toolkit.reading import named
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.results import experiment_of


def predict_offline() -> Prediction:
    """On which reward does training on the reference's own samples suffice?"""

    def truth() -> Truth:
        rewards = {name: DemoModel(name).result.reward[:, -1] for name in ("R1", "R2")}
        offline, online, pair = (
            {name: float(ends[METHODS.index(method)]) for name, ends in rewards.items()}
            for method in ("ipo", "ppo", "on_policy_ipo")
        )
        lost = {name: online[name] - offline[name] for name in rewards}
        seen = BanditModel("R1-ipo").run.rewards[0]
        rates = _rates()
        return Truth(
            0 if lost["R1"] > lost["R2"] else 1,
            f"Offline IPO ends at {offline['R1']:z.2f} on R1 and at {offline['R2']:z.2f} on R2; on-policy PPO at "
            f"{online['R1']:z.2f} and {online['R2']:z.2f}. That is the order at these learning rates, "
            f"{rates['ipo']:g} and {rates['ppo']:g}; the text below has others. Both begin with samples of the "
            f"reference. On R1 these have a mean reward of {seen.mean():z.2f}, and the best of a hundred (of seed 0) "
            f"has {seen.max():z.2f}. PPO draws its next hundred from a policy that has become better; offline IPO has "
            "to do with the first. But the two differ in more than their samples. On-policy IPO differs from offline "
            f"IPO in nothing else, and ends at {pair['R1']:z.2f} and {pair['R2']:z.2f}: fresh samples gain it "
            f"{pair['R1'] - offline['R1']:z.2f} on R1 and {pair['R2'] - offline['R2']:z.2f} on R2.",
        )

    rates, steps = _rates(), int(DemoModel("R1").result.steps[-1])
    return Prediction(
        "Offline IPO sees only responses that the reference gave before training. On which reward does that cost it "
        f"more, against PPO, which samples anew? ({steps} gradient steps, at the learning rates {rates['ipo']:g} for "
        f"IPO and {rates['ppo']:g} for PPO.)",
        ("On R1, whose peak is far from the reference.", "On R2, whose peak is near it."),
        truth,
    )


def _rates() -> dict[str, float]:
    """Method → the learning rate that it was recorded at."""
    return dict(zip(METHODS, experiment_of(recorded()).method_learning_rates, strict=True))


@check
def check_fastest(name: Any) -> str:
    """Exercise 1: the method whose mean expected reward on R1 is the first above one half."""
    name = named(name, {each: variant(each).title for each in METHODS}, "a method")
    result = DemoModel("R1").result
    above = result.reward > 0.5
    first = np.where(above.any(-1), above.argmax(-1), result.steps.size)
    at = int(first[METHODS.index(name)])
    if at > first.min():
        when = f"at step {result.steps[at]}" if at < result.steps.size else "never"
        raise Wrong(f"{variant(name).title} is above one half {when}, and another method earlier. Scrub from the left.")
    return f"at gradient step {result.steps[at]}."


@check
def check_distance(nats: Any) -> str:
    """Exercise 2: on-policy PPO's KL(policy ‖ reference) at the end of R1, to one nat."""
    value = number(nats, "a divergence", 0.0, 1000.0)
    true = float(DemoModel("R1").result.divergence[METHODS.index("ppo"), -1])
    if abs(value - true) > 1.0:
        side = "more" if true > value else "less"
        raise Wrong(f"it is {side} than {value:g}. Is the measurement at its end, and is it the right curve's marker?")
    return f"{true:z.1f} nats per response: sampled from the reference, such responses would hardly ever come."
