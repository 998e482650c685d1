"""Explorers that train: they show what was trained, no number compiles anything, a cancelled run stays partial."""

import dataclasses
import threading
import time
from importlib.resources import files

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.categorical.frontier import reward_at
from modeseek.bandit.explore import BanditExplorer
from modeseek.bandit.explore.bandit import model as bandit_model
from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.bandit.presets import PRESETS, experiment
from modeseek.bandit.explore.bandit.scene import batch_picture
from modeseek.bandit.explore.toolkit.canvas import Canvas
from modeseek.bandit.explore.toolkit.recording import Part
from modeseek.bandit.explore.toolkit.runs import take_turn, train
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.simulator.conventions import RELEASED_CODE
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import make_policy
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.simulator.train import pretrain_seed, run_collection, start

TINY = {"policy": "table", "prompts": 2, "responses": 4, "inner_steps": 2, "collections": 3, "seeds": 2}


def _shell(explorer):
    explorer.widget
    return explorer._shell


@pytest.fixture(scope="module")
def trained() -> BanditExplorer:
    """One explorer whose shapes are compiled; all tests that train share them."""
    explorer = BanditExplorer("R1-ppo", **TINY, learning_rate=0.05)
    assert isinstance(explorer, BanditExplorer)
    explorer.train()
    return explorer


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_recorded_whole_and_small(preset: str):
    model = BanditModel(preset)
    run = model.run
    assert run.whole
    assert not model.stale
    assert len(run.seeds) == model.values.seeds == 5
    assert (files("modeseek.bandit.explore") / "data" / f"bandit-{preset}.nc").read_bytes().__sizeof__() < 150_100
    np.testing.assert_allclose(run.token_distribution.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(run.token_distribution[0], np.tile(model.result.reference, (10, 1)), atol=0.02)
    rewards = model.result.token_rewards[run.responses].mean(axis=-1)
    np.testing.assert_allclose(run.rewards, rewards, atol=1e-3)
    method = METHODS[model.values.method.removeprefix("on_policy_")]
    assert (run.weights < 0).any() == method.negative_gradient
    assert (run.weights > 0).any()
    could = reward_at(model.result.responses, run.curves["kl_to_reference"])
    assert (run.curves["expected_reward"] <= could + 1e-5).all()  # exact along sampled prefixes; float32 rounds


@pytest.mark.slow
def test_the_first_seed_of_a_recording_is_the_simulators():
    """What is bundled is what `run_sweep` computes: two collections of preset R1-ppo, to a thousandth."""
    values = dataclasses.replace(BanditModel("R1-ppo").values, collections=2, seeds=1)
    asked = dataclasses.replace(experiment(values), methods=("ppo",))
    data = run_sweep(asked, progress=False).dataset.isel(algorithm=0, reward=0, seed=0)
    for name, curve in BanditModel("R1-ppo").run.curves.items():
        np.testing.assert_allclose(curve[0, :3], data[name].values, rtol=0.02, atol=2e-3)


def test_copies_that_are_not_frozen_whole_are_refused():
    """A collection does not hold their log-probs, and an explorer would draw zeros."""
    asked = Experiment(conventions=RELEASED_CODE)
    run = jax.tree.map(lambda a: jnp.asarray(a[0]), make_plan(asked).runs)
    state, *_ = jax.eval_shape(
        lambda: start(pretrain_seed(run.problem, run.seed, asked.static).params, run, asked.static)
    )
    with pytest.raises(ValueError, match="frozen_copies 'whole', got 'live_mlp'"):
        take_turn(state, run, asked.static)


def test_no_number_compiles_anything(trained: BanditExplorer):
    """Every control that is no shape, and the method, moved; then a training in which XLA compiles nothing."""
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration, **_: compiled.append(event) if "backend_compile" in event else None
    )
    explorer = BanditExplorer("R1-ppo", **TINY)
    assert isinstance(explorer, BanditExplorer)
    changed = {
        "method": "on_policy_ipo",
        "center": 40,
        "width": 5,
        "location": 0.2,
        "scale": 0.3,
        "learning_rate": 0.02,
        "beta": 1.0,
        "tau": 0.2,
        "temperature": 0.3,
        "clip_epsilon": 0.5,
        "collections": 4,
        "seeds": 3,
        "first_seed": 7,
    }
    explorer.set(**changed)
    assert not explorer.model.compiles(explorer.model.values)
    explorer.train()
    assert not explorer.model.stale
    assert explorer.model.run.seeds == (7, 8, 9)
    assert compiled == []
    explorer.set(responses=5)
    assert explorer.model.compiles(explorer.model.values)
    assert "responses N is a shape: the next training compiles first" in explorer.model.notes


def test_what_is_shown_is_what_the_simulator_trains(trained: BanditExplorer):
    model = trained.model
    asked = dataclasses.replace(experiment(model.values), methods=("ppo",))
    asked = dataclasses.replace(asked, evaluation=dataclasses.replace(asked.evaluation, snapshots=True))
    data = run_sweep(asked, progress=False).dataset.isel(algorithm=0, reward=0)
    np.testing.assert_allclose(model.run.curves["expected_reward"], data["expected_reward"].values, rtol=1e-5)
    np.testing.assert_array_equal(model.run.steps, data["step"].values)
    for step in range(4):
        trained.set(step=step)
        heat = data["token_distribution"].isel(seed=0, snapshot=step).values
        np.testing.assert_allclose(model.positions(), heat, atol=1e-5)
        np.testing.assert_allclose(model.marginal().sum(), 1, atol=1e-5)


def test_the_batch_is_ordered_and_coloured_by_its_weights():
    model = BanditModel("R1-ppo", step=8)
    responses, weights, rewards = model.batch()
    assert (np.diff(weights) <= 0).all()
    assert np.corrcoef(weights, rewards)[0, 1] > 0.9  # PPO's weight at ratio 1 is the advantage
    picture = batch_picture(responses, weights).astype(int)
    for row, (tokens, weight) in enumerate(zip(responses, weights, strict=True)):
        red, _, blue, _ = picture[row, tokens].T
        assert (np.sign(blue - red) == np.sign(weight)).all()
        assert (np.delete(picture[row], tokens, axis=0) == 255).all()
    grey = batch_picture(np.array([[3]]), np.zeros(1))[0, 3]
    assert len(set(grey[:3])) == 1
    assert grey[0] < 255


def test_a_state_says_everything_but_the_training(trained: BanditExplorer):
    model = trained.model
    again = BanditModel.from_state(trained.to_state())
    assert isinstance(again, BanditModel)
    assert again.values == dataclasses.replace(model.values, step=again.values.step)
    assert again.stale
    assert "press Train" in again.caption()
    assert BanditExplorer("R2-ipo", step=3).to_state() == "bandit?preset=R2-ipo&step=3"
    far = BanditModel.from_state("bandit?preset=R2-ipo&collections=90&step=70")
    assert far.values.step == 40  # the recorded run that is shown ends there


def test_other_settings_are_never_shown_as_if_trained(trained: BanditExplorer):
    model = BanditModel("R1-ppo")
    model.set("learning_rate", 0.002)
    assert model.stale
    model.set("learning_rate", 0.001)
    assert not model.stale
    model.set("center", 30)
    assert model.result.token_rewards.argmax() == 30  # the closed forms follow at once
    assert model.stale
    model.set("tau", 0.7)
    assert "τ of IPO does not enter On-policy PPO: the same curves again" in model.notes


def test_a_caption_is_of_the_run_that_is_drawn():
    explorer = BanditExplorer("R1-ppo", method="on_policy_dpo", step=20)  # as notebook 08 suggests for a cell
    model, run = explorer.model, BanditModel("R1-ppo", step=20).run
    assert isinstance(model, BanditModel)
    np.testing.assert_array_equal(model.run.curves["expected_reward"], run.curves["expected_reward"])
    assert model.caption().startswith("On-policy PPO, collection 20 of 40")
    assert "other settings than those set here (method): press Train" in model.caption()
    nats = run.mean("kl_to_reference")[model.evaluation]
    could = float(reward_at(model.result.responses, nats))
    explorer.set(center=10)
    assert f"where {could:.2f} could be had" in model.caption()
    assert "The reference and the reward over the tokens are those of the settings above." in model.caption()
    explorer.set(method="ppo", center=70)
    assert "press Train" not in model.caption()
    as_recorded = explorer.pixels()
    np.testing.assert_array_equal(as_recorded, BanditExplorer("R1-ppo", step=20).pixels())


def _first_collections(count: int):
    """As much of a recorded run as there is after so many collections."""
    run = BanditModel("R1-ppo").run
    stop = count * run.evaluations + 1
    return run._replace(
        done=count, steps=run.steps[:stop], curves={name: curve[:, :stop] for name, curve in run.curves.items()}
    )


@pytest.mark.parametrize("settings", [{}, {"learning_rate": 0.002}], ids=["recorded", "others"])
def test_what_is_said_of_a_training_is_of_what_is_drawn(monkeypatch: pytest.MonkeyPatch, settings: dict[str, float]):
    explorer = BanditExplorer("R1-ppo", step=7)
    assert isinstance(explorer, BanditExplorer)
    shell, under_way, go_on = _shell(explorer), threading.Event(), threading.Event()

    def held(values):
        yield Part(0.05, "2 of 40 collections", _first_collections(2))
        under_way.set()
        go_on.wait(10)
        yield Part(0.075, "3 of 40 collections", _first_collections(3))

    monkeypatch.setattr(explorer.model, "training", held)
    explorer.set(**settings)
    explorer.train(wait=False)
    assert under_way.wait(10)
    explorer.cancel()
    go_on.set()
    explorer.wait()
    assert "Cancelled: what was trained until then, 5%, is shown." in shell.extra.says.value
    assert "stopped after 2 of 40" in explorer.caption()
    assert shell.extra.bar.value == 0.05
    recorded = BanditExplorer("R1-ppo", step=7)
    for _ in range(2):  # after Cancel, and while the training still runs
        explorer.reset()
        explorer.wait()
        assert "These settings were recorded" in shell.extra.says.value
        assert "Cancelled" not in shell.extra.says.value
        assert shell.extra.bar.value == 0
        assert explorer.caption() == recorded.caption()
        np.testing.assert_array_equal(explorer.pixels(), recorded.pixels())
        under_way.clear(), go_on.clear()
        explorer.set(**settings)
        explorer.train(wait=False)
        assert under_way.wait(10)
        go_on.set()
    explorer.cancel()
    explorer.wait()


def test_a_training_does_not_take_the_reader_away_from_another_run():
    model = BanditModel("R1-ppo", step=7)
    others = dataclasses.replace(model.values, learning_rate=0.002)
    model.take(others, _first_collections(2), 0.05)
    assert (model.values.step, model.run.done) == (7, 40)
    model.set("learning_rate", 0.002)
    assert (model.values.step, model.run.done, model.stale) == (2, 2, False)


def test_a_cancelled_training_leaves_its_part_and_says_so(trained: BanditExplorer, monkeypatch: pytest.MonkeyPatch):
    clicked = threading.Event()

    def held_back(values, training=bandit_model.training):
        """A hundred tiny collections are over in .3 s: here they take 20, or until Cancel is clicked."""
        for part in training(values):
            yield part
            clicked.wait(0.1)

    monkeypatch.setattr(bandit_model, "training", held_back)
    explorer = BanditExplorer("R1-ppo", **TINY | {"collections": 100, "first_seed": 3})
    assert isinstance(explorer, BanditExplorer)
    shell = _shell(explorer)
    assert "press Train" in shell.extra.says.value
    shell.extra.train.click()
    assert shell.extra.train.disabled
    explorer.set(width=11)  # the kernel answers meanwhile
    explorer.set(width=10)
    deadline = time.monotonic() + 60
    while explorer.model.stale or explorer.model.run.done < 2:  # the fewest collections that can be asked for
        assert time.monotonic() < deadline, explorer.status
        time.sleep(0.01)
    partial = shell.image.value
    shell.extra.cancel.click()
    clicked.set()
    explorer.wait()
    run = explorer.model.run
    assert 1 <= run.done < run.asked == 100
    assert len(run.steps) == run.done + 1
    assert "Cancelled: what was trained until then" in shell.extra.says.value
    assert f"The training was stopped after {run.done} of 100 collections" in shell.caption.value
    assert shell.rows["step"].widgets[2].max == run.done
    assert not shell.extra.train.disabled
    assert shell.extra.cancel.disabled
    assert partial != b""
    # And from the start again, to the same numbers.
    first = run.curves["expected_reward"]
    explorer.set(collections=run.done)
    explorer.train()
    np.testing.assert_array_equal(explorer.model.run.curves["expected_reward"], first)
    assert explorer.model.run.whole


def test_a_training_that_cannot_be_is_said(trained: BanditExplorer, monkeypatch):
    explorer = BanditExplorer("R1-ppo", **TINY)
    assert isinstance(explorer, BanditExplorer)
    shell = _shell(explorer)

    def fails(values):
        raise ValueError("no such training")
        yield

    monkeypatch.setattr(explorer.model, "training", fails)
    with pytest.raises(ValueError, match="no such training"):
        explorer.train()
    assert "Not possible: no such training" in shell.extra.says.value
    hold = threading.Event()

    def waits(values):
        hold.wait(10)
        yield from ()

    monkeypatch.setattr(explorer.model, "training", waits)
    explorer.train(wait=False)
    with pytest.raises(ValueError, match="under way"):
        explorer.train()
    explorer.close()
    hold.set()
    explorer.wait()
    assert not explorer.status.running
    with pytest.raises(ValueError, match="method must be one of"):
        list(train(experiment(explorer.model.values), "sft"))


def test_the_blitted_picture_is_the_fresh_one(trained: BanditExplorer):
    rng = np.random.default_rng(1)
    for _ in range(12):
        name, value = [
            ("preset", str(rng.choice(list(PRESETS)))),
            ("step", int(rng.integers(0, 41))),
            ("center", float(rng.integers(0, 99))),
            ("method", str(rng.choice(["ppo", "ipo"]))),
        ][rng.integers(4)]
        trained.set(**{name: value})
        fresh = Canvas(type(trained).Scene()).pixels(trained.model)
        np.testing.assert_array_equal(trained.pixels(), fresh)


def test_scrubbing_is_fast(capsys):
    explorer = BanditExplorer("R1-ppo")
    slider = _shell(explorer).rows["step"].widgets[2]
    times = []
    for step in range(39, 9, -1):
        began = time.thread_time()  # of this thread: what an earlier test has left running is not the redraw's
        slider.value = step
        times.append(1000 * (time.thread_time() - began))
    with capsys.disabled():
        print(f"\nbandit explorer, redraw {np.median(times):.0f} ms of processor time", end="")
    # The goal is printed beside what was measured; three times it is a fault, whatever else the machine does.
    assert np.median(times) < 3 * 50


def test_a_turn_is_the_simulators_collection(tabular: Experiment):
    """The extra measurements change nothing in the training itself."""
    static = tabular.static
    run = jax.tree.map(lambda a: jnp.asarray(a[0]), make_plan(tabular).runs)
    params = pretrain_seed(run.problem, run.seed, static).params
    state, *_ = start(params, run, static)
    plain, metrics = jax.jit(lambda s: run_collection(s, run, static))(state)
    mine, turn = jax.jit(lambda s: take_turn(s, run, static))(state)
    for one, two in zip(jax.tree.leaves(plain.params), jax.tree.leaves(mine.params), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(two), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(turn.evaluation.expected_reward, metrics.evaluation.expected_reward, rtol=1e-5)
    np.testing.assert_array_equal(turn.responses, plain.batch.tokens[..., 1:])
    assert (np.asarray(turn.log_ratios) != 0).any()  # after the steps the policy is no longer the behavior


def test_opponents_alone_teach_nothing(tabular: Experiment):
    """Nash-MD's last half only judges: an explorer shows no push on it, as the gradient step has none."""
    asked = dataclasses.replace(tabular, methods=("nash_md",))
    static, run = asked.static, jax.tree.map(lambda a: jnp.asarray(a[0]), make_plan(asked).runs)

    @jax.jit
    def turn_of(run):
        policy = make_policy(static)
        state, *_ = start(policy.init(jax.random.key(0)), run, static)
        return take_turn(state, run, static)[1]

    weights = np.asarray(turn_of(run).weights)
    half = weights.shape[1] // 2
    assert (weights[:, half:] == 0).all()
    assert (weights[:, :half] != 0).any()
