"""Algorithm 1: what it learns, what it keeps, and that batching and company change nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.divergences import expectation, kl
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig, PretrainingConfig
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.objective import with_live_mlp
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import gpt_policy, make_policy, tabular_policy
from modeseek.bandit.simulator.problem import make_problem
from modeseek.bandit.simulator.train import (
    _shuffled_rows,
    initial_state,
    pretrain_seed,
    run_collection,
    train,
)


def _run(experiment, index=0):
    return jax.tree.map(lambda a: jnp.asarray(a[index]), make_plan(experiment).runs)


@pytest.fixture(scope="module")
def step(tabular):
    """One collection, compiled once."""
    return jax.jit(lambda state, run: run_collection(state, run, tabular.static))


@pytest.fixture(scope="module")
def state(tabular):
    run = _run(tabular)
    params = jax.jit(lambda: pretrain_seed(run.problem, run.seed, tabular.static))().params
    return initial_state(params, run, tabular.static)


def test_exact_kl_regularised_gradient_reaches_the_optimum():
    """max E_p[r] - β KL(p ‖ π_ref) has the solution π_ref exp(r/β)/Z, at each position of the tabular policy.

    The response's reward is the mean over T tokens, so a position's share is r/T and its optimum has r/(T β).
    """
    vocab, length, beta = 5, 2, 0.3
    reference = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    rewards = np.array([0.0, 0.1, 0.3, 1.0, 0.6])
    problem = make_problem(reference, rewards)
    policy = tabular_policy(vocab, length)

    def objective(params):
        log_probs = jax.nn.log_softmax(policy.logits(params, jnp.zeros((1, length), jnp.int32)), axis=-1)
        reward = expectation(log_probs, problem.token_rewards).mean()
        reference_log_probs = jnp.broadcast_to(problem.reference_log_probs[None, None], log_probs.shape)
        return reward - beta * kl(log_probs, reference_log_probs).sum()

    ascend = jax.jit(
        lambda p: jax.lax.fori_loop(
            0, 4000, lambda _, q: jax.tree.map(lambda a, g: a + 2.0 * g, q, jax.grad(objective)(q)), p
        )
    )
    found = jax.nn.softmax(ascend(policy.init(jax.random.key(0)))["logits"], axis=-1)
    optimum = reference * np.exp(rewards / (length * beta))
    np.testing.assert_allclose(found, np.broadcast_to(optimum / optimum.sum(), (length, vocab)), atol=2e-5)


@pytest.mark.slow
def test_reinforce_with_kl_in_the_reward_ends_at_that_optimum():
    """The same optimum through Algorithm 1 itself: REINFORCE, unstandardised rewards, KL in the reward."""
    beta = 0.3
    experiment = Experiment(
        methods=("reinforce",),
        rewards=("bump:2:1",),
        vocab_size=3,
        response_length=1,
        policy=PolicyConfig(kind="tabular"),
        pretraining=PretrainingConfig(steps=2000, tolerance=1e-5),
        conventions=Conventions(standardization="none", kl_placement="reward"),
        algorithm=AlgorithmConfig(
            samples_per_collection=4000, responses_per_prompt=40, minibatch_size=4000, inner_steps=1, collections=400
        ),
        evaluation=EvaluationConfig(prompts=3, interval=0, behavior_kl=False),
        hyper=dataclasses.replace(Experiment().hyper, learning_rate=0.01, kl_coefficient=beta),
    )
    run = _run(experiment)
    history = jax.jit(lambda r: train(r, experiment.static))(run)
    found = np.asarray(history.metrics.token_distribution[-100:, 0]).mean(axis=0)
    optimum = np.exp(np.asarray(run.problem.reference_log_probs) + np.asarray(run.problem.token_rewards) / beta)
    np.testing.assert_allclose(found, optimum / optimum.sum(), atol=0.01)


def test_vmap_equals_loop_and_the_method_is_data(tabular):
    """Both methods in one batched program; each as it is alone, in a program that holds no other."""
    batched = jax.jit(jax.vmap(lambda r: train(r, tabular.static)))(jax.tree.map(jnp.asarray, make_plan(tabular).runs))
    for i, name in enumerate(("ppo", "ipo")):
        single = dataclasses.replace(tabular, methods=(name,))
        alone = jax.jit(lambda r, s=single: train(r, s.static))(_run(single))
        for a, b in zip(
            jax.tree.leaves(jax.tree.map(lambda x, i=i: x[i], batched)), jax.tree.leaves(alone), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_offline_data_are_sampled_once_and_on_policy_data_anew(tabular, step, state):
    on_policy, offline = _run(tabular, 0), _run(tabular, 1)
    for run, kept in ((on_policy, False), (offline, True)):
        first, _ = step(state, run)
        second, _ = step(first, run)
        assert np.array_equal(first.batch.tokens, second.batch.tokens) == kept
        behavior_kept = np.array_equal(first.behavior_params["logits"], second.behavior_params["logits"])
        assert behavior_kept == kept
        assert int(second.step) == 2 * tabular.algorithm.steps_per_collection


def test_collected_rewards_and_log_probs_belong_to_the_tokens(tabular, step, state):
    """Recomputed from the tokens in NumPy; the reference's and, for the first collection, the policy's too."""
    run = _run(tabular)
    batch = step(state, run)[0].batch
    # A row's responses answer one and the same prompt, in the order of the prompt set.
    np.testing.assert_array_equal(batch.tokens[..., 0], np.broadcast_to(state.prompts[:, None], (4, 4)))
    assert len(np.unique(state.prompts)) > 1
    tokens = np.asarray(batch.tokens)[..., 1:]
    np.testing.assert_allclose(batch.rewards, np.asarray(run.problem.token_rewards)[tokens].mean(-1), rtol=1e-5)
    reference = np.asarray(run.problem.reference_log_probs)
    np.testing.assert_allclose(batch.reference_token_log_probs, reference[tokens], rtol=1e-5)
    table = np.asarray(jax.nn.log_softmax(state.params["logits"], axis=-1))
    np.testing.assert_allclose(batch.behavior_token_log_probs, table[np.arange(2), tokens], rtol=1e-5)
    rewards = np.asarray(batch.rewards, np.float64)
    expected = (rewards - rewards.mean()) / rewards.std(ddof=1)
    np.testing.assert_allclose(batch.advantages, expected, atol=1e-4)


def test_the_first_gradient_step_is_on_policy(tabular, state):
    """At the first minibatch after a collection every ratio is 1: nothing is clipped, the loss is -mean advantage."""
    single = dataclasses.replace(
        tabular,
        methods=("ppo",),
        algorithm=AlgorithmConfig(
            samples_per_collection=16, responses_per_prompt=4, minibatch_size=16, inner_steps=1, collections=1
        ),
    )
    _, metrics = jax.jit(lambda s, r: run_collection(s, r, single.static))(state, _run(single))
    assert float(metrics.training.fraction_clipped[0]) == 0
    assert abs(float(metrics.training.loss[0])) < 1e-5  # standardised advantages have mean zero


def test_minibatches_of_a_pass_are_a_partition_in_a_new_order(tabular):
    rows = np.asarray(_shuffled_rows(tabular.static, key=jax.random.key(0)))
    assert rows.shape == (2, 4)
    for order in rows:
        np.testing.assert_array_equal(np.sort(order), np.arange(4))
    several = np.asarray(
        jax.vmap(lambda k: _shuffled_rows(tabular.static, key=k))(jax.random.split(jax.random.key(1), 20))
    )
    assert len({tuple(order) for order in several.reshape(-1, 4)}) > 5


def test_divergence_freezes_the_run_and_is_dated(tabular, step, state):
    """A step size at the end of float32: what it leads to is not taken."""
    run = _run(tabular)
    leaves, structure = jax.tree.flatten(run.hyper)
    leaves[0] = jnp.asarray(3e38, jnp.float32)
    wild = run._replace(hyper=jax.tree.unflatten(structure, leaves))
    end, metrics = step(state, wild)
    assert 1 <= int(end.diverged_at) <= tabular.algorithm.steps_per_collection
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((end.params, end.optimizer)))
    after = int(end.diverged_at)  # evaluations after this many steps
    assert np.isnan(metrics.evaluation.expected_reward[after - 1 :]).all()
    assert np.isnan(metrics.training.loss[after:]).all()
    again, _ = step(end, wild)
    assert int(again.diverged_at) == int(end.diverged_at)
    np.testing.assert_array_equal(again.params["logits"], end.params["logits"])


def test_live_mlp_copies_take_the_mlp_and_nothing_else():
    policy = gpt_policy(5, 3, layers=2, heads=1, width=4)
    old, new = policy.init(jax.random.key(0)), policy.init(jax.random.key(1))
    mixed = with_live_mlp(old, new)
    for path, leaf in jax.tree_util.tree_leaves_with_path(mixed):
        names = [entry.key for entry in path]
        source = new if {"expand", "contract"} & set(names) else old
        for name in names:
            source = source[name]
        np.testing.assert_array_equal(leaf, source)
    gradient = jax.grad(lambda p: sum(jnp.sum(x) for x in jax.tree.leaves(with_live_mlp(old, p))))(new)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_pretraining_meets_its_tolerance(tiny):
    """Measured anew on fresh prefixes: KL(policy ‖ reference) of a response, in nats, within twice the tolerance."""
    run = _run(tiny)
    config = dataclasses.replace(tiny.static, pretraining=PretrainingConfig(steps=500, tolerance=0.004))
    found = jax.jit(lambda: pretrain_seed(run.problem, run.seed, config))()
    assert float(found.kl_to_reference) <= 0.004
    assert int(found.steps) < 500
    tokens = jax.random.randint(jax.random.key(5), (500, config.new_tokens), 0, config.vocab_size)
    log_probs = jax.nn.log_softmax(make_policy(config).logits(found.params, tokens), axis=-1)
    reference = jnp.broadcast_to(run.problem.reference_log_probs[None, None], log_probs.shape)
    assert float(kl(log_probs, reference).sum(-1).mean()) < 2 * 0.004


FLIPS = {
    "reference_recipe": "tanh",
    "prompt_in_response": True,
    "scoring": "same_token",
    "reference_model": "initial_policy",
    "frozen_copies": "live_mlp",
    "pretraining": "sampled",
    "dropout": 0.1,
    "ratio": "token",
    "kl_placement": "exact",
    "policy_gradient_kl": 0.1,
    "standardization": "per_method",
    "ties": "keep",
    "self_normalize": False,
}


def test_every_convention_is_flipped_below():
    assert set(FLIPS) == {field.name for field in dataclasses.fields(Conventions)}


@pytest.mark.parametrize("name", FLIPS)
def test_each_convention_can_be_switched_alone(tiny, name):
    """Shapes of a whole run, and as many position embeddings as tokens are read (a missing row would read as NaN)."""
    conventions = dataclasses.replace(Conventions(), **{name: FLIPS[name]})
    config = dataclasses.replace(tiny, conventions=conventions).static
    run = _run(dataclasses.replace(tiny, conventions=conventions))
    shapes = jax.eval_shape(lambda r: train(r, config), run)
    assert shapes.metrics.evaluation.expected_reward.shape == (3, 2)
    params = jax.eval_shape(make_policy(config).init, jax.random.key(0))
    assert params["position_embedding"]["embedding"].shape[0] == config.input_length
    assert config.input_length == 3 + (name == "scoring") - (name == "prompt_in_response")


def test_same_token_scoring_alone_trains_on_numbers(tabular):
    """The one flip that reads a token more."""
    config = dataclasses.replace(tabular, methods=("ppo",), conventions=Conventions(scoring="same_token"))
    history = jax.jit(lambda r: train(r, config.static))(_run(config))
    assert int(history.diverged_at) == -1
    assert np.isfinite(history.metrics.evaluation.expected_reward).all()


def test_a_tabular_policy_starts_at_the_reference_exactly(tabular, state):
    expected = np.broadcast_to(_run(tabular).problem.reference_log_probs, (2, 4))
    np.testing.assert_allclose(jax.nn.log_softmax(state.params["logits"]), expected, atol=1e-6)


def test_the_methods_kl_default_yields_to_an_axis():
    """released_code gives PPO β = .05 unless it is swept: then 0 means 0, and what is reported is what ran."""
    base = Experiment(methods=("ppo", "ipo"), conventions=Conventions(policy_gradient_kl=0.05))
    assert [h.kl_coefficient for h in make_plan(base).hyper] == [0.05, 0.0]
    swept = make_plan(dataclasses.replace(base, methods=("ppo",), vary=(("kl_coefficient", (0.0, 0.1)),)))
    assert [h.kl_coefficient for h in swept.hyper] == [0.0, 0.1]
    np.testing.assert_allclose(swept.runs.hyper.kl_coefficient, [0.0, 0.1], rtol=1e-6)


def test_exact_pretraining_never_drops(tiny):
    """Dropout is for gradient steps of the methods: the same start with it and without."""
    run = _run(tiny)

    def start(rate):
        config = dataclasses.replace(tiny.static, conventions=Conventions(dropout=rate))
        return jax.jit(lambda: pretrain_seed(run.problem, run.seed, config))().params

    for plain, dropping in zip(*map(jax.tree.leaves, (start(0.0), start(0.3))), strict=True):
        np.testing.assert_allclose(plain, dropping, rtol=1e-5, atol=1e-7)
