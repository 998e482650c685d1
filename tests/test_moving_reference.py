"""A reference that moves: its formula by hand, its two ends, what it is labelled with, and that it can be resumed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator import runner
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.reference import ReferenceMoves, moved_reference
from modeseek.bandit.simulator.store import Store
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.simulator.train import initial_state, pretrain_seed, run_collection

NETWORK = Conventions(reference_model="initial_policy")


def _run(experiment, index=0):
    return jax.tree.map(lambda a: jnp.asarray(a[index]), make_plan(experiment).runs)


def _moving(run, every, decay):
    return run._replace(reference_moves=ReferenceMoves(jnp.int32(every), jnp.float32(decay)))


@pytest.fixture(scope="module")
def experiment(tabular):
    """PPO on-policy with a KL in its reward, and DPO offline."""
    return dataclasses.replace(
        tabular,
        methods=("ppo", "dpo"),
        conventions=NETWORK,
        reference_every=1,
        hyper=HyperParameters(learning_rate=0.05, kl_coefficient=0.3),
    )


@pytest.fixture(scope="module")
def step(experiment):
    """One collection, compiled once: both numbers are data."""
    return jax.jit(lambda state, run: run_collection(state, run, experiment.static))


@pytest.fixture(scope="module")
def plain(experiment):
    """The same without a reference that moves."""
    fixed = dataclasses.replace(experiment, reference_every=0).static
    return jax.jit(lambda state, run: run_collection(state, run, fixed))


@pytest.fixture(scope="module")
def state(experiment):
    run = _run(experiment)
    params = jax.jit(lambda: pretrain_seed(run.problem, run.seed, experiment.static))().params
    return initial_state(params, run, experiment.static)


def test_an_average_of_two_policies_by_hand():
    """Every second collection: .75 · 8 + .25 · 4 = 7, then .75 · 7 + .25 · (-5) = 4; in between it stays."""
    moves = ReferenceMoves(jnp.int32(2), jnp.float32(0.75))
    reference, seen = {"a": jnp.asarray([8.0])}, []
    for collections, policy in enumerate((100.0, 4.0, 100.0, -5.0), start=1):
        reference = moved_reference(reference, {"a": jnp.asarray([policy])}, moves, jnp.asarray(collections))
        seen.append(float(reference["a"][0]))
    assert seen == [8.0, 7.0, 7.0, 4.0]


@pytest.mark.parametrize("index", [0, 1])
def test_a_run_moves_its_reference_as_a_loop_does(experiment, step, state, index):
    """Every second collection, in float64 by hand; every collection is labelled under the reference that it begins with
    (a table, whose log-probs are a softmax), the offline run's one data set anew."""
    run, wanted = _moving(_run(experiment, index), 2, 0.75), np.asarray(state.params["logits"], np.float64)
    now, data = state, []
    for collection in range(1, 5):
        before = np.asarray(jax.nn.log_softmax(jnp.asarray(wanted, jnp.float32), axis=-1))
        now, _ = step(now, run)
        tokens = np.asarray(now.batch.tokens)[..., 1:]
        data.append(tokens)
        np.testing.assert_allclose(now.batch.reference_token_log_probs, before[np.arange(2), tokens], atol=1e-5)
        if collection % 2 == 0:
            wanted = 0.75 * wanted + 0.25 * np.asarray(now.params["logits"], np.float64)
        np.testing.assert_allclose(now.reference_params["logits"], wanted, atol=1e-6)
    assert np.abs(wanted - np.asarray(state.params["logits"])).max() > 0.01
    assert np.array_equal(data[0], data[-1]) == (index == 1)


@pytest.mark.parametrize("index", [0, 1])
def test_at_decay_one_it_is_fixed_and_at_zero_the_policy(experiment, step, plain, state, index):
    """Fixed to the bits of the program that has no moving reference in it."""
    run = _run(experiment, index)
    one, zero, without = state, state, state
    for _ in range(2):
        one, _ = step(one, _moving(run, 1, 1.0))
        zero, _ = step(zero, _moving(run, 1, 0.0))
        without, _ = plain(without, run._replace(reference_moves=()))
        np.testing.assert_array_equal(zero.reference_params["logits"], zero.params["logits"])
    for ours, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(without), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert np.abs(one.params["logits"] - zero.params["logits"]).max() > 1e-4


def test_a_copy_at_every_collection_is_the_policy_that_sampled(experiment, step, state):
    """For an on-policy run: log-ratios are zero when a collection begins, so that its KL is too."""
    run = _moving(_run(experiment), 1, 0.0)
    now = step(step(state, run)[0], run)[0]
    np.testing.assert_array_equal(now.batch.reference_token_log_probs, now.batch.behavior_token_log_probs)
    np.testing.assert_array_equal(now.batch.labels, now.batch.rewards)


class _Killed(Exception):
    pass


def test_a_sweep_over_both_numbers_resumes_to_the_same_bits(experiment, tmp_path, monkeypatch):
    """Killed in the middle of a run; every = 0 beside it is the fixed reference."""
    swept = dataclasses.replace(
        experiment,
        methods=("ppo",),
        reference_every=0,
        vary=(("reference_every", (0.0, 1.0)), ("reference_decay", (0.5,))),
    )
    whole = run_sweep(swept, progress=False).dataset
    curves = whole["expected_reward"].isel(algorithm=0, reward=0, reference_decay=0, seed=0)
    assert curves.dims == ("reference_every", "step")
    # The first collection has the same reference.
    start, apart = curves[:, :5].values, curves[:, -1].values
    np.testing.assert_array_equal(start[0], start[1])
    assert apart[0] != apart[1]
    monkeypatch.setattr(runner, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(runner, "SAVING_SHARE", np.inf)
    real, saved = Store.save_in_flight, []

    def save_and_die(self, runs, collections, state, metrics):
        real(self, runs, collections, state, metrics)
        saved.append(collections)
        if len(saved) == 2:
            raise _Killed

    monkeypatch.setattr(Store, "save_in_flight", save_and_die)
    with pytest.raises(_Killed):
        run_sweep(swept, tmp_path / "results.nc", progress=False)
    monkeypatch.setattr(Store, "save_in_flight", real)
    resumed = run_sweep(swept, tmp_path / "results.nc", progress=False).dataset
    for name in whole.data_vars:
        np.testing.assert_array_equal(resumed[name].values, whole[name].values, err_msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference_every": -1}, "reference_every must be a whole number of at least 0, got -1"),
        ({"reference_decay": 0.5, "reference_every": 0}, "reference_every must be at least 1, got 0"),
        ({"reference_decay": 1.0}, "reference_decay must be less than 1, got 1.0"),
        ({"vary": (("reference_every", (0.5,)),)}, r"reference_every takes whole numbers, got \(0.5,\)"),
        ({"conventions": Conventions()}, "needs conventions.reference_model 'initial_policy'"),
        ({"conventions": dataclasses.replace(NETWORK, frozen_copies="live_mlp")}, "needs a policy with MLPs"),
        ({"conventions": dataclasses.replace(NETWORK, kl_placement="exact")}, "reference_every must be 0"),
    ],
)
def test_what_cannot_move_is_refused(experiment, changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(experiment, **changes)


def test_a_configuration_without_the_two_numbers_has_a_fixed_reference(tiny):
    """Stored results are older than the choice; their programs and their runs are what they were."""
    text = tiny.to_json().replace(',\n "reference_every": 0,\n "reference_decay": 0.0', "")
    assert "reference_every" not in text
    assert type(tiny).from_json(text) == tiny
    assert not tiny.static.reference_moves
    assert _run(tiny).reference_moves == ()
