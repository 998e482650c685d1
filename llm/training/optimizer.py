"""Optimizers: AdamW whose numbers are data, or any of optax's, in at least float32 whatever the parameters are."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from modeseek.llm.models.parameters import Params
from modeseek.llm.parallel import memory


class Adam(NamedTuple):
    """AdamW's numbers (Kingma and Ba 2015; Loshchilov and Hutter 2019): data, so none of them recompiles a step."""

    learning_rate: float | Array = 1e-5
    mean_decay: float | Array = 0.9
    square_decay: float | Array = 0.999
    epsilon: float | Array = 1e-8
    weight_decay: float | Array = 0.0

    def transformation(self) -> optax.GradientTransformation:
        """Gradients to updates -η (m̂ / (√v̂ + ε) + λ θ); its state is optax's `ScaleByAdamState`."""
        adam = optax.scale_by_adam(self.mean_decay, self.square_decay, self.epsilon)

        def init(params: Params) -> optax.ScaleByAdamState:  # optax's own would need a wide copy of the parameters
            zeros = lambda: jax.tree.map(lambda leaf: jnp.zeros_like(leaf, dtype=wide_dtype(leaf)), params)
            return optax.ScaleByAdamState(jnp.zeros((), jnp.int32), zeros(), zeros())

        def update(gradients: Params, moments: Any, params: Params | None = None) -> tuple[Params, Any]:
            directions, moments = adam.update(gradients, moments, params)
            move = lambda direction, leaf: -(self.learning_rate * (direction + self.weight_decay * leaf))
            return jax.tree.map(move, directions, params), moments

        return optax.GradientTransformation(init, update)


class State(NamedTuple):
    """What a step changes.

    Attributes:
        params: what is trained, in its own dtype.
        optimizer: the optimizer's state, in at least float32: in bfloat16 a decay of .999 is 1, and Adam's mean of
            squares would take up every gradient and never forget one.
    """

    params: Params
    optimizer: Any


def start(params: Params, optimizer: optax.GradientTransformation | None = None) -> State:
    """Parameters with the first state of the optimizer (Adam's, if none is given)."""
    if optimizer is None:
        return State(params, Adam().transformation().init(params))
    return State(params, optimizer.init(widened(params)))


def apply(state: State, gradients: Params, optimizer: optax.GradientTransformation) -> State:
    """One update: θ ← θ + update, computed in at least float32 and rounded once to the parameters' dtype."""
    wide = widened(state.params)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a decay to a whole power implicitly
        updates, moments = optimizer.update(widened(gradients), state.optimizer, wide)
    move = lambda leaf, moved, update: (moved + update.astype(moved.dtype)).astype(leaf.dtype)
    return State(jax.tree.map(move, state.params, wide, updates), moments)


def optimizer_size(optimizer: optax.GradientTransformation | None, params: Params) -> memory.OptimizerSize:
    """What its state takes beside parameters of these shapes."""
    if optimizer is None:
        return memory.ADAM
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    kept = jax.eval_shape(lambda p: optimizer.init(widened(p)), params)
    return memory.OptimizerSize("the optimizer's state", count(kept) / count(params))


def widened(tree: Params) -> Params:
    """The leaves in at least float32."""
    return jax.tree.map(lambda leaf: leaf.astype(wide_dtype(leaf)), tree)


def wide_dtype(leaf: Any) -> Any:
    """float32, but float64 where that is what comes."""
    return jnp.float64 if leaf.dtype == jnp.float64 else jnp.float32
