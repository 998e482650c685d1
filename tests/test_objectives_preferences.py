"""The preference losses after DPO: known values, where one becomes another, and where each comes to rest."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_cases import HYPER, OPTIONS, loss_of, random_batch, slope_of

from modeseek.bandit.objectives.anchored_preference import chi_po, chi_squared_link, dpop
from modeseek.bandit.objectives.batch import Batch, Options
from modeseek.bandit.objectives.noisy_preference import SMALLEST_NOISE, cdpo, exo, robust_dpo
from modeseek.bandit.objectives.preference import dpo
from modeseek.bandit.objectives.reference_free import log_odds, orpo, simpo, slic
from modeseek.bandit.objectives.unpaired import nca

BETA, NOISE = 0.3, 0.2
MARGINS = np.array([-30.0, -2.0, 0.0, 1.5, 30.0])


AT_ZERO = {"cdpo": "label_noise", "robust_dpo": "label_noise", "dpo_sft": "sft_weight", "dpop": "positive_weight"}


@pytest.mark.parametrize(("name", "zero"), AT_ZERO.items())
def test_with_its_own_number_at_zero_a_relative_is_dpo(name, zero):
    hyper, batch = dataclasses.replace(HYPER, **{zero: 0.0}), random_batch(0)
    np.testing.assert_allclose(loss_of(name, batch, hyper), loss_of("dpo", batch, hyper), rtol=1e-6)
    np.testing.assert_allclose(slope_of(name, batch, hyper), slope_of("dpo", batch, hyper), rtol=1e-5, atol=1e-8)
    assert abs(loss_of(name, batch) - loss_of("dpo", batch)) > 1e-3


def test_without_a_target_simpo_is_dpo_of_means_from_a_uniform_reference():
    """One token a response and a uniform reference: also DPO itself."""
    hyper, batch = dataclasses.replace(HYPER, target_margin=0.0), random_batch(0)
    uniform = batch._replace(reference_token_log_probs=jnp.full_like(batch.reference_token_log_probs, -jnp.log(50.0)))
    means = slope_of("dpo", uniform, hyper, Options(margin="token"))
    np.testing.assert_allclose(slope_of("simpo", batch, hyper), means, rtol=1e-5, atol=1e-8)
    first = Batch(*(array[..., :1] for array in uniform[:3]), *batch[3:5])
    np.testing.assert_allclose(slope_of("simpo", first, hyper), slope_of("dpo", first, hyper), rtol=1e-5, atol=1e-8)


def test_cpo_without_sft_is_simpo_without_a_target_but_for_the_lengths():
    hyper, batch = dataclasses.replace(HYPER, sft_weight=0.0, target_margin=0.0), random_batch(0)
    of_means = loss_of("cpo", batch, hyper, Options(margin="token"))
    np.testing.assert_allclose(of_means, loss_of("simpo", batch, hyper), rtol=1e-6)
    # Two tokens: a margin of sums is twice that of means.
    half = dataclasses.replace(hyper, beta=HYPER.beta / 2)
    np.testing.assert_allclose(loss_of("cpo", batch, half), of_means, rtol=1e-6)


@pytest.mark.parametrize("name", ["dpo_sft", "cpo", "slic", "orpo"])
def test_sft_adds_pref_fts_loss_a_token(name):
    """Two tokens a response: half of Pref-FT's, times the weight."""
    batch, without = random_batch(0), dataclasses.replace(HYPER, sft_weight=0.0)
    added = loss_of(name, batch) - loss_of(name, batch, without)
    np.testing.assert_allclose(added, HYPER.sft_weight * loss_of("pref_ft", batch) / 2, rtol=1e-4)


def test_noisy_labels_rest_at_the_log_odds_of_the_noise(float64):
    """β m = log (1-ε)/ε under cDPO and EXO; robust DPO never rests."""
    rest = jnp.asarray(np.log((1 - NOISE) / NOISE) / BETA)
    for loss in (cdpo, exo):
        slope = jax.grad(lambda m, loss=loss: loss(m, BETA, NOISE))
        np.testing.assert_allclose(slope(rest), 0.0, atol=1e-12)
        assert slope(rest - 0.1) < 0 < slope(rest + 0.1)
    np.testing.assert_allclose(exo(rest, BETA, NOISE), 0.0, atol=1e-12)
    slopes = jax.vmap(jax.grad(lambda m: robust_dpo(m, BETA, NOISE)))(jnp.asarray(MARGINS))
    assert (slopes <= -BETA * NOISE / (1 - 2 * NOISE) + 1e-12).all()


def test_robust_dpo_is_unbiased_and_cdpo_is_not(float64):
    """(1-ε) ℓ(m) + ε ℓ(-m) over noisy labels is DPO's loss of the right one."""
    m = jnp.asarray(MARGINS)
    noisy = lambda loss: (1 - NOISE) * loss(m, BETA, NOISE) + NOISE * loss(-m, BETA, NOISE)
    np.testing.assert_allclose(noisy(robust_dpo), dpo(m, BETA), rtol=1e-10, atol=1e-12)
    assert np.abs(noisy(cdpo) - dpo(m, BETA)).max() > 1


def test_cdpo_is_the_other_kl_of_exo(float64):
    """KL(q ‖ p) = cDPO less the entropy of q, q = (1-ε, ε); EXO is KL(p ‖ q)."""
    p, q = 1 / (1 + np.exp(-BETA * MARGINS)), 1 - NOISE
    kl = lambda a, b: a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))
    entropy = -q * np.log(q) - (1 - q) * np.log(1 - q)
    np.testing.assert_allclose(cdpo(jnp.asarray(MARGINS), BETA, NOISE) - entropy, kl(q, p), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(exo(jnp.asarray(MARGINS), BETA, NOISE), kl(p, q), rtol=1e-9, atol=1e-12)


def test_exo_lets_go_of_a_pair_that_is_very_wrong():
    """At m = -1000 cDPO pulls with β(1-ε), EXO not at all; a certain label is taken as `SMALLEST_NOISE`."""
    m = jnp.asarray(-1000.0)
    np.testing.assert_allclose(jax.grad(lambda m: cdpo(m, BETA, NOISE))(m), -BETA * (1 - NOISE), rtol=1e-6)
    value, slope = jax.value_and_grad(lambda m: exo(m, BETA, 0.0))(m)
    np.testing.assert_allclose([value, slope], [-np.log(SMALLEST_NOISE), 0.0], rtol=1e-6, atol=1e-20)


def test_slic_is_a_hinge_in_nats():
    value, slope = jax.vmap(jax.value_and_grad(lambda m: slic(m, 2.0)))(jnp.asarray([-50.0, 0.0, 1.5, 2.5, jnp.inf]))
    np.testing.assert_allclose(value, [52.0, 2.0, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(slope, [-1, -1, -1, 0, 0])


def test_simpos_loss_is_log_2_at_its_target():
    np.testing.assert_allclose(simpo(jnp.asarray(1.5), 2.0, 1.5), np.log(2), rtol=1e-6)


def test_orpo_at_known_odds():
    """P = 3/4 and 1/3 have odds 3 and 1/2: ratio 6, σ(log 6) = 6/7. At P = 1 the odds are 2^24 e, and no inf."""
    log_p = jnp.log(jnp.asarray([3 / 4, 1 / 3]))
    np.testing.assert_allclose(np.exp(log_odds(log_p)), [3, 0.5], rtol=1e-5)
    np.testing.assert_allclose(orpo(log_odds(log_p)[0] - log_odds(log_p)[1]), np.log(7 / 6), rtol=1e-5)
    np.testing.assert_allclose(log_odds(jnp.asarray(0.0)), 24 * np.log(2) + 1, rtol=1e-6)
    # d log odds / d log P = 1/(1-P).
    np.testing.assert_allclose(jax.vmap(jax.grad(log_odds))(log_p), [4.0, 1.5], rtol=1e-5)


def test_dpop_asks_for_a_chosen_response_that_is_no_less_likely(float64):
    """m = 2 either way: (1, -1) is DPO's; (-1, -3) counts as m = 2 - λ. At the reference it has DPO's gradient."""
    of = lambda w, l: dpop(jnp.asarray(w), jnp.asarray(l), BETA, 5.0)
    np.testing.assert_allclose(of(1.0, -1.0), dpo(jnp.asarray(2.0), BETA), rtol=1e-12)
    np.testing.assert_allclose(of(-1.0, -3.0), dpo(jnp.asarray(2.0 - 5.0), BETA), rtol=1e-12)
    np.testing.assert_allclose(jax.grad(of, argnums=(0, 1))(0.0, 0.0), [-BETA / 2, BETA / 2], rtol=1e-12)


def test_chi_pos_link_and_clip(float64):
    """φ(2) = 2 + log 2, slope in log z: 1 + z. Beyond 2R on either side nothing changes any more."""
    value, slope = jax.value_and_grad(chi_squared_link)(jnp.log(2.0))
    np.testing.assert_allclose([value, slope], [2 + np.log(2), 3.0], rtol=1e-12)
    w, l = jnp.log(jnp.asarray(2.0)), jnp.log(jnp.asarray(0.5))
    np.testing.assert_allclose(chi_po(w, l, BETA, 9.0), dpo(jnp.asarray(1.5 + 2 * np.log(2)), BETA), rtol=1e-12)
    for far, margin in ((60.0, 2.0), (-60.0, -2.0)):
        value, slope = jax.value_and_grad(lambda w: chi_po(w, jnp.asarray(0.0), BETA, 1.0))(jnp.asarray(far))
        np.testing.assert_allclose([value, slope], [np.log1p(np.exp(-margin)), 0.0], rtol=1e-12)


def test_ncas_chosen_response_rests_at_twice_the_reference(float64):
    """r_w = log 2, as the chosen response is half of what the reference is taken to say; r_l falls for ever."""
    both = jax.grad(lambda w, l: nca(w, l, BETA), argnums=(0, 1))
    for rejected in (-50.0, 0.0, 50.0):
        slope_w, slope_l = both(jnp.log(2.0) / BETA, jnp.asarray(rejected))
        np.testing.assert_allclose(slope_w, 0.0, atol=1e-12)
        np.testing.assert_allclose(slope_l, BETA / 2 / (1 + np.exp(-BETA * rejected)), rtol=1e-10)


@pytest.mark.parametrize("name", ["slic", "simpo", "cpo", "orpo"])
def test_only_lengths_tell_how_a_longer_response_counts(name):
    """Equal tokens, two against three, the third one hidden in the other: means are equal, sums favour the shorter."""
    mask = jnp.asarray([[[True, True, False], [True, True, True]]])
    batch = Batch(jnp.full((1, 2, 3), -1.0), None, None, jnp.asarray([[1.0, 0.0]]), None, mask)
    hyper = dataclasses.replace(HYPER, sft_weight=0.0)
    of_sums, of_means = (loss_of(name, batch, hyper, o) for o in (OPTIONS, Options(margin="token")))
    even = {"slic": HYPER.target_margin, "simpo": np.log1p(np.exp(HYPER.beta * HYPER.target_margin)), "orpo": np.log(2)}
    np.testing.assert_allclose(of_means, even.get(name, np.log(2)), rtol=1e-5)
    assert (of_sums == of_means) == (name in {"simpo", "orpo"})
