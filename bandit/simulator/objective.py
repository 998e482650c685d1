"""The loss of one minibatch: score it under the policy, and hand it to the method's objective."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives import divergences, metrics, reduce
from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options
from modeseek.bandit.objectives.log_probs import gather, shift
from modeseek.bandit.objectives.method import Method
from modeseek.bandit.simulator.collect import Collected
from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.policy import Params, Policy
from modeseek.bandit.simulator.run import Run, loop_kl_coefficient
from modeseek.bandit.simulator.sampling import score


class StepMetrics(NamedTuple):
    """What is measured on one minibatch, before its gradient step. Log-ratios are log policy - log reference, nats.

    Attributes:
        loss: reduced loss.
        gradient_norm: Euclidean norm of the gradient.
        fraction_clipped: share of policy/behavior ratios outside [1-ε, 1+ε], of the ratio that the method clips.
        chosen_implicit_reward: mean log-ratio of preferred responses, over the pairs that
            `EvaluationConfig.implicit_rewards` names.
        rejected_implicit_reward: of dispreferred ones.
        margin: the difference of the two, over the pairs that are compared.
        batch_reward: mean sampled reward of the minibatch's responses.
    """

    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    fraction_clipped: Float[Array, ""]
    chosen_implicit_reward: Float[Array, ""]
    rejected_implicit_reward: Float[Array, ""]
    margin: Float[Array, ""]
    batch_reward: Float[Array, ""]


def objective_options(config: Static) -> Options:
    """The objectives' part of a configuration."""
    conventions = config.conventions
    return Options(
        pair_scheme=config.algorithm.pair_scheme,
        ties=conventions.ties,
        ratio=conventions.ratio,
        self_normalize=conventions.self_normalize,
    )


class FrozenCopies(NamedTuple):
    """Parameters of the policy that sampled, and of the initial policy if that is the reference (else nothing)."""

    behavior: Params
    reference: Params


def with_live_mlp(frozen: Params, live: Params) -> Params:
    """The frozen network with the live one's MLP weights, as constants: the released code's `deepcopy`."""

    def choose(path: tuple[Any, ...], old: Array, new: Array) -> Array:
        return new if {"expand", "contract"} & {entry.key for entry in path} else old

    return jax.lax.stop_gradient(jax.tree_util.tree_map_with_path(choose, frozen, live))


def rescored(
    data: Collected,
    live: Params,
    frozen: FrozenCopies,
    run: Run,
    config: Static,
    policy: Policy,
    *,
    reported: Bool[Array, ""],
) -> Collected:
    """A minibatch with the frozen log-probs that the released code computes anew at every gradient step.

    Those that the run's loss does not take are brought up to date only where the step is reported: the forward passes
    of both copies are a third of a released step.
    """
    if config.conventions.frozen_copies == "whole":
        return data
    shape = data.behavior_token_log_probs.shape
    tokens = data.tokens.reshape(shape[0] * shape[1], -1)

    def rescore(whose: Literal["behavior", "reference"], params: Params, old: Array) -> Array:
        def anew() -> Array:
            return score(policy, with_live_mlp(params, live), tokens, config.conventions.scoring).reshape(shape)

        read_by = [whose in method.needs for method in config.methods]
        if all(read_by) or config.evaluation_interval == 1:  # a branch that is always taken still takes its time
            return anew()
        needed = reported | jnp.asarray(read_by)[run.method]
        if whose == "reference" and config.conventions.kl_placement == "loss":
            needed |= loop_kl_coefficient(run, config) != 0
        scores: Array = jax.lax.cond(needed, anew, lambda: old)
        return scores

    data = data._replace(behavior_token_log_probs=rescore("behavior", frozen.behavior, data.behavior_token_log_probs))
    if config.conventions.reference_model == "initial_policy":
        reference = rescore("reference", frozen.reference, data.reference_token_log_probs)
        data = data._replace(reference_token_log_probs=reference)
    return data


def _of_run(function: Callable[..., Array], batch: Batch, run: Run, config: Static) -> Array:
    """`function(method, batch, hyper, options)` of the run's method, which is data among those compiled in."""

    def of_method(method: Method) -> Callable[[], Array]:
        return lambda: function(method, batch, run.hyper, objective_options(config))

    branches = [of_method(method) for method in config.methods]
    return branches[0]() if len(branches) == 1 else jax.lax.switch(run.method, branches)


def reduced_loss(batch: Batch, run: Run, config: Static) -> Float[Array, ""]:
    """The mean of the run's method over a batch, without the KL terms that are a loss of their own."""
    return _of_run(reduce.loss, batch, run, config)


def response_weights(batch: Batch, run: Run, config: Static) -> Float[Array, "P N"]:
    """What a gradient step of the run's method does to each response: `reduce.response_weights`."""
    # The mean stands outside the choice of the method, and so is computed alike, to the bit, whatever is compiled in.
    weights = _of_run(lambda *args: reduce.token_weights(*args)[1], batch, run, config)
    return reduce.mean_over_tokens(weights, batch)


def as_batch(data: Collected, token_log_probs: Float[Array, "P N T"]) -> Batch:
    """Collected responses as the objectives take them, with the log-probs that a policy gives to their tokens."""
    return Batch(
        token_log_probs=token_log_probs,
        behavior_token_log_probs=data.behavior_token_log_probs,
        reference_token_log_probs=data.reference_token_log_probs,
        rewards=data.labels,
        advantages=data.advantages,
        opponents=data.opponents,
    )


def loss_and_batch(
    params: Params,
    data: Collected,
    run: Run,
    config: Static,
    policy: Policy,
    *,
    key: jax.Array,
) -> tuple[Float[Array, ""], Batch]:
    """Score a minibatch under the policy and reduce the method's losses to one number; consumes the key (dropout)."""
    prompts, responses, _ = data.tokens.shape
    tokens = data.tokens.reshape(prompts * responses, -1)
    inputs, targets = shift(tokens, config.conventions.scoring)
    all_log_probs = jax.nn.log_softmax(policy.train_logits(params, inputs, key), axis=-1)
    batch = as_batch(data, gather(all_log_probs, targets).reshape(prompts, responses, -1))
    loss = reduced_loss(batch, run, config)
    if config.conventions.kl_placement == "exact":
        reference = jnp.broadcast_to(run.problem.reference_log_probs[None, None], all_log_probs.shape)
        penalty = divergences.kl(all_log_probs, reference).sum(axis=-1).mean()
        loss = loss + loop_kl_coefficient(run, config) * penalty
    elif config.conventions.kl_placement == "loss":
        loss = loss + loop_kl_coefficient(run, config) * batch.log_ratios.mean()
    return loss, batch


def _fraction_clipped(batch: Batch, run: Run, config: Static) -> Float[Array, ""]:
    """Share of clipped ratios, of the run's method; computed once, where all that are compiled in clip the same."""
    clips = {method.clip for method in config.methods}
    if len(clips) == 1:
        return metrics.fraction_clipped(batch, run.hyper, objective_options(config), clips.pop())
    return _of_run(
        lambda method, batch, hyper, options: metrics.fraction_clipped(batch, hyper, options, method.clip),
        batch,
        run,
        config,
    )


def step_metrics(loss: Array, gradient: Array, data: Collected, batch: Batch, run: Run, config: Static) -> StepMetrics:
    """What the minibatch says before its step."""
    options, hyper = objective_options(config), run.hyper
    measured, shown = options, hyper
    if config.evaluation.implicit_rewards == "best_rest":  # all others, equal ones and near ones too
        measured = dataclasses.replace(options, pair_scheme="best_rest", ties="keep")
        shown = HyperParameters(reward_gap=0.0)
    return StepMetrics(
        loss=loss,
        gradient_norm=jnp.linalg.norm(gradient),
        fraction_clipped=_fraction_clipped(batch, run, config),
        chosen_implicit_reward=metrics.chosen_implicit_reward(batch, shown, measured),
        rejected_implicit_reward=metrics.rejected_implicit_reward(batch, shown, measured),
        margin=metrics.margin(batch, hyper, options),
        batch_reward=data.rewards.mean(),
    )
