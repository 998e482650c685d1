"""A reward that is drawn: its knots are the simulator's reward, in the explorer too, and what cannot be one is told."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import modeseek
from modeseek.bandit.categorical.frontier import Responses, reward_at
from modeseek.bandit.explore import BanditExplorer
from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.bandit.presets import BLANK, TWO_HILLS, experiment
from modeseek.bandit.explore.toolkit.controls import Bar
from modeseek.bandit.figures.frontier import responses_of
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.knots import Knots, load_reward, parse_knots, save_reward
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.problem import parse_reward, response_rewards, token_rewards

HILLS = "knots:" + ",".join(f"{v:g}" for v in TWO_HILLS)


def test_a_reward_is_straight_between_its_knots():
    values = token_rewards("knots:0,1,0.5", 101)
    np.testing.assert_allclose(values[[0, 25, 50, 75, 100]], [0, 0.5, 1, 0.75, 0.5])
    np.testing.assert_allclose(np.diff(values, n=2)[[0, 30, 60, 98]], 0, atol=1e-15)
    hills = token_rewards(HILLS, 100)
    place = 0.3 * 99  # the fourth of eleven knots is between tokens 29 and 30
    slopes = (TWO_HILLS[3] - TWO_HILLS[2]) / 9.9, (TWO_HILLS[4] - TWO_HILLS[3]) / 9.9
    np.testing.assert_allclose(hills[29], TWO_HILLS[3] - slopes[0] * (place - 29))
    np.testing.assert_allclose(hills[30], TWO_HILLS[3] + slopes[1] * (30 - place))


def test_the_simulator_pays_what_was_drawn():
    runs = make_plan(Experiment(rewards=(HILLS, "R1"))).runs
    np.testing.assert_allclose(runs.problem.token_rewards[0], token_rewards(HILLS, 100), atol=1e-7)
    tokens = jnp.asarray([[5, 30, 79, 99]])
    paid = response_rewards(tokens, jnp.asarray(token_rewards(HILLS, 100)), prompt_in_response=False)
    np.testing.assert_allclose(paid, token_rewards(HILLS, 100)[[30, 79, 99]].mean(), rtol=1e-6)


def test_one_text_for_one_reward():
    assert parse_reward("knots:0,0.50,1.") == Knots((0.0, 0.5, 1.0))
    assert Experiment(rewards=("knots:0, .50,1",)).rewards == ("knots:0,0.5,1",)
    third = Knots((1 / 3, 2 / 3))
    assert parse_knots(third.text) == third
    asked = Experiment(rewards=(HILLS,))
    assert Experiment.from_json(asked.to_json()) == asked
    with pytest.raises(ValueError, match="rewards must differ"):
        Experiment(rewards=("knots:0,1", "knots:0.0,1.0"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("knots:0,0,0", "0 for every token: there is nothing to learn"),
        ("knots:0.4,0.4", "0.4 for every token"),
        ("knots:0.5", "2 to 1000 knots, got 1"),
        ("knots:", "knots:NUMBER,NUMBER"),
        ("knots:0,a", "knots:NUMBER,NUMBER"),
        ("knots:0_1,0", "knots:NUMBER,NUMBER"),
        ("knots:0,1.5", "from 0 to 1, got 1.5 at knot 2"),
        ("knots:nan,1", "from 0 to 1, got nan at knot 1"),
        ("saved:nothing", "no saved reward 'nothing'"),
        ("saved:../x", "a reward's name has letters"),
    ],
)
def test_what_is_no_reward_is_said(text, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=says):
        Experiment(rewards=(text,))


def test_it_is_saved_once_and_held_without_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = modeseek.save_reward("two-hills", HILLS)
    assert path == tmp_path.joinpath("modeseek-rewards/two-hills.json").relative_to(tmp_path)
    assert modeseek.load_reward("two-hills") == HILLS
    with pytest.raises(ValueError, match=r"is there already: choose another name, or say replace=True"):
        save_reward("two-hills", "knots:0,1")
    assert load_reward("two-hills") == HILLS
    asked = Experiment(rewards=("saved:two-hills",))
    save_reward("two-hills", "knots:0,1", replace=True)
    assert asked.rewards == (HILLS,)  # what was meant then
    assert Experiment(rewards=("saved:two-hills",)).rewards == ("knots:0,1",)
    assert sorted(each.name for each in path.parent.iterdir()) == ["two-hills.json"]  # nothing temporary
    path.with_name(".two-hills.123-4.json").touch()
    with pytest.raises(ValueError, match=r"there are two-hills$"):
        load_reward("three-hills")


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ("{", "two-hills"),
        ("[1, 2]", "got list"),
        ("{}", "modeseek_reward must be 1, got None"),
        ('{"modeseek_reward": 2, "knots": [0, 1]}', "modeseek_reward must be 1, got 2"),
        ('{"modeseek_reward": true, "knots": [0, 1]}', "modeseek_reward must be 1, got True"),
        ('{"modeseek_reward": 1}', "knots must be a list, got None"),
        ('{"modeseek_reward": 1, "knots": "01"}', "knots must be a list, got '01'"),
        ('{"modeseek_reward": 1, "knots": [true, false]}', "knots must be a number, got True"),
        ('{"modeseek_reward": 1, "knots": [0, "0.5"]}', "knots must be a number, got '0.5'"),
        ('{"modeseek_reward": 1, "knots": {"0": 0.3, "1": 0.4}}', "knots must be a list"),
        ('{"modeseek_reward": 1, "knots": [0, 1.0000001]}', r"from 0 to 1, got 1\.0000001 at knot 2"),
    ],
)
def test_a_damaged_reward_is_told_what_is_wrong(held, says, tmp_path):
    (tmp_path / "two-hills.json").write_text(held)
    with pytest.raises(ValueError, match=says) as told:
        load_reward("two-hills", folder=tmp_path)
    assert "two-hills.json" in str(told.value)
    assert "()" not in str(told.value)


def test_the_explorer_draws_reference_optimum_and_frontier_of_what_was_drawn():
    model = BanditModel("R1-ppo", knots=TWO_HILLS)
    assert model.values.reward == "drawn"
    asked = experiment(model.values)
    assert asked.rewards == (HILLS,)
    exact = responses_of(asked, HILLS)
    np.testing.assert_array_equal(model.result.token_rewards, token_rewards(HILLS, 100))
    np.testing.assert_allclose(model.result.reference, exact.reference)
    at = [5, 60, 150]
    np.testing.assert_allclose(
        model.result.frontier_reward[at], reward_at(exact, model.result.frontier_kl[at]), atol=1e-6
    )
    # The optimum at its own distance earns the frontier's reward there.
    tilt = np.log(model.result.reference) + 2.0 * model.result.token_rewards
    best = np.exp(tilt) / np.exp(tilt).sum()
    distance = 10 * float((best * np.log(best / model.result.reference)).sum())
    assert float(reward_at(model.result.responses, distance)) == pytest.approx(
        best @ model.result.token_rewards, abs=1e-6
    )


def test_dragging_a_knot_moves_it_alone_and_a_link_holds_it():
    model = BanditModel("R1-ppo")
    model.set("knots", Bar(model.values.knots, 4, 0.77))
    assert model.values.knots == (*BLANK[:4], 0.77, *BLANK[5:])
    assert model.values.reward == "drawn"
    assert any("your own, drawn" in note for note in model.notes)
    model.set("knots", Bar(model.values.knots, 0, 0.995))
    assert model.values.knots[0] == 1
    assert BanditModel.from_state(model.to_state()).values == model.values
    model.set("center", 40)
    assert model.values.reward == "peak"
    fresh = BanditModel("R1-ppo", center=40)
    assert model.settings(model.values) == fresh.settings(fresh.values)


def test_what_cannot_be_drawn_or_learnt_is_said():
    model = BanditModel("R1-ppo")
    model.set("reward", "drawn")
    assert any("every token earns 0: there is nothing to learn" in note for note in model.notes)
    assert np.isfinite(model.result.frontier_reward).all()
    assert "drawn" in model.to_state()
    explorer = BanditExplorer(state=model.to_state())
    assert explorer.png()
    with pytest.raises(ValueError, match="there is nothing to learn"):
        explorer.train()
    for given, says in (
        ("0,1", "must have 11 numbers, got 2"),
        ("x" * 3, "numbers with commas"),
        ("nan," * 11, "finite"),
    ):
        with pytest.raises(ValueError, match=says):
            model.set("knots", given)
    model.set("knots", ",".join(["2"] + ["0.5"] * 10))
    assert model.values.knots[0] == 1
    assert any("moved there" in note for note in model.notes)


def test_an_explorers_reward_is_saved_and_trained_by_its_name(tmp_path, monkeypatch, tabular):
    monkeypatch.chdir(tmp_path)
    explorer = BanditExplorer("drawn-ppo", policy="table", seeds=1, collections=2)
    explorer.save_reward("hills")
    asked = dataclasses.replace(experiment(explorer.model.values), rewards=("saved:hills",))
    assert asked == experiment(explorer.model.values)
    again = BanditExplorer(knots=modeseek.load_reward("hills"))
    assert again.model.values.knots == explorer.model.values.knots


def test_its_best_response_is_the_highest_knots():
    exact = Responses(np.full(100, 0.01), token_rewards(HILLS, 100), 10)
    assert float(reward_at(exact, 1e3)) == pytest.approx(token_rewards(HILLS, 100).max(), abs=1e-6)
    assert int(token_rewards(HILLS, 100).argmax()) == 79
