"""One run as numbers: what may be batched, swept and changed without compiling anything."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from modeseek.bandit.objectives import advantages
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.problem import Problem


class Run(NamedTuple):
    """The numbers of one run: data, so that any of them may be batched and none of them recompiles.

    Attributes:
        problem: reference and rewards.
        hyper: hyper-parameters, a scalar array each.
        method: index into `Static.methods`.
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
        config: what it will be compiled for; its `methods` hold the method.
        method: one of `config.methods`; the first, if none is given.
        on_policy: Table 1's side of the method, if none is given.
        hyper: hyper-parameters.
        seed: of everything random.

    Raises:
        ValueError: the method is not among `config.methods`.
    """
    hyper = hyper or HyperParameters()
    name = method or config.methods[0]
    if name not in config.methods:
        raise ValueError(f"method must be one of the compiled {config.methods}, got {name!r}")
    chosen = METHODS[name]
    return Run(
        problem=problem,
        hyper=jax.tree.map(jnp.float32, hyper),
        method=jnp.asarray(config.methods.index(name)),
        on_policy=jnp.asarray(chosen.on_policy if on_policy is None else on_policy),
        standardization=jnp.asarray(advantages.STANDARDIZATIONS.index(config.conventions.standardization_of(chosen))),
        seed=jnp.asarray(seed),
    )
