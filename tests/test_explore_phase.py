"""The phase diagram: identities of the recorded runs, winners and ties, the place that can be chosen, notebook 08."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from modeseek.bandit.explore import BanditExplorer
from modeseek.bandit.explore.bandit import presets as bandit_presets
from modeseek.bandit.explore.phase import PhaseExplorer, bake
from modeseek.bandit.explore.phase.model import PhaseModel, centers, recorded
from modeseek.bandit.explore.phase.questions import (
    check_change,
    check_half,
    check_tie,
    predict_crossing,
    predict_offline,
)
from modeseek.bandit.explore.phase.scene import NAMES, PhaseScene
from modeseek.bandit.explore.toolkit.canvas import Canvas
from modeseek.bandit.explore.toolkit.stored import DATA, stored
from modeseek.bandit.figures.phase import TIE, colors_of
from modeseek.bandit.figures.style import method_style
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import token_rewards
from modeseek.bandit.studies.phase_diagram.stored import STORED, open_phase
from modeseek.bandit.studies.phase_diagram.winners import winners


def test_the_recorded_runs_are_what_the_command_makes():
    """The stored configuration is the file's own; the rewards are its bumps; before training all is the reference."""
    data = recorded()
    assert Experiment.from_json(data.attrs["configuration"]) == bake.experiment()
    assert (DATA / "phase.nc").stat().st_size <= 150_000
    assert "explore.phase.bake" in data.attrs["command"]
    assert centers() == bake.CENTERS
    assert json.loads(data.attrs["versions"])
    for center, name in ((70, "R1"), (20, "R2")):
        np.testing.assert_allclose(data["token_rewards"].sel(reward=center), token_rewards(name, 100), atol=1e-6)
    start = data["expected_reward"].isel(step=0)
    reference = (data["token_rewards"] * data["reference_probs"]).sum("token")
    assert float(np.abs(start - reference).max()) < 0.02  # pretraining's tolerance, .002 nats a response
    np.testing.assert_allclose(data["final_tokens"].sum("token"), 1, atol=1e-4)


def test_final_tokens_earn_the_final_rewards():
    """Two records of one thing: the reward of the last token distributions is the last expected reward."""
    data = recorded()
    earned = (data["final_tokens"] * data["token_rewards"]).sum("token")
    last = data["expected_reward"].isel(step=-1).mean("seed")
    difference = np.abs((earned - last.transpose(*earned.dims)).values)
    assert np.nanmax(difference) < 0.03


@pytest.mark.parametrize("preset", PhaseExplorer.presets())
def test_winners_and_ties_by_another_way(preset: str):
    """Loops over the cells, with the interval of three values written out: t(.975, 2) = 4.3027."""
    result = PhaseModel(preset).result
    assert result.rewards.shape[-1] == 3
    half = 4.302653 * result.rewards.std(-1, ddof=1) / math.sqrt(3)
    np.testing.assert_allclose(result.high - result.mean, half, rtol=1e-5, atol=1e-12)
    for c, e in np.ndindex(result.winner.shape):
        ranked = sorted(range(len(result.methods)), key=lambda m: -result.mean[m, c, e])
        best, other = ranked[:2]
        assert result.mean[result.winner[c, e], c, e] == result.mean[best, c, e]
        apart = result.mean[best, c, e] - half[best, c, e] > result.mean[other, c, e] + half[other, c, e]
        assert result.tied[c, e] == (not apart)
    assert result.tied[:, 0].all()  # before the first step all are one policy


def test_arrow_keys_get_from_place_to_place():
    model = PhaseModel(center=20)
    for expected in (30, 40, 50, 60, 70):
        model.set("center", model.values.center + 1)
        assert model.values.center == expected
        assert any(f"set to {expected}" in note for note in model.notes)
    model.set("center", 69)
    assert model.values.center == 60
    model.set("center", 33)
    assert model.values.center == 30
    model.set("center", 500)
    assert model.values.center == 70


def test_states_captions_and_how_to_open_a_cell():
    model = PhaseModel("without-dpo", center=50, step=7)
    assert model.to_state() == "phase?preset=without-dpo&center=50&step=7"
    assert PhaseModel.from_state(model.to_state()).values == model.values
    c, e = model.cell
    winner = model.result.methods[model.result.winner[c, e]]
    assert model.to_open() in model.caption()
    opened = eval(model.to_open(), {"BanditExplorer": BanditExplorer})
    assert opened.model.values.method == winner
    trained, recording = bandit_presets.experiment(opened.model.values), bake.experiment()
    assert trained.rewards == ("bump:50.0:10.0",)
    assert trained.hyper.learning_rate == bake.LEARNING_RATES[winner]
    for part in ("algorithm", "policy", "seeds", "first_seed", "conventions", "pretraining"):
        assert getattr(trained, part) == getattr(recording, part), part
    assert opened.model.values.step == 7
    assert f"gradient step {model.result.steps[7]}" in model.caption()
    table = model.table()
    rows = (table["center"] == 50) & (table["step"] == model.result.steps[7])
    assert table["expected_reward"][rows].max() == model.result.mean[:, c, e].max()
    with pytest.raises(ValueError, match="measurement must be a number"):
        PhaseModel.from_state("phase?step=late")


def test_the_blitted_picture_is_the_fresh_one():
    rng = np.random.default_rng(0)
    canvas = Canvas(PhaseScene())
    for _ in range(8):
        preset = str(rng.choice(list(PhaseExplorer.presets())))
        model = PhaseModel(preset, center=int(rng.integers(20, 71)), step=int(rng.integers(0, 21)))
        assert set(model.result.methods) <= set(NAMES)
        np.testing.assert_array_equal(canvas.pixels(model), Canvas(PhaseScene()).pixels(model))


@pytest.mark.parametrize("preset", PhaseExplorer.presets())
def test_a_tie_is_grey_and_hatched_as_on_the_whole_map(preset: str):
    """A cell that one method has won has its colour; on a tie's grey the one ahead has a marker of its own colour."""
    model, canvas = PhaseModel(preset), Canvas(PhaseScene())
    canvas.pixels(model)
    axes = next(axes for axes in canvas.figure.axes if axes.images)
    (image,) = axes.images
    winner, tied = model.result.winner, model.result.tied
    hatched = {(int(box.get_y() + 0.5), int(box.get_x() + 0.5)) for box in axes.patches if box.get_hatch()}
    assert hatched == {(int(c), int(e)) for c, e in np.argwhere(tied)}
    np.testing.assert_array_equal(image.get_array()[tied], TIE)
    methods = model.result.methods
    won = [colors_of(NAMES)[NAMES.index(methods[m])] for m in winner[~tied]]
    np.testing.assert_array_equal(image.get_array()[~tied], np.reshape(won, (-1, 3)))
    inks = {
        (int(c), int(e)): {to_hex(line.get_markerfacecolor()), to_hex(line.get_markeredgecolor())}
        for line in axes.lines
        for e, c in zip(*line.get_data(), strict=True)
    }
    assert len(inks) == winner.size
    for cell, found in inks.items():
        own = to_hex(method_style(methods[winner[cell]]).color)
        assert (own in found) == bool(tied[cell])


def end_of(method: str, center: int) -> np.ndarray:
    """Rewards of the seeds at the end."""
    data = recorded()["expected_reward"].isel(step=-1).sel(algorithm=method, reward=center)
    return data.values.astype(np.float64)


def interval(seeds: np.ndarray) -> tuple[float, float]:
    """Of the mean of three: t(.975, 2) = 4.3027."""
    half = 4.302653 * seeds.std(ddof=1) / math.sqrt(3)
    return seeds.mean() - half, seeds.mean() + half


def test_predictions_are_read_off_the_runs():
    crossing = predict_crossing()
    truth = crossing.truth()
    below = [
        center
        for center in centers()
        if interval(end_of("on_policy_ipo", center))[1] < interval(end_of("best_of_n", center))[0]
    ]
    assert below == [70]
    assert crossing.options[truth.option] == "At 70 alone."
    assert "1.00, 1.00, 0.65 at 50; 1.00, 0.55, 0.54 at 60" in truth.because
    assert "above on-policy IPO's at 50, 60 and 70" in truth.because
    offline = predict_offline()
    ends = {center: interval(end_of("ipo", center)) for center in centers()}
    for near, far in zip(centers(), centers()[1:], strict=False):
        assert ends[near][0] <= ends[far][1]
        assert ends[far][0] <= ends[near][1]
    assert ends[20][0] > ends[70][1]
    assert "no two neighbours" in offline.options[offline.truth().option]
    assert "falls at every place (0.29, 0.21, 0.13, 0.08, 0.06, 0.04)" in offline.truth().because


def test_what_notebook_08_says_is_so():
    """Its sentences with numbers, against the recorded runs and the whole map."""
    source = (Path(__file__).parents[1] / "notebooks" / "src" / "08_phase_diagram.py").read_text()
    text = " ".join(source.replace("\n# ", " ").split())
    mean = recorded()["expected_reward"].mean("seed").transpose("algorithm", "reward", "step")
    others = ("best_of_n", "rwr", "ppo")

    def said(words: str) -> tuple[float, ...]:
        found = re.search(words, text)
        assert found, words
        return tuple(map(float, found.groups()))

    offline = {center: end_of("ipo", center) for center in centers()}
    gain = {center: end_of("on_policy_ipo", center).mean() - offline[center].mean() for center in centers()}
    assert said(r"ends at (\.\d+) with the peak at 20 and at (\.\d+) at 70, at the rate") == (
        round(offline[20].mean(), 2),
        round(offline[70].mean(), 2),
    )
    (least,) = said(r"Best-of-N, RWR and PPO end above (\.\d+) everywhere")
    assert float(mean.sel(algorithm=list(others)).isel(step=-1).min()) > least
    assert said(r"sampling anew brings (\.\d+) at 20 and (\.\d+) at 70") == (round(gain[20], 2), round(gain[70], 2))
    (steps,) = said(r"After (\d+) steps on-policy DPO and IPO lead at every place")
    early = mean.isel(step=int(np.flatnonzero(recorded()["step"].values == steps)[0]))
    for center in centers():
        then = {name: float(early.sel(algorithm=name, reward=center)) for name in NAMES}
        assert set(sorted(then, key=then.__getitem__)[-2:]) == {"on_policy_dpo", "on_policy_ipo"}
        assert min(set(NAMES) - {"ipo"}, key=then.__getitem__) == "ppo"
    best = {center: (end_of("on_policy_ipo", center) > 0.99).sum() for center in centers()}
    assert best == {20: 3, 30: 3, 40: 3, 50: 2, 60: 1, 70: 0}  # all, some, none
    found = winners(open_phase(STORED))
    pushes = np.array([variant(name).method.negative_gradient for name in found.methods])
    only = (found.among & ~pushes).sum(-1) == 0, (found.among & pushes).sum(-1) == 0
    assert said(r"may be the best in (\d+) of (\d+) cells, only others in none") == (only[0].sum(), len(only[0]))
    assert only[1].sum() == 0
    five = {reward: stored(f"bandit-{reward}-ipo") for reward in ("R1", "R2")}
    ends = five["R1"]["expected_reward"].values[0, :, -1].astype(np.float64)
    assert said(r"end there at (\.\d+) ± (\.\d+)") == (
        round(ends.mean(), 2),
        round(ends.std(ddof=1) / math.sqrt(5), 2),
    )
    best_shown = float(five["R1"]["rewards"].values.max())
    assert said(r"trained on \((\.\d+) against (\.\d+), seed 0") == (round(ends[0], 2), round(best_shown, 2))
    assert recorded().attrs["configuration"].count('"kl_coefficient": 0.0') == 1


def _wrong():
    result = PhaseModel().result
    clear = [(c, e) for c, e in np.argwhere(~result.tied)]
    c, e = clear[0]
    won = f"phase?center={centers()[c]}&step={e}"
    return [
        (check_half(...), "no answer here yet"),
        (check_half(35), "recorded are peaks at"),
        (check_change("phase?step=0", won), "before the first step"),
        (check_change(won, won), "wins both"),
        (check_change(won, "phase?preset=without-dpo&step=3"), "different sets"),
        (check_change(3, won), "give an explorer"),
        (check_tie(won), "clearly won"),
        (check_tie("phase?step=0"), "differ by less than .05"),
    ]


@pytest.mark.parametrize("case", range(8))
def test_a_wrong_answer_is_told_what_is_wrong(case: int):
    feedback, says = _wrong()[case]
    assert not feedback.right
    assert re.search(re.escape(says), str(feedback))
