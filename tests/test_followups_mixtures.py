"""A mixture policy's scores, overlaps and directions against integrals and finite differences."""

from statistics import NormalDist

import numpy as np
import pytest

from modeseek.bandit.studies.followups import mixtures
from modeseek.bandit.studies.followups.mixtures import METHODS, NEW, OLD, TWO_MODES, Curves, Mixture, mixture
from modeseek.bandit.studies.protocol import Protocol

LINE = np.linspace(-25.0, 25.0, 20001)[None]


def drawn_from(policy, n, rng):
    """n draws of every run."""
    shape = (len(policy.means), n)
    return policy.placed(rng.random(shape), rng.standard_normal(shape))


def nudged(policy, part, component, by):
    """The policy with one parameter moved."""
    moved = [each.copy() for each in policy]
    moved[part][:, component] += by
    return Mixture(*moved)


def slopes(policy, function):
    """Central differences of a function of a policy of one run, by its parameters."""
    step = 1e-5
    return Mixture(
        *(
            np.array(
                [
                    [
                        (function(nudged(policy, part, m, step)) - function(nudged(policy, part, m, -step)))
                        / (2 * step)
                        for m in range(policy.means.shape[1])
                    ]
                ]
            )
            for part in range(3)
        )
    )


def integral(policy, integrand):
    """∫ of a function of log π(x) and x, times π(x), by the trapezoid rule."""
    log_density = policy.log_density(LINE)
    return float(np.trapezoid(np.exp(log_density) * integrand(log_density), LINE[0])[0])


def test_densities_integrate_to_one_and_draws_have_their_moments():
    policy = mixture(1, *TWO_MODES)
    assert integral(policy, np.ones_like) == pytest.approx(1, abs=1e-9)
    drawn = drawn_from(policy, 200_000, np.random.default_rng(0))
    mean = 0.75 * -3.5 + 0.25 * 0.5
    variance = 0.75 * (1 + 3.5**2) + 0.25 * (0.49 + 0.25) - mean**2
    assert drawn.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / 200_000))
    assert drawn.var() == pytest.approx(variance, rel=0.02)


def test_scores_are_slopes_of_the_log_density():
    policy = mixture(1, (0.3, -1.0, 0.8), (0.7, 1.5, 1.3))
    x, weights = np.array([[-2.0, 0.1, 3.0]]), np.array([[0.5, -1.0, 2.0]])
    expected = slopes(policy, lambda p: float((weights * p.log_density(x)).sum()))
    for got, want in zip(policy.scores(x, weights), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-8)


def test_overlap_is_that_of_two_normals():
    """∫ min of two standard normals d apart is 2 Φ(-d/2)."""
    for d in (0.0, 1.0, 3.0):
        got = mixtures.overlap(mixture(1, (1.0, d, 1.0)), (1.0, 0.0, 1.0))
        assert got[0] == pytest.approx(2 * NormalDist().cdf(-d / 2), abs=2e-3)
    whole = mixture(1, OLD, NEW)
    assert mixtures.overlap(whole, OLD)[0] == pytest.approx(1, abs=1e-3)
    assert mixtures.overlap(mixture(1, OLD[:1] + OLD[1:]), NEW)[0] < 1e-3


def test_directions_descend_their_divergences():
    """Means over many draws, within four standard errors of slopes of integrals."""
    runs, n = 400, 100
    target = mixture(1, (0.6, -1.0, 1.0), (0.4, 1.5, 0.9))
    policy = mixture(1, (0.5, -0.6, 1.2), (0.5, 1.0, 1.1))
    many, wanted = (Mixture(*(np.repeat(part, runs, axis=0) for part in each)) for each in (policy, target))
    rng = np.random.default_rng(1)
    log_p = target.log_density(LINE)
    reverse = slopes(policy, lambda q: integral(q, lambda log_q: log_p - log_q))
    forward = slopes(policy, lambda q: float(np.trapezoid(np.exp(log_p) * q.log_density(LINE), LINE[0])[0]))
    own, data = drawn_from(many, n, rng), drawn_from(wanted, n, rng)
    for direction, x, expected in ((mixtures.reverse, own, reverse), (mixtures.forward, data, forward)):
        for got, want in zip(direction(many, x, wanted.log_density(x)), expected, strict=True):
            error = got.std(axis=0, ddof=1) / np.sqrt(runs)
            assert (np.abs(got.mean(axis=0) - want[0]) < 4 * error).all(), direction
    x = drawn_from(policy, 200_000, rng)  # self-normalised weights are biased as 1/n
    for got, want in zip(mixtures.forward_on_own(policy, x, target.log_density(x)), forward, strict=True):
        np.testing.assert_allclose(got, want, atol=0.02)


def test_reverse_kl_rests_at_its_target_whatever_is_drawn():
    policy = mixture(1, OLD, NEW)
    x = drawn_from(policy, 50, np.random.default_rng(0))
    for part in mixtures.reverse(policy, x, policy.log_density(x)):
        np.testing.assert_allclose(part, 0, atol=1e-12)


def test_a_seed_does_not_depend_on_the_others():
    numbers = {"steps": 4, "every": 2, "samples": 20, "data_set": 30}
    for method in ("sft", "rl"):
        together = mixtures.train(METHODS[method], TWO_MODES, 0.1, seeds=range(3, 6), **numbers)
        alone = mixtures.train(METHODS[method], TWO_MODES, 0.1, seeds=range(5, 6), **numbers)
        np.testing.assert_array_equal(together.old[2:], alone.old)
        assert together.old.shape == (3, 3)


def test_what_is_kept_is_read_where_the_level_is_first_reached():
    curves = Curves(
        old=np.array([[0.8, 0.6, 0.5, 0.1], [0.8, 0.9, 0.9, 0.9]]),
        new=np.array([[0.0, 0.5, 0.9, 0.95], [0.0, 0.1, 0.2, 0.3]]),
    )
    np.testing.assert_allclose(mixtures.kept_at(curves, 0.9), [-0.3, np.nan])


def test_the_rate_is_chosen_on_other_seeds_and_only_where_the_new_mode_is_learnt():
    setup = mixtures.Retention("sft", level=0.3, rates=(1e-5, 0.1), tuning_seeds=2, steps=40, data_set=100)
    fresh = Protocol("few", (), tuning_seeds=0, fresh_seeds=3, first_fresh_seed=1000)
    data = mixtures.retention(setup, fresh)
    assert data.attrs["learning_rate"] == 0.1
    assert np.isnan(data["tuning"].values[0])
    assert data["seed"].values.tolist() == [1000, 1001, 1002]
    assert np.isfinite(data["kept"].values).all()
