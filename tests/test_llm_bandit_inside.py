"""The bandit inside a language model: the simulator's own loop and the language models' path, on the same network."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from llm_cases import CASES, random_params

from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.simulator.collect import collect
from modeseek.bandit.simulator.config import AlgorithmConfig
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.objective import loss_and_batch, objective_options
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import Policy
from modeseek.bandit.simulator.train import initial_state
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.training.algorithm1 import Algorithm1
from modeseek.llm.training.cross_entropy import CrossEntropy
from modeseek.llm.training.objective import Labelled, make_method_step, make_scorer
from modeseek.llm.training.optimizer import start
from modeseek.llm.training.trainable import AllParameters
from modeseek.llm.training.tune_config import TuneConfig

V, T = 100, 10
SIZES = {"vocab_size": V, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
MODEL = Model(config_from(CASES["pythia"] | SIZES))
EXPERIMENT = Experiment(
    methods=tuple(METHODS),
    rewards=("R1",),
    algorithm=AlgorithmConfig(samples_per_collection=30, responses_per_prompt=5, minibatch_size=30),
    # This policy is far from the reference, log z up to 17: at R = 1 all pairs are beyond χPO's clip, without gradient.
    hyper=HyperParameters(kl_coefficient=0.05, top_k=2.0, negative_threshold=0.001, reward_bound=1e4),
)


def logits(params, tokens):
    return MODEL.logits(params, MODEL.hidden(params, tokens))


def empty_cache(batch):
    return jnp.zeros((batch, T), jnp.int32)


def step(params, token, position, cache):
    """The whole prefix is read anew: slow, and nothing of the language models' decoding is in it."""
    cache = jax.lax.dynamic_update_index_in_dim(cache, token.astype(jnp.int32), position, axis=1)
    return jax.lax.dynamic_index_in_dim(logits(params, cache), position, axis=1, keepdims=False), cache


NEOX_POLICY = Policy(lambda key: None, logits, lambda params, tokens, key: logits(params, tokens), empty_cache, step)
"""A GPT-NeoX as the simulator takes policies: it reads a prompt of one token, and writes ten."""


@pytest.fixture(scope="module")
def inside():
    """Parameters in training and those that sampled; a collection of the simulator's, sampled and labelled by it."""
    conventions = dataclasses.replace(EXPERIMENT.conventions, kl_placement="reward", reference_model="exact")
    static = dataclasses.replace(EXPERIMENT, conventions=conventions).static
    behavior = random_params(MODEL.config)
    noise = np.random.default_rng(1)
    params = jax.tree.map(lambda a: a + jnp.asarray(0.01 * noise.normal(size=a.shape), a.dtype), behavior)
    runs = make_plan(dataclasses.replace(EXPERIMENT, conventions=conventions)).runs
    run = jax.tree.map(lambda a: jnp.asarray(a[0]), runs)

    @jax.jit
    def collected():
        fresh = initial_state(behavior, run, static)
        return collect(NEOX_POLICY, behavior, (), fresh.prompts, fresh.moments, run, static, key=jax.random.key(5))[0]

    return params, behavior, static, run, collected()


def as_labelled(data):
    prompts, count, length = data.tokens.shape
    full = lambda value: np.full((prompts, count), value, np.int32)
    return Labelled(
        np.asarray(data.tokens),
        full(length),
        full(1),
        np.ones((prompts, count), bool),
        data.behavior_token_log_probs,
        data.reference_token_log_probs,
        data.labels,
        data.advantages,
    )


@pytest.mark.slow
def test_every_method_has_the_simulators_loss_and_gradient(inside):
    """Same network, samples, labels and conventions: `simulator.objective.loss_and_batch` against three programs."""
    params, _, static, run, data = inside
    data = data._replace(opponents=None)  # Nash-MD as language models have it: everyone plays against all the others

    @jax.jit
    def simulated(method):
        chosen = run._replace(method=method)
        loss = lambda p: loss_and_batch(p, data, chosen, static, NEOX_POLICY, key=jax.random.key(0))[0]
        return jax.value_and_grad(loss)(params)

    optimizer = optax.trace(decay=0.0)
    for number, method in enumerate(static.methods):
        loss, gradient = simulated(jnp.asarray(number))
        taken = make_method_step(
            method,
            CrossEntropy(MODEL),
            AllParameters(MODEL.config),
            options=objective_options(static),
            optimizer=optimizer,
            accumulate=3,
        )
        state, numbers = taken(start(jax.tree.map(jnp.copy, params), optimizer), as_labelled(data), run.hyper)
        np.testing.assert_allclose(numbers["loss"], loss, rtol=1e-5, atol=1e-6, err_msg=method.name)
        scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
        assert scale > 0, method.name
        for ours, theirs in zip(jax.tree.leaves(state.optimizer.trace), jax.tree.leaves(gradient), strict=True):
            assert float(jnp.abs(ours - theirs).max()) <= 1e-5 * scale, method.name


def test_a_collection_is_labelled_as_the_simulator_labels_it(inside):
    """Scores under the policy that sampled, KL in the reward, standardised rewards: from ids and rewards alone.

    The language models' reference is a network and the simulator's is exact: the KL is compared by the formula.
    """
    _, behavior, _, run, data = inside
    prompts = [np.asarray(group[0, :1]) for group in data.tokens]
    answers = [tuple(np.asarray(row[1:]) for row in group) for group in data.tokens]
    examples = [Example(prompt, group) for prompt, group in zip(prompts, answers, strict=True)]
    config = TuneConfig(
        "ppo",
        samples_per_collection=30,
        responses_per_prompt=5,
        minibatch_size=30,
        max_new_tokens=T,
        accumulate=6,
        critic=False,
    )
    loop = Algorithm1(
        ModelWithParams(MODEL, behavior), examples, config, reward=lambda e: np.asarray(data.rewards), eos=[0]
    )
    sampled = np.ones(len(examples), bool)
    labelled, _ = loop.label(loop.start(), examples, sampled, np.asarray(data.rewards))
    wide = np.asarray(labelled.behavior_log_probs)
    np.testing.assert_allclose(wide[..., :T], data.behavior_token_log_probs, atol=1e-4)
    assert not wide[..., T:].any()
    rewards = np.asarray(data.rewards, np.float64)
    np.testing.assert_allclose(labelled.advantages, (rewards - rewards.mean()) / rewards.std(ddof=1), atol=1e-4)
    shaped = rewards - float(run.hyper.kl_coefficient) * np.asarray(
        data.behavior_token_log_probs - data.reference_token_log_probs, np.float64
    ).sum(-1)
    np.testing.assert_allclose(data.labels, shaped, atol=1e-4)


def test_scores_are_the_simulators(inside):
    params, _, _, _, data = inside
    score = make_scorer(CrossEntropy(MODEL), AllParameters(MODEL.config))
    tokens = data.tokens.reshape(-1, T + 1)
    theirs = jax.nn.log_softmax(logits(params, tokens[:, :-1]), axis=-1)
    theirs = jnp.take_along_axis(theirs, tokens[:, 1:, None], axis=-1)[..., 0]
    np.testing.assert_allclose(score(params, as_labelled(data)).log_probs.reshape(-1, T), theirs, atol=1e-5)
