"""Every method at its limits: vanished, equal and padded responses, ties, and where one method becomes another."""

import dataclasses
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER, OPTIONS, SELDOM, TOKEN_RATIO, TOKEN_UNITS, every_method, loss_of, random_batch, slope_of

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options, pair_weights
from modeseek.bandit.objectives.pairs import PAIR_SCHEMES, PairScheme
from modeseek.bandit.objectives.registry import METHODS


def _extreme(log_probs, rewards):
    """The same four responses to each prompt, near -6 nats under the other policies; rewards are advantages too."""
    tokens = jnp.stack(jnp.broadcast_arrays(jnp.asarray(log_probs), jnp.zeros((3, 4))), axis=-1)
    other = jnp.full((3, 4, 2), -3.0)
    rewards = jnp.broadcast_to(jnp.asarray(rewards), (3, 4))
    return Batch(tokens, other, other, rewards, rewards - rewards.mean())


EQUAL = [0.5, 0.5, 0.5, 0.5]
RISING = [0.0, 0.25, 0.5, 1.0]
EXTREMES = {
    "vanished responses": ([-1e4, -1e4, -1e4, -1e4], RISING),
    "the worst is certain": ([0.0, -1e4, -1e4, -1e4], RISING),
    "the best is certain": ([-1e4, -1e4, -1e4, 0.0], RISING),
    "equal rewards": ([-1.0, -2.0, -3.0, -4.0], EQUAL),
    "equal rewards, vanished": ([-1e4, -1e4, -1e4, -1e4], EQUAL),
}


@every_method
@pytest.mark.parametrize("case", EXTREMES)
def test_value_and_gradient_are_finite_at_extremes(name, case):
    batch = _extreme(*EXTREMES[case])
    assert batch.token_log_probs.dtype == jnp.float32
    assert jnp.isfinite(loss_of(name, batch))
    assert jnp.isfinite(slope_of(name, batch)).all()


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.policy_gradient or n in {"dpo", "ipo", "pref_ft"}])
def test_equal_rewards_teach_nothing(name):
    """No advantage and no pair: the gradient is zero, not NaN. What is left without a KL in the loss."""
    batch, free = _extreme([-1.0, -2.0, -3.0, -4.0], EQUAL), dataclasses.replace(HYPER, kl_coefficient=0.0)
    np.testing.assert_array_equal(slope_of(name, batch, free), np.zeros((3, 4, 2)))


PADDED_CASES = [
    pytest.param(n, options, p, id=f"{n} {unit} {p}", marks=() if unit == "sequence" else SELDOM)
    for n in METHODS
    for unit, options in (("sequence", OPTIONS), ("token", TOKEN_UNITS))
    for p in (-7.0, -jnp.inf)
]


@pytest.mark.parametrize(("name", "options", "padding"), PADDED_CASES)
def test_padding_changes_nothing(name, options, padding):
    """A third token that the mask hides, -inf or any other: the loss of the batch without it, and no gradient."""
    short = random_batch(0)
    mask = jnp.broadcast_to(jnp.asarray([True, True, False]), (3, 4, 3))
    tokens = [jnp.pad(a, ((0, 0), (0, 0), (0, 1)), constant_values=padding) for a in short[:3]]
    padded = Batch(*tokens, short.rewards, short.advantages, mask)
    np.testing.assert_allclose(loss_of(name, padded, options=options), loss_of(name, short, options=options), rtol=1e-6)
    slope = slope_of(name, padded, options=options)
    np.testing.assert_allclose(slope[..., :2], slope_of(name, short, options=options), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(slope[..., 2], np.zeros((3, 4)))


def _ppo_batch(policy_ratios, advantage):
    tokens = jnp.log(jnp.asarray(policy_ratios))[None, None] - 2.0
    return Batch(tokens, jnp.full_like(tokens, -2.0), tokens, jnp.zeros((1, 1)), jnp.full((1, 1), advantage))


def test_ppo_clips_whole_responses_or_tokens():
    """Token ratios 1.5 and 1/1.5, r̄ = 1, ε = .2: the response's ratio is 1, so -1; tokens: -(1.2 + 1/1.5)."""
    batch = _ppo_batch([1.5, 1 / 1.5], 1.0)
    np.testing.assert_allclose(loss_of("ppo", batch), -1.0, rtol=1e-6)
    of_tokens = loss_of("ppo", batch, options=TOKEN_RATIO)
    np.testing.assert_allclose(of_tokens, -(1.2 + 1 / 1.5), rtol=1e-6)


@pytest.mark.parametrize("advantage", [-1.0, 2.0])
def test_ppo_on_one_token_responses_does_not_depend_on_the_ratio_option(advantage):
    batch = _ppo_batch([1.3], advantage)
    assert loss_of("ppo", batch) == loss_of("ppo", batch, options=TOKEN_RATIO)


@pytest.mark.parametrize("options", [OPTIONS, TOKEN_RATIO])
def test_both_ratios_have_reinforces_gradient_before_the_first_step(options):
    batch = random_batch(0)
    batch = batch._replace(behavior_token_log_probs=batch.token_log_probs)
    slope = slope_of("ppo", batch, options=options)
    np.testing.assert_allclose(slope, slope_of("reinforce", batch), rtol=1e-5)


def test_self_normalization_scales_rwr_by_the_mean_weight():
    batch, raw = random_batch(0), Options(self_normalize=False)
    mean_weight = np.exp(np.asarray(batch.advantages) / HYPER.temperature).mean()
    np.testing.assert_allclose(loss_of("rwr", batch, options=raw), mean_weight * loss_of("rwr", batch), rtol=1e-5)


def test_cold_rwr_on_one_prompt_is_best_of_n():
    batch = random_batch(0, prompts=1)
    cold = dataclasses.replace(HYPER, temperature=1e-3)
    np.testing.assert_allclose(loss_of("rwr", batch, cold), loss_of("best_of_n", batch), rtol=1e-6)


def test_rest_with_one_response_kept_is_best_of_n():
    batch = random_batch(0)
    assert loss_of("rest", batch, dataclasses.replace(HYPER, top_k=1.0)) == loss_of("best_of_n", batch)


@pytest.mark.parametrize(("scheme", "count"), [("all", 6), ("best_worst", 1), ("best_rest", 3), ("adjacent", 3)])
def test_the_pair_scheme_decides_how_many_pairs_are_compared(scheme, count):
    options, every_gap = Options(pair_scheme=scheme), dataclasses.replace(HYPER, reward_gap=0.0)
    for name in ("dpo", "ipo", "pref_ft"):
        weights = METHODS[name].objective(random_batch(0), every_gap, options).weights
        np.testing.assert_array_equal(weights.reshape(3, -1).sum(axis=1), [count] * 3)


def test_kept_ties_reach_the_objectives():
    batch = _extreme([-1.0, -2.0, -3.0, -4.0], EQUAL)
    assert pair_weights(batch, HyperParameters(), Options(ties="keep")).sum() == 18  # 4·3/2 a prompt
    assert pair_weights(batch, HyperParameters(), Options(ties="skip")).sum() == 0


def test_scheme_names_and_their_type_agree():
    assert set(PAIR_SCHEMES) == set(get_args(PairScheme))


@every_method
def test_min_responses_is_enough(name):
    slope = slope_of(name, random_batch(0, responses=METHODS[name].min_responses))
    assert jnp.isfinite(slope).all()
    assert jnp.abs(slope).max() > 1e-3


@pytest.mark.parametrize("name", ["dpo", "ipo", "pref_ft", "binary_feedme"])
def test_comparisons_need_two_responses(name):
    assert METHODS[name].min_responses == 2
    assert METHODS[name].objective(random_batch(0, responses=1), HYPER, OPTIONS).weights.sum() == 0


def test_batch_log_probs_sum_their_own_tokens():
    batch = random_batch(0)
    for summed, tokens in zip(
        (batch.log_probs, batch.behavior_log_probs, batch.reference_log_probs), batch[:3], strict=True
    ):
        np.testing.assert_allclose(summed, np.asarray(tokens).sum(axis=-1), rtol=1e-6)
    np.testing.assert_allclose(batch.log_ratios, batch.log_probs - batch.reference_log_probs, rtol=1e-6)


def test_hyper_parameters_survive_flattening():
    leaves, structure = jax.tree.flatten(HYPER)
    assert len(leaves) == len(dataclasses.fields(HyperParameters))
    assert jax.tree.unflatten(structure, leaves) == HYPER
