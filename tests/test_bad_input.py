"""Bad input is refused with what was expected and what came, before any work."""

import dataclasses
import math

import pytest

from modeseek.bandit.objectives.batch import HyperParameters, Options
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, PolicyConfig, PretrainingConfig
from modeseek.bandit.simulator.conventions import Conventions
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.problem import ReferenceRecipe


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Experiment(vocab_size=0), "vocab_size must be a whole number of at least 2, got 0"),
        (lambda: Experiment(vocab_size=1), "vocab_size must be a whole number of at least 2, got 1"),
        (lambda: Experiment(response_length=0), "response_length must be a whole number of at least 1, got 0"),
        (
            lambda: Experiment(response_length=1, conventions=Conventions(prompt_in_response=True)),
            "response_length must be a whole number of at least 2, got 1",
        ),
        (lambda: Experiment(methods=("ppoo",)), "unknown method 'ppoo'; did you mean 'ppo'"),
        (lambda: Experiment(methods=()), "methods must name at least one"),
        (lambda: Experiment(methods=("ppo", "on_policy_ppo")), "methods must differ"),
        (lambda: Experiment(rewards=("R3",)), "'R2', 'bump:CENTER:WIDTH' or 'knots:V,V,…', got 'R3'"),
        (lambda: Experiment(rewards=("bump:nan:1",)), "center must be finite"),
        (lambda: Experiment(rewards=("bump:5:0",)), "width positive"),
        (lambda: Experiment(rewards=("R1", "R1")), "rewards must differ"),
        (lambda: Experiment(learning_rates=(0.1, -0.1)), "learning_rate must be a positive number, got -0.1"),
        (lambda: Experiment(learning_rates=(0.1, 0.1)), "learning_rates must differ"),
        (lambda: Experiment(hyper=HyperParameters(learning_rate=math.nan)), "learning_rate must be a positive"),
        (lambda: Experiment(hyper=HyperParameters(tau=0.0)), "tau must be a positive number, got 0.0"),
        (lambda: Experiment(hyper=HyperParameters(kl_coefficient=-1.0)), "kl_coefficient must be zero or more"),
        (lambda: Experiment(method_learning_rates=(0.1, 0.2)), "one entry per method, 1, got 2"),
        (lambda: Experiment(vary=(("tauu", (0.1,)),)), "'tauu' is not a hyper-parameter"),
        (lambda: Experiment(vary=(("tau", (-0.1,)),)), "tau must be a positive number, got -0.1"),
        (lambda: Experiment(vary=(("tau", ()),)), "tau needs at least one value"),
        (lambda: Experiment(seeds=0), "seeds must be a whole number of at least 1"),
        (lambda: Experiment(conventions=Conventions(dropout=1.0)), r"dropout must be in \[0, 1\)"),
        (lambda: Experiment(evaluation=EvaluationConfig(interval=3)), "must divide the gradient steps .* 10, got 3"),
        (lambda: Conventions(policy_gradient_kl=-3.0), "policy_gradient_kl must be zero or more"),
        (lambda: Experiment(vary=(("tau", (0.1,)), ("tau", (0.2,)))), "can be varied once"),
        (
            lambda: Experiment(hyper=HyperParameters(learning_rate=0.1), learning_rates=(0.1,)),
            "learning_rate 0.1 would be ignored beside a grid",
        ),
        (lambda: Experiment(vocab_size=20), "R1 peaks outside the vocabulary"),
        (lambda: Experiment(first_seed=2**31), "seeds must stay below"),
        (lambda: EvaluationConfig(prompts=0), "evaluation prompts must be a whole number"),
        (
            lambda: Experiment(
                methods=("ipo",),
                algorithm=AlgorithmConfig(responses_per_prompt=1),
            ),
            "ipo compares responses: responses_per_prompt must be at least 2, got 1",
        ),
        (
            lambda: Experiment(methods=("kto",), algorithm=AlgorithmConfig(responses_per_prompt=1)),
            "kto compares responses: responses_per_prompt must be at least 2, got 1",
        ),
        (
            lambda: Experiment(methods=("nash_md",), conventions=Conventions(frozen_copies="live_mlp")),
            "nash_md draws from a mixture .* and conventions.frozen_copies 'whole'",
        ),
        (
            lambda: AlgorithmConfig(minibatch_size=30),
            "minibatch_size must divide samples_per_collection, got 30 and 100",
        ),
        (lambda: AlgorithmConfig(minibatch_size=5), "so that prompts stay whole, got 5 and 10"),
        (lambda: AlgorithmConfig(responses_per_prompt=7), "responses_per_prompt must divide .* got 7 and 100"),
        (lambda: AlgorithmConfig(prompts=5), "prompts must be 0 or at least .* 10, got 5"),
        (lambda: AlgorithmConfig(inner_steps=0), "inner_steps must be a whole number of at least 1"),
        (lambda: PolicyConfig(heads=5), "heads must divide width, got 5 heads and width 48"),
        (lambda: PretrainingConfig(tolerance=0.0), "pretraining tolerance must be a positive number"),
        (
            lambda: Experiment(policy=PolicyConfig(kind="tabular"), conventions=Conventions(frozen_copies="live_mlp")),
            "needs a policy with MLPs",
        ),
        (
            lambda: Experiment(
                vocab_size=2, rewards=("bump:1:1",), reference=ReferenceRecipe(probabilities=(1.0, 0.0))
            ),
            "Ask for a floor",
        ),
        (lambda: Experiment(reference=ReferenceRecipe(scale=-0.4)), "scale must be positive"),
        (lambda: Experiment(reference=ReferenceRecipe(floor=0.5)), "floor must be in"),
    ],
)
def test_bad_configurations_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_zero_mass_passes_with_a_floor():
    recipe = ReferenceRecipe(probabilities=(0.7, 0.3, 0.0), floor=0.01)
    Experiment(vocab_size=3, rewards=("bump:1:1",), reference=recipe)


def test_near_misses_are_suggested_and_strangers_listed():
    with pytest.raises(ValueError, match="on_policy_ipo"):
        variant("onpolicy_ipo")
    with pytest.raises(ValueError, match="known methods: best_of_n"):
        variant("zzzz")


def test_configurations_survive_json():
    experiment = Experiment(
        methods=("ppo", "offline_rwr"),
        rewards=("bump:1:1",),
        learning_rates=(0.1, 0.01),
        vary=(("tau", (0.1, 0.2)), ("beta", (1.0,))),
        reference=ReferenceRecipe(probabilities=(0.5, 0.5)),
        vocab_size=2,
        conventions=dataclasses.replace(Conventions(), ties="keep"),
    )
    assert Experiment.from_json(experiment.to_json()) == experiment
    with pytest.raises(ValueError, match=r"the configuration is not JSON: Expecting .* in column 6"):
        Experiment.from_json("[1, 2")


@pytest.mark.parametrize(
    ("instance", "name"),
    [
        (Conventions(), "kl_placement"),
        (Conventions(), "standardization"),
        (Conventions(), "scoring"),
        (AlgorithmConfig(), "pair_scheme"),
        (PolicyConfig(), "kind"),
        (Options(), "ratio"),
        (Options(), "margin"),
        (Options(), "negatives"),
    ],
)
def test_choices_are_checked_without_a_type_checker(instance, name):
    """Set past the constructor, whose annotations these tests execute; a user's configuration has no such net."""
    broken = dataclasses.replace(instance)
    object.__setattr__(broken, name, "something else")
    with pytest.raises(ValueError, match=f"{name} must be one of '.*', got 'something else'"):
        broken.__post_init__()
