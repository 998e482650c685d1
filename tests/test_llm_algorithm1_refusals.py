"""What Algorithm 1 on a language model refuses, and where it stops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithm1_cases import EOS, MODEL, OFFLINE, ON_POLICY, length_reward, pairs, policy, run

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.training.tune import tune


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "rest"}, "top_k must be below responses_per_prompt, 2, got 3"),
        ({"method": "best_of_n", "responses_per_prompt": 1}, "best_of_n ranks a prompt's responses"),
        ({"hyper": HyperParameters(beta=-1.0)}, "beta must be a positive number"),
        ({"method": "dppo"}, "did you mean"),
        ({"samples_per_collection": 7}, "responses_per_prompt must divide samples_per_collection"),
        ({"minibatch_size": 6}, "minibatch_size must divide samples_per_collection"),
        ({"responses_per_prompt": 1}, "dpo compares responses"),
        ({"accumulate": 3}, "accumulate must divide minibatch_size"),
        ({"reference_decay": 0.5}, "reference_every must be at least 1, got 0"),
        ({"reference_decay": 1.0, "reference_every": 1}, "reference_decay must be at least 0 and less than 1"),
        ({"mixing": 1.5}, "mixing must be between 0 and 1"),
        ({"hyper": HyperParameters(kl_coefficient=0.1)}, "kl_coefficient shapes the rewards of samples"),
        ({"inner_steps": 0}, "inner_steps must be a whole number of at least 1"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(OFFLINE, **change)


def test_data_that_cannot_be_learnt_from_is_refused():
    prompt, response = np.array([4, 5], np.int32), np.array([6, EOS], np.int32)
    with pytest.raises(ValueError, match=r"a collection takes 4 prompts .* but there are 3"):
        run(OFFLINE, pairs()[:3])
    with pytest.raises(ValueError, match="prompt 0 has 0 responses"):
        run(OFFLINE, [Example(prompt, ())] * 4)
    with pytest.raises(ValueError, match="dpo compares responses, and prompt 0 has 1"):
        run(OFFLINE, [Example(prompt, (response,))] * 4)
    with pytest.raises(ValueError, match="nothing says how good the response to prompt 0 is"):
        run(dataclasses.replace(OFFLINE, method="offline_rwr"), [Example(prompt, (response,))] * 4, reward=None)
    judged = [Example(prompt, (response,), label=False)] * 8
    with pytest.raises(ValueError, match="ranks a prompt's responses: prompt 0 has one"):
        run(dataclasses.replace(OFFLINE, method="offline_best_of_n"), judged, reward=None)
    with pytest.raises(ValueError, match="a reward function must judge them"):
        run(ON_POLICY, reward=None)
    with pytest.raises(ValueError, match="no EOS"):
        run(ON_POLICY, eos=[])
    with pytest.raises(ValueError, match="more than the context of 64"):
        run(dataclasses.replace(ON_POLICY, max_new_tokens=63))
    with pytest.raises(ValueError, match="outside the vocabulary"):
        run(OFFLINE, [Example(prompt, (np.array([99], np.int32), response))] * 4)


def test_faulty_rewards_name_the_response():
    def nan(examples):
        rewards = length_reward(examples)
        rewards[1, 0] = np.nan
        return rewards

    with pytest.raises(ValueError, match="the reward of prompt 1, response 0 is nan"):
        run(OFFLINE, reward=nan)
    with pytest.raises(ValueError, match=r"one number a response, \(4, 2\), got the shape \(4,\)"):
        run(OFFLINE, reward=lambda examples: length_reward(examples)[:, 0])


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step():
    broken = ModelWithParams(MODEL, jax.tree.map(lambda a: a * jnp.nan, policy().params))
    with pytest.raises(ValueError, match=r"the loss of dpo is nan at update 1 \(collection 1, prompts 0, 1, 2, 3 of"):
        tune(broken, pairs(), OFFLINE)
