"""Methods whose own loss holds the KL of eq. 2, and those that would sample from a mixture, on language models."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from algorithm1_cases import EOS, ON_POLICY, length_reward, pairs, policy

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.llm.training.algorithm1 import Algorithm1
from modeseek.llm.training.tune_config import KLControl, TuneConfig


def test_a_kl_in_the_loss_has_the_coefficient_that_followed_the_kl():
    """GRPO's β of the first collection is the configured one, that of the second what the controller made of it."""
    config = dataclasses.replace(
        ON_POLICY, method="grpo", hyper=HyperParameters(kl_coefficient=0.5), kl=KLControl(target=1.0, horizon=8)
    )
    loop, given = Algorithm1(policy(), pairs(), config, reward=length_reward, eos=[EOS]), []

    def step(learner, data, hyper, frozen, scored):
        given.append(hyper.kl_coefficient)
        return learner, {"loss": jnp.zeros(()), "gradient_norm": jnp.zeros(())}

    loop.step = step
    state = loop.turn(loop.turn(loop.start()))
    # The start is its own reference: a KL of 0 is 20 % off, and the horizon is one collection.
    np.testing.assert_allclose(given, [0.5] * 4 + [0.4] * 4, rtol=1e-6)
    np.testing.assert_allclose(state.kl_coefficient, 0.32, rtol=1e-6)


@pytest.mark.parametrize("method", ["nash_md", "ipo_md"])
def test_a_mixture_of_two_language_models_is_refused_and_self_play_is_not(method):
    config = TuneConfig(method)
    assert config.hyper.mixture == 0
    with pytest.raises(ValueError, match=f"{method} cannot sample from a mixture .* mixture must be 0, got 0.25"):
        dataclasses.replace(config, hyper=dataclasses.replace(config.hyper, mixture=0.25))
    assert TuneConfig("ppo", hyper=HyperParameters(mixture=0.25)).hyper.mixture == 0.25


@pytest.mark.parametrize("method", ["grpo", "dr_grpo", "dapo", "gspo", "rloo", "nash_md"])
def test_a_group_is_its_own_baseline(method):
    """No value function is trained beside it, and none may be."""
    assert not TuneConfig(method).valued
    with pytest.raises(ValueError, match=f"{method} takes no advantages of tokens"):
        TuneConfig(method, critic=True)
    with pytest.raises(ValueError, match="responses_per_prompt must be at least 2, got 1"):
        TuneConfig(method, responses_per_prompt=1)


def test_topr_may_have_a_value_function_of_its_own_samples():
    assert TuneConfig("on_policy_topr", critic=True).valued
    assert not TuneConfig("on_policy_topr").valued
