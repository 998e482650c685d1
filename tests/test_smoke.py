"""One tiny run through everything."""

from bandit.simulator.config import AlgorithmConfig, EvaluationConfig
from bandit.simulator.experiment import Experiment
from bandit.simulator.sweep import run_sweep


def test_a_tiny_sweep_runs():
    e = Experiment(
        methods=("ppo", "ipo"),
        vocab_size=8,
        response_length=3,
        algorithm=AlgorithmConfig(
            samples_per_collection=12, responses_per_prompt=3, minibatch_size=6, inner_steps=2, collections=2
        ),
        evaluation=EvaluationConfig(prompts=8),
    )
    s = run_sweep(e, progress=False)
    assert s.complete
