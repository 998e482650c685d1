"""Over-optimisation as a follow-up: how a run is read, on curves that are known; and what is run."""

import dataclasses

import numpy as np
import pytest
import xarray

from modeseek.bandit.simulator.config import RewardModelConfig
from modeseek.bandit.studies.assess import assess
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import fresh_values, level
from modeseek.bandit.studies.followups.followup import FOUR_HUNDRED, FollowupCell
from modeseek.bandit.studies.followups.learnt_rewards import Optimized, experiment, train
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
from modeseek.bandit.studies.followups.over_optimization import DPO, FEW, MANY, NETWORK_MANY
from modeseek.bandit.studies.followups.running import run_cells
from modeseek.bandit.studies.followups.store import CONDITION, STORE, read_cell


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


def test_a_study_on_a_network_resumes_and_is_read_as_that_on_a_table(tmp_path):
    """Two seeds of three, the first. A cell that is there is not run again, and both have one verdict rule."""
    few = dataclasses.replace(FOUR_HUNDRED, fresh_seeds=3)
    ran = []

    def once(setup, protocol):
        ran.append(setup.proxy)
        return train(setup, protocol)

    cells = [
        FollowupCell(
            f"proxy-{kind}", Optimized("ppo", 20, steps=8, proxy=kind, seeds=2), once, protocols=frozenset({few})
        )
        for kind in ("tabular", "gpt")
    ]
    run_cells(cells[:1], few, tmp_path, say=lambda line: None)
    results = run_cells(cells, few, tmp_path, say=lambda line: None)
    assert ran == ["tabular", "gpt"]
    table, network = (results[cell] for cell in cells)
    for dataset in (table, network):
        np.testing.assert_array_equal(dataset["seed"], [2000, 2001])
        assert np.isfinite(dataset["proxy"]).all()
        assert onsets(dataset).kl.shape == (2,)
    np.testing.assert_array_equal(table["gold"][:, 0], network["gold"][:, 0])  # one start
    assert (table["proxy"][:, -1] != network["proxy"][:, -1]).all()
    claims = [Claim(cell.name, "It loses.", "us", level(LOST, cell)) for cell in cells]
    lost = [fresh_values(claim.contrast, results) for claim in claims]
    by_hand = [d["gold"].max("step") - d["gold"].isel(step=-1) for d in (table, network)]
    np.testing.assert_allclose(lost, by_hand, rtol=1e-6)
    judged = assess(claims, results, 0.05)
    assert [(a.verdict.word, a.seeds) for a in judged] == [("undecided", 2)] * 2


def test_a_set_up_that_is_older_than_the_choice_of_a_proxy_has_a_table():
    """The cells that were stored before are read, and the network has its own fit to as many comparisons."""
    for cell in (FEW, DPO):
        assert cell.setup.proxy is None
        assert read_cell(cell, FOUR_HUNDRED, STORE.folder(FOUR_HUNDRED, CONDITION)).sizes["seed"] == 400
    assert experiment(NETWORK_MANY.setup, 0, 1).reward_model == RewardModelConfig("gpt", 800, 100, learning_rate=1e-3)
    assert experiment(MANY.setup, 0, 1).reward_model == RewardModelConfig("tabular", 800)
