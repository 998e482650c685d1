"""The `released_code` preset behaves as the authors' program does, on R1, at full size.

Their program, driven as released (vectorised over prompts; seeds 1-4, no dropout): on-policy IPO at lr .01 is at .90 or
more after four collections and at .918 from the sixth on; on-policy Best-of-N at lr .001 climbs to about .7 and falls
back.
The ceiling is .918, nine perfect tokens and a uniform prompt (`test_problem.py`).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig
from modeseek.bandit.simulator.conventions import RELEASED_CODE
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import make_policy
from modeseek.bandit.simulator.sweep import run_sweep
from modeseek.bandit.simulator.train import initial_state, pretrain_seed, run_collection
from modeseek.bandit.studies.reproduce.cells import ONE_TOKEN
from modeseek.bandit.studies.reproduce.protocols import FULL

pytestmark = pytest.mark.slow
CEILING = 0.918


def _final_rewards(method, learning_rate, collections, seeds=2, first_seed=0, **changed):
    experiment = Experiment(
        methods=(method,),
        seeds=seeds,
        first_seed=first_seed,
        conventions=dataclasses.replace(RELEASED_CODE, **changed),
        hyper=dataclasses.replace(Experiment().hyper, learning_rate=learning_rate),
        algorithm=AlgorithmConfig(collections=collections),
        evaluation=EvaluationConfig(interval=0, behavior_kl=False),
    )
    curves = run_sweep(experiment, progress=False).dataset["expected_reward"]
    return curves.isel(step=slice(-5, None)).mean("step").values.ravel()


def test_on_policy_ipo_sits_at_the_ceiling():
    assert _final_rewards("on_policy_ipo", 0.01, 15) == pytest.approx(CEILING, abs=0.005)


def test_on_policy_best_of_n_stays_far_below_it():
    assert _final_rewards("best_of_n", 0.001, 30, seeds=4).mean() < CEILING - 0.15


def test_mending_the_scoring_alone_takes_best_of_n_to_the_ceiling():
    assert _final_rewards("best_of_n", 0.001, 30, scoring="next_token") == pytest.approx(CEILING, abs=0.01)


def _repetition(scoring, learning_rate=0.003, collections=20, seeds=4):
    """Mean probability that the next token is the one just read, over uniform prefixes: before and after training;
    `[2, seeds]`."""
    experiment = Experiment(
        methods=("best_of_n",),
        seeds=seeds,
        conventions=dataclasses.replace(RELEASED_CODE, scoring=scoring),
        hyper=dataclasses.replace(Experiment().hyper, learning_rate=learning_rate),
        algorithm=AlgorithmConfig(collections=collections),
        evaluation=EvaluationConfig(interval=0, behavior_kl=False),
    )
    config, runs = experiment.static, make_plan(experiment).runs
    prefixes = jax.random.randint(jax.random.key(1), (200, config.new_tokens), 0, config.vocab_size)

    @jax.jit
    def repeated(params):
        probs = jax.nn.softmax(make_policy(config).logits(params, prefixes), axis=-1)
        return jnp.take_along_axis(probs, prefixes[..., None], axis=-1).mean()

    @jax.jit
    def start(run):
        return initial_state(pretrain_seed(run.problem, run.seed, config).params, run, config)

    turn = jax.jit(lambda state, run: run_collection(state, run, config)[0])
    pairs = []
    for seed in range(seeds):
        run = jax.tree.map(lambda leaf, i=seed: jnp.asarray(leaf[i]), runs)
        state = start(run)
        before = float(repeated(state.params))
        for _ in range(collections):
            state = turn(state, run)
        pairs.append((before, float(repeated(state.params))))
    return np.array(pairs).T


def test_the_scoring_slip_teaches_best_of_n_to_repeat_the_token_it_has_read():
    """Where a token is scored by logits that have read it, the likelihood of any response grows by copying; sampled
    one after the other, such a policy repeats itself. This is why Best-of-N falls back as released, at rates of .001
    and above."""
    before, after = _repetition("same_token")
    assert before.max() < 0.02
    # Of eight seeds compiled in two ways: .03 to .12, seven of them above .06.
    assert after.min() > 2 * before.max()
    assert after.mean() > 5 * before.max()
    assert _repetition("next_token", seeds=2)[1].max() < 0.02


def test_on_policy_ipo_owes_its_ceiling_to_the_reference_that_moves():
    """With a whole frozen copy as the reference it is a matter of luck: of four seeds each, three of the authors'
    program and three of ours stay far below (no dropout). Which ones depends on rounding; that all six get through,
    if a quarter does, has a chance of one in four thousand."""
    changed = {"frozen_copies": "whole", "dropout": 0.0}
    rewards = _final_rewards("on_policy_ipo", 0.01, 15, seeds=6, **changed)
    assert rewards.min() < CEILING - 0.15
    assert rewards.max() < CEILING + 0.005


def _one_token_ends(method, reward, learning_rate, seeds):
    """The end of each seed's run of the released one-token bandit at one learning rate."""
    experiment = ONE_TOKEN[method, reward].experiment(RELEASED_CODE, FULL)
    hyper = dataclasses.replace(experiment.hyper, learning_rate=learning_rate)
    runs = run_sweep(dataclasses.replace(experiment, seeds=seeds, hyper=hyper), progress=False).dataset
    return runs["expected_reward"].isel(step=-1).values.ravel()


def test_the_one_token_bandit_ends_where_a_program_of_another_make_does():
    """At the scripts' rates. In PyTorch, written anew from their description, ten seeds end at .948 ± .001 (IPO, R2),
    .701 ± .011 (IPO, R1) and .905 ± .039 (Best-of-N, R2); another's Best-of-N ends at .943."""
    assert _one_token_ends("ipo", "R2", 0.003, 4) == pytest.approx(0.948, abs=0.02)
    assert _one_token_ends("ipo", "R1", 0.003, 4).mean() == pytest.approx(0.701, abs=0.05)
    assert _one_token_ends("offline_best_of_n", "R2", 0.01, 20).mean() == pytest.approx(0.92, abs=0.06)
