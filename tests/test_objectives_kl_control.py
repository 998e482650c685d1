"""The adaptive KL controller: a sequence by hand, its fixed point, what is clipped."""

import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.kl_control import adapted_coefficient


def adapted(coefficient, kl, target=6.0, samples=64, horizon=10_000):
    return float(adapted_coefficient(jnp.asarray(coefficient), jnp.asarray(kl), target, samples, horizon))


def test_a_sequence_by_hand(float64):
    """Target 10, K = 100/1000. KL 11: e = .1, β = .2 · 1.01. KL 30: e = .2 (clipped), · 1.02. KL 9.5: e = -.05, · .995.
    KL 2: e = -.2 (clipped), · .98."""
    coefficient, found = 0.2, []
    for kl in (11.0, 30.0, 9.5, 2.0):
        coefficient = adapted(coefficient, kl, 10.0, 100, 1000)
        found.append(coefficient)
    np.testing.assert_allclose(found, [0.202, 0.20604, 0.2050098, 0.200909604], rtol=1e-12)


@pytest.mark.parametrize("coefficient", [1e-3, 0.2, 50.0])
def test_it_rests_at_its_target_whatever_the_coefficient(coefficient, float64):
    assert adapted(coefficient, 6.0) == coefficient
    assert adapted(coefficient, 6.1) > coefficient > adapted(coefficient, 5.9)


def test_beyond_20_percent_the_error_is_20_percent(float64):
    assert adapted(0.2, 7.2) == pytest.approx(adapted(0.2, 1e9), rel=1e-12)
    assert adapted(0.2, 4.8) == pytest.approx(adapted(0.2, -3.0), rel=1e-12)
    assert adapted(0.2, 7.1) < adapted(0.2, 7.2)


def test_a_system_whose_kl_falls_with_the_coefficient_comes_to_its_target(float64):
    """KL = 1/β has its fixed point at β = 1/KL_target, from below and from above."""
    for coefficient in (0.01, 5.0):
        for _ in range(400):
            coefficient = adapted(coefficient, 1.0 / coefficient, 4.0, 500, 1000)
        np.testing.assert_allclose(coefficient, 0.25, rtol=1e-3)


def test_how_fast_it_moves_depends_on_samples_and_not_on_collections(float64):
    """Ten collections of 10 samples and one of 100 differ in the second order of K alone."""
    many = 0.2
    for _ in range(10):
        many = adapted(many, 100.0, samples=10)
    np.testing.assert_allclose(many, adapted(0.2, 100.0, samples=100), rtol=2e-6)
