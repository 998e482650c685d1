"""Steps 1-3 of Algorithm 1: prompts, responses, rewards, advantages."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from modeseek.bandit.objectives import advantages
from modeseek.bandit.objectives.log_probs import shift
from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.policy import Params, Policy
from modeseek.bandit.simulator.problem import response_rewards
from modeseek.bandit.simulator.run import Run
from modeseek.bandit.simulator.sampling import sample, score


class Collected(NamedTuple):
    """One collection: P prompts with N labelled responses each.

    `rewards` are the problem's own; `labels`, what the method learns from, have the KL of `kl_placement="reward"` in.
    Log-probs of copies that are not frozen whole are 0 unless that KL wants them: `objective.rescored` has them anew.
    """

    tokens: Int[Array, "P N S"]
    rewards: Float[Array, "P N"]
    labels: Float[Array, "P N"]
    advantages: Float[Array, "P N"]
    behavior_token_log_probs: Float[Array, "P N T"]
    reference_token_log_probs: Float[Array, "P N T"]


def collect(
    policy: Policy,
    params: Params,
    reference_params: Params,
    prompts: Int[Array, "D"],
    moments: advantages.RunningMoments,
    run: Run,
    config: Static,
    *,
    key: jax.Array,
) -> tuple[Collected, advantages.RunningMoments]:
    """Sample prompts and responses, label them, and standardise the labels; the key is consumed.

    Args:
        policy: its functions.
        params: of the policy that samples: the behavior policy.
        reference_params: a network as the reference, if the conventions ask for one.
        prompts: the prompt set.
        moments: of all rewards before, for running standardisation.
        run: the run's numbers.
        config: static configuration.
        key: of prompts and samples.

    Returns:
        the collection, and the moments with it.
    """
    conventions, algorithm = config.conventions, config.algorithm
    prompt_key, sample_key = jax.random.split(key)
    rows = (algorithm.prompts_per_collection, algorithm.responses_per_prompt)
    if prompts.shape[0] > rows[0]:
        prompts = jax.random.permutation(prompt_key, prompts)[: rows[0]]
    rollout = sample(policy, params, jnp.repeat(prompts, rows[1]), config.new_tokens, key=sample_key)
    # Copies that are not frozen whole are scored anew at every gradient step; before, only rewards can want them.
    needed = conventions.frozen_copies == "whole" or conventions.kl_placement == "reward"
    unscored = jnp.zeros((rollout.tokens.shape[0], config.input_length))
    behavior = score(policy, params, rollout.tokens, conventions.scoring) if needed else unscored
    if conventions.reference_model == "exact":
        _, targets = shift(rollout.tokens, conventions.scoring)
        reference = run.problem.reference_log_probs[targets]
    elif conventions.reference_model == "behavior":
        reference = behavior
    else:
        reference = score(policy, reference_params, rollout.tokens, conventions.scoring) if needed else unscored
    rewards = response_rewards(rollout.tokens, run.problem.token_rewards, conventions.prompt_in_response)
    labels = rewards
    if conventions.kl_placement == "reward":
        labels = advantages.kl_shaped_rewards(
            rewards, behavior.sum(axis=-1), reference.sum(axis=-1), run.hyper.kl_coefficient
        )
    labels, rewards = labels.reshape(rows), rewards.reshape(rows)
    standardized, updated = advantages.standardize_by(run.standardization, labels, moments)
    return (
        Collected(
            tokens=rollout.tokens.reshape(*rows, -1),
            rewards=rewards,
            labels=labels,
            advantages=standardized,
            behavior_token_log_probs=behavior.reshape(*rows, -1),
            reference_token_log_probs=reference.reshape(*rows, -1),
        ),
        updated,
    )
