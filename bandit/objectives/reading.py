"""What a row of the registry says of a loss, read off the program that JAX makes of it: what it depends on, whether it
pushes down, and a digest that tells it from any other."""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.interpreters.partial_eval import dce_jaxpr

from modeseek.bandit.objectives.batch import HYPER_RANGES, Batch, HyperParameters, Losses
from modeseek.bandit.objectives.method import Objective
from modeseek.bandit.objectives.trials import (
    SHAPES,
    before_training,
    far_away,
    looking_at,
    small_batch,
    value_and_gradient,
)
from modeseek.checks import require

TRACED = (*SHAPES, (5, 10, 10))
"""P, N, T of the batches whose programs are in a digest; the last is much like the bandit's own."""

ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


def losses_shape(loss: Callable[[Batch, HyperParameters], Any]) -> str:
    """What a loss returns a number for: `pairs`, or something else that is not told apart."""
    found = jax.eval_shape(loss, small_batch(SHAPES[0]), HyperParameters())
    prompts, responses, _ = SHAPES[0]
    plain = not isinstance(found, Losses)
    return "pairs" if plain and found.shape == (prompts, responses, responses) else "other"


def reads(loss: Callable[[Batch, HyperParameters], Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which arrays of a batch, and which hyper-parameters, what a loss returns and its gradient depend on.

    Nested programs hand on what they do not read, so that they are looked into.
    """
    batch = small_batch(SHAPES[0])
    arrays = [name for name, array in batch._asdict().items() if array is not None]

    def reduced(log_probs: jax.Array, rest: Batch, hyper: HyperParameters) -> tuple[jax.Array, Any]:
        found = loss(rest._replace(token_log_probs=log_probs), hyper)
        return sum(each.sum() for each in jax.tree.leaves(found)), found

    def seen(batch: Batch, hyper: HyperParameters) -> Any:
        return jax.value_and_grad(reduced, has_aux=True)(batch.token_log_probs, batch, hyper)

    program = jax.make_jaxpr(seen)(batch, HyperParameters()).jaxpr
    _, read = dce_jaxpr(program, [True] * len(program.outvars))
    return (
        tuple(name for name, yes in zip(arrays, read, strict=False) if yes),
        tuple(name for name, yes in zip(HYPER_RANGES, read[len(arrays) :], strict=True) if yes),
    )


def pushes_down(objective: Objective) -> bool:
    """Whether the gradient lowers the probability of some response."""
    with jax.enable_x64(True):
        look = looking_at(objective, HyperParameters())
        return any(
            bool((look(batch).gradient.sum(axis=-1) > 0).any())
            for batch in (small_batch(SHAPES[0]), before_training(SHAPES[0]), far_away(SHAPES[0]))
        )


def digest_of(objective: Objective) -> str:
    """Sixteen hexadecimal digits of an objective's program, its gradient's included, as JAX traces it.

    Whatever the objective reads is in the program: closures, globals, defaults, and all functions that it calls. What
    it does with batches of other shapes than `TRACED` alone is not; names and comments are not either.

    Raises:
        ValueError: it calls Python while it runs, which no program tells.
    """
    found = hashlib.sha256()
    with jax.enable_x64(True):
        for shape in TRACED:
            batch = small_batch(shape)
            program = jax.make_jaxpr(value_and_gradient(objective))(batch.token_log_probs, batch, HyperParameters())
            _write(found.update, program)
    return found.hexdigest()[:16]


Write = Callable[[bytes], object]


def _write(write: Write, program: ClosedJaxpr) -> None:
    for constant in program.consts:
        _write_array(write, constant)
    _write_equations(write, program.jaxpr)


def _write_equations(write: Write, program: Jaxpr) -> None:
    """Operations in their order, with variables numbered as they come: JAX's own text shares what it has cached."""
    numbers: dict[Any, int] = {}

    def name(variable: Any) -> None:
        if isinstance(variable, Literal):
            _write_array(write, variable.val)
        else:
            write(f"%{numbers.setdefault(variable, len(numbers))}:{variable.aval.str_short()} ".encode())

    for variable in (*program.constvars, *program.invars):
        name(variable)
    for equation in program.eqns:
        what = equation.primitive.name
        require(
            "callback" not in what or what == "debug_callback",
            f"the loss calls Python while it runs ({what}): nobody could tell whether that is the same another day",
        )
        write(f"\n{what} ".encode())
        for operand in (*equation.invars, *equation.outvars):
            name(operand)
        for key in sorted(equation.params.keys() - {"name"}):
            write(f"{key}=".encode())
            _write_parameter(write, equation.params[key])
    write(b"\nout ")
    for result in program.outvars:
        name(result)


def _write_parameter(write: Write, value: Any) -> None:
    if isinstance(value, ClosedJaxpr):
        _write(write, value)
    elif isinstance(value, Jaxpr):
        _write_equations(write, value)
    elif isinstance(value, tuple | list):
        write(f"[{len(value)} ".encode())
        for each in value:
            _write_parameter(write, each)
    elif isinstance(value, np.ndarray | jax.Array):
        _write_array(write, value)
    elif callable(value):  # the rule of a derivative, which is in the program where it was used
        write(b"function ")
    else:
        write(ADDRESS.sub("", repr(value)).encode() + b" ")


def _write_array(write: Write, value: Any) -> None:
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    write(f"{array.dtype}{array.shape} ".encode() + array.tobytes())
