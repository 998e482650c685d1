"""Masks of responses and tokens: what is not real, whatever stands there, changes nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER, SELDOM, every_method, every_unit, loss_of, random_batch, slope_of

from modeseek.bandit.objectives.advantages import (
    RunningMoments,
    leave_one_out,
    standardize,
    standardize_by,
    standardize_per_prompt,
)
from modeseek.bandit.objectives.batch import Batch, Options
from modeseek.bandit.objectives.metrics import METRICS, step_metrics
from modeseek.bandit.objectives.pairs import PAIR_SCHEMES
from modeseek.bandit.objectives.registry import METHODS


def with_absent(batch, absent, filling):
    """The batch with further responses at those places of each prompt, of which the mask says that they are none."""
    places = [i for i in range(batch.rewards.shape[1] + len(absent)) if i not in absent]
    shape = (batch.rewards.shape[0], len(places) + len(absent))

    def spread(array):
        wide = jnp.full((*shape, *array.shape[2:]), filling)
        return wide.at[:, jnp.asarray(places)].set(array)

    present = jnp.zeros(shape, bool).at[:, jnp.asarray(places)].set(True)
    return Batch(*(spread(a) for a in batch[:5]), response_mask=present), jnp.asarray(places)


@every_method
@every_unit
@pytest.mark.parametrize("filling", [jnp.nan, *(pytest.param(other, marks=SELDOM) for other in (-jnp.inf, 9.0))])
def test_absent_responses_change_nothing(name, options, filling):
    """Two further responses in the first and a middle place: the loss without them, and no gradient for them."""
    batch = random_batch(0)
    wide, places = with_absent(batch, (0, 3), filling)
    np.testing.assert_allclose(
        loss_of(name, wide, options=options), loss_of(name, batch, options=options), rtol=1e-5, atol=1e-7
    )
    slope = slope_of(name, wide, options=options)
    expected = slope_of(name, batch, options=options)
    np.testing.assert_allclose(slope[:, places], expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(slope[:, jnp.asarray([0, 3])], np.zeros((3, 2, 2)))


COUNTS = (4, 2, 3)
"""Real responses of each prompt."""
LENGTHS = ((3, 1, 2, 3), (2, 3, 1, 1), (1, 2, 3, 2))
"""Real tokens of each response, those beyond the prompt's count included."""


def ragged(filling=jnp.nan):
    batch = random_batch(2, tokens=3)
    present = jnp.arange(4)[None, :] < jnp.asarray(COUNTS)[:, None]
    mask = jnp.arange(3)[None, None, :] < jnp.asarray(LENGTHS)[..., None]
    real = mask & present[..., None]
    tokens = (jnp.where(real, a, filling) for a in batch[:3])
    rest = (jnp.where(present, a, filling) for a in batch[3:5])
    return Batch(*tokens, *rest, mask, present)


def _alone(batch, p):
    """Prompt p in a batch of its own that holds its real responses and no response mask."""
    n = COUNTS[p]
    arrays = [a[p : p + 1, :n] for a in batch[:5]]
    arrays[:3] = [jnp.where(batch.mask[p : p + 1, :n], a, -5.0) for a in arrays[:3]]
    mask = batch.mask[p : p + 1, :n]
    return Batch(*arrays, mask)


ALONE = [
    pytest.param(name, scheme, marks=() if scheme == "all" else SELDOM)
    for name, method in METHODS.items()
    for scheme in PAIR_SCHEMES
    if (scheme == "all" or "pairs" in method.needs) and name != "kto"
]


@pytest.mark.parametrize(("name", "scheme"), ALONE)
@every_unit
def test_prompts_with_fewer_responses_are_what_they_are_alone(name, scheme, options, float64):
    """The weighted mean over prompts taken one by one, unmasked; RWR's own normaliser, which spans prompts, is off.

    KTO's baseline, which spans them too, has a test of its own (`test_objectives_unpaired`).
    """
    options = dataclasses.replace(options, pair_scheme=scheme, self_normalize=False)
    hyper = dataclasses.replace(HYPER, reward_gap=0.05)
    batch = ragged()
    total = count = 0.0
    for p in range(3):
        losses, weights = METHODS[name].objective(_alone(batch, p), hyper, options)
        total, count = total + (losses * weights).sum(), count + weights.sum()
    assert count > 0
    np.testing.assert_allclose(loss_of(name, batch, hyper, options), total / count, rtol=1e-10)
    slope = slope_of(name, batch, hyper, options)
    assert jnp.isfinite(slope).all()
    np.testing.assert_array_equal(np.where(batch.token_mask, 0.0, slope), np.zeros(slope.shape))


def test_self_normalized_weights_average_to_one_over_real_responses(float64):
    batch = ragged()
    real = np.asarray(batch.response_mask)
    weights = np.exp(np.where(real, batch.advantages, 0.0) / HYPER.temperature)
    weights = np.where(real, weights / weights[real].mean(), 0.0)
    expected = -(weights * np.asarray(batch.log_probs)).sum() / real.sum()
    np.testing.assert_allclose(loss_of("rwr", batch), expected, rtol=1e-12)


@every_method
@every_unit
def test_a_batch_of_nothing_is_worth_nothing(name, options):
    batch = random_batch(0)
    nothing = Batch(*(jnp.full_like(a, jnp.nan) for a in batch[:5]), response_mask=jnp.zeros((3, 4), bool))
    assert loss_of(name, nothing, options=options) == 0
    np.testing.assert_array_equal(slope_of(name, nothing, options=options), np.zeros((3, 4, 2)))


@every_method
@every_unit
def test_prompts_without_and_with_a_single_response(name, options):
    """A prompt of none counts for nothing. One of one response has no pair and nothing to push down, and is finite."""
    batch = random_batch(0)
    present = jnp.asarray([[True] * 4, [False] * 4, [False, True, False, False]])
    lost = jax.tree.map(lambda a: jnp.where(present if a.ndim == 2 else present[..., None], a, jnp.nan), batch)
    lost = lost._replace(response_mask=present)
    slope = slope_of(name, lost, options=options)
    assert jnp.isfinite(slope).all()
    assert (slope[1] == 0).all()
    without = jax.tree.map(lambda a: a[jnp.asarray([0, 2])], lost)
    np.testing.assert_allclose(loss_of(name, lost, options=options), loss_of(name, without, options=options), rtol=1e-5)
    if not METHODS[name].policy_gradient:
        assert (slope[2] <= 0).all()


@every_unit
def test_metrics_count_what_is_real(options):
    batch = random_batch(0)
    wide, _ = with_absent(batch, (1, 5), jnp.nan)
    for name, metric in METRICS.items():
        here, there = (metric.function(b, HYPER, options) for b in (wide, batch))
        np.testing.assert_allclose(here, there, rtol=1e-5, err_msg=name)
    here, there = (step_metrics(METHODS["dpo"], b, HYPER, options) for b in (wide, batch))
    assert list(here) == list(there) == ["loss", "fraction_pushed_down", *METRICS]
    for name in here:
        np.testing.assert_allclose(here[name], there[name], rtol=1e-5, err_msg=name)
    longer = Batch(
        *(jnp.pad(a, ((0, 0), (0, 0), (0, 1)), constant_values=jnp.nan) for a in batch[:3]),
        *batch[3:5],
        jnp.broadcast_to(jnp.asarray([True, True, False]), (3, 4, 3)),
    )
    for name, metric in METRICS.items():
        here, there = (metric.function(b, HYPER, options) for b in (longer, batch))
        np.testing.assert_allclose(here, there, rtol=1e-5, err_msg=name)


WAYS = {
    "batch": standardize,
    "per prompt": standardize_per_prompt,
    "leave one out": leave_one_out,
    "running": lambda r, p=None: standardize_by(jnp.asarray(3), r, RunningMoments.empty(), p)[0],
    "none": lambda r, p=None: standardize_by(jnp.asarray(0), r, RunningMoments.empty(), p)[0],
}


@pytest.mark.parametrize("way", WAYS)
def test_standardisation_leaves_absent_rewards_out(way, float64):
    rewards = random_batch(0).rewards
    present = jnp.asarray([True, False, True, True, False, True])
    wide = jnp.full((3, 6), jnp.nan).at[:, present].set(rewards)
    found = WAYS[way](wide, jnp.broadcast_to(present, (3, 6)))
    np.testing.assert_allclose(found[:, present], WAYS[way](rewards), rtol=1e-12)
    np.testing.assert_array_equal(found[:, ~present], np.zeros((3, 2)))


@pytest.mark.parametrize("way", sorted(set(WAYS) - {"none"}))
def test_a_reward_alone_and_no_reward_have_no_advantage(way):
    rewards = jnp.asarray([[jnp.nan, 0.7], [jnp.nan, jnp.nan]])
    np.testing.assert_array_equal(WAYS[way](rewards, ~jnp.isnan(rewards)), np.zeros((2, 2)))


def test_running_moments_of_a_batch_of_nothing_stay_as_they_were():
    before = RunningMoments.empty().update(jnp.asarray([1.0, 2.0, 4.0]))
    after = before.update(jnp.full(3, jnp.nan), jnp.zeros(3, bool))
    np.testing.assert_array_equal(after, before)
    empty = RunningMoments.empty().update(jnp.full(3, jnp.nan), jnp.zeros(3, bool))
    np.testing.assert_array_equal(empty, RunningMoments.empty())


def test_a_mask_of_responses_hides_their_tokens_too():
    """With both masks, a token is real if both say so; lengths are divisors, so at least 1."""
    batch = ragged()
    np.testing.assert_array_equal(batch.token_mask.sum(axis=-1), np.where(batch.response_mask, LENGTHS, 0))
    np.testing.assert_array_equal(batch.lengths, np.where(batch.response_mask, LENGTHS, 1))
    assert jnp.isfinite(batch.log_ratios).all()


def test_ties_kept_among_absent_responses_are_no_pairs():
    """The released code's rule pairs equal rewards, and pushes copies of the best; absent ones are not copies."""
    batch, _ = with_absent(random_batch(0)._replace(rewards=jnp.zeros((3, 4))), (0, 5), 0.0)
    keep = Options(ties="keep")
    assert METHODS["dpo"].objective(batch, dataclasses.replace(HYPER, reward_gap=0.0), keep).weights.sum() == 18
    whole = random_batch(0)._replace(rewards=jnp.zeros((3, 4)))
    for name in ("best_of_n_negative", "best_of_n_negative_worst", "unlikelihood"):
        np.testing.assert_allclose(loss_of(name, batch, options=keep), loss_of(name, whole, options=keep), rtol=1e-5)
