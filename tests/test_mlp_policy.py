"""The small network of the released one-token bandit: its formula, its start, its prompts, and what it is refused."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.simulator.config import AlgorithmConfig, PolicyConfig
from modeseek.bandit.simulator.conventions import PAPER, RELEASED_CODE
from modeseek.bandit.simulator.evaluate import evaluation_prompts
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.mlp import CONTEXT_SIZE, FEATURES, contexts
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import make_policy, mlp_policy, parameter_count
from modeseek.bandit.simulator.pretrain import pretrain
from modeseek.bandit.simulator.sampling import sample, score
from modeseek.bandit.simulator.train import pretrain_seed, prompt_set
from modeseek.bandit.studies.reproduce.cells import ONE_TOKEN
from modeseek.bandit.studies.reproduce.protocols import FULL, QUICK

V, WIDTH = 7, 16
POLICY = mlp_policy(V, layers=2, width=WIDTH)


@pytest.fixture(scope="module")
def params():
    """Weights a hundred times as large as at the start, so that no layer is near zero."""
    return jax.tree.map(lambda p: p * 100.0, POLICY.init(jax.random.key(1)))


def test_the_network_is_its_formula(params):
    """In float64, written anew: W₄ ReLU(W₃ ReLU(W₂ ReLU(norm(W₁ c)))), with biases."""
    prompts = jnp.asarray([3, 1_000_000, 2**31 - 2])
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    x = np.asarray(contexts(prompts), np.float64) @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"]
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    x = np.maximum(x * p["LayerNorm_0"]["scale"] + p["LayerNorm_0"]["bias"], 0)
    for name in ("Dense_1", "Dense_2"):
        x = np.maximum(x @ p[name]["kernel"] + p[name]["bias"], 0)
    logits = x @ p["Dense_3"]["kernel"] + p["Dense_3"]["bias"]
    assert logits.std() > 0.1
    np.testing.assert_allclose(
        POLICY.logits(params, prompts[:, None])[:, 0], logits, rtol=1e-4, atol=1e-4 * logits.std()
    )


def test_weights_start_uniform_at_a_hundredth_of_glorots_bound():
    params = mlp_policy(100, layers=2, width=256).init(jax.random.key(0))
    sizes = [CONTEXT_SIZE, FEATURES, 256, 256, 100]
    for i, (n, m) in enumerate(itertools.pairwise(sizes)):
        kernel, bound = np.asarray(params[f"Dense_{i}"]["kernel"]), 0.01 * math.sqrt(6 / (n + m))
        assert kernel.shape == (n, m)
        assert 0.999 * bound < np.abs(kernel).max() <= bound * (1 + 1e-6)
        # Of U(-b, b): b²/3, with relative standard error √(4/5)/√(n m).
        assert kernel.var() == pytest.approx(bound**2 / 3, rel=4 * math.sqrt(0.8 / kernel.size))
        assert not np.asarray(params[f"Dense_{i}"]["bias"]).any()
    dense = sum(n * m + m for n, m in itertools.pairwise(sizes))
    assert parameter_count(params) == dense + 2 * FEATURES


def test_contexts_are_uniform_fixed_and_not_alike():
    drawn = np.asarray(contexts(jnp.arange(500)))
    assert drawn.shape == (500, CONTEXT_SIZE)
    n = drawn.size
    assert drawn.mean() == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / n))
    assert drawn.var() == pytest.approx(1 / 12, abs=4 * math.sqrt(1 / 180 / n))
    correlations = np.corrcoef(drawn)[np.triu_indices(500, k=1)]
    assert correlations.std() == pytest.approx(1 / math.sqrt(CONTEXT_SIZE), rel=0.05)
    np.testing.assert_array_equal(contexts(jnp.asarray([499, 7])), drawn[[499, 7]])


def test_what_is_sampled_is_what_is_scored(params):
    prompts = jnp.asarray([5, 123_456])
    rollout = sample(POLICY, params, prompts, 1, key=jax.random.key(2))
    np.testing.assert_allclose(rollout.token_log_probs, score(POLICY, params, rollout.tokens), rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(rollout.all_log_probs).sum(-1), 1.0, rtol=1e-5)
    assert np.ptp(np.asarray(rollout.all_log_probs), axis=0).max() > 0.01  # it reads its context


def _one_token(**changed):
    return Experiment(
        response_length=1,
        vocab_size=V,
        rewards=("bump:4:1",),
        policy=PolicyConfig(kind="mlp", layers=2, heads=1, width=WIDTH),
        algorithm=AlgorithmConfig(samples_per_collection=40, responses_per_prompt=4, minibatch_size=40),
        **changed,
    )


@pytest.mark.slow
def test_pretraining_on_the_prompt_set_takes_a_hundred_steps_and_reaches_other_contexts_too():
    experiment = _one_token(conventions=dataclasses.replace(PAPER, pretraining="prompt_set"))
    config, run = experiment.static, jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), make_plan(experiment).runs)
    trained = pretrain_seed(run.problem, run.seed, config)
    assert int(trained.steps) == 100
    assert float(trained.kl_to_reference) < 1e-3
    policy, others = make_policy(config), jnp.arange(50)[:, None]
    log_probs = jax.nn.log_softmax(policy.logits(trained.params, others), axis=-1)[:, 0]
    kl = (jnp.exp(log_probs) * (log_probs - run.problem.reference_log_probs[None])).sum(-1)
    assert float(kl.max()) < 0.01
    # Its own prompts are what it reads: with other ones it ends elsewhere, with the same at the same bits.
    own = prompt_set(run.seed, config)
    key = jax.random.key(3)
    ends = [
        pretrain(policy, run.problem.reference_log_probs, prompts, config, key=key).params["Dense_0"]["kernel"]
        for prompts in (own, own, own + 1)
    ]
    np.testing.assert_array_equal(ends[0], ends[1])
    assert np.abs(np.asarray(ends[0] - ends[2])).max() > 1e-4


def test_a_policy_is_evaluated_on_contexts_that_it_was_not_trained_on():
    config = _one_token().static
    prompts = np.concatenate([np.asarray(prompt_set(jnp.asarray(seed), config)) for seed in range(20)])
    assert len(set(prompts.tolist())) == prompts.size
    assert not set(prompts.tolist()) & set(np.asarray(evaluation_prompts(100, 1, config.prompt_count)).tolist())
    assert 0.2 * config.prompt_count < np.median(prompts) < 0.8 * config.prompt_count


@pytest.mark.parametrize(
    "changed",
    [
        {"response_length": 2},
        {"conventions": dataclasses.replace(PAPER, scoring="same_token")},
        {"response_length": 2, "conventions": dataclasses.replace(PAPER, prompt_in_response=True)},
    ],
)
def test_it_writes_one_token_and_reads_one_prompt(changed):
    with pytest.raises(ValueError, match="policy kind 'mlp' writes one token: it needs response_length 1"):
        dataclasses.replace(_one_token(), **changed)


def test_the_one_token_cells_are_the_released_scripts_as_released_and_the_texts_otherwise():
    for (method, reward), cell in ONE_TOKEN.items():
        released, text = cell.experiment(RELEASED_CODE, FULL), cell.experiment(PAPER, FULL)
        assert (released.methods, released.rewards) == (text.methods, text.rewards) == ((method,), (reward,))
        assert released.policy.kind == "mlp"
        assert released.algorithm.gradient_steps == cell.as_released.experiment(PAPER, QUICK).algorithm.gradient_steps
        assert released.algorithm.gradient_steps == 200
        assert released.algorithm.prompt_set_size == (100 if method == "ipo" else 5)
        assert released.hyper.reward_gap == (0.2 if method == "ipo" else 0.0)
        assert released.conventions.reference_recipe == RELEASED_CODE.reference_recipe
        assert text.policy.kind == "gpt"
        assert text.algorithm.gradient_steps == 100
