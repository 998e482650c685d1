"""The refresh question's explorer: recorded grids, saw-tooth, ratios against the clip band, states."""

import math
from dataclasses import replace

import numpy as np
import pytest
from test_spoilers import cells

from modeseek.bandit.explore import OnPolicyExplorer
from modeseek.bandit.explore.demo.model import recorded as demo
from modeseek.bandit.explore.on_policy.model import OnPolicyModel
from modeseek.bandit.explore.on_policy.presets import BUDGET, MINIBATCH, PASSES, PRESETS, SIZES, experiment
from modeseek.bandit.explore.on_policy.questions import BEST_OF_TEN, check_peaks
from modeseek.bandit.explore.toolkit.canvas import Canvas
from modeseek.bandit.explore.toolkit.recording import parts


@pytest.mark.parametrize("preset", PRESETS)
def test_a_grid_is_whole_and_its_saw_tooth_falls_at_refreshes(preset: str):
    for passes in PASSES:
        model = OnPolicyModel(preset, inner_steps=str(passes))
        assert not model.stale
        for samples, run in model.run.items():
            assert run.whole
            assert run.asked == BUDGET // samples
            assert run.steps[-1] == passes * BUDGET // MINIBATCH
            assert run.log_ratios.shape == (run.asked, samples // 10, 10)
            behind = run.mean("kl_to_behavior")[1:].reshape(run.asked, -1)
            assert (behind >= 0).all()
            # After a refresh the policy is nearer to the behavior than at the end of the collection before.
            if behind.shape[1] > 2:
                assert (behind[1:, 0] < behind[:-1, -1]).all()
    assert np.isfinite(model.result.reward).all()
    assert model.result.reward.shape == (len(PASSES), len(SIZES))


def test_the_ratios_are_of_the_chosen_collection_and_the_band_counts_them():
    model = OnPolicyModel("R1-best-of-n", samples="200", clip_epsilon=0.2)
    run = model.run[200]
    last = run.log_ratios[-1].ravel()
    np.testing.assert_array_equal(model.ratios(), last)
    inside = (last >= math.log(0.8)) & (last <= math.log(1.2))
    assert model.outside() == pytest.approx(1 - inside.mean())
    model.set("step", 1)
    np.testing.assert_array_equal(model.ratios(), run.log_ratios[0].ravel())
    model.set("step", run.evaluations + 1)
    np.testing.assert_array_equal(model.ratios(), run.log_ratios[1].ravel())


def test_the_saw_tooth_is_drawn_back_to_zero_at_each_refresh():
    explorer = OnPolicyExplorer("R1-best-of-n", inner_steps="5")
    explorer.pixels()
    lines = {line.get_label(): line for axes in explorer._canvas.figure.axes[1:2] for line in axes.lines}
    for samples, run in explorer.model.run.items():
        steps, values = lines[f"B = {samples}"].get_data()
        refreshes = np.arange(samples, BUDGET, samples) // MINIBATCH * 5
        np.testing.assert_array_equal(steps[1:][values[1:] == 0], refreshes)
        kept = np.append(True, values[1:] != 0)
        np.testing.assert_array_equal(steps[kept], run.steps)
        np.testing.assert_array_equal(values[kept], run.mean("kl_to_behavior"))
        for step in refreshes:  # up to there, then down to zero, and on from there
            assert list(values[steps == step]) == [run.mean("kl_to_behavior")[run.steps == step][0], 0]


def test_what_notebook_06_says_of_its_grids():
    text = " ".join(cell.text for cell in cells("06_on_policy"))
    shown = [OnPolicyModel(preset, samples="200") for preset in ("R1-ppo", "R1-best-of-n")]
    near = [f"{(np.abs(model.ratios()) <= 0.8).mean():.0%}".replace("%", " %") for model in shown]
    outside = [f"{model.outside():.0%}".replace("%", " %") for model in shown]
    assert text.count('samples="200"') == 2  # both pictures on R1 are those that the sentences are about
    assert f"B = 200 on R1, {outside[0]} of PPO's ratios are outside the band, and {outside[1]} of Best-of-N's" in text
    assert f"{near[0]} of PPO's lie within ±.8 nats on the logarithmic axis, and {near[1]} of Best-of-N's" in text
    for preset in PRESETS:
        ends = [f"{end:.2f}".replace("0.", ".") for end in OnPolicyModel(preset).result.reward[-1]]
        said = f"{', '.join(ends[:3])} and {ends[3]}"
        assert (said in text) == (preset != "R2-ppo")
    ppo = OnPolicyModel("R1-ppo")
    for seed in ppo.run[200].curves["expected_reward"]:
        assert seed[-1] < seed.max() - 0.02  # PPO's reward sinks while the last collection is used up
        assert seed.argmax() > seed.size - ppo.run[200].evaluations
    best = OnPolicyModel("R1-best-of-n")
    own = [run.curves["kl_to_behavior"].max(1) for run in best.run.values()]
    for found in (best.result.peak[-1], [each.mean() for each in own]):
        assert "{:.1f}, {:.1f}, {:.1f} and {:.1f}".format(*found) in text
    errors = [each.std(ddof=1) / math.sqrt(each.size) for each in own]
    assert max(each.mean() for each in own) - min(each.mean() for each in own) < 2 * math.hypot(*sorted(errors)[:2])
    assert [round(float(peak), 1) for peak in best.result.peak[1]] == [0.7, 1.3, 1.3, 1.3]
    peaks = ppo.result.peak[-1]
    assert f"is never more than {peaks.min():.1f} to {peaks.max():.1f} nats".replace("0.", ".") in text
    assert check_peaks(best_of_n=3.9, ppo=0.53).right
    assert "too little" in check_peaks(best_of_n=3.9, ppo=0.3).says
    assert "too much" in check_peaks(best_of_n=8, ppo=0.5).says


@pytest.mark.slow
def test_ppo_with_next_to_no_clip_ends_where_notebook_06_says():
    values = replace(PRESETS["R1-ppo"].values, clip_epsilon=2.0)
    *_, last = parts(experiment(values, 200), values.method)
    assert last.run is not None
    assert last.run.mean("expected_reward")[-1] == pytest.approx(0.75, abs=0.03)
    assert last.run.mean("kl_to_behavior").max() == pytest.approx(2.1, abs=0.4)


def test_best_of_n_without_a_refresh_ends_at_the_best_of_ten_of_the_reference():
    tokens = demo()["token_rewards"].sel(reward="R1").values
    reference = demo()["reference_probs"].values.astype(float)
    drawn = np.random.default_rng(0).choice(100, (20_000, 10, 10), p=reference / reference.sum())
    best = tokens[drawn].mean(-1).max(-1)
    assert abs(best.mean() - BEST_OF_TEN) < 0.002
    model = OnPolicyModel("R1-best-of-n")
    assert abs(model.result.reward[-1, -1] - BEST_OF_TEN) < model.run[1000].error("expected_reward")[-1]


def test_a_caption_is_of_the_grid_that_is_drawn():
    model = OnPolicyModel("R1-ppo", inner_steps="5")
    model.set("method", "rwr")
    model.set("inner_steps", "20")
    model.set("center", 20)
    assert model.caption().startswith("On-policy PPO, reward peak at 70, 1000 samples, T = 5 passes")
    assert "gradient step 50 of 50" in model.caption()
    assert "(method, reward peak, T, passes)" in model.caption()


def test_states_and_what_is_not_trained():
    model = OnPolicyModel("R1-best-of-n", inner_steps="5", samples="500", step=7)
    again = OnPolicyModel.from_state(model.to_state())
    assert again.values == model.values
    assert not again.stale
    model.set("center", 20)
    assert model.stale
    assert np.isnan(model.result.reward).all()  # nothing is known of this reward, and nothing is shown as if
    assert "press Train" in model.caption()


def test_the_blitted_picture_is_the_fresh_one():
    explorer, rng = OnPolicyExplorer(), np.random.default_rng(0)
    for _ in range(3):
        name, value = [
            ("samples", str(rng.choice(SIZES))),
            ("inner_steps", str(rng.choice(PASSES))),
            ("step", int(rng.integers(0, 50))),
            ("clip_epsilon", float(rng.uniform(0.05, 0.9))),
        ][rng.integers(4)]
        explorer.set(**{name: value})
        np.testing.assert_array_equal(explorer.pixels(), Canvas(explorer.Scene()).pixels(explorer.model))
