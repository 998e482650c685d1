"""The targets that the paper has not: what their cells are, against the mathematics that they stand for."""

import dataclasses

import numpy as np
import pytest

from modeseek.bandit.categorical.frontier import Responses, beta_at
from modeseek.bandit.categorical.ipo_optimum import ipo_optimum_nats
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.config import AlgorithmConfig
from modeseek.bandit.simulator.conventions import PAPER
from modeseek.bandit.simulator.problem import ReferenceRecipe, reference_probs, token_rewards
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.studies.reproduce.cells import FRESHNESS, REGULARISED_BETA, WHOLE_RUN
from modeseek.bandit.studies.reproduce.protocols import MORE_OF_SHORT, SHORT


@pytest.mark.parametrize("reward", REGULARISED_BETA)
def test_beta_puts_the_optimum_of_rl_as_far_away_as_ipos(reward):
    responses = Responses(reference_probs(ReferenceRecipe(), "clip", 100), token_rewards(reward, 100), 10)
    assert beta_at(responses, ipo_optimum_nats(HyperParameters().tau)) == pytest.approx(
        REGULARISED_BETA[reward], abs=5e-5
    )


def test_every_freshness_has_as_many_samples_and_uses_each_once():
    for (_, b), cell in FRESHNESS.items():
        for protocol in (SHORT, MORE_OF_SHORT):
            algorithm = cell.experiment(PAPER, protocol).algorithm
            assert algorithm.samples_per_collection == b
            assert algorithm.samples_per_collection * algorithm.collections == WHOLE_RUN
            assert algorithm.inner_steps == 1
            assert algorithm.prompt_set_size == WHOLE_RUN // 10


def test_one_collection_for_a_whole_run_is_all_of_the_references_samples(tabular):
    """On-policy and offline are then one thing: nothing is sampled once training has begun."""
    whole = AlgorithmConfig(
        samples_per_collection=64, responses_per_prompt=4, minibatch_size=8, inner_steps=1, collections=1
    )
    rewards = [
        run_sweep(dataclasses.replace(tabular, methods=(m,), algorithm=whole), progress=False).dataset[
            "expected_reward"
        ]
        for m in ("on_policy_ipo", "ipo")
    ]
    np.testing.assert_array_equal(*rewards)
    assert rewards[0].isel(step=-1).item() != rewards[0].isel(step=0).item()
