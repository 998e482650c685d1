"""Behavior policies of offline data: recipes, samples, exact log-probs, an axis of an experiment, and coverage."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives import coverage
from modeseek.bandit.simulator.behavior import behavior_log_probs, make_behavior, parse_behavior
from modeseek.bandit.simulator.collect import collect
from modeseek.bandit.simulator.conventions import RELEASED_CODE
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.groups import group_programs
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import make_policy
from modeseek.bandit.simulator.problem import make_problem
from modeseek.bandit.simulator.results import experiment_of
from modeseek.bandit.simulator.run import make_run
from modeseek.bandit.simulator.sampling import sample_table
from modeseek.bandit.simulator.summary import table
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.simulator.train import initial_state

REFERENCE = np.array([0.5, 0.3, 0.15, 0.05])
TWO = "mix:0.3", "between:1:3"


@pytest.mark.parametrize(
    ("text", "unnormalized"),
    [
        ("reference", REFERENCE),
        ("uniform", np.ones(4)),
        ("mix:0.3", 0.7 * REFERENCE + 0.3 / 4),
        ("mix:1", np.ones(4)),
        ("tempered:0.5", REFERENCE**2),
        ("tempered:2", np.sqrt(REFERENCE)),
        ("bump:2:1.5", np.exp(-(np.array([4, 1, 0, 1]) / 1.5**2))),
        ("between:1:2", np.array([0, 0.3, 0.15, 0])),
    ],
)
def test_a_recipe_is_its_distribution(text, unnormalized):
    found = behavior_log_probs(text, REFERENCE)
    np.testing.assert_allclose(np.exp(found), unnormalized / unnormalized.sum(), atol=1e-15)
    assert (np.isneginf(found) == (unnormalized == 0)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unifrom", "a behavior must be one of reference, uniform, mix:SHARE, .* got 'unifrom'"),
        ("mix", "mix:SHARE"),
        ("mix:a", "mix:SHARE"),
        ("uniform:1", "a behavior must be one of"),
        ("mix:nan", "must be finite"),
        ("mix:0", "above 0 and at most 1"),
        ("mix:1.1", "above 0 and at most 1"),
        ("tempered:0", "at least 0.01"),
        ("bump:1:0", "at least 0.01 tokens"),
        ("bump:4:1", "within the vocabulary, tokens 0 to 3"),
        ("between:0:4", "within the vocabulary, tokens 0 to 3"),
        ("between:2:1", "the first is not larger"),
        ("between:0.5:1", "whole numbers"),
    ],
)
def test_a_recipe_that_is_none_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        behavior_log_probs(text, REFERENCE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"behaviors": ()}, "at least one behavior policy"),
        ({"behaviors": ("mix:0.5", "mix:.5")}, "behaviors must differ"),
        ({"behaviors": ("bump:200:1",)}, "within the vocabulary"),
        ({"behaviors": ("uniform",), "conventions": RELEASED_CODE}, "needs conventions.frozen_copies 'whole'"),
    ],
)
def test_an_experiment_refuses_what_it_cannot_sample(changes, message):
    with pytest.raises(ValueError, match=message):
        Experiment(**changes)


def test_tokens_are_drawn_as_often_as_their_probability_says():
    log_probs = jnp.asarray([-jnp.inf, np.log(0.25), -jnp.inf, np.log(0.75), -jnp.inf], jnp.float32)
    tokens = sample_table(log_probs, jnp.full(4000, 7), 5, key=jax.random.key(0))
    assert tokens.shape == (4000, 6)
    assert (tokens[:, 0] == 7).all()
    counts = np.bincount(np.asarray(tokens[:, 1:]).ravel(), minlength=5)
    assert counts[0] == counts[2] == counts[4] == 0
    assert abs(counts[1] - 5000) < 4 * np.sqrt(20_000 * 0.25 * 0.75)


@pytest.fixture(scope="module")
def compared(tabular):
    """Two methods, of which one is on-policy, on data of three behavior policies."""
    return dataclasses.replace(
        tabular, behaviors=("reference", *TWO), seeds=2, learning_rates=(1e-3, 1e-2), vary=(("tau", (0.05, 0.5)),)
    )


@pytest.fixture(scope="module")
def compared_results(compared):
    return run_sweep(compared, progress=False).dataset


def test_several_behaviors_are_an_axis(compared, compared_results):
    curves = compared_results["kl_to_behavior"]
    assert curves.dims == ("algorithm", "reward", "behavior", "learning_rate", "tau", "seed", "step")
    assert list(curves["behavior"].values) == ["reference", *TWO]
    assert experiment_of(compared_results) == compared
    reference = compared_results["reference_probs"].values
    for text in compared.behaviors:
        found = compared_results["behavior_log_probs"].sel(behavior=text)
        np.testing.assert_array_equal(found, behavior_log_probs(text, reference))
    assert "mix:0.3" in table(compared_results.isel(learning_rate=0))


def test_the_reference_gives_what_it_gave_alone_and_an_on_policy_method_sees_no_other(
    compared, compared_results, tabular
):
    """To the bit, and by the same program: a behavior is a number of the run."""
    before = group_programs.cache_info()
    alone = run_sweep(dataclasses.replace(compared, behaviors=("reference",)), progress=False).dataset
    after = group_programs.cache_info()
    assert (after.misses, after.currsize) == (before.misses, before.currsize)
    assert "behavior" not in alone.dims
    assert "behavior_log_probs" not in alone
    for name in ("expected_reward", "kl_to_behavior", "loss", "token_distribution"):
        found = compared_results[name]
        np.testing.assert_array_equal(found.sel(behavior="reference"), alone[name], err_msg=name)
        for other in TWO:
            np.testing.assert_array_equal(found.sel(algorithm="ppo", behavior=other), alone[name].sel(algorithm="ppo"))
            assert (found.sel(algorithm="ipo", behavior=other) != alone[name].sel(algorithm="ipo")).any()


def test_the_kl_to_the_behavior_is_to_the_policy_that_sampled(compared, compared_results):
    """A table starts at the reference, whose KL to the behavior is a sum over two tokens' positions."""
    start = compared_results["kl_to_behavior"].sel(algorithm="ipo").isel(step=0)
    reference = compared_results["reference_probs"].values
    log_probs = behavior_log_probs("mix:0.3", reference)
    expected = 2 * (reference * (np.log(reference) - log_probs)).sum()
    np.testing.assert_allclose(start.sel(behavior="mix:0.3"), expected, rtol=1e-5)
    np.testing.assert_allclose(start.sel(behavior="reference"), 0, atol=1e-6)
    assert np.isposinf(start.sel(behavior="between:1:3")).all()  # the reference draws token 0, these data never do


def test_offline_data_are_the_behaviors_with_its_exact_log_probs(tiny):
    """GPT-Nano: the tokens come from the table, not from the network, and are scored by it."""
    experiment = dataclasses.replace(tiny, methods=("ipo",), behaviors=("between:2:4",), seeds=1)
    static = experiment.static
    run = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), make_plan(experiment).runs)
    params = make_policy(static).init(jax.random.key(0))
    state = initial_state(params, run, static)
    arrays = state.prompts, state.moments
    collected = jax.jit(lambda: collect(make_policy(static), params, (), *arrays, run, static, key=jax.random.key(1)))
    data, _ = collected()
    tokens = np.asarray(data.tokens[..., 1:])
    assert set(np.unique(tokens)) == {2, 3, 4}
    expected = behavior_log_probs("between:2:4", np.exp(np.float64(run.problem.reference_log_probs)))[tokens]
    np.testing.assert_allclose(data.behavior_token_log_probs, expected, atol=1e-6)
    np.testing.assert_array_equal(data.reference_token_log_probs, run.problem.reference_log_probs[tokens])


def test_a_run_without_a_behavior_samples_from_its_network(tabular):
    problem = make_problem(np.full(4, 0.25), np.arange(4.0))
    assert not make_run(problem, tabular.static, method="ipo").behavior.is_table
    assert not make_behavior("uniform", REFERENCE, on_policy=True).is_table
    assert make_behavior("uniform", REFERENCE).is_table
    assert parse_behavior("mix:.50") == parse_behavior("mix:0.5")


def _responses(per_token):
    """Σ_t log p_t(y_t) of all 27 responses of three tokens."""
    return np.array([sum(per_token[t, v] for t, v in enumerate(y)) for y in itertools.product(range(3), repeat=3)])


def test_coverage_of_responses_is_a_closed_form_of_tokens(float64):
    """Against all V^T = 27 responses; the target's positions differ, one of its tokens has no mass."""
    rng = np.random.default_rng(3)
    target = rng.dirichlet(np.ones(3), size=3)
    target[1] = [0.4, 0.6, 0.0]
    behavior = np.array([0.7, 0.2, 0.1])
    with np.errstate(divide="ignore"):
        log_target = np.log(target)
    log_behavior = np.broadcast_to(np.log(behavior), (3, 3))
    ratios = _responses(log_target) - _responses(log_behavior)
    probs = np.exp(_responses(log_target))
    inside = probs > 0
    found = coverage.coverage(jnp.asarray(log_target), jnp.asarray(log_behavior))
    np.testing.assert_allclose(found.kl, (probs[inside] * ratios[inside]).sum(), rtol=1e-12)
    np.testing.assert_allclose(found.log_mean_ratio, np.log((probs * np.exp(ratios)).sum()), rtol=1e-12)
    np.testing.assert_allclose(found.log_max_ratio, ratios.max(), rtol=1e-12)
    assert 0 < found.kl < found.log_mean_ratio < found.log_max_ratio


def test_data_of_the_target_cover_it_and_data_that_miss_a_token_do_not(float64):
    log_target = jnp.log(jnp.asarray([[0.5, 0.3, 0.2]]))
    assert coverage.coverage(log_target, log_target) == (0.0, 0.0, 0.0)
    missing = jnp.log(jnp.asarray([[0.5, 0.5, 0.0]]))
    assert all(np.isposinf(value) for value in coverage.coverage(log_target, missing))
    assert all(np.isfinite(value) for value in coverage.coverage(missing, log_target))
