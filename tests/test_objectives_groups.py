"""GRPO and its descendants, TOPR, SPPO and Nash-MD: where one method becomes another, by hand, and at extremes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER, OPTIONS, TOKEN_RATIO, loss_of, random_batch, slope_of
from test_objectives_masks import ragged

from modeseek.bandit.objectives.batch import Batch
from modeseek.bandit.objectives.divergences import bounded_sampled_kl, kl, sampled_kl
from modeseek.bandit.objectives.games import leads, sppo
from modeseek.bandit.objectives.policy_gradient import LARGEST_LOG_RATIO, topr
from modeseek.bandit.objectives.registry import METHODS

FREE = dataclasses.replace(HYPER, kl_coefficient=0.0)


def on_policy(batch):
    return batch._replace(behavior_token_log_probs=batch.token_log_probs)


def test_grpo_of_two_responses_is_rloo_up_to_the_prompts_gap():
    """(r - mean)/std is ±1 where RLOO's advantage is ± the gap; GRPO divides by the two tokens besides."""
    batch = on_policy(random_batch(0, responses=2))
    gap = np.abs(np.diff(batch.rewards, axis=1))[..., None]
    np.testing.assert_allclose(slope_of("grpo", batch, FREE) * gap * 2, slope_of("rloo", batch), rtol=1e-5)


def test_dr_grpo_is_rloo_up_to_n_over_n_minus_1():
    batch = on_policy(random_batch(0))
    np.testing.assert_allclose(slope_of("dr_grpo", batch) * 4 / 3, slope_of("rloo", batch), rtol=1e-5)


def test_dr_grpo_is_grpo_without_the_division_by_deviation_and_length(float64):
    """Responses of one to three tokens, prompts of two to four responses, ratios on both sides of the clip."""
    batch = ragged()
    real = np.asarray(batch.response_mask)
    deviation = np.array([r[m].std() for r, m in zip(np.asarray(batch.rewards), real, strict=True)])
    lengths = np.asarray(batch.token_mask).sum(axis=-1)
    times = deviation[:, None, None] * lengths[..., None]
    slopes = slope_of("grpo", batch, FREE)
    assert np.abs(slopes).max() > 0
    np.testing.assert_allclose(slopes * times, slope_of("dr_grpo", batch), rtol=1e-10)


def test_gspo_at_one_token_is_grpo():
    batch = random_batch(0, tokens=1)
    np.testing.assert_allclose(loss_of("gspo", batch), loss_of("grpo", batch, FREE), rtol=1e-4)
    np.testing.assert_allclose(slope_of("gspo", batch), slope_of("grpo", batch, FREE), rtol=1e-6)


def test_gspos_ratio_does_not_grow_with_length():
    """A response three times over has the same ratio and loss; PPO's ratio of the response is cubed."""
    batch = random_batch(0)
    long = batch._replace(**{f: jnp.tile(getattr(batch, f), (1, 1, 3)) for f in Batch._fields[:3]})
    np.testing.assert_allclose(loss_of("gspo", long), loss_of("gspo", batch), rtol=1e-5)
    assert abs(loss_of("ppo", long) / loss_of("ppo", batch) - 1) > 0.01


def test_dapo_with_one_epsilon_is_ppo_of_tokens(float64):
    """At equal lengths; PPO sums a response's two tokens where DAPO takes the mean."""
    batch = random_batch(0)
    deviation, mean = (getattr(batch.rewards, f)(axis=1, keepdims=True) for f in ("std", "mean"))
    batch = batch._replace(advantages=(batch.rewards - mean) / deviation)
    same = dataclasses.replace(HYPER, clip_epsilon_high=HYPER.clip_epsilon)
    np.testing.assert_allclose(2 * loss_of("dapo", batch, same), loss_of("ppo", batch, same, TOKEN_RATIO), rtol=1e-12)
    np.testing.assert_allclose(2 * slope_of("dapo", batch, same), slope_of("ppo", batch, same, TOKEN_RATIO), rtol=1e-12)


@pytest.mark.parametrize(("ratio", "moves"), [(1.19, True), (1.3, True), (1.36, False), (0.81, True), (0.79, False)])
def test_clip_higher_leaves_room_above_alone(ratio, moves):
    """ε = .2 below, .35 above: the good response's ratio above 1, the bad one's below; the other has ratio 1."""
    good, bad = (ratio, 1.0) if ratio > 1 else (1.0, ratio)
    tokens = jnp.log(jnp.asarray([[[good], [bad]]])) - 2.0
    batch = Batch(tokens, jnp.full_like(tokens, -2.0), None, jnp.asarray([[1.0, 0.0]]), None)
    assert bool(slope_of("dapo", batch)[0, int(ratio < 1), 0] != 0) == moves


def test_dapo_counts_tokens_and_grpo_responses():
    """Advantages 1 and -1, ratio 1: tokens of -1, +1, +1, +1 have the mean 1/2; responses' means are -1 and +1."""
    tokens = jnp.full((1, 2, 3), -1.0)
    mask = jnp.asarray([[[True, False, False], [True, True, True]]])
    batch = Batch(tokens, tokens, tokens, jnp.asarray([[1.0, 0.0]]), None, mask)
    np.testing.assert_allclose(loss_of("dapo", batch), 0.5, rtol=1e-6)
    np.testing.assert_allclose(loss_of("grpo", batch, FREE), 0.0, atol=1e-7)
    np.testing.assert_allclose(slope_of("grpo", batch, FREE)[0], [[-1 / 2, 0, 0], [1 / 6] * 3], rtol=1e-6)


def solved(batch, prompts):
    """The batch, with rewards of these prompts that are equal up to the rounding of their sums."""
    equal = jnp.asarray([0.1 + 0.2, 0.3, 0.2 + 0.1, 0.3])
    return batch._replace(rewards=batch.rewards.at[jnp.asarray(prompts)].set(equal))


def test_dapo_is_the_mean_over_groups_that_differ_by_a_loop(float64):
    """Prompts of four, two and three responses of one to three tokens; that of two is solved, and counts for none."""
    batch = solved(ragged(), [1])
    means = []
    for p, real in enumerate(np.asarray(batch.response_mask)):
        rewards, total, tokens = np.asarray(batch.rewards)[p][real], 0.0, 0
        if np.ptp(rewards) < 1e-12:
            continue
        for i, reward in enumerate(rewards):
            advantage = (reward - rewards.mean()) / rewards.std()
            for t in np.flatnonzero(np.asarray(batch.mask)[p, i]):
                ratio = np.exp(batch.token_log_probs[p, i, t] - batch.behavior_token_log_probs[p, i, t])
                clipped = np.clip(ratio, 1 - HYPER.clip_epsilon, 1 + HYPER.clip_epsilon_high)
                total, tokens = total - min(ratio * advantage, clipped * advantage), tokens + 1
        means.append(total / tokens)
    assert len(means) == 2
    np.testing.assert_allclose(loss_of("dapo", batch), np.mean(means), rtol=1e-10)


def test_what_is_solved_changes_no_direction_of_dapo_and_not_its_size(float64):
    """With one ε and equal lengths DAPO is GRPO, whose mean over three groups is of two that have advantages."""
    batch = random_batch(0)
    same = dataclasses.replace(FREE, clip_epsilon_high=FREE.clip_epsilon)
    np.testing.assert_allclose(slope_of("dapo", batch, same), slope_of("grpo", batch, same), rtol=1e-10)
    one, two = solved(batch, [1]), solved(batch, [0, 1])
    for some, times in ((one, 3 / 2), (two, 3)):
        assert np.abs(slope_of("grpo", some, same)).max() > 0
        np.testing.assert_allclose(slope_of("dapo", some, same), times * slope_of("grpo", some, same), rtol=1e-10)


def test_dapo_learns_nothing_where_all_is_solved():
    batch = solved(random_batch(0), [0, 1, 2])
    assert loss_of("dapo", batch) == 0
    np.testing.assert_array_equal(slope_of("dapo", batch), np.zeros((3, 4, 2)))


def test_the_kl_of_grpo_on_policy_by_enumeration(float64):
    """E_π[D] = KL(π ‖ π_ref); and E_π[∂D/∂θ] is the gradient of KL(π_ref ‖ π), not of KL(π ‖ π_ref)."""
    rng = np.random.default_rng(0)
    logits, reference = jnp.asarray(rng.normal(size=5)), jax.nn.log_softmax(jnp.asarray(rng.normal(size=5)))
    probs = jax.nn.softmax(logits)
    estimate = lambda z: (probs * sampled_kl(reference - jax.nn.log_softmax(z))).sum()
    np.testing.assert_allclose(estimate(logits), kl(jax.nn.log_softmax(logits), reference), rtol=1e-12)
    forward = jax.grad(lambda z: kl(reference, jax.nn.log_softmax(z)))(logits)
    np.testing.assert_allclose(jax.grad(estimate)(logits), forward, rtol=1e-10)
    reverse = jax.grad(lambda z: kl(jax.nn.log_softmax(z), reference))(logits)
    assert np.abs(forward - reverse).max() > 0.05


def test_the_bounded_kl_is_the_kl_up_to_its_bound_and_its_tangent_beyond():
    at = jnp.asarray([-100.0, -1.0, 0.0, 2.0, 39.0])
    np.testing.assert_allclose(bounded_sampled_kl(at, LARGEST_LOG_RATIO), sampled_kl(at), rtol=1e-6)
    slope = jax.vmap(jax.grad(lambda x: bounded_sampled_kl(x, LARGEST_LOG_RATIO)))
    ends = jnp.asarray([-np.inf, -100.0, 100.0, 1e3, np.inf])
    np.testing.assert_allclose(slope(ends)[:2], [-1, -1])
    np.testing.assert_allclose(slope(ends)[2:], [np.exp(40.0)] * 3, rtol=1e-5)


def test_topr_on_its_own_samples_is_reinforce():
    batch = on_policy(random_batch(0))
    for options in (OPTIONS, TOKEN_RATIO):
        np.testing.assert_allclose(slope_of("topr", batch, options=options), slope_of("reinforce", batch), rtol=1e-5)


@pytest.mark.parametrize(("log_ratio", "taper"), [(-100.0, 0.0), (-1.0, np.exp(-1)), (0.5, 1.0), (100.0, 1.0)])
def test_topr_tapers_bad_responses_alone(log_ratio, taper):
    """The gradient on log π: -r̄ of a good response, -r̄ min(ρ, 1) of a bad one."""
    slope = jax.grad(lambda l, a: topr(l, jnp.asarray(-200.0), a))
    np.testing.assert_allclose(slope(jnp.asarray(-200.0 + log_ratio), jnp.asarray(2.0)), -2.0)
    np.testing.assert_allclose(slope(jnp.asarray(-200.0 + log_ratio), jnp.asarray(-2.0)), 2 * taper, rtol=1e-5)


def test_an_impossible_bad_response_costs_topr_nothing():
    value, slope = jax.value_and_grad(lambda l: topr(l, jnp.asarray(-2.0), jnp.asarray(-1.0)))(jnp.asarray(-np.inf))
    assert (value, slope) == (0.0, 0.0)


def test_leads_by_hand():
    """Rewards 3, 1, 1, 2: the best beats all three; a tied one loses two of three, and is even with the third.

    Nobody plays against themselves: against the second and the last, the second meets the last alone.
    """
    rewards = jnp.asarray([3.0, 1.0, 1.0, 2.0])
    np.testing.assert_allclose(leads(rewards), [1 / 2, -1 / 3, -1 / 3, 1 / 6], rtol=1e-6)
    against = jnp.asarray([False, True, False, True])
    np.testing.assert_allclose(leads(rewards, against), [1 / 2, -1 / 2, -1 / 4, 1 / 2], rtol=1e-6)
    present = jnp.asarray([True, True, False, False])
    np.testing.assert_allclose(leads(rewards, None, present)[:2], [1 / 2, -1 / 2], rtol=1e-6)
    np.testing.assert_array_equal(leads(rewards, against, jnp.asarray([True, False, True, False])), np.zeros(4))
    np.testing.assert_array_equal(leads(jnp.full(4, 0.1)), np.zeros(4))


def test_sppo_rests_at_its_target(float64):
    """Two responses: the better one's win rate is (1/2 + 1)/2, itself included, and its target η/4 above π_gen."""
    behavior = jnp.asarray([[[-1.0], [-2.0]]])
    target = jnp.asarray([[[HYPER.eta / 4], [-HYPER.eta / 4]]])
    batch = Batch(behavior + target, behavior, None, jnp.asarray([[1.0, 0.0]]), None)
    np.testing.assert_allclose(loss_of("sppo", batch), 0.0, atol=1e-20)
    np.testing.assert_allclose(slope_of("sppo", on_policy(batch)) * 2, -2 * target, rtol=1e-12)


def test_sppos_minimum_is_multiplicative_weights_where_the_normaliser_is_constant(float64):
    """The loss as a function of log π without a normaliser: its zero is π_gen exp(η (P - 1/2))."""
    lead, gen = jnp.asarray([0.3, -0.1]), jnp.log(jnp.asarray([0.2, 0.8]))
    best = jnp.log(jnp.exp(gen) * jnp.exp(2.0 * lead))
    np.testing.assert_allclose(sppo(best - gen, lead, 2.0), np.zeros(2), atol=1e-30)


def test_nash_md_without_a_kl_is_reinforce_on_the_win_rate():
    batch = random_batch(0)
    won = batch._replace(advantages=leads(batch.rewards))
    np.testing.assert_allclose(slope_of("nash_md", batch, FREE), slope_of("reinforce", won), rtol=1e-6)


def test_nash_mds_kl_is_that_of_the_policy_gradient(float64):
    """-(P - ½ - β log π/π_ref) on log π, the mean over twelve responses."""
    batch = random_batch(0)
    away = np.asarray(batch.log_ratios)
    expected = -(np.asarray(leads(batch.rewards)) - HYPER.kl_coefficient * away) / 12
    np.testing.assert_allclose(slope_of("nash_md", batch)[..., 0], expected, rtol=1e-10)


def test_opponents_judge_and_do_not_learn():
    """The last two of four are opponents: their slopes are 0, and the first two win against them alone."""
    batch = random_batch(0)
    opponents = jnp.broadcast_to(jnp.asarray([False, False, True, True]), (3, 4))
    slope = np.asarray(slope_of("nash_md", batch._replace(opponents=opponents), FREE))
    assert (slope[:, 2:] == 0).all()
    r = np.asarray(batch.rewards)
    won = np.array([[np.mean([a > b for b in row[2:]]) - 0.5 for a in row[:2]] for row in r])
    np.testing.assert_allclose(slope[:, :2, 0], -won / 6, rtol=1e-5, atol=1e-8)


def test_ipo_md_is_ipo_on_other_samples():
    """At a mixture of nothing it is on-policy IPO; `test_mixture` says what it samples."""
    row, ipo = METHODS["ipo_md"], METHODS["ipo"]
    assert (row.objective, row.hyper, row.needs) == (ipo.objective, ipo.hyper, ipo.needs)
    assert (row.drawn_from, ipo.drawn_from) == ("mixture", "policy")
