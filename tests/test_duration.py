"""How long an experiment takes, counted before it is run."""

import dataclasses

import jax
import numpy as np
import pytest

from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig
from modeseek.bandit.simulator.duration import RATE, SAID, estimate, in_words, of_a_run, products, said
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.memory import sizes_of
from modeseek.bandit.simulator.policy import make_policy
from modeseek.bandit.simulator.sweep import check_before


@pytest.mark.parametrize("policy", [PolicyConfig(), PolicyConfig(layers=1, heads=2, width=24)])
def test_each_weight_matrix_multiplies_each_token_once(policy):
    """Those of the network's shapes, less what is looked up: embeddings of tokens and places."""
    experiment = Experiment(policy=policy)
    shapes = jax.eval_shape(make_policy(experiment.static).init, jax.random.key(0))
    named = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)}
    matrices = sum(np.prod(leaf.shape) for name, leaf in named.items() if leaf.ndim > 1 and "embed" not in name.lower())
    assert products(sizes_of(experiment)) == matrices, {name: leaf.shape for name, leaf in named.items()}


def test_a_run_is_its_steps_collections_and_evaluations():
    """By hand, for 2 collections of 8 samples, 3 passes in minibatches of 4, an evaluation of 5 prompts a step."""
    small = Experiment(
        algorithm=AlgorithmConfig(
            samples_per_collection=8, responses_per_prompt=2, minibatch_size=4, inner_steps=3, collections=2
        ),
        evaluation=EvaluationConfig(prompts=5, interval=1),
    )
    sizes = sizes_of(small)
    token = 2 * products(sizes) * 10
    steps = 2 * 3 * 2
    operations = token * (3 * 4 * steps + 3 * 8 * 2 + 4 * 5 * (steps + 1))
    assert of_a_run(sizes) == pytest.approx(3e-4 * steps + operations / RATE)
    more = sizes_of(dataclasses.replace(small, seeds=40))
    assert estimate(more, 2) == pytest.approx(20 * estimate(sizes, 1))


def test_what_is_long_is_said_before_it_begins():
    assert said(sizes_of(Experiment()), 2) == ""
    sweep = Experiment(seeds=50_000, policy=PolicyConfig(kind="tabular"))
    assert estimate(sizes_of(sweep), 2) > SAID
    assert "\ntakes about" in f"\n{check_before(sweep)}"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(601.0, "10 minutes"), (7200.0, "2 hours"), (1e6, "12 days"), (1e9, "32 years")],
)
def test_seconds_are_said_as_a_person_would(seconds, words):
    assert in_words(seconds) == words
