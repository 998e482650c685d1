"""Steps 1-3 of Algorithm 1: prompts, responses, rewards, advantages."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from modeseek.bandit.objectives import advantages
from modeseek.bandit.objectives.labels import noisy_labels
from modeseek.bandit.objectives.log_probs import shift
from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.mixture import geometric_mixture, mixes, mixture_shares, opponents
from modeseek.bandit.simulator.policy import Params, Policy
from modeseek.bandit.simulator.problem import response_rewards
from modeseek.bandit.simulator.reward_model import RewardModel, proxy_rewards
from modeseek.bandit.simulator.run import Run, label_temperature, loop_kl_coefficient
from modeseek.bandit.simulator.sampling import sample, sample_table, score


class Collected(NamedTuple):
    """One collection: P prompts with N labelled responses each.

    `rewards` are the problem's own. What the method learns from are `advantages` or `labels`: both of the learnt reward
    where there is one, both with the KL of `kl_placement="reward"` in, and the labels of the gold reward with the noise
    of preferences, if the method ranks them.
    Log-probs of copies that are not frozen whole are 0 unless that KL wants them: `objective.rescored` has them anew.
    `opponents` are drawn for the others to play against; None where no method that is compiled in has any.
    """

    tokens: Int[Array, "P N S"]
    rewards: Float[Array, "P N"]
    labels: Float[Array, "P N"]
    advantages: Float[Array, "P N"]
    behavior_token_log_probs: Float[Array, "P N T"]
    reference_token_log_probs: Float[Array, "P N T"]
    opponents: Bool[Array, "P N"] | None = None


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
    reward_model: RewardModel | tuple[()] = (),
) -> tuple[Collected, advantages.RunningMoments]:
    """Sample prompts and responses, label them, and standardise the labels; the key is consumed.

    Args:
        policy: its functions.
        params: of the policy that samples: the behavior policy, unless the run has a table for it.
        reference_params: a network as the reference, if the conventions ask for one.
        prompts: the prompt set.
        moments: of all rewards before, for running standardisation.
        run: the run's numbers.
        config: static configuration.
        key: of prompts, samples and the noise of labels.
        reward_model: in the gold reward's place, if there is one.

    Returns:
        the collection, and the moments with it.
    """
    conventions, algorithm = config.conventions, config.algorithm
    prompt_key, sample_key = jax.random.split(key)
    rows = (algorithm.prompts_per_collection, algorithm.responses_per_prompt)
    if prompts.shape[0] > rows[0]:
        prompts = jax.random.permutation(prompt_key, prompts)[: rows[0]]
    repeated = jnp.repeat(prompts, rows[1])
    mix = None
    if mixes(config):
        shares = jnp.tile(mixture_shares(run, config), rows[0])
        mix = lambda log_probs: geometric_mixture(log_probs, run.problem.reference_log_probs, shares)
    # Copies that are not frozen whole are scored anew at every gradient step; before, only rewards can want them.
    needed = conventions.frozen_copies == "whole" or conventions.kl_placement == "reward"
    unscored = jnp.zeros((repeated.shape[0], config.input_length))

    # Log-probs of the policy, of which eq. 2's KL is, and of what was sampled, which ratios are to.
    def from_network() -> tuple[Array, Array, Array]:
        rollout = sample(policy, params, repeated, config.new_tokens, key=sample_key, mix=mix)
        scored = score(policy, params, rollout.tokens, conventions.scoring) if needed else unscored
        drawn = jnp.where(shares[:, None] > 0, rollout.token_log_probs, scored) if mixes(config) else scored
        return rollout.tokens, scored, drawn

    def from_table() -> tuple[Array, Array, Array]:
        tokens = sample_table(run.behavior.log_probs, repeated, config.new_tokens, key=sample_key)
        scored = run.behavior.log_probs[shift(tokens, conventions.scoring)[1]]
        return tokens, scored, scored

    tokens, scored, behavior = jax.lax.cond(run.behavior.is_table, from_table, from_network)
    if conventions.reference_model == "exact":
        _, targets = shift(tokens, conventions.scoring)
        reference = run.problem.reference_log_probs[targets]
    elif conventions.reference_model == "behavior":
        reference = scored
    else:
        reference = score(policy, reference_params, tokens, conventions.scoring) if needed else unscored
    rewards = response_rewards(tokens, run.problem.token_rewards, conventions.prompt_in_response)
    labels = proxy_rewards(reward_model, tokens, config) if reward_model else rewards
    if conventions.kl_placement == "reward":
        labels = advantages.kl_shaped_rewards(
            labels, scored.sum(axis=-1), reference.sum(axis=-1), loop_kl_coefficient(run, config)
        )
    labels, rewards = labels.reshape(rows), rewards.reshape(rows)
    standardized, updated = advantages.standardize_by(run.standardization, labels, moments)
    if not reward_model:  # whose fit has had the noise
        # A third key of the two above: those of results that are stored stay what they were.
        labels = noisy_labels(labels, label_temperature(run, config), key=jax.random.fold_in(key, 2))
    return (
        Collected(
            tokens=tokens.reshape(*rows, -1),
            rewards=rewards,
            labels=labels,
            advantages=standardized,
            behavior_token_log_probs=behavior.reshape(*rows, -1),
            reference_token_log_probs=reference.reshape(*rows, -1),
            opponents=jnp.tile(opponents(run, config), (rows[0], 1)) if mixes(config) else None,
        ),
        updated,
    )
