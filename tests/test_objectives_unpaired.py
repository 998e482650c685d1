"""KTO: who is desirable, its baseline, its values, and unpaired data of single judged responses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER, OPTIONS, loss_of, random_batch, slope_of

from modeseek.bandit.objectives.batch import Batch
from modeseek.bandit.objectives.likelihood import binary_weights
from modeseek.bandit.objectives.pairs import all_pairs
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.objectives.unpaired import desirability, kl_baseline, kto

BETA = 0.4


def test_the_better_half_is_desirable_and_the_middle_is_not_judged():
    rewards = jnp.asarray([[1.0, 5.0, 3.0, 0.0, 3.0], [2.0, 2.0, 2.0, 2.0, 2.0], [1e6, 1e6 + 1, 1e6, 1e6, 1e6]])
    desirable, counted = desirability(rewards)
    np.testing.assert_array_equal(desirable & counted, [[0, 1, 1, 0, 1], [0] * 5, [0, 1, 0, 0, 0]])
    np.testing.assert_array_equal(~desirable & counted, [[1, 0, 0, 1, 0], [0] * 5, [1, 0, 1, 1, 1]])
    np.testing.assert_array_equal(desirable, binary_weights(all_pairs(rewards)))


def test_a_single_response_is_judged_by_its_own_label():
    rewards = jnp.asarray([[1.0, 9.0], [0.0, -9.0], [0.0, 1.0], [jnp.nan, jnp.nan]])
    present = jnp.asarray([[True, False], [True, False], [True, True], [False, False]])
    desirable, counted = desirability(rewards, present)
    np.testing.assert_array_equal(counted, [[1, 0], [1, 0], [1, 1], [0, 0]])
    np.testing.assert_array_equal((desirable & counted), [[1, 0], [0, 0], [0, 1], [0, 0]])


def test_the_baseline_is_the_mean_log_ratio_and_never_below_0():
    ratios = jnp.asarray([[1.0, 4.0], [-2.0, jnp.nan]])
    present = jnp.asarray([[True, True], [True, False]])
    np.testing.assert_allclose(kl_baseline(ratios, present), 1.0)
    assert kl_baseline(-ratios, present) == 0.0
    assert kl_baseline(ratios, jnp.zeros((2, 2), bool)) == 0.0
    np.testing.assert_array_equal(jax.grad(lambda r: kl_baseline(r))(ratios[:1]), [[0.0, 0.0]])


def test_of_the_policys_own_samples_the_baseline_is_the_kl():
    """Half a million draws of π = (.7, .2, .1) against a uniform reference: within five standard errors."""
    policy = np.array([0.7, 0.2, 0.1])
    ratios = np.log(3 * policy)
    drawn = ratios[np.random.default_rng(0).choice(3, (1000, 500), p=policy)]
    error = drawn.std() / np.sqrt(drawn.size)
    np.testing.assert_allclose(kl_baseline(jnp.asarray(drawn)), policy @ ratios, atol=5 * error)


def test_kto_at_known_margins(float64):
    """β (a - z) = log 3: 1 - 3/4 for a good response, λ (1 - 1/4) for a bad one; 1/2 at a = z, slopes ∓β/4."""
    a = jnp.asarray(np.log(3) / BETA + 2.0)
    np.testing.assert_allclose(kto(a, jnp.asarray(True), 2.0, BETA, 7.0), 1 / 4, rtol=1e-12)
    np.testing.assert_allclose(kto(a, jnp.asarray(False), 2.0, BETA, 7.0), 7 * 3 / 4, rtol=1e-12)
    for desirable, slope in ((True, -BETA / 4), (False, BETA / 4)):
        value = jax.value_and_grad(lambda a, d=desirable: kto(a, jnp.asarray(d), 2.0, BETA, 1.0))(jnp.asarray(2.0))
        np.testing.assert_allclose(value, [0.5, slope], rtol=1e-12)


@pytest.mark.parametrize("log_ratio", [-1e4, 1e4, -jnp.inf])
@pytest.mark.parametrize("desirable", [True, False])
def test_far_from_the_baseline_nothing_moves(log_ratio, desirable):
    value, slope = jax.value_and_grad(lambda a: kto(a, jnp.asarray(desirable), 0.0, BETA, 1.0))(jnp.asarray(log_ratio))
    assert (value, slope) == (float(desirable == (log_ratio < 0)), 0.0)


def test_pairs_and_lone_labels_are_the_same_data():
    """Two responses to a prompt, or the two as prompts of their own with labels 1 and 0: one loss, one gradient."""
    pair = random_batch(0, prompts=2, responses=2)
    pair = pair._replace(rewards=jnp.asarray([[1.0, 0.0], [0.0, 1.0]]))
    lone = Batch(*(array.reshape(4, 1, -1) for array in pair[:3]), pair.rewards.reshape(4, 1), None)
    np.testing.assert_allclose(loss_of("kto", lone), loss_of("kto", pair), rtol=1e-6)
    np.testing.assert_allclose(slope_of("kto", lone).ravel(), slope_of("kto", pair).ravel(), rtol=1e-5)
    assert (METHODS["kto"].objective(lone, HYPER, OPTIONS).weights == 1).all()


def test_without_a_weight_on_bad_responses_none_is_pushed_down():
    slope = slope_of("kto", random_batch(0), dataclasses.replace(HYPER, negative_weight=0.0))
    assert (slope <= 0).all() and (slope < 0).any()


def test_prompts_with_fewer_responses_share_one_baseline(float64):
    """Three prompts of 4, 3 and 1 responses, NaN in place of the others; eq. 8's two branches with plain loops."""
    batch, counts = random_batch(0), (4, 3, 1)
    present = np.arange(4)[None, :] < np.array(counts)[:, None]
    ratios = np.asarray(batch.log_ratios)
    baseline = max(0.0, ratios[present].mean())
    rewards, found = np.asarray(batch.rewards), []
    for p, count in enumerate(counts):
        for n in range(count):
            others = np.delete(rewards[p, :count], n)
            rank = (rewards[p, n] > others).sum() - (rewards[p, n] < others).sum() if count > 1 else 1
            if rank:
                value = 1 / (1 + np.exp(-HYPER.beta * np.sign(rank) * (ratios[p, n] - baseline)))
                found.append((1 - value) * (1 if rank > 0 else HYPER.negative_weight))
    assert len(found) == 4 + 2 + 1
    absent = [jnp.where(present.reshape(3, 4, *[1] * (array.ndim - 2)), array, jnp.nan) for array in batch[:5]]
    ragged = Batch(*absent, None, jnp.asarray(present))
    np.testing.assert_allclose(loss_of("kto", ragged), np.mean(found), rtol=1e-10)
    assert (np.asarray(slope_of("kto", ragged))[~present] == 0).all()
