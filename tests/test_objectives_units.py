"""Options that take likelihoods of tokens where the paper takes those of whole responses."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER, OPTIONS, TOKEN_UNITS, every_method, loss_of, random_batch, slope_of

from modeseek.bandit.objectives.batch import Batch, Options

TOKEN_MARGIN, TOKEN_NEGATIVES = Options(margin="token"), Options(negatives="token")
READ_BY = {
    "ratio": {"ppo", "topr"},
    "margin": {
        "dpo",
        "ipo",
        "ipo_md",
        "cdpo",
        "robust_dpo",
        "exo",
        "dpo_sft",
        "dpop",
        "chi_po",
        "nca",
        "slic",
        "cpo",
        "kto",
    },
    "negatives": {
        "unlikelihood",
        "best_of_n_negative",
        "best_of_n_negative_mean",
        "best_of_n_negative_worst",
    },
}


@every_method
def test_at_one_token_both_units_are_the_same(name):
    """The same formula; to rounding, as a sum of one term or a division by 1 may be computed in another order."""
    batch = random_batch(0, tokens=1)
    np.testing.assert_allclose(loss_of(name, batch, options=TOKEN_UNITS), loss_of(name, batch), rtol=1e-6)
    np.testing.assert_allclose(slope_of(name, batch, options=TOKEN_UNITS), slope_of(name, batch), rtol=1e-6)


@pytest.mark.slow
@every_method
@pytest.mark.parametrize("option", READ_BY)
def test_each_option_is_of_its_family(name, option):
    moved = Options(**{option: "token"})
    batches = [random_batch(seed) for seed in range(5)]
    changed = [bool((slope_of(name, b, options=moved) != slope_of(name, b)).any()) for b in batches]
    assert any(changed) == (name in READ_BY[option])


def _two(best, other, reference=-1.0, mask=None):
    """One prompt whose first response is the best; token log-probs of both, padded to one length by the caller."""
    tokens = jnp.asarray([[best, other]], jnp.float32)
    rewards = jnp.asarray([[1.0, 0.0]])
    return Batch(tokens, tokens, jnp.full_like(tokens, reference), rewards, rewards, mask)


def test_unlikelihood_of_tokens_by_hand():
    """-log(.5 · .4) - β [log(1 - .3) + log(1 - .6)]; the slope on a pushed token is β π/(1 - π)."""
    batch = _two(np.log([0.5, 0.4]), np.log([0.3, 0.6]))
    expected = -np.log(0.2) - 0.8 * (np.log(0.7) + np.log(0.4))
    np.testing.assert_allclose(loss_of("unlikelihood", batch, options=TOKEN_NEGATIVES), expected, rtol=1e-6)
    slope = slope_of("unlikelihood", batch, options=TOKEN_NEGATIVES)
    np.testing.assert_allclose(slope[0], [[-1, -1], [0.8 * 3 / 7, 0.8 * 6 / 4]], rtol=1e-5)


def test_unlikelihood_pushes_long_responses_by_tokens_alone():
    """Three hundred tokens of probability e^-1: 1 - π is 1 in float32, and its log's slope 0, but not a token's."""
    batch = _two([-1.0] * 300, [-1.0] * 300)
    assert jnp.abs(slope_of("unlikelihood", batch)[0, 1]).max() < 1e-37
    pushed = slope_of("unlikelihood", batch, options=TOKEN_NEGATIVES)[0, 1]
    np.testing.assert_allclose(pushed, np.full(300, 0.8 * np.exp(-1) / (1 - np.exp(-1))), rtol=1e-5)


def _thirty_against_twenty():
    """A best response of 20 tokens and another of 30, all of probability e^-1."""
    mask = jnp.arange(30)[None, None, :] < jnp.asarray([20, 30])[None, :, None]
    return _two([-1.0] * 20 + [-jnp.inf] * 10, [-1.0] * 30, mask=mask)


@pytest.mark.parametrize("name", ["best_of_n_negative", "best_of_n_negative_mean", "best_of_n_negative_worst"])
def test_a_longer_response_of_equal_likelihood_a_token_is_pushed_by_tokens_alone(name):
    """π_j/π_best = e^-10 is below the threshold; its geometric mean over tokens is 1, and it goes down."""
    hyper = dataclasses.replace(HYPER, negative_threshold=0.01)
    batch = _thirty_against_twenty()
    assert (slope_of(name, batch, hyper)[0, 1] == 0).all()
    np.testing.assert_allclose(slope_of(name, batch, hyper, TOKEN_NEGATIVES)[0, 1], np.full(30, 0.8), rtol=1e-6)
    np.testing.assert_allclose(loss_of(name, batch, hyper, TOKEN_NEGATIVES), 20 + 0.8 * -30, rtol=1e-6)


def test_the_threshold_is_on_the_geometric_mean_over_tokens():
    """exp((-6)/3)/exp((-2)/2) = e^-1 = .368: pushed above that threshold's half, not above its double."""
    mask = jnp.arange(3)[None, None, :] < jnp.asarray([2, 3])[None, :, None]
    batch = _two([-1.0, -1.0, jnp.nan], [-1.0, -2.0, -3.0], mask=mask)
    for threshold, pushed in ((0.18, 0.8), (0.72, 0.0)):
        hyper = dataclasses.replace(HYPER, negative_threshold=threshold)
        slope = slope_of("best_of_n_negative", batch, hyper, TOKEN_NEGATIVES)
        np.testing.assert_allclose(slope[0], [[-1, -1, 0], [pushed] * 3], rtol=1e-6)


def test_margins_of_means_by_hand():
    """Log-ratios 1 + 1 over two tokens and 3 + 0 + 0 over three: means 1 and 1, margin 0; sums 2 and 3, margin -1."""
    mask = jnp.arange(3)[None, None, :] < jnp.asarray([2, 3])[None, :, None]
    batch = _two([-1.0, -1.0, -jnp.inf], [1.0, -2.0, -2.0], reference=-2.0, mask=mask)
    target = 1 / (2 * HYPER.tau)
    np.testing.assert_allclose(loss_of("ipo", batch), (-1 - target) ** 2, rtol=1e-6)
    np.testing.assert_allclose(loss_of("ipo", batch, options=TOKEN_MARGIN), target**2, rtol=1e-6)
    np.testing.assert_allclose(loss_of("dpo", batch, options=TOKEN_MARGIN), np.log(2), rtol=1e-6)
    # dpo's slope on the margin at 0 is -β/2, shared by the tokens of each mean.
    slope = slope_of("dpo", batch, options=TOKEN_MARGIN)[0]
    half = HYPER.beta / 2
    np.testing.assert_allclose(slope, [[-half / 2] * 2 + [0], [half / 3] * 3], rtol=1e-5)


def test_ipo_of_means_does_not_grow_with_length():
    """A response repeated three times over: its mean log-ratio, and so the loss, is the same; of sums it is not."""
    batch = random_batch(0)
    long = batch._replace(**{f: jnp.tile(getattr(batch, f), (1, 1, 3)) for f in Batch._fields[:3]})
    for name in ("ipo", "dpo"):
        np.testing.assert_allclose(
            loss_of(name, long, options=TOKEN_MARGIN), loss_of(name, batch, options=TOKEN_MARGIN), rtol=1e-5
        )
        assert abs(loss_of(name, long) / loss_of(name, batch) - 1) > 0.01


def test_advantages_of_tokens():
    """REINFORCE and PPO with an advantage for each token: that of the response spread out is the same loss; others by
    hand; and a ratio of whole responses has no place for them."""
    batch = random_batch(0)
    spread = batch._replace(advantages=jnp.broadcast_to(batch.advantages[..., None], (3, 4, 2)))
    for name in ("reinforce", "ppo"):
        np.testing.assert_allclose(
            loss_of(name, spread, options=TOKEN_UNITS), loss_of(name, batch, options=TOKEN_UNITS), rtol=1e-4
        )
    own = _two([-1.0, -2.0], [-3.0, -jnp.inf], mask=jnp.asarray([[[True, True], [True, False]]]))
    own = own._replace(advantages=jnp.asarray([[[1.0, -2.0], [0.5, jnp.nan]]]))
    np.testing.assert_allclose(loss_of("reinforce", own), (1.0 * 1 + -2.0 * 2 + 0.5 * 3) / 2, rtol=1e-6)
    np.testing.assert_allclose(slope_of("reinforce", own)[0], [[-0.5, 1.0], [-0.25, 0]], rtol=1e-6)
    with pytest.raises(ValueError, match="advantages of tokens need ratios of tokens"):
        loss_of("ppo", spread, options=OPTIONS)
