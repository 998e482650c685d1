"""Rao-Blackwellised estimators against enumeration of every response on a vocabulary of three."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.evaluate import evaluate, evaluation_prompts
from modeseek.bandit.simulator.mixture import learners_mix
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import gpt_policy, make_policy
from modeseek.bandit.simulator.problem import make_problem
from modeseek.bandit.simulator.sampling import sample, score

V, T = 3, 2
POLICY = gpt_policy(V, T, layers=1, heads=1, width=8)
REFERENCE = np.array([0.6, 0.3, 0.1])
REWARDS = np.array([0.0, 0.2, 1.0])


@pytest.fixture(scope="module")
def truth():
    """Policy, behavior policy, and the exact reward, KLs and entropy, by summing over all V^T responses."""
    params, behavior = (jax.tree.map(lambda p: p * 12.0, POLICY.init(jax.random.key(seed))) for seed in (0, 1))
    exact = np.zeros(5)
    for prompt in range(V):
        tokens = jnp.asarray([(prompt, *r) for r in itertools.product(range(V), repeat=T)], jnp.int32)
        log_p = np.asarray(score(POLICY, params, tokens).sum(-1), np.float64)
        log_b = np.asarray(score(POLICY, behavior, tokens).sum(-1), np.float64)
        log_ref = np.log(REFERENCE)[np.asarray(tokens[:, 1:])].sum(-1)
        p, rewards = np.exp(log_p), REWARDS[np.asarray(tokens[:, 1:])].mean(-1)
        with_prompt = REWARDS[np.asarray(tokens)].mean(-1)
        exact += np.array([p @ rewards, p @ (log_p - log_ref), p @ (log_p - log_b), -p @ log_p, p @ with_prompt]) / V
    return params, behavior, exact


def _estimates(truth, keys, prompt_in_response=False):
    params, behavior, _ = truth
    problem = make_problem(REFERENCE, REWARDS)
    one = jax.jit(
        jax.vmap(
            lambda key: evaluate(
                POLICY,
                params,
                problem,
                evaluation_prompts(V, 2, V),
                T,
                key=key,
                prompt_in_response=prompt_in_response,
                behavior_params=behavior,
            )[0]
        )
    )
    return np.stack(jax.tree.leaves(one(jax.random.split(jax.random.key(7), keys))))


@pytest.mark.slow
def test_estimators_lie_within_four_standard_errors_of_enumeration(truth):
    estimates = _estimates(truth, 2000)
    errors = estimates.std(axis=1, ddof=1) / np.sqrt(2000)
    assert (errors > 0).all()
    assert (np.abs(estimates.mean(axis=1) - truth[2][:4]) < 4 * errors + 1e-6).all()


@pytest.mark.parametrize(("method", "mixed"), [(1, True), (2, False), (0, False)])
def test_staleness_is_to_the_mixture_that_sampled_by_enumeration(tabular, method, mixed):
    """Of IPO-MD. Nash-MD learns from the policy's own half, on-policy IPO from nothing else."""
    asked = dataclasses.replace(
        tabular, methods=("on_policy_ipo", "nash_md", "ipo_md"), hyper=HyperParameters(mixture=0.4), vary=()
    )
    run = jax.tree.map(lambda a: jnp.asarray(a[0]), make_plan(asked).runs)
    names = [each.name for each in asked.static.methods]
    run = run._replace(method=jnp.asarray(names.index(("ipo", "ipo_md", "nash_md")[method])))
    rng = np.random.default_rng(0)
    now, then = (np.log(rng.dirichlet(np.ones(4), size=2)) for _ in range(2))
    reference = np.asarray(run.problem.reference_log_probs, np.float64)
    sampled = then
    if mixed:
        product = np.exp(0.6 * then + 0.4 * reference)
        sampled = np.log(product / product.sum(axis=1, keepdims=True))
    responses = list(itertools.product(range(4), repeat=2))
    log_p, log_b = (np.array([p[0, a] + p[1, b] for a, b in responses]) for p in (now, sampled))
    means, _ = evaluate(
        make_policy(asked.static),
        {"logits": jnp.asarray(now, jnp.float32)},
        run.problem,
        evaluation_prompts(4, 1, 4),
        2,
        key=jax.random.key(0),
        behavior_params={"logits": jnp.asarray(then, jnp.float32)},
        behavior=run.behavior,
        mix=learners_mix(run, asked.static),
    )
    np.testing.assert_allclose(means.kl_to_behavior, np.exp(log_p) @ (log_p - log_b), rtol=1e-5)


def test_the_prompts_reward_counts_where_asked(truth):
    estimates = _estimates(truth, 2000, prompt_in_response=True)[0]
    assert abs(estimates.mean() - truth[2][4]) < 4 * estimates.std(ddof=1) / np.sqrt(2000)


def test_rao_blackwellisation_reduces_the_variance(truth):
    """Against averaging the sampled rewards of the same number of responses."""
    params = truth[0]
    rao = _estimates(truth, 400)[0].var(ddof=1)
    prompts = evaluation_prompts(V, 2, V)
    rewards = jnp.asarray(REWARDS, jnp.float32)
    plain = jax.jit(jax.vmap(lambda k: rewards[sample(POLICY, params, prompts, T, key=k).tokens[:, 1:]].mean()))(
        jax.random.split(jax.random.key(8), 400)
    )
    assert rao < 0.6 * float(plain.var(ddof=1))


def test_a_network_as_reference_gives_zero_for_itself(truth):
    params = truth[0]
    means, tokens = evaluate(
        POLICY,
        params,
        make_problem(REFERENCE, REWARDS),
        evaluation_prompts(V, 4, V),
        T,
        key=jax.random.key(0),
        reference_params=params,
    )
    assert abs(float(means.kl_to_reference)) < 1e-6
    assert np.isnan(means.kl_to_behavior)
    np.testing.assert_allclose(tokens.sum(axis=-1), 1.0, rtol=1e-5)


def test_evaluation_prompts_are_every_token_in_turn():
    np.testing.assert_array_equal(evaluation_prompts(4, 2, 3), [0, 0, 1, 1, 2, 2, 0, 0])
