"""One step of next-token prediction: cross-entropy in chunks, true accumulation, Adam, all in one program.

The smallest training step there is, to test sharded gradients with and to measure.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from modeseek.bandit.objectives.log_probs import shift
from modeseek.llm.inference.chunked_logits import columns_per_chunk, cross_entropy
from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import Params, shapes
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.device_memory import check_fits
from modeseek.llm.parallel.mesh import MeshShape, optimizer_shardings, parameter_shardings, replicated, row_shards


class Adam(NamedTuple):
    """AdamW's numbers (Kingma and Ba 2015; Loshchilov and Hutter 2019): data, so none of them recompiles a step."""

    learning_rate: float | Array = 1e-5
    mean_decay: float | Array = 0.9
    square_decay: float | Array = 0.999
    epsilon: float | Array = 1e-8
    weight_decay: float | Array = 0.0

    def moments(self) -> optax.GradientTransformation:
        """Gradients to steps of about 1, by optax, but in at least float32 whatever the parameters are.

        In bfloat16 a decay of .999 is 1: the mean of squares would take up every gradient and never forget one.
        """
        adam = optax.scale_by_adam(self.mean_decay, self.square_decay, self.epsilon)

        def start(params: Params) -> optax.ScaleByAdamState:
            zeros = lambda: jax.tree.map(lambda leaf: jnp.zeros_like(leaf, dtype=_wide(leaf)), params)
            return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros(), zeros())

        def update(gradients: Params, moments: Any, params: Params | None = None) -> tuple[Params, Any]:
            return adam.update(jax.tree.map(lambda leaf: leaf.astype(_wide(leaf)), gradients), moments, params)

        return optax.GradientTransformation(start, update)


class State(NamedTuple):
    """What a step changes: master weights in their own dtype, and Adam's moments in at least float32."""

    params: Params
    moments: Any


Step = Callable[[State, Array, Array, Adam], tuple[State, Array]]
"""`(state, tokens [B, S], lengths [B], adam) → (state, mean loss in nats a token)`; the state is donated."""


def start(params: Params) -> State:
    """Parameters with moments of zero."""
    return State(params, Adam().moments().init(params))


def state_shardings(model: Model, mesh: jax.sharding.Mesh) -> State:
    """Where a State lives on a mesh."""
    cut = parameter_shardings(mesh, model.config)
    return State(cut, optimizer_shardings(mesh, Adam().moments(), shapes(model.config), cut))


def make_step(model: Model, mesh: jax.sharding.Mesh | None = None, *, accumulate: int = 1, chunk: int = 4096) -> Step:
    """The compiled step.

    Args:
        model: on a mesh, as `modeseek.llm.parallel.mesh.on_mesh` gives it.
        mesh: where the state lives; one device, if None.
        accumulate: parts that a batch is taken in, one after the other, to save memory; the numbers are those of
            the whole batch: losses and gradients are summed, and divided by the tokens of all parts.
        chunk: tokens whose logits exist at once.

    Raises:
        ValueError: numbers below 1, and, when the step is first called, rows that do not divide or too little memory.
    """
    check_parts(accumulate, chunk)
    cut = None if mesh is None else state_shardings(model, mesh)

    def step(state: State, tokens: Array, lengths: Array, adam: Adam) -> tuple[State, Array]:
        check_batch(mesh, tokens, accumulate)
        estimate = functools.partial(memory.training, parameter_dtype=str(state.params["norm"]["scale"].dtype))
        check_memory(
            model, mesh, tokens, estimate, ("parameters", "Adam's moments"), accumulate=accumulate, chunk=chunk
        )
        loss, gradients = mean_gradients(model, state.params, tokens, lengths, accumulate=accumulate, chunk=chunk)
        if cut is not None:
            gradients = jax.lax.with_sharding_constraint(gradients, cut.params)
        return apply(state, gradients, adam), loss

    out = None if mesh is None or cut is None else (cut, replicated(mesh))
    return jax.jit(step, donate_argnums=0, out_shardings=out)


def check_parts(accumulate: int, chunk: int) -> None:
    """Raises ValueError for numbers below 1."""
    if accumulate < 1 or chunk < 1:
        raise ValueError(f"accumulate and chunk must be at least 1, got {accumulate} and {chunk}")


def check_batch(mesh: jax.sharding.Mesh | None, tokens: Array, accumulate: int) -> None:
    """Raises ValueError for rows that do not divide into parts, and each part among devices."""
    if mesh is not None and tokens.shape[0] % (accumulate * row_shards(mesh)):
        raise ValueError(
            f"{tokens.shape[0]} rows do not divide into {accumulate} parts of {row_shards(mesh)} devices' rows each"
        )


def check_memory(
    model: Model,
    mesh: jax.sharding.Mesh | None,
    tokens: Array,
    estimate: Callable[..., memory.MemoryEstimate],
    there: tuple[str, ...],
    *,
    accumulate: int,
    chunk: int,
) -> None:
    """Refuse a step that does not fit, while it is traced: before it is compiled.

    Args:
        model: that is trained.
        mesh: of the step; one device, if None.
        tokens: `[B, S]`, of which S - 1 are read.
        estimate: as `modeseek.llm.parallel.memory.training`.
        there: the parts of the estimate that are on the device by then.
        accumulate: as the step's.
        chunk: as the step's.

    Raises:
        ValueError: it needs more than there is.
    """
    rows, length = tokens.shape
    sizes = MeshShape() if mesh is None else MeshShape(**mesh.shape)
    needed = estimate(model.config, model.compute, sizes, rows, length - 1, accumulate=accumulate, chunk=chunk)
    check_fits(
        needed,
        f"a training step of {rows} rows of {length} tokens",
        "take fewer rows or shorter ones, more parts (accumulate), remat 'full', more devices along fsdp or tensor, or "
        "adapters (modeseek.llm.training.lora) in place of all parameters",
        there=there,
        device=None if mesh is None else mesh.local_devices[0],
    )


def apply(state: State, gradients: Params, adam: Adam) -> State:
    """One update of AdamW: θ ← θ - η (m̂ / (√v̂ + ε) + λ θ)."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises a decay to a whole power implicitly
        updates, moments = adam.moments().update(gradients, state.moments)

    def move(leaf: Array, update: Array) -> Array:
        wide = leaf.astype(update.dtype)
        return (wide - adam.learning_rate * (update + adam.weight_decay * wide)).astype(leaf.dtype)

    return State(jax.tree.map(move, state.params, updates), moments)


def mean_gradients(
    model: Model,
    params: Params,
    tokens: Int[Array, "B S"],
    lengths: Int[Array, "B"],
    *,
    accumulate: int = 1,
    chunk: int = 4096,
    complete: Callable[[Any], Params] = lambda params: params,
) -> tuple[Float[Array, ""], Params]:
    """Cross-entropy of every real token after the first, averaged over them, in nats, and its gradient.

    The gradient is with respect to `params`, which `complete` makes the model's parameters of (adapters, if that is
    what is trained).

    Raises:
        ValueError: rows that `accumulate` does not divide.
    """
    if tokens.shape[0] % accumulate:
        raise ValueError(f"accumulate ({accumulate}) must divide the batch's {tokens.shape[0]} rows")
    summed = jax.value_and_grad(lambda p, t, n: summed_loss(model, complete(p), t, n, chunk=chunk))
    if accumulate == 1:
        loss, gradients = summed(params, tokens, lengths)
    else:
        # Row r goes to part r mod A: each device's rows are spread over all parts, so every part keeps all at work.
        parts = tuple(a.reshape(-1, accumulate, *a.shape[1:]).swapaxes(0, 1) for a in (tokens, lengths))

        def add(total: Any, part: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, summed(params, *part)), None

        zeros = (jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, params))
        (loss, gradients), _ = jax.lax.scan(add, zeros, parts)
    count = jnp.maximum((lengths - 1).clip(0).sum(), 1).astype(jnp.float32)
    return loss / count, jax.tree.map(lambda g: g / count.astype(g.dtype), gradients)


def _wide(leaf: Array) -> Any:
    """float32, but float64 where that is what comes."""
    return jnp.float64 if leaf.dtype == jnp.float64 else jnp.float32


def summed_loss(
    model: Model, params: Params, tokens: Int[Array, "B S"], lengths: Int[Array, "B"], *, chunk: int = 4096
) -> Float[Array, ""]:
    """-Σ log π(y_{t+1} | y_≤t) over each row's real tokens, in nats."""
    inputs, targets = shift(tokens)
    weights = (jnp.arange(targets.shape[1])[None, :] < (lengths - 1)[:, None]).astype(jnp.float32)
    hidden = model.hidden(params, inputs)
    head = {"embed": params["embed"]} if model.config.tied else {"heads": {"lm": params["heads"]["lm"]}}
    return cross_entropy(model, columns_per_chunk(chunk, targets.shape), head, hidden, targets, weights)
