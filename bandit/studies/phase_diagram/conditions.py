"""What a practitioner could know of a cell: how far the peak lies, how the data covers it, how much is drawn anew."""

from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.frontier import Responses, nats_at, point_mass_nats
from modeseek.bandit.simulator.behavior import behavior_log_probs
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.studies.phase_diagram.grid import MINIBATCH, Budget, Point, experiment_at


class Conditions(NamedTuple):
    """The conditions of one cell.

    Attributes:
        nats_to_best: KL of the best response from the reference, -log π_ref(y*).
        nats_halfway: least KL of a policy that earns half of what there is to earn, from the reference's mean to the
            best reward: unlike `nats_to_best`, it can be estimated from samples and their rewards.
        data_to_best: the same as `nats_to_best`, from the policy that wrote the offline data: coverage.
        data_halfway: the same as `nats_halfway`, from that policy.
        fresh_samples: responses that an on-policy method draws in all.
    """

    nats_to_best: float
    nats_halfway: float
    data_to_best: float
    data_halfway: float
    fresh_samples: int


def halfway(responses: Responses) -> float:
    """Least KL of a policy that earns half of what lies between the reference's mean reward and the best."""
    mean = float(responses.reference @ responses.token_rewards)
    best = float(responses.token_rewards.max())
    return float(nats_at(responses, (mean + best) / 2))


def conditions_of(point: Point, budget: Budget) -> Conditions:
    """The conditions of a cell, from its problem alone."""
    experiment = experiment_at(point, budget)
    run = make_plan(experiment).runs
    rewards = np.asarray(run.problem.token_rewards[0], np.float64)

    def seen_from(log_probs: Any) -> Responses:
        probs = np.exp(np.asarray(log_probs, np.float64))
        return Responses(probs / probs.sum(), rewards, experiment.response_length)

    reference = seen_from(run.problem.reference_log_probs[0])
    data = seen_from(behavior_log_probs(point.recipe, reference.reference))
    draws = budget.steps * MINIBATCH // point.inner_steps
    return Conditions(point_mass_nats(reference), halfway(reference), point_mass_nats(data), halfway(data), draws)
