"""A minibatch's loss: its response weights, and the frozen copies that the released code scores anew."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.simulator.collect import collect
from modeseek.bandit.simulator.config import EvaluationConfig
from modeseek.bandit.simulator.conventions import RELEASED_CODE
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.keys import run_keys
from modeseek.bandit.simulator.objective import (
    FrozenCopies,
    loss_and_batch,
    rescored,
    response_weights,
    step_metrics,
    with_live_mlp,
)
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import make_policy
from modeseek.bandit.simulator.run import Run, make_run
from modeseek.bandit.simulator.sampling import score
from modeseek.bandit.simulator.train import _shuffled_rows, gradient_step, initial_state, run_collection


@pytest.mark.slow
def test_weights_are_the_gradients(tabular: Experiment):
    """∇L = -Σ w ∇ log π(y | x), of every method, by two different derivatives; negative only where Table 1 says so."""
    asked = dataclasses.replace(tabular, methods=tuple(METHODS), seeds=1, hyper=HyperParameters(top_k=2.0))
    static, policy, plan = asked.static, make_policy(asked.static), make_plan(asked)
    params, behavior = policy.init(jax.random.key(3)), policy.init(jax.random.key(4))

    @jax.jit
    def both(run: Run) -> tuple:
        fresh = initial_state(behavior, run, static)
        data, _ = collect(policy, behavior, (), fresh.prompts, fresh.moments, run, static, key=jax.random.key(5))

        def loss(params):
            return loss_and_batch(params, data, run, static, policy, key=jax.random.key(0))

        (_, batch), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        weights = response_weights(batch, run, static)
        return gradient, jax.grad(lambda params: -(weights * loss(params)[1].log_probs).sum())(params), weights

    for i, name in enumerate(METHODS):
        gradient, pushed, weights = both(jax.tree.map(lambda a, i=i: jnp.asarray(a[i]), plan.runs))
        for one, two in zip(jax.tree.leaves(gradient), jax.tree.leaves(pushed), strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(two), rtol=1e-3, atol=1e-5, err_msg=name)
        assert bool((weights < 0).any()) == METHODS[name].negative_gradient, name


def test_implicit_rewards_are_of_the_compared_pairs_or_of_the_best_against_the_rest(tabular: Experiment):
    """Beside loops over prompts; the least gap of a pair is for the compared ones alone."""
    gap = np.float32(0.3)
    asked = dataclasses.replace(tabular, methods=("ipo",), hyper=HyperParameters(reward_gap=float(gap)))
    run = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), make_plan(asked).runs)
    policy = make_policy(asked.static)
    params, behavior = policy.init(jax.random.key(3)), policy.init(jax.random.key(4))
    found = {}
    for pairs in ("compared", "best_rest"):
        static = dataclasses.replace(asked, evaluation=EvaluationConfig(prompts=4, implicit_rewards=pairs)).static
        fresh = initial_state(behavior, run, static)
        data, _ = collect(policy, behavior, (), fresh.prompts, fresh.moments, run, static, key=jax.random.key(5))
        loss, batch = loss_and_batch(params, data, run, static, policy, key=jax.random.key(0))
        found[pairs] = step_metrics(loss, jnp.zeros(1), data, batch, run, static)
    rewards, ratios = np.asarray(batch.rewards), np.asarray(batch.log_ratios, np.float64)
    assert np.unique(rewards[0]).size < rewards[0].size  # some are equal
    compared, best_rest = [], []
    for reward, ratio in zip(rewards, ratios, strict=True):
        n, best = len(reward), int(reward.argmax())
        compared += [(ratio[i], ratio[j]) for i in range(n) for j in range(n) if reward[i] - reward[j] >= gap]
        best_rest += [(ratio[best], ratio[j]) for j in range(n) if j != best]
    assert 0 < len(compared) < ratios.size * (ratios.shape[1] - 1) / 2  # and some are too near
    assert compared != best_rest
    for pairs, name in ((compared, "compared"), (best_rest, "best_rest")):
        chosen, rejected = np.mean(pairs, axis=0)
        np.testing.assert_allclose(found[name].chosen_implicit_reward, chosen, rtol=1e-5)
        np.testing.assert_allclose(found[name].rejected_implicit_reward, rejected, rtol=1e-5)
        np.testing.assert_allclose(found[name].margin, np.subtract(*np.mean(compared, axis=0)), rtol=1e-5)


READERS = ("rwr", "ppo", "dpo")
"""A method that reads no frozen copy, one that reads the behavior policy, one that reads the reference."""


@pytest.fixture(scope="module")
def released(tiny: Experiment) -> Experiment:
    """The small bandit as released, two passes over two minibatches, one evaluation at their end."""
    return dataclasses.replace(
        tiny, methods=READERS, conventions=RELEASED_CODE, evaluation=EvaluationConfig(prompts=12, interval=4)
    )


@pytest.fixture(scope="module")
def three_policies(released: Experiment) -> tuple:
    """A policy, the one that sampled and the reference, each a network of its own."""
    policy = make_policy(released.static)
    return tuple(policy.init(jax.random.key(seed)) for seed in range(3))


@pytest.fixture(scope="module")
def problem(released: Experiment):
    return jax.tree.map(lambda a: jnp.asarray(a[0]), make_plan(released).runs.problem)


@pytest.mark.slow
def test_frozen_copies_are_scored_where_they_are_read_or_reported(released: Experiment, three_policies, problem):
    """Against scoring them all by hand, for methods that read one, the other or none, with and without a KL term."""
    static, policy = released.static, make_policy(released.static)
    live, *frozen = three_policies
    run = make_run(problem, static, method="rwr")
    data = initial_state(live, run, static).batch
    tokens = jax.random.randint(jax.random.key(9), data.tokens.shape, 0, static.vocab_size)
    data = data._replace(tokens=tokens)
    scored = jax.jit(
        lambda run, reported: rescored(data, live, FrozenCopies(*frozen), run, static, policy, reported=reported)
    )
    whole = [
        score(policy, with_live_mlp(copy, live), tokens.reshape(-1, tokens.shape[-1]), "same_token") for copy in frozen
    ]
    for name in READERS:
        for kl in (0.0, 0.1):
            for reported in (False, True):
                run = make_run(problem, static, method=name, hyper=HyperParameters(kl_coefficient=kl))
                found = scored(run, jnp.asarray(reported))
                reads = (name == "ppo", name == "dpo" or kl > 0)
                for log_probs, anew, read in zip(
                    (found.behavior_token_log_probs, found.reference_token_log_probs), whole, reads, strict=True
                ):
                    expected = anew.reshape(log_probs.shape) if read or reported else jnp.zeros_like(log_probs)
                    np.testing.assert_allclose(log_probs, expected, rtol=1e-5, err_msg=f"{name}, {kl}, {reported}")


@pytest.mark.slow
def test_what_is_not_read_changes_no_step_and_no_report(released: Experiment, three_policies, problem):
    """A collection, and the same steps one by one with everything scored anew: one policy, one last report."""
    static, policy = released.static, make_policy(released.static)
    collection = jax.jit(lambda state, run: run_collection(state, run, static))
    step = jax.jit(lambda state, rows, run, key: gradient_step(state, rows, run, static, policy, key=key))
    for name in READERS:
        run = make_run(problem, static, method=name, hyper=HyperParameters(learning_rate=0.01), seed=3)
        start = initial_state(three_policies[0], run, static)._replace(reference_params=three_policies[2])
        end, metrics = collection(start, run)
        keys = run_keys(run.seed)
        order = _shuffled_rows(static, key=keys.at(jnp.asarray(0)).minibatches)
        state = start._replace(batch=end.batch, behavior_params=end.behavior_params)
        for i, rows in enumerate(order.reshape(-1, static.algorithm.prompts_per_minibatch)):
            state, last = step(state, rows, run, keys.at(jnp.asarray(i)).dropout)
        for one, two in zip(jax.tree.leaves(end.params), jax.tree.leaves(state.params), strict=True):
            np.testing.assert_allclose(one, two, atol=2e-6, err_msg=name)
        for field, one, two in zip(last._fields, metrics.training, last, strict=True):
            np.testing.assert_allclose(one[0], two, rtol=2e-4, atol=1e-5, err_msg=f"{name}: {field}")


@pytest.mark.slow
def test_a_collection_is_scored_where_its_rewards_want_it(released: Experiment, three_policies, problem):
    """As released no step reads a collection's own scores; the KL that shapes rewards is of the whole copies."""
    live, _, reference = three_policies
    for placement in ("loss", "reward"):
        conventions = dataclasses.replace(RELEASED_CODE, kl_placement=placement)
        static = dataclasses.replace(released, conventions=conventions).static
        policy, run = (
            make_policy(static),
            make_run(problem, static, method="ppo", hyper=HyperParameters(kl_coefficient=0.1)),
        )
        fresh = initial_state(live, run, static)
        data, _ = collect(policy, live, reference, fresh.prompts, fresh.moments, run, static, key=jax.random.key(5))
        tokens = data.tokens.reshape(-1, data.tokens.shape[-1])
        behavior, of_reference = (
            score(policy, params, tokens, "same_token").sum(axis=-1).reshape(data.rewards.shape)
            for params in (live, reference)
        )
        expected = data.rewards - 0.1 * (behavior - of_reference) if placement == "reward" else data.rewards
        np.testing.assert_allclose(data.labels, expected, rtol=1e-4, err_msg=placement)
