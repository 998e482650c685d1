"""Algorithm 1: collect, label, and take gradient steps; a whole run is one function of numbers, a key and a shape."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from modeseek.bandit.objectives import advantages
from modeseek.bandit.simulator.collect import Collected, collect
from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.evaluate import Evaluation, evaluate, evaluation_prompts
from modeseek.bandit.simulator.keys import run_keys
from modeseek.bandit.simulator.mixture import learners_mix, mixes
from modeseek.bandit.simulator.objective import FrozenCopies, StepMetrics, loss_and_batch, rescored, step_metrics
from modeseek.bandit.simulator.optimizer import adam
from modeseek.bandit.simulator.policy import Params, Policy, make_policy
from modeseek.bandit.simulator.pretrain import Pretrained, pretrain
from modeseek.bandit.simulator.problem import Problem, sample_prompts
from modeseek.bandit.simulator.reference import moved_reference
from modeseek.bandit.simulator.reward_model import RewardModel, expected_proxy, fit_reward_model
from modeseek.bandit.simulator.run import Run


class TrainState(NamedTuple):
    """Everything a run carries from one collection to the next; saving it is saving the run."""

    params: Params
    optimizer: Any
    behavior_params: Params
    reference_params: Params
    reward_model: RewardModel | tuple[()]
    prompts: Int[Array, "D"]
    batch: Collected
    moments: advantages.RunningMoments
    step: Int[Array, ""]
    diverged_at: Int[Array, ""]


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


def pretrain_seed(problem: Problem, seed: Int[Array, ""], config: Static) -> Pretrained:
    """The start of every run with this seed: a fresh network at the reference."""
    key = run_keys(seed).pretraining
    return pretrain(make_policy(config), problem.reference_log_probs, prompt_set(seed, config), config, key=key)


def prompt_set(seed: Int[Array, ""], config: Static) -> Int[Array, "D"]:
    """The prompts that a run is trained on."""
    return sample_prompts(config.algorithm.prompt_set_size, config.prompt_count, key=run_keys(seed).prompts)


def initial_state(params: Params, run: Run, config: Static) -> TrainState:
    """A run before its first collection, from a policy at the reference; its reward model is fitted, if it has one."""
    algorithm = config.algorithm
    rows = (algorithm.prompts_per_collection, algorithm.responses_per_prompt)
    zeros = jnp.zeros((*rows, config.input_length))
    return TrainState(
        params=params,
        optimizer=adam().init(ravel_pytree(params)[0]),
        behavior_params=params,
        reference_params=params if config.conventions.reference_model == "initial_policy" else (),
        reward_model=()
        if config.reward_model.kind == "none"
        else fit_reward_model(run, config, key=run_keys(run.seed).reward_model),
        prompts=prompt_set(run.seed, config),
        batch=Collected(
            tokens=jnp.zeros((*rows, 1 + config.new_tokens), jnp.int32),
            rewards=jnp.zeros(rows),
            labels=jnp.zeros(rows),
            advantages=jnp.zeros(rows),
            behavior_token_log_probs=zeros,
            reference_token_log_probs=zeros,
            opponents=jnp.zeros(rows, bool) if mixes(config) else None,
        ),
        moments=advantages.RunningMoments.empty(),
        step=jnp.asarray(0),
        diverged_at=jnp.asarray(-1),
    )


def gradient_step(
    state: TrainState,
    rows: Int[Array, "M"],
    run: Run,
    config: Static,
    policy: Policy,
    *,
    key: jax.Array,
    reported: Bool[Array, ""] | bool = True,
) -> tuple[TrainState, StepMetrics]:
    """Step (i) of Algorithm 1: one Adam step on the prompts `rows` of the collection; consumes the key.

    Metrics are of the step only where it is `reported`; elsewhere those of frozen copies may lag behind.

    A step whose loss, gradient or result is not finite is not taken: the run keeps its last finite policy and stops.
    """
    data = jax.tree.map(lambda a: a[rows], state.batch)
    frozen = FrozenCopies(state.behavior_params, state.reference_params)
    data = rescored(data, state.params, frozen, run, config, policy, reported=jnp.asarray(reported))
    (loss, batch), gradient = jax.value_and_grad(loss_and_batch, has_aux=True)(
        state.params, data, run, config, policy, key=key
    )
    # As one vector: the same arithmetic on forty small arrays is four hundred operations, a tenth of the step.
    gradient, _ = ravel_pytree(gradient)
    before, as_params = ravel_pytree(state.params)
    metrics = step_metrics(loss, gradient, data, batch, run, config)
    updates, optimizer = adam().update(gradient, state.optimizer)
    after = before - run.hyper.learning_rate * updates
    sizes = jnp.stack([loss, metrics.gradient_norm, jnp.linalg.norm(after)])
    finite = jnp.isfinite(sizes).all()
    alive = finite & (state.diverged_at < 0)
    params, optimizer = jax.tree.map(
        lambda new, old: jnp.where(alive, new, old), (after, optimizer), (before, state.optimizer)
    )
    params = as_params(params)
    step = state.step + 1
    diverged_at = jnp.where((state.diverged_at < 0) & ~finite, step, state.diverged_at)
    metrics = jax.tree.map(lambda m: jnp.where(state.diverged_at < 0, m, jnp.nan), metrics)
    return state._replace(params=params, optimizer=optimizer, step=step, diverged_at=diverged_at), metrics


def _evaluate(state: TrainState, run: Run, config: Static, policy: Policy) -> tuple[Evaluation, Array]:
    numbers, model = config.evaluation, state.reward_model
    means, tokens = evaluate(
        policy,
        state.params,
        run.problem,
        evaluation_prompts(numbers.prompts, numbers.samples_per_prompt, config.prompt_count),
        config.new_tokens,
        key=run_keys(run.seed).at(state.step).evaluation,
        prompt_in_response=config.conventions.prompt_in_response,
        # To one that moves, a KL would say nothing of how far the policy has gone.
        reference_params=state.reference_params if state.reference_params and not config.reference_moves else None,
        behavior_params=state.behavior_params if numbers.behavior_kl else None,
        behavior=run.behavior,
        mix=learners_mix(run, config),
        proxy=(lambda tokens, log_probs: expected_proxy(model, tokens, log_probs, config)) if model else None,
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

    Offline, the first turn's data, sampled from the run's behavior policy, are kept for all turns; under a reference
    that moves, they are labelled anew at each.
    """
    policy, algorithm = make_policy(config), config.algorithm
    of_run = run_keys(run.seed)
    keys = of_run.at(state.step)
    sampled_anew = run.on_policy | (state.step == 0)

    def collected(
        params: Params, moments: advantages.RunningMoments, key: jax.Array
    ) -> tuple[Collected, advantages.RunningMoments]:
        model = state.reward_model
        return collect(
            policy, params, state.reference_params, state.prompts, moments, run, config, key=key, reward_model=model
        )

    if config.reference_moves:
        # Offline, the first turn's policy, moments and key give the first turn's data.
        now = state.params, state.moments, keys.collections
        first = state.behavior_params, advantages.RunningMoments.empty(), of_run.at(jnp.asarray(0)).collections
        batch, moments = collected(*jax.tree.map(lambda n, f: jnp.where(run.on_policy, n, f), now, first))
    else:
        batch, moments = jax.lax.cond(
            sampled_anew,
            lambda: collected(state.params, state.moments, keys.collections),
            lambda: (state.batch, state.moments),
        )
    behavior = jax.tree.map(lambda new, old: jnp.where(sampled_anew, new, old), state.params, state.behavior_params)
    state = state._replace(batch=batch, moments=moments, behavior_params=behavior)

    shuffled = _shuffled_rows(config, key=keys.minibatches)
    blocks = shuffled.reshape(-1, config.evaluation_interval, algorithm.prompts_per_minibatch)

    last = jnp.arange(config.evaluation_interval) == config.evaluation_interval - 1

    def update(state: TrainState, minibatch: tuple[Array, Array]) -> tuple[TrainState, StepMetrics]:
        rows, reported = minibatch
        key = of_run.at(state.step).dropout
        return gradient_step(state, rows, run, config, policy, key=key, reported=reported)

    def block(state: TrainState, minibatches: Array) -> tuple[TrainState, Metrics]:
        state, training = jax.lax.scan(update, state, (minibatches, last))
        means, tokens = _evaluate(state, run, config, policy)
        return state, Metrics(means, jax.tree.map(lambda m: m[-1], training), tokens)

    state, metrics = jax.lax.scan(block, state, blocks)
    if run.reference_moves:
        collections = state.step // algorithm.steps_per_collection
        moved = moved_reference(state.reference_params, state.params, run.reference_moves, collections)
        state = state._replace(reference_params=moved)
    return state, metrics._replace(token_distribution=metrics.token_distribution[-1])


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
