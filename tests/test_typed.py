"""Configurations hold Python's own numbers, whatever they were made from; what is no number is refused."""

import dataclasses
import json
import math
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.objectives.batch import HYPER_RANGES, HyperParameters
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig, PretrainingConfig
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import MOST_SAMPLES, ReferenceRecipe, parse_reward


def made(kind, /, **fields):
    """As a user makes one: past beartype, which in these tests comes before a configuration's own checks."""
    instance = object.__new__(kind)
    instance.__dict__.update(vars(kind()) | fields)
    if hasattr(instance, "__post_init__"):
        instance.__post_init__()
    return instance


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ({"seeds": np.int64(3), "first_seed": np.uint8(7)}, Experiment(seeds=3, first_seed=7)),
        ({"seeds": jnp.asarray(3)}, Experiment(seeds=3)),
        ({"learning_rates": np.array([0.25, 0.5])}, Experiment(learning_rates=(0.25, 0.5))),
        ({"learning_rates": (np.float32(0.25), 1)}, Experiment(learning_rates=(0.25, 1.0))),
        ({"learning_rates": [0.25]}, Experiment(learning_rates=(0.25,))),
        ({"methods": np.array(["ppo", "ipo"])}, Experiment(methods=("ppo", "ipo"))),
        ({"methods": ["ppo"], "rewards": ["r1", "R2"]}, Experiment(methods=("ppo",), rewards=("R1", "R2"))),
        ({"vary": [["tau", np.array([0.5, 0.25])]]}, Experiment(vary=(("tau", (0.5, 0.25)),))),
        (
            {"hyper": made(HyperParameters, tau=np.float32(0.5), beta=Fraction(1, 4))},
            Experiment(hyper=HyperParameters(tau=0.5, beta=0.25)),
        ),
        (
            {"algorithm": made(AlgorithmConfig, collections=np.int32(5))},
            Experiment(algorithm=AlgorithmConfig(collections=5)),
        ),
        (
            {"evaluation": made(EvaluationConfig, behavior_kl=np.False_)},
            Experiment(evaluation=EvaluationConfig(behavior_kl=False)),
        ),
        ({"conventions": made(Conventions, ties=np.str_("keep"))}, Experiment(conventions=Conventions(ties="keep"))),
    ],
)
def test_numbers_of_numpy_and_jax_are_pythons(fields, same):
    """Equal, of one hash (programs are found by it) and one JSON, which NumPy's numbers have not."""
    experiment = made(Experiment, **fields)
    assert experiment == same
    assert hash(experiment) == hash(same)
    assert experiment.to_json() == same.to_json()
    assert Experiment.from_json(experiment.to_json()) == same


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Experiment, {"seeds": True}, "seeds must be a whole number, got True"),
        (Experiment, {"seeds": "3"}, "seeds must be a whole number, got '3'"),
        (Experiment, {"seeds": 3.0}, "seeds must be a whole number, got 3.0"),
        (Experiment, {"seeds": np.array([3])}, r"seeds must be a whole number, got \[3\]"),
        (Experiment, {"methods": "ppo"}, "methods must be a list, got 'ppo'"),
        (Experiment, {"methods": (3,)}, "methods must be a text, got 3"),
        (Experiment, {"learning_rates": (True,)}, "learning_rates must be a number, got True"),
        (Experiment, {"learning_rates": 0.1}, "learning_rates must be a list, got 0.1"),
        (Experiment, {"learning_rates": ("0.1",)}, "learning_rates must be a number, got '0.1'"),
        (Experiment, {"learning_rates": (10**400,)}, "learning_rates must be a number that a float can hold"),
        (Experiment, {"policy": {"kind": "gpt"}}, "policy must be a PolicyConfig"),
        (Experiment, {"vary": (("tau", "0.1"),)}, "tau must be a list, got '0.1'"),
        (Experiment, {"vary": (("tau", (True,)),)}, "tau must be a number, got True"),
        (Experiment, {"hyper": made(HyperParameters, tau=True)}, "tau must be a number, got True"),
        (Experiment, {"hyper": made(HyperParameters, tau="1")}, "tau must be a number, got '1'"),
        (Experiment, {"hyper": made(HyperParameters, tau=None)}, "tau must be a number, got None"),
        (Experiment, {"hyper": made(HyperParameters, learning_rate=1e-320)}, "learning_rate must be between 1.18e-38"),
        (Experiment, {"hyper": made(HyperParameters, learning_rate=1e39)}, "learning_rate must be between 1.18e-38"),
        (Experiment, {"hyper": made(HyperParameters, kl_coefficient=1e-50)}, "kl_coefficient must be between"),
        (Experiment, {"hyper": made(HyperParameters, top_k=0.3)}, "top_k must be at least 1, got 0.3"),
        (Experiment, {"rewards": ("R1", "r1")}, "rewards must differ, got R1, R1"),
        (Experiment, {"rewards": ("R1", "bump:70:10")}, "rewards must differ"),
        (Experiment, {"rewards": ("bump:5:1e-320",)}, "width must be at least 0.01 tokens"),
        (Experiment, {"rewards": ("bump:5:1e300",)}, "is too wide: every token earns 1"),
        (Experiment, {"rewards": ("bump:1e308:1",)}, "peaks outside the vocabulary"),
        (Experiment, {"vocab_size": 10**8}, "vocab_size must be at most 1,000,000, got 100,000,000"),
        (PolicyConfig, {"width": True, "heads": True}, "heads must be a whole number, got True"),
        (PolicyConfig, {"kind": ["gpt"]}, "kind must be one of 'gpt', 'tabular', 'mlp'"),
        (PretrainingConfig, {"tolerance": 1e-320}, "pretraining tolerance must be between"),
        (EvaluationConfig, {"snapshots": 1}, "snapshots must be true or false, got 1"),
        (AlgorithmConfig, {"prompts": None}, "prompts must be a whole number, got None"),
        (Conventions, {"dropout": math.nan}, "dropout must be in"),
        (Conventions, {"dropout": "0"}, "dropout must be a number, got '0'"),
        (ReferenceRecipe, {"samples": 10**12}, f"samples must be at most {MOST_SAMPLES:,}"),
        (ReferenceRecipe, {"seed": -1}, "reference seed must be a whole number of at least 0"),
        (ReferenceRecipe, {"probabilities": (True, False)}, "probabilities must be a number, got True"),
    ],
)
def test_what_is_no_number_is_refused(kind, fields, message):
    with pytest.raises(ValueError, match=message):
        made(kind, **fields)


@pytest.mark.parametrize("name", HYPER_RANGES)
def test_what_float32_has_as_zero_or_infinity_is_refused(name):
    for value in (1e-39, 1e39):
        with pytest.raises(ValueError, match=f"{name} must be between"):
            HYPER_RANGES[name].check(name, value)


def test_an_experiment_survives_a_file_with_numbers_of_another_kind():
    """A configuration by hand: texts and truth values are refused, not counted as numbers."""
    data = json.loads(Experiment().to_json())
    for key, value in (("seeds", "1"), ("seeds", True), ("learning_rates", ["1"]), ("methods", "ppo"), ("vary", 3)):
        with pytest.raises(ValueError, match=f"not a configuration|{key} must be"):  # beartype's words
            Experiment.from_json(json.dumps(data | {key: value}))
    with pytest.raises(ValueError, match="nested too deeply"):
        Experiment.from_json("[" * 100_000)


def test_the_narrowest_bump_rewards_one_token():
    assert parse_reward("bump:5:0.01") == (5, 0.01)
    rewards = dataclasses.replace(Experiment(), rewards=("bump:5:0.01",))
    assert rewards.rewards == ("bump:5:0.01",)
