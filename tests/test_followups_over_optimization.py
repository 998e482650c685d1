"""Over-optimisation as a follow-up: how a run is read, on curves that are known; and what is run."""

import numpy as np
import pytest
import xarray

from modeseek.bandit.studies.followups.learnt_rewards import Optimized, experiment
from modeseek.bandit.studies.followups.optimization_measures import (
    EXPLAINED,
    GAINED,
    KL_AT_PEAK,
    LOST,
    PEAK,
    gold_at_kl,
    onsets,
    proxy_at_kl,
    share_explained,
)


def _curves(**rows):
    return xarray.Dataset({k: (("seed", "step"), np.array(v)) for k, v in rows.items()}, {"seed": [5, 6]})


CURVES = _curves(
    kl=[[0.0, 1.0, 4.0, 9.0], [0.0, 1.0, 4.0, 9.0]],
    gold=[[0.1, 0.5, 0.8, 0.6], [0.1, 0.2, 0.3, 0.4]],
    proxy=[[0.1, 0.6, 1.0, 1.5], [0.1, 0.4, 0.5, 0.6]],
)


def test_peak_loss_and_gain_by_hand():
    """The first run peaks at 4 nats; the second rises to its end and has lost nothing."""
    by_hand = {PEAK: (0.8, 0.4), KL_AT_PEAK: (4, 9), LOST: (0.2, 0), GAINED: (0.5, 0)}
    for measure, expected in by_hand.items():
        np.testing.assert_allclose(measure(CURVES), expected, atol=1e-12, err_msg=measure.name)
    np.testing.assert_allclose(gold_at_kl(2.5)(CURVES), [0.65, 0.25])
    np.testing.assert_allclose(proxy_at_kl(2.5)(CURVES), [0.8, 0.45])
    np.testing.assert_allclose(onsets(CURVES), [[4, np.nan], [0.8, np.nan], [0.2, np.nan], [0.5, np.nan]], atol=1e-12)
    assert onsets(CURVES.drop_vars("proxy")) is None


def test_the_law_is_explained_whole_and_another_curve_as_far_as_least_squares_can():
    d = np.linspace(0, 4, 30)
    law = 0.2 + d * (0.5 - 0.2 * np.log(np.maximum(d, 1e-300)))
    assert share_explained(law, d**2) == pytest.approx(1, abs=1e-12)
    resting = np.append(law, np.full(500, 7.0)), np.append(d**2, np.full(500, d[-1] ** 2))
    assert share_explained(*resting) == pytest.approx(1, abs=1e-12)  # at rest nothing is counted
    wave = np.sin(3 * d)
    features = np.stack([d[1:], d[1:] * np.log(d[1:])], axis=1)
    normal = np.linalg.solve(features.T @ features, features.T @ wave[1:])
    rest = (wave[1:] - features @ normal) @ (wave[1:] - features @ normal)
    assert share_explained(wave, d**2) == pytest.approx(1 - rest / (30 * wave.var()), rel=1e-9)
    assert EXPLAINED(CURVES).dims == ("seed",)


def test_all_runs_have_the_same_gradient_steps_and_their_own_data():
    """PPO on a table that is fitted to as many comparisons as DPO and IPO are trained on."""
    for method, field in (("ppo", "kl_coefficient"), ("dpo", "beta"), ("ipo", "tau")):
        asked = experiment(Optimized(method, 200, strength=0.07), 5, 2)
        assert asked.algorithm.gradient_steps == 400
        assert getattr(asked.hyper, field) == 0.07
        held = asked.algorithm.samples_per_collection // 2 if method != "ppo" else asked.reward_model.comparisons
        assert held == 200
        assert (asked.reward_model.kind == "tabular") == (method == "ppo")
