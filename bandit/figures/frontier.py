"""The most reward that KL allows, as every figure of reward against KL has it behind its curves."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from modeseek.bandit.categorical.frontier import Responses, frontier, point_mass_nats
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import reference_probs, token_rewards

BEHIND = 1.5
"""Below lines, above the grid."""

FRONTIER: dict[str, Any] = {
    "color": "#6E6E6E",
    "linestyle": "--",
    "linewidth": 1.1,
    "zorder": BEHIND,
    "label": "most that KL allows",
}
"""Thin, grey and dashed: a limit, not a run."""

POINT_MASS: dict[str, Any] = {
    "color": FRONTIER["color"],
    "marker": "D",
    "markersize": 5.5,
    "markerfacecolor": "white",
    "linestyle": "none",
    "zorder": BEHIND,
    "label": "best response alone",
}


def responses_of(experiment: Experiment, reward: str) -> Responses | None:
    """What an experiment's responses are drawn from and earn; None where its KL has no exact frontier.

    Where the conventions make a copy of the initial policy the reference, `kl_to_reference` is measured against that
    network. It draws tokens independently only as far as pretraining brought it, and as released it moves with the
    policy, so that a run can lie anywhere.
    """
    if experiment.conventions.reference_model == "initial_policy":
        return None
    reference = reference_probs(experiment.reference, experiment.conventions.reference_recipe, experiment.vocab_size)
    rewards = token_rewards(reward, experiment.vocab_size)
    if not experiment.conventions.prompt_in_response:
        return Responses(reference, rewards, experiment.response_length)
    # Evaluation's prompts are the tokens 0, 1, …, V - 1, 0, ….
    prompts = np.arange(experiment.evaluation.prompts) % experiment.vocab_size
    return Responses(reference, rewards, experiment.response_length - 1, float(rewards[prompts].mean()))


def draw_frontier(axes: Axes, responses: Responses, drawn: np.ndarray) -> None:
    """Draw the frontier behind what is there, and its end, the point mass on the best response.

    The axis ends where the curves do, or at the point mass if that is not much farther; else that is left out.

    Args:
        axes: expected reward against KL(policy ‖ reference) of a response.
        responses: what is drawn and earned.
        drawn: KL of the curves' points, nats; of any shape, and NaN where there is none.
    """
    nats, reward = frontier(responses)
    end = point_mass_nats(responses)
    farthest = float(np.max(drawn, initial=0.0, where=np.isfinite(drawn)))
    right = 1.04 * (end if farthest < end < 1.25 * farthest else (farthest or end))
    axes.plot(np.append(nats, max(right, end)), np.append(reward, reward[-1]), **FRONTIER)
    if end <= right:
        axes.plot([end], reward[-1:], **POINT_MASS)
    axes.set_xlim(0, right)
