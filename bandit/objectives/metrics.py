"""What a batch says about the policy before its gradient step: ratios clipped, implicit rewards, pairs, sampled KLs."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options, pair_weights
from modeseek.bandit.objectives.divergences import sampled_kl, sampled_reverse_kl
from modeseek.bandit.objectives.log_probs import kept, sequence_log_probs
from modeseek.bandit.objectives.method import PPO_CLIP, Clip, Method
from modeseek.bandit.objectives.policy_gradient import outside_clip
from modeseek.bandit.objectives.preference import implicit_log_ratios, margins
from modeseek.bandit.objectives.reduce import loss, response_weights, weighted_mean


def _mean(values: Array, mask: Array | None) -> Array:
    """Mean over what is real."""
    return values.mean() if mask is None else weighted_mean(values, mask.astype(values.dtype))


def fraction_clipped(batch: Batch, hyper: HyperParameters, options: Options, clip: Clip = PPO_CLIP) -> Float[Array, ""]:
    """Share of ratios policy/behavior outside [1-ε, 1+ε], of the ratio and with the ε above 1 that `clip` says.

    That of PPO if nothing else is said: ratios of responses or of tokens as `options.ratio` says.
    """
    if clip.ratio == "token" or (clip.ratio == "options" and options.ratio == "token"):
        mask = batch.token_mask
        policy = kept(batch.token_log_probs, mask)
        behavior = kept(batch.required("behavior_token_log_probs"), mask)
    else:
        policy, behavior, mask = batch.log_probs, batch.behavior_log_probs, batch.response_mask
        if clip.ratio == "geometric mean":
            policy, behavior = policy / batch.lengths, behavior / batch.lengths
    outside = outside_clip(policy, behavior, hyper.clip_epsilon, getattr(hyper, clip.above))
    return _mean(outside.astype(policy.dtype), mask)


def _over_pairs(values: Float[Array, "P N N"], weights: Float[Array, "P N N"]) -> Float[Array, ""]:
    """Mean over pairs; NaN where all responses are tied: nothing is chosen or rejected there."""
    none = jnp.where(weights.sum() > 0, 0.0, jnp.nan)
    return none + weighted_mean(values, weights)


def chosen_implicit_reward(batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, ""]:
    """Mean over pairs of the preferred response's log-ratio log π/π_ref, nats: eq. 4 at β = 1. NaN without a pair."""
    weights, ratios = pair_weights(batch, hyper, options), implicit_log_ratios(batch, options)
    return _over_pairs(jnp.broadcast_to(ratios[..., :, None], weights.shape), weights)


def rejected_implicit_reward(batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, ""]:
    """Mean over pairs of the dispreferred response's log-ratio, nats. NaN without a pair."""
    weights, ratios = pair_weights(batch, hyper, options), implicit_log_ratios(batch, options)
    return _over_pairs(jnp.broadcast_to(ratios[..., None, :], weights.shape), weights)


def margin(batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, ""]:
    """Mean over pairs of DPO's and IPO's margin, nats: chosen less rejected. NaN without a pair."""
    return chosen_implicit_reward(batch, hyper, options) - rejected_implicit_reward(batch, hyper, options)


def pair_accuracy(batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, ""]:
    """Share of pairs whose margin is above 0; an even margin counts as wrong. NaN without a pair."""
    right = margins(implicit_log_ratios(batch, options)) > 0
    return _over_pairs(right.astype(batch.token_log_probs.dtype), pair_weights(batch, hyper, options))


def kl_to_reference(batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, ""]:
    """Estimate of KL(policy ‖ reference), nats a response: the sum over tokens of `sampled_kl`, mean over responses.

    Its mean is the KL along the prefixes at hand where the policy itself has sampled (ratio 1); later in a collection
    it is that of stale samples.
    """
    log_ratios = batch.required("reference_token_log_probs") - batch.token_log_probs
    return _sampled(log_ratios, batch)


def kl_from_behavior(batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, ""]:
    """Estimate of KL(behavior ‖ policy), nats a response: how far the policy has left the one that sampled.

    As `kl_to_reference`, and unbiased however far it has left.
    """
    log_ratios = batch.token_log_probs - batch.required("behavior_token_log_probs")
    return _sampled(log_ratios, batch)


def kl_to_behavior(batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, ""]:
    """Estimate of KL(policy ‖ behavior), nats a response: how stale the samples are.

    The sum over tokens of `sampled_reverse_kl`: its mean over the behavior policy's samples is the KL of the next-token
    distributions along the prefixes that those have. Where the policy's mixture with the reference has sampled, its
    log-probs are the behavior's. Infinite where a token's ratio is: e^84 in float32.
    """
    log_ratios = kept(batch.token_log_probs - batch.required("behavior_token_log_probs"), batch.token_mask)
    return _over_responses(sampled_reverse_kl(log_ratios), batch)


def sampled_entropy(batch: Batch, hyper: HyperParameters, options: Options) -> Float[Array, ""]:
    """Mean of -log π over tokens, nats: an estimate of the policy's entropy where the policy itself has sampled."""
    return _mean(-kept(batch.token_log_probs, batch.token_mask), batch.token_mask)


def _sampled(log_ratios: Array, batch: Batch) -> Array:
    return _over_responses(sampled_kl(kept(log_ratios, batch.token_mask)), batch)


def _over_responses(tokens: Array, batch: Batch) -> Array:
    """Sums over a response's tokens, their mean over responses."""
    return _mean(sequence_log_probs(tokens, batch.token_mask), batch.response_mask)


class Metric(NamedTuple):
    """A number of a batch.

    Attributes:
        function: `(batch, hyper, options) → number`; no method has a part in it, so one program that holds several
            methods computes it once. Of `fraction_clipped` it is PPO's; `step_metrics` asks for the method's own.
        needs: the arrays of the batch that it reads.
    """

    function: Callable[[Batch, HyperParameters, Options], Array]
    needs: tuple[str, ...]


_OF_PAIRS = ("rewards", "reference_token_log_probs")

METRICS: dict[str, Metric] = {
    "fraction_clipped": Metric(fraction_clipped, ("behavior_token_log_probs",)),
    "chosen_implicit_reward": Metric(chosen_implicit_reward, _OF_PAIRS),
    "rejected_implicit_reward": Metric(rejected_implicit_reward, _OF_PAIRS),
    "margin": Metric(margin, _OF_PAIRS),
    "pair_accuracy": Metric(pair_accuracy, _OF_PAIRS),
    "kl_to_reference": Metric(kl_to_reference, ("reference_token_log_probs",)),
    "kl_from_behavior": Metric(kl_from_behavior, ("behavior_token_log_probs",)),
    "kl_to_behavior": Metric(kl_to_behavior, ("behavior_token_log_probs",)),
    "sampled_entropy": Metric(sampled_entropy, ()),
}
"""Every metric by name."""


def step_metrics(method: Method, batch: Batch, hyper: HyperParameters, options: Options) -> dict[str, Float[Array, ""]]:
    """The reduced loss, the share of real responses that it pushes down, and each of `METRICS` that the batch allows.

    Raises:
        ValueError: the batch holds None where the method needs an array.
    """
    value = loss(method, batch, hyper, options)
    own: dict[str, Callable[[Batch, HyperParameters, Options], Array]] = {
        "fraction_clipped": lambda batch, hyper, options: fraction_clipped(batch, hyper, options, method.clip)
    }
    pushed_down = response_weights(method, batch, hyper, options) < 0
    return {
        "loss": value,
        "fraction_pushed_down": _mean(pushed_down.astype(value.dtype), batch.response_mask),
        **{
            name: own.get(name, metric.function)(batch, hyper, options)
            for name, metric in METRICS.items()
            if all(getattr(batch, array) is not None for array in metric.needs)
        },
    }
