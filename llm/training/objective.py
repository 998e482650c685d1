"""One gradient step of any of the registry's methods on a language model.

An objective sees the parameters through log-probs alone. So a step scores its rows without a gradient, differentiates
the objective with respect to the tokens' log-probs over all rows at once (pairs, groups, normalisers are whole there),
and hands these weights to a cross-entropy in parts of any size. Adapters, meshes and accumulation need nothing more. A
value function's loss sees them through values alone, and goes the same way in the same passes.
Which responses are compared, what an advantage is and what is minimised stands in `modeseek.bandit.objectives`.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from modeseek.bandit.objectives import metrics, reduce
from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options
from modeseek.bandit.objectives.method import Method
from modeseek.bandit.objectives.value_function import ValueBatch, ValueNumbers, value_metrics, value_weights
from modeseek.llm.inference.scoring import ModelWithParams, response_mask, score
from modeseek.llm.models.parameters import Params
from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
from modeseek.llm.training.optimizer import Adam, State
from modeseek.llm.training.step import in_parts, make_update, step_shardings
from modeseek.llm.training.trainable import Trainable
from modeseek.llm.training.tune_config import LANGUAGE_OPTIONS, LANGUAGE_VALUES

Ints = Int[Array, "P N"] | Int[np.ndarray, "P N"]


class Labelled(NamedTuple):
    """Responses that a step learns from: P prompts, N responses each, rows of S tokens; log-probs in nats.

    Column t of a log-prob, an advantage or a value is of token t + 1. Arrays that the method does not need may be None.

    Attributes:
        tokens: prompt and response, padded on the right with any id.
        lengths: real tokens of each row; 1 where there is no response.
        starts: where each response begins, at least 1.
        real: whether there is such a response.
        behavior_log_probs: under the policy that sampled.
        reference_log_probs: under the reference.
        rewards: what the method learns from: rewards of responses with the KL of eq. 2 in them, or anything that ranks.
        advantages: standardised rewards, or a value function's advantages of tokens.
        behavior_values: what the value function said when the responses were sampled, in units of reward.
        returns: what it is drawn towards.
    """

    tokens: Int[Array, "P N S"] | Int[np.ndarray, "P N S"]
    lengths: Ints
    starts: Ints
    real: Bool[Array, "P N"] | Bool[np.ndarray, "P N"]
    behavior_log_probs: Float[Array, "P N T"] | Float[np.ndarray, "P N T"] | None = None
    reference_log_probs: Float[Array, "P N T"] | Float[np.ndarray, "P N T"] | None = None
    rewards: Float[Array, "P N"] | Float[np.ndarray, "P N"] | None = None
    advantages: (
        Float[Array, "P N"] | Float[np.ndarray, "P N"] | Float[Array, "P N T"] | Float[np.ndarray, "P N T"] | None
    ) = None
    behavior_values: Float[Array, "P N T"] | Float[np.ndarray, "P N T"] | None = None
    returns: Float[Array, "P N T"] | Float[np.ndarray, "P N T"] | None = None


def as_batch(data: Labelled, token_log_probs: Float[Array, "P N T"]) -> Batch:
    """Labelled responses as the objectives take them, with the log-probs that a policy gives to their tokens."""
    as_array = lambda a: None if a is None else jnp.asarray(a)
    return Batch(
        token_log_probs=token_log_probs,
        behavior_token_log_probs=as_array(data.behavior_log_probs),
        reference_token_log_probs=as_array(data.reference_log_probs),
        rewards=as_array(data.rewards),
        advantages=as_array(data.advantages),
        mask=_positions(data),
        response_mask=jnp.asarray(data.real),
    )


def target_mask(data: Labelled) -> Bool[Array, "P N T"]:
    """Which columns are tokens of real responses."""
    return _positions(data) & jnp.asarray(data.real)[..., None]


def _positions(data: Labelled) -> Array:
    """Which columns are within the response."""
    *_, length = data.tokens.shape
    flat = lambda a: jnp.asarray(a).reshape(-1)
    return response_mask(flat(data.starts), flat(data.lengths), length).reshape(*data.lengths.shape, -1)


def value_batch(data: Labelled, values: Float[Array, "P N T"], mask: Bool[Array, "P N T"]) -> ValueBatch:
    """Labelled responses as the value function's loss takes them.

    Raises:
        ValueError: no returns or values of the policy that sampled.
    """
    if data.returns is None or data.behavior_values is None:
        raise ValueError("a value head is trained on returns and on the values of the policy that sampled: one is None")
    return ValueBatch(values, jnp.asarray(data.behavior_values), jnp.asarray(data.returns), mask)


class Scored(NamedTuple):
    """What a policy says of the responses' tokens; 0 elsewhere.

    Attributes:
        log_probs: nats.
        values: of its value head; None where it has none.
    """

    log_probs: Float[Array, "P N T"]
    values: Float[Array, "P N T"] | None


def as_scored(data: Labelled) -> Scored:
    """What the policy that sampled all responses said of them: that of the policy in training, until it moves."""
    assert data.behavior_log_probs is not None
    values = None if data.behavior_values is None else jnp.asarray(data.behavior_values)
    return Scored(jnp.asarray(data.behavior_log_probs), values)


@runtime_checkable  # the tests execute every annotation
class Scorer(Protocol):
    """A compiled scorer."""

    def __call__(self, trained: Params, data: Labelled, frozen: Any = None) -> Scored:
        """Scores of the responses' tokens. No gradient is kept."""
        ...


@functools.lru_cache(maxsize=8)
def make_scorer(loss: CrossEntropy, trainable: Trainable, *, accumulate: int = 1) -> Scorer:
    """The compiled scorer; rows are taken in `accumulate` parts, one after the other.

    Without adapters or a value head, the policy that samples, the reference and the policy in training are scored by
    one program: for rows of one length, equal parameters have equal log-probs, to the bit. The same arguments give the
    same program.
    """

    @jax.jit
    def compiled(trained: Params, rows: TokenBatch, frozen: Any) -> tuple[Array, Array | None]:
        model = ModelWithParams(loss.model, trainable.complete(trained, frozen))

        def one(part: TokenBatch) -> tuple[Array, Array | None]:
            found = score(model, part.tokens, part.lengths, part.starts, chunk=loss.chunk)
            return found.log_probs, found.values

        parts = jax.lax.map(one, in_parts(rows, accumulate))
        joined: tuple[Array, Array | None] = jax.tree.map(
            lambda a: a.swapaxes(0, 1).reshape(rows.tokens.shape[0], -1), parts
        )
        return joined

    def scorer(trained: Params, data: Labelled, frozen: Any = None) -> Scored:
        flat = compiled(trained, _rows(data), frozen)  # rows alone: labels are no part of the program
        log_probs, values = jax.tree.map(lambda a: a.reshape(*data.tokens.shape[:2], -1), flat)
        return Scored(log_probs, values)

    return scorer


def _rows(data: Labelled) -> TokenBatch:
    """All responses one below the other."""
    flat = lambda a: a.reshape(-1, *a.shape[2:])
    return TokenBatch(flat(data.tokens), flat(data.lengths), flat(data.starts))


@runtime_checkable
class MethodStep(Protocol):
    """A compiled step of a method; the state is donated."""

    def __call__(
        self, state: State, data: Labelled, hyper: HyperParameters, frozen: Any = None, scored: Scored | None = None
    ) -> tuple[State, dict[str, Array]]:
        """The next state, and numbers of the batch before the update.

        A step whose gradient is not finite is not taken: the state comes back as it was.

        Args:
            state: as `modeseek.llm.training.optimizer.start` gives it.
            data: what the method learns from.
            hyper: the method's numbers; where the step has no optimizer of its own, also Adam's learning rate.
            frozen: what the trainable takes beside the state's parameters.
            scored: what the state's own parameters say of the rows, if that is known; else they are scored.
        """
        ...


@functools.lru_cache(maxsize=32)
def make_method_step(
    method: Method,
    loss: CrossEntropy,
    trainable: Trainable,
    *,
    options: Options = LANGUAGE_OPTIONS,
    values: ValueNumbers = LANGUAGE_VALUES,
    optimizer: optax.GradientTransformation | None = None,
    mesh: jax.sharding.Mesh | None = None,
    accumulate: int = 1,
) -> MethodStep:
    """The step of a method: score, weigh, learn. Other hyper-parameters are no other program.

    Three programs, of which only the small one in the middle is the method's own; those of a model and an optimizer are
    compiled once for all methods, and the same arguments give the same step: a second run compiles nothing. The numbers
    that a step reports are those of `modeseek.bandit.objectives.metrics.step_metrics`, those of
    `value_function.value_metrics` where there is a value head, and the gradient's norm, of both losses together.

    Args:
        method: a row of the registry.
        loss: of the model.
        trainable: what is trained; with a value head (`modeseek.llm.training.value_head`) where values are learnt.
        options: of the objectives.
        values: the numbers of the value function's loss.
        optimizer: any of optax's; Adam at `hyper.learning_rate`, if None.
        mesh: where the state lives; one device, if None.
        accumulate: parts that a batch's rows are taken in to save memory. Numbers are those of the whole batch: a
            pair's responses may be in different parts.

    Raises:
        ValueError: as `modeseek.llm.training.step.make_step`, and when the step is first called, data without an array
            that the method needs.
    """
    scorer = make_scorer(loss, trainable, accumulate=accumulate)
    learn = _learner(loss, trainable, optimizer, mesh, accumulate)

    @jax.jit
    def weigh(
        data: Labelled, scored: Scored, hyper: HyperParameters, numbers: ValueNumbers
    ) -> tuple[TokenBatch, dict[str, Array]]:
        batch = as_batch(data, scored.log_probs)
        _, weights = reduce.token_weights(method, batch, hyper, options)
        rows = _rows(data)._replace(weights=weights.reshape(-1, weights.shape[-1]))
        found = metrics.step_metrics(method, batch, hyper, options)
        if scored.values is None:
            return rows, found
        valued = value_batch(data, scored.values, batch.required("token_mask"))
        of_values = value_weights(valued, numbers).reshape(weights.shape[0] * weights.shape[1], -1)
        return rows._replace(value_weights=of_values), {**found, **value_metrics(valued, numbers)}

    def step(
        state: State, data: Labelled, hyper: HyperParameters, frozen: Any = None, scored: Scored | None = None
    ) -> tuple[State, dict[str, Array]]:
        known = scorer(state.params, data, frozen) if scored is None else scored
        rows, numbers = weigh(data, known, hyper, values)
        adam = Adam(hyper.learning_rate) if optimizer is None else None
        state, norm = learn(state, rows, adam, frozen)
        return state, {**numbers, "gradient_norm": norm}

    return step


@functools.lru_cache(maxsize=8)
def _learner(
    loss: CrossEntropy,
    trainable: Trainable,
    optimizer: optax.GradientTransformation | None,
    mesh: jax.sharding.Mesh | None,
    accumulate: int,
) -> Callable[[State, TokenBatch, Adam | None, Any], tuple[State, Array]]:
    """The compiled update by weighted rows; one that is not finite is not taken."""
    update = make_update(loss, trainable, optimizer=optimizer, mesh=mesh, accumulate=accumulate)

    def learn(state: State, rows: TokenBatch, adam: Adam | None, frozen: Any) -> tuple[State, Array]:
        after, _, norm = update(state, rows, adam, frozen)
        return jax.tree.map(lambda new, old: jnp.where(jnp.isfinite(norm), new, old), after, state), norm

    return jax.jit(learn, donate_argnums=0, out_shardings=step_shardings(trainable, mesh, optimizer))
