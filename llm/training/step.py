"""One training step, compiled: gradients of a loss in parts, then an optimizer's update; on one device or on a mesh.

    loss = CrossEntropy(model)
    step, state = make_step(loss, AllParameters(model.config)), start(params)
    state, value = step(state, TokenBatch(tokens, lengths), Adam(1e-5))

What is minimised is the loss's business, what is trained is the trainable's, and nothing else differs between
pre-training, SFT, a preference objective (its token weights in the batch), all parameters and adapters.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from modeseek.checks import whole
from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import Params
from modeseek.llm.parallel.device_memory import check_fits, chunk_counted
from modeseek.llm.parallel.memory import Work
from modeseek.llm.parallel.mesh import MeshShape, optimizer_shardings, replicated, row_shards
from modeseek.llm.training.optimizer import Adam, State, apply, optimizer_size, widened
from modeseek.llm.training.trainable import Trainable


@runtime_checkable  # the tests execute every annotation
class Loss(Protocol):
    """What is minimised: a sum over rows, divided by a number that the parameters do not change.

    A batch is a tree of arrays whose first axis counts rows (or pairs of rows, or whatever must stay together), with
    token ids as `batch.tokens`, `[B, …, S]`. `modeseek.llm.training.cross_entropy.CrossEntropy` is one.
    """

    @property
    def model(self) -> Model:
        """That reads the tokens."""
        ...

    @property
    def chunk(self) -> int:
        """Tokens whose logits exist at once."""
        ...

    def summed(self, params: Params, batch: Any) -> Float[Array, ""]:
        """Over the rows of any part of a batch."""
        ...

    def divisor(self, batch: Any) -> Float[Array, ""]:
        """That the whole batch's sum is divided by."""
        ...


@runtime_checkable
class Step(Protocol):
    """A compiled step; the state is donated."""

    def __call__(
        self, state: State, batch: Any, adam: Adam | None = None, frozen: Any = None
    ) -> tuple[State, Float[Array, ""]]:
        """The next state, and the loss before the update.

        Args:
            state: as `start` gives it; placed as `state_shardings` says, if there is a mesh.
            batch: that the loss takes.
            adam: this step's numbers; None where the step has an optimizer of its own.
            frozen: what the trainable takes beside the state's parameters.
        """
        ...


def make_step(
    loss: Loss,
    trainable: Trainable,
    *,
    optimizer: optax.GradientTransformation | None = None,
    mesh: jax.sharding.Mesh | None = None,
    accumulate: int = 1,
) -> Step:
    """The compiled step.

    Args:
        loss: what is minimised, of a model that is on the mesh (`modeseek.llm.parallel.mesh.on_mesh`).
        trainable: what is trained: `AllParameters`, or `modeseek.llm.training.lora.Adapters`.
        optimizer: any of optax's, with schedules, clipping and whatever it is chained of; it computes in at least
            float32. If None, AdamW, whose numbers each step is given: other numbers are no other program.
        mesh: where the state lives; one device, if None.
        accumulate: parts that a batch is taken in, one after the other, to save memory; the numbers are those of
            the whole batch: losses and gradients are summed, and divided by the whole batch's divisor.

    Raises:
        ValueError: `accumulate` below 1, and, when the step is first called, rows that do not divide, too little
            memory, or Adam's numbers missing or unwanted.
    """
    update = make_update(loss, trainable, optimizer=optimizer, mesh=mesh, accumulate=accumulate)

    def step(state: State, batch: Any, adam: Adam | None = None, frozen: Any = None) -> tuple[State, Array]:
        updated = update(state, batch, adam, frozen)
        return updated.state, updated.loss

    return jax.jit(step, donate_argnums=0, out_shardings=step_shardings(trainable, mesh, optimizer))


class Updated(NamedTuple):
    """What an update gives.

    Attributes:
        state: the next one.
        loss: before the update.
        gradient_norm: Euclidean, of the whole gradient before an optimizer clips it.
    """

    state: State
    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]


def make_update(
    loss: Loss,
    trainable: Trainable,
    *,
    optimizer: optax.GradientTransformation | None = None,
    mesh: jax.sharding.Mesh | None = None,
    accumulate: int = 1,
) -> Callable[[State, Any, Adam | None, Any], Updated]:
    """What `make_step` compiles, for programs that do more than a step; arguments and errors are its own."""
    whole("accumulate", accumulate, 1)
    cut = None if mesh is None else state_shardings(trainable, mesh, optimizer)

    def update(state: State, batch: Any, adam: Adam | None, frozen: Any) -> Updated:
        if (adam is None) == (optimizer is None):
            raise ValueError(
                "a step takes either Adam's numbers at each call or an optimizer of its own, got "
                + ("neither" if adam is None else "both")
            )
        _check_rows(mesh, batch, accumulate)
        _check_memory(loss, trainable, optimizer, mesh, accumulate, state, batch, frozen)
        complete = lambda trained: trainable.complete(trained, frozen)
        value, gradients = mean_gradients(loss, state.params, batch, accumulate=accumulate, complete=complete)
        if cut is not None:
            gradients = jax.lax.with_sharding_constraint(gradients, cut.params)
        after = apply(state, gradients, optimizer if adam is None else adam.transformation())
        return Updated(after, value, optax.tree.norm(gradients))

    return update


def step_shardings(
    trainable: Trainable, mesh: jax.sharding.Mesh | None, optimizer: optax.GradientTransformation | None
) -> Any:
    """Where a compiled step's state and numbers go: None on one device."""
    return None if mesh is None else (state_shardings(trainable, mesh, optimizer), replicated(mesh))


def state_shardings(
    trainable: Trainable, mesh: jax.sharding.Mesh, optimizer: optax.GradientTransformation | None = None
) -> State:
    """Where a State lives on a mesh: the optimizer's arrays that are shaped like the parameters lie where they do."""
    cut = trainable.shardings(mesh)
    transformation = Adam().transformation() if optimizer is None else optimizer
    return State(cut, optimizer_shardings(mesh, transformation, trainable.shapes(), cut))


def mean_gradients(
    loss: Loss,
    trained: Params,
    batch: Any,
    *,
    accumulate: int = 1,
    complete: Callable[[Any], Params] = lambda trained: trained,
) -> tuple[Float[Array, ""], Params]:
    """The loss of a batch, and its gradient in at least float32.

    Parts are added up in at least float32 too: in bfloat16 the sum of many would lose what each of them adds.

    Args:
        loss: what is minimised.
        trained: what the gradient is with respect to.
        batch: that the loss takes.
        accumulate: parts that it is taken in.
        complete: makes the model's parameters of `trained`.

    Raises:
        ValueError: rows that `accumulate` does not divide.
    """
    summed = jax.value_and_grad(lambda trained, part: loss.summed(complete(trained), part))
    if accumulate == 1:
        total, gradients = summed(trained, batch)
        gradients = widened(gradients)
    else:

        def add(sums: Any, part: Any) -> tuple[Any, None]:
            value, gradients = summed(trained, part)
            return jax.tree.map(jnp.add, sums, (value, widened(gradients))), None

        zeros = (jnp.zeros((), jnp.float32), widened(jax.tree.map(jnp.zeros_like, trained)))
        (total, gradients), _ = jax.lax.scan(add, zeros, in_parts(batch, accumulate))
    divisor = loss.divisor(batch)
    return total / divisor, jax.tree.map(lambda g: g / divisor.astype(g.dtype), gradients)


def in_parts(batch: Any, parts: int) -> Any:
    """A batch's arrays `[B, …]` as `[parts, B / parts, …]`.

    Row r goes to part r mod A: each device's rows are spread over all parts, so every part keeps all at work.

    Raises:
        ValueError: rows that `parts` does not divide.
    """
    rows = jax.tree.leaves(batch)[0].shape[0]
    if rows % parts:
        raise ValueError(f"accumulate ({parts}) must divide the batch's {rows} rows")
    return jax.tree.map(lambda a: a.reshape(-1, parts, *a.shape[1:]).swapaxes(0, 1), batch)


def _rows(batch: Any) -> int:
    return int(batch.tokens.shape[0])


def _check_rows(mesh: jax.sharding.Mesh | None, batch: Any, accumulate: int) -> None:
    """Raises ValueError for rows that do not divide into parts, and each part among devices."""
    if mesh is not None and _rows(batch) % (accumulate * row_shards(mesh)):
        raise ValueError(
            f"{_rows(batch)} rows do not divide into {accumulate} parts of {row_shards(mesh)} devices' rows each"
        )


def _check_memory(
    loss: Loss,
    trainable: Trainable,
    optimizer: optax.GradientTransformation | None,
    mesh: jax.sharding.Mesh | None,
    accumulate: int,
    state: State,
    batch: Any,
    frozen: Any,
) -> None:
    """Refuse a step that does not fit, while it is traced: before it is compiled.

    Raises:
        ValueError: it needs more than there is.
    """
    *rows_shape, length = batch.tokens.shape
    rows, devices = math.prod(rows_shape), MeshShape() if mesh is None else MeshShape(**mesh.shape)
    size = optimizer_size(optimizer, state.params)
    # The last token is predicted and not read.
    work = Work(loss.model.compute, devices, rows, length - 1, chunk_counted(loss.chunk), accumulate, size)
    check_fits(
        trainable.memory(state.params, frozen, work),
        f"a training step of {rows} rows of {length} tokens",
        "take fewer rows or shorter ones, more parts (accumulate), remat 'full', more devices along fsdp or tensor, or "
        "adapters (modeseek.llm.training.lora) in place of all parameters",
        there=(*trainable.HELD, size.name),
        device=None if mesh is None else mesh.local_devices[0],
    )
