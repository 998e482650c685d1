"""Algorithm 1: collect, label, and take gradient steps; a whole run is one function of numbers, a key and a shape."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from bandit.objectives import advantages, divergences
from bandit.objectives.log_probs import gather, shift, weighted_mean
from bandit.objectives.methods import (
    METHODS,
    Batch,
    HyperParameters,
    ObjectiveOptions,
    pair_weights,
)
from bandit.objectives.policy_gradient import fraction_clipped
from bandit.simulator.config import Static
from bandit.simulator.evaluate import Evaluation, evaluate, evaluation_prompts
from bandit.simulator.policy import Params, Policy, gpt_policy, tabular_policy
from bandit.simulator.pretrain import Pretrained, pretrain
from bandit.simulator.problem import Problem, response_rewards, sample_prompts
from bandit.simulator.sampling import sample, score


class Run(NamedTuple):
    """The numbers of one run: data, so that any of them may be batched and none of them recompiles.

    Attributes:
        problem: reference and rewards.
        hyper: hyper-parameters, a scalar array each.
        method: index into `Static.variants`.
        on_policy: whether every collection is sampled anew.
        standardization: index into `advantages.STANDARDIZATIONS`.
        seed: of everything random in the run.
    """

    problem: Problem
    hyper: HyperParameters
    method: Int[Array, ""]
    on_policy: Bool[Array, ""]
    standardization: Int[Array, ""]
    seed: Int[Array, ""]


class Collected(NamedTuple):
    """One collection: P prompts with N labelled responses each."""

    tokens: Int[Array, "P N S"]
    rewards: Float[Array, "P N"]
    advantages: Float[Array, "P N"]
    behavior_token_log_probs: Float[Array, "P N T"]
    reference_token_log_probs: Float[Array, "P N T"]


class TrainState(NamedTuple):
    """Everything a run carries from one collection to the next; saving it is saving the run."""

    params: Params
    optimizer: Any
    behavior_params: Params
    reference_params: Params
    prompts: Int[Array, "D"]
    batch: Collected
    moments: advantages.RunningMoments
    step: Int[Array, ""]
    diverged_at: Int[Array, ""]


class StepMetrics(NamedTuple):
    """Of one minibatch, before its gradient step. Log-ratios are log policy - log reference, nats.

    Attributes:
        loss: reduced loss.
        gradient_norm: Euclidean norm of the gradient.
        fraction_clipped: share of policy/behavior ratios outside [1-ε, 1+ε].
        chosen_implicit_reward: mean log-ratio of preferred responses, over pairs.
        rejected_implicit_reward: of dispreferred ones.
        margin: their difference.
        batch_reward: mean sampled reward of the minibatch's responses.
    """

    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    fraction_clipped: Float[Array, ""]
    chosen_implicit_reward: Float[Array, ""]
    rejected_implicit_reward: Float[Array, ""]
    margin: Float[Array, ""]
    batch_reward: Float[Array, ""]


class Metrics(NamedTuple):
    """What a collection reports, one entry for each evaluation `E`.

    Attributes:
        evaluation: of the policy after the step.
        training: of the last minibatch before it.
        token_distribution: at the end of the collection, `[T, V]`.
    """

    evaluation: Evaluation
    training: StepMetrics
    token_distribution: Float[Array, "T V"]


class History(NamedTuple):
    """A whole run: the start, then each collection `L`, each with `E` evaluations."""

    initial: Evaluation
    initial_token_distribution: Float[Array, "T V"]
    metrics: Metrics
    pretraining_kl: Float[Array, ""]
    diverged_at: Int[Array, ""]


def make_policy(config: Static) -> Policy:
    """The policy that the configuration asks for."""
    length = config.response_length
    if config.policy.kind == "tabular":
        return tabular_policy(config.vocab_size, length)
    sizes = config.policy
    return gpt_policy(config.vocab_size, length, sizes.layers, sizes.heads, sizes.width, config.conventions.dropout)


def _keys(seed: Int[Array, ""]) -> dict[str, jax.Array]:
    names = ("pretraining", "prompts", "collections", "minibatches", "dropout", "evaluation")
    return dict(zip(names, jax.random.split(jax.random.key(seed), len(names)), strict=True))


def _optimizer() -> optax.GradientTransformation:
    """Adam without its step size, which is data."""
    return optax.scale_by_adam()


def pretrain_seed(problem: Problem, seed: Int[Array, ""], config: Static) -> Pretrained:
    """The start of every run with this seed: a fresh network at the reference."""
    return pretrain(make_policy(config), problem.reference_log_probs, config, key=_keys(seed)["pretraining"])


def initial_state(params: Params, run: Run, config: Static) -> TrainState:
    """A run before its first collection, from a policy at the reference."""
    algorithm = config.algorithm
    rows = (algorithm.prompts_per_collection, algorithm.responses_per_prompt)
    prompts = sample_prompts(algorithm.prompt_set_size, config.vocab_size, key=_keys(run.seed)["prompts"])
    scored = config.new_tokens + (config.conventions.scoring == "same_token")
    zeros = jnp.zeros((*rows, scored))
    return TrainState(
        params=params,
        optimizer=_optimizer().init(params),
        behavior_params=params,
        reference_params=params if config.conventions.reference_model == "initial_policy" else (),
        prompts=prompts,
        batch=Collected(
            tokens=jnp.zeros((*rows, 1 + config.new_tokens), jnp.int32),
            rewards=jnp.zeros(rows),
            advantages=jnp.zeros(rows),
            behavior_token_log_probs=zeros,
            reference_token_log_probs=zeros,
        ),
        moments=advantages.RunningMoments.empty(),
        step=jnp.asarray(0),
        diverged_at=jnp.asarray(-1),
    )


def collect(
    state: TrainState, run: Run, config: Static, policy: Policy, *, key: jax.Array
) -> tuple[Collected, advantages.RunningMoments]:
    """Steps 1-3 of Algorithm 1: prompts, responses from the policy, rewards, and advantages; consumes the key."""
    conventions, algorithm = config.conventions, config.algorithm
    prompt_key, sample_key = jax.random.split(key)
    rows = (algorithm.prompts_per_collection, algorithm.responses_per_prompt)
    prompts = state.prompts
    if prompts.shape[0] > rows[0]:
        prompts = jax.random.permutation(prompt_key, prompts)[: rows[0]]
    rollout = sample(policy, state.params, jnp.repeat(prompts, rows[1]), config.new_tokens, key=sample_key)
    behavior = score(policy, state.params, rollout.tokens, conventions.scoring)
    if conventions.reference_model == "exact":
        _, targets = shift(rollout.tokens, conventions.scoring)
        reference = run.problem.reference_log_probs[targets]
    else:
        reference = score(policy, state.reference_params, rollout.tokens, conventions.scoring)
    rewards = response_rewards(rollout.tokens, run.problem.token_rewards, conventions.prompt_in_response)
    labels = rewards
    if conventions.kl_placement == "reward":
        labels = advantages.kl_shaped_rewards(
            rewards, behavior.sum(axis=-1), reference.sum(axis=-1), run.hyper.kl_coefficient
        )
    labels, rewards = labels.reshape(rows), rewards.reshape(rows)
    standardized, moments = advantages.standardize_by(run.standardization, labels, state.moments)
    return (
        Collected(
            tokens=rollout.tokens.reshape(*rows, -1),
            rewards=labels,
            advantages=standardized,
            behavior_token_log_probs=behavior.reshape(*rows, -1),
            reference_token_log_probs=reference.reshape(*rows, -1),
        ),
        moments,
    )


def _objective_options(config: Static) -> ObjectiveOptions:
    conventions = config.conventions
    return ObjectiveOptions(
        pair_scheme=config.algorithm.pair_scheme,
        ties=conventions.ties,
        ratio=conventions.ratio,
        self_normalize=conventions.self_normalize,
    )


def loss_and_batch(
    params: Params, data: Collected, run: Run, config: Static, policy: Policy, *, key: jax.Array
) -> tuple[Float[Array, ""], Batch]:
    """Score a minibatch under the policy and reduce the method's losses to one number; consumes the key (dropout)."""
    prompts, responses, _ = data.tokens.shape
    inputs, targets = shift(data.tokens.reshape(prompts * responses, -1), config.conventions.scoring)
    all_log_probs = jax.nn.log_softmax(policy.train_logits(params, inputs, key), axis=-1)
    batch = Batch(
        token_log_probs=gather(all_log_probs, targets).reshape(prompts, responses, -1),
        behavior_token_log_probs=data.behavior_token_log_probs,
        reference_token_log_probs=data.reference_token_log_probs,
        rewards=data.rewards,
        advantages=data.advantages,
    )
    options = _objective_options(config)

    def reduced(name: str) -> Any:
        return lambda: weighted_mean(*METHODS[name].objective(batch, run.hyper, options))

    branches = [reduced(name) for name in config.variants]
    loss = branches[0]() if len(branches) == 1 else jax.lax.switch(run.method, branches)
    if config.conventions.kl_placement == "exact":
        reference = jnp.broadcast_to(run.problem.reference_log_probs[None, None], all_log_probs.shape)
        penalty = divergences.kl(all_log_probs, reference).sum(axis=-1).mean()
        loss = loss + run.hyper.kl_coefficient * penalty
    elif config.conventions.kl_placement == "loss":
        loss = loss + run.hyper.kl_coefficient * batch.log_ratios.mean()
    return loss, batch


def _step_metrics(loss: Array, gradient: Any, batch: Batch, run: Run, config: Static) -> StepMetrics:
    weights = pair_weights(batch, run.hyper, _objective_options(config))
    ratios = batch.log_ratios
    chosen = weighted_mean(jnp.broadcast_to(ratios[..., :, None], weights.shape), weights)
    rejected = weighted_mean(jnp.broadcast_to(ratios[..., None, :], weights.shape), weights)
    token_ratio = config.conventions.ratio == "token"
    return StepMetrics(
        loss=loss,
        gradient_norm=optax.tree.norm(gradient),
        fraction_clipped=fraction_clipped(
            batch.token_log_probs if token_ratio else batch.log_probs,
            batch.behavior_token_log_probs if token_ratio else batch.behavior_log_probs,
            run.hyper.clip_epsilon,
        ),
        chosen_implicit_reward=chosen,
        rejected_implicit_reward=rejected,
        margin=chosen - rejected,
        batch_reward=batch.rewards.mean(),
    )


def gradient_step(
    state: TrainState, rows: Int[Array, "M"], run: Run, config: Static, policy: Policy, *, key: jax.Array
) -> tuple[TrainState, StepMetrics]:
    """Step (i) of Algorithm 1: one Adam step on the prompts `rows` of the collection; consumes the key.

    A loss or gradient that is not finite is not applied: the run keeps its last finite policy and stops there.
    """
    data = jax.tree.map(lambda a: a[rows], state.batch)
    (loss, batch), gradient = jax.value_and_grad(loss_and_batch, has_aux=True)(
        state.params, data, run, config, policy, key=key
    )
    metrics = _step_metrics(loss, gradient, batch, run, config)
    updates, optimizer = _optimizer().update(gradient, state.optimizer)
    params = jax.tree.map(lambda p, u: p - run.hyper.learning_rate * u, state.params, updates)
    finite = jnp.isfinite(loss) & jnp.isfinite(metrics.gradient_norm)
    alive = finite & (state.diverged_at < 0)
    params, optimizer = jax.tree.map(
        lambda new, old: jnp.where(alive, new, old), (params, optimizer), (state.params, state.optimizer)
    )
    step = state.step + 1
    diverged_at = jnp.where((state.diverged_at < 0) & ~finite, step, state.diverged_at)
    metrics = jax.tree.map(lambda m: jnp.where(state.diverged_at < 0, m, jnp.nan), metrics)
    return state._replace(params=params, optimizer=optimizer, step=step, diverged_at=diverged_at), metrics


def _evaluate(state: TrainState, run: Run, config: Static, policy: Policy) -> tuple[Evaluation, Array]:
    numbers = config.evaluation
    key = jax.random.fold_in(_keys(run.seed)["evaluation"], state.step)
    means, tokens = evaluate(
        policy,
        state.params,
        run.problem,
        evaluation_prompts(numbers.prompts, numbers.samples_per_prompt, config.vocab_size),
        config.new_tokens,
        key=key,
        prompt_in_response=config.conventions.prompt_in_response,
        reference_params=state.reference_params if state.reference_params else None,
        behavior_params=state.behavior_params if numbers.behavior_kl else None,
    )
    return jax.tree.map(lambda m: jnp.where(state.diverged_at < 0, m, jnp.nan), means), tokens


def _shuffled_rows(config: Static, *, key: jax.Array) -> Int[Array, "T P"]:
    """Prompts of a collection in a new order for each pass; the key is consumed."""
    algorithm = config.algorithm
    prompts = jnp.arange(algorithm.prompts_per_collection)
    if algorithm.minibatch_size == algorithm.samples_per_collection:  # one minibatch: order means nothing
        return jnp.broadcast_to(prompts[None], (algorithm.inner_steps, prompts.size))
    passes = jax.random.split(key, algorithm.inner_steps)
    return jax.vmap(lambda k: jax.random.permutation(k, prompts))(passes)


def run_collection(state: TrainState, run: Run, config: Static) -> tuple[TrainState, Metrics]:
    """One turn of Algorithm 1's outer loop: sample → score → advantages, then T passes of objective → update.

    Offline, the first turn's data, sampled from the reference, are kept for all turns.
    """
    policy, algorithm, keys = make_policy(config), config.algorithm, _keys(run.seed)
    collect_key = jax.random.fold_in(keys["collections"], state.step)
    batch, moments = jax.lax.cond(
        run.on_policy | (state.step == 0),
        lambda: collect(state, run, config, policy, key=collect_key),
        lambda: (state.batch, state.moments),
    )
    sampled_anew = run.on_policy | (state.step == 0)
    behavior = jax.tree.map(lambda new, old: jnp.where(sampled_anew, new, old), state.params, state.behavior_params)
    state = state._replace(batch=batch, moments=moments, behavior_params=behavior)

    shuffled = _shuffled_rows(config, key=jax.random.fold_in(keys["minibatches"], state.step))
    blocks = shuffled.reshape(-1, config.evaluation_interval, algorithm.prompts_per_minibatch)

    def update(state: TrainState, rows: Array) -> tuple[TrainState, StepMetrics]:
        key = jax.random.fold_in(keys["dropout"], state.step)
        return gradient_step(state, rows, run, config, policy, key=key)

    def block(state: TrainState, minibatches: Array) -> tuple[TrainState, tuple]:
        state, training = jax.lax.scan(update, state, minibatches)
        means, tokens = _evaluate(state, run, config, policy)
        return state, (means, jax.tree.map(lambda m: m[-1], training), tokens)

    state, (evaluation, training, tokens) = jax.lax.scan(block, state, blocks)
    return state, Metrics(evaluation, training, tokens[-1])


def start(params: Params, run: Run, config: Static) -> tuple[TrainState, Evaluation, Array]:
    """A run's first state, and its evaluation before any training."""
    state = initial_state(params, run, config)
    return state, *_evaluate(state, run, config, make_policy(config))


def train(run: Run, config: Static) -> History:
    """Algorithm 1 from a fresh network to the last gradient step.

    A pure function of numbers and shapes: jit it, or vmap it over `run`; `bandit.simulator.sweep` adds progress,
    devices and resumption.

    Args:
        run: seed, hyper-parameters, method and problem, as arrays.
        config: static configuration.
    """
    pretrained = pretrain_seed(run.problem, run.seed, config)
    state, initial, tokens = start(pretrained.params, run, config)
    state, metrics = jax.lax.scan(
        lambda s, _: run_collection(s, run, config), state, None, length=config.algorithm.collections
    )
    return History(initial, tokens, metrics, pretrained.kl_to_reference, state.diverged_at)


def make_run(
    problem: Problem,
    config: Static,
    *,
    method: str | None = None,
    on_policy: bool | None = None,
    hyper: HyperParameters | None = None,
    seed: int = 0,
) -> Run:
    """A `Run` from Python numbers, with the conventions' defaults for its method.

    Args:
        problem: the bandit.
        config: what it will be compiled for; its `variants` hold the method.
        method: one of `config.variants`; the first, if none is given.
        on_policy: Table 1's side of the method, if none is given.
        hyper: hyper-parameters.
        seed: of everything random.
    """
    hyper = hyper or HyperParameters()
    name = method or config.variants[0]
    if name not in config.variants:
        raise ValueError(f"method must be one of the compiled {config.variants}, got {name!r}")
    chosen = METHODS[name]
    if hyper.kl_coefficient == 0 and chosen.policy_gradient:
        hyper = dataclasses.replace(hyper, kl_coefficient=config.conventions.policy_gradient_kl)
    return Run(
        problem=problem,
        hyper=jax.tree.map(jnp.float32, hyper),
        method=jnp.asarray(config.variants.index(name)),
        on_policy=jnp.asarray(chosen.on_policy if on_policy is None else on_policy),
        standardization=jnp.asarray(advantages.STANDARDIZATIONS.index(config.conventions.standardization_of(chosen))),
        seed=jnp.asarray(seed),
    )
