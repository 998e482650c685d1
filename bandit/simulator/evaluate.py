"""Rao-Blackwellised evaluation: sampled prefixes, exact expectations of each next-token distribution.

E_y[R(y)] = E_prefix[mean_t Σ_v π(v | prefix_t) r(v)], and likewise for entropy and KL (chain rule): only the prefix
is random, so the estimators are unbiased with a fraction of the variance of averaging sampled rewards.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from modeseek.bandit.objectives.divergences import entropy, expectation, kl
from modeseek.bandit.simulator.behavior import Behavior
from modeseek.bandit.simulator.policy import Params, Policy
from modeseek.bandit.simulator.problem import Problem
from modeseek.bandit.simulator.sampling import Rollout, sample


class Evaluation(NamedTuple):
    """Means over evaluation prompts, of whole responses. KLs and entropy in nats.

    Attributes:
        expected_reward: E[R], the mean over the response's tokens.
        kl_to_reference: KL(policy ‖ reference).
        kl_to_behavior: KL(policy ‖ behavior), or NaN if it was not asked for. The behavior is what has sampled the
            responses that are learnt from: a table, the network, or its mixture with the reference.
        entropy: of the response.
        proxy_reward: the expectation of the learnt reward; None where there is none.
    """

    expected_reward: Float[Array, ""]
    kl_to_reference: Float[Array, ""]
    kl_to_behavior: Float[Array, ""]
    entropy: Float[Array, ""]
    proxy_reward: Float[Array, ""] | None = None


def expected_rewards(rollout: Rollout, problem: Problem, prompt_in_response: bool) -> Float[Array, "B"]:
    """Expected reward of each prompt, exact given the sampled prefixes."""
    rewards = expectation(rollout.all_log_probs, problem.token_rewards)  # [B, T]
    if prompt_in_response:
        of_prompt = problem.token_rewards[rollout.tokens[:, :1]]
        rewards = jnp.concatenate([of_prompt, rewards], axis=1)
    return rewards.mean(axis=-1)


def evaluation_prompts(n: int, samples_per_prompt: int, prompt_count: int) -> Int[Array, "B"]:
    """The prompts 0, 1, … in turn, `prompt_count` of them, each `samples_per_prompt` times."""
    return jnp.repeat(jnp.arange(n, dtype=jnp.int32) % prompt_count, samples_per_prompt)


def evaluate(
    policy: Policy,
    params: Params,
    problem: Problem,
    prompts: Int[Array, "B"],
    new_tokens: int,
    *,
    key: jax.Array,
    prompt_in_response: bool = False,
    reference_params: Params | None = None,
    behavior_params: Params | None = None,
    behavior: Behavior | None = None,
    mix: Callable[[Array], Array] | None = None,
    proxy: Callable[[Array, Array], Array] | None = None,
) -> tuple[Evaluation, Float[Array, "T V"]]:
    """Measure a policy along one sampled response per prompt; the key is consumed.

    Args:
        policy: its functions.
        params: the policy's parameters.
        problem: reference and rewards.
        prompts: with repetitions if several samples are wanted.
        new_tokens: tokens to sample.
        key: of the samples.
        prompt_in_response: whether the prompt's reward counts.
        reference_params: a network as the reference; without, the problem's own distribution.
        behavior_params: the network that sampled the training data, for KL(policy ‖ behavior).
        behavior: of the run: where it is a table, the policy that sampled instead of that network.
        mix: `log π [B, V] → [B, V]`: where that network has not sampled itself, what of its next-token distributions
            has, as `sampling.sample` takes it.
        proxy: `(tokens [B, S], all_log_probs [B, T, V]) → [B]`, the expectation of a learnt reward.

    Returns:
        the means, and the token distribution at each position, averaged over prefixes.
    """
    rollout = sample(policy, params, prompts, new_tokens, key=key)
    log_probs = rollout.all_log_probs

    def kl_to(other: Params, mix: Callable[[Array], Array] | None = None) -> Array:
        others = jax.nn.log_softmax(policy.logits(other, rollout.tokens[:, :-1]), axis=-1)
        if mix is not None:
            others = jax.vmap(mix, in_axes=1, out_axes=1)(others)
        return kl(log_probs, others).sum(axis=-1).mean()

    def kl_to_table(others: Float[Array, "V"]) -> Array:
        return kl(log_probs, jnp.broadcast_to(others[None, None, :], log_probs.shape)).sum(axis=-1).mean()

    def kl_to_behavior() -> Array:
        if behavior_params is None:
            return jnp.asarray(jnp.nan)
        if behavior is None:
            return kl_to(behavior_params, mix)
        found: Array = jax.lax.cond(
            behavior.is_table, lambda: kl_to_table(behavior.log_probs), lambda: kl_to(behavior_params, mix)
        )
        return found

    means = Evaluation(
        expected_reward=expected_rewards(rollout, problem, prompt_in_response).mean(),
        kl_to_reference=(
            kl_to_table(problem.reference_log_probs) if reference_params is None else kl_to(reference_params)
        ),
        kl_to_behavior=kl_to_behavior(),
        entropy=entropy(log_probs).sum(axis=-1).mean(),
        proxy_reward=None if proxy is None else proxy(rollout.tokens, log_probs).mean(),
    )
    return means, jnp.exp(log_probs).mean(axis=0)
