"""One run as numbers: what may be batched, swept and changed without compiling anything."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from modeseek.bandit.objectives import advantages
from modeseek.bandit.objectives.batch import HyperParameters
from modeseek.bandit.simulator.behavior import Behavior
from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.problem import Problem
from modeseek.bandit.simulator.reference import ReferenceMoves


class Run(NamedTuple):
    """The numbers of one run: data, so that any of them may be batched and none of them recompiles.

    Attributes:
        problem: reference and rewards.
        behavior: the policy that offline data are sampled from.
        hyper: hyper-parameters, a scalar array each.
        method: index into `Static.methods`.
        on_policy: whether every collection is sampled anew.
        standardization: index into `advantages.STANDARDIZATIONS`.
        seed: of everything random in the run.
        reference_moves: how the reference does; nothing where the program has none that moves.
    """

    problem: Problem
    behavior: Behavior
    hyper: HyperParameters
    method: Int[Array, ""]
    on_policy: Bool[Array, ""]
    standardization: Int[Array, ""]
    seed: Int[Array, ""]
    reference_moves: ReferenceMoves | tuple[()] = ()


def loop_kl_coefficient(run: Run, config: Static) -> Float[Array, ""] | float:
    """β of the KL that the loop adds to rewards or losses: 0 for a method that has eq. 2's KL in its own loss."""
    own = [method.has_kl_in_its_loss for method in config.methods]
    if not any(own):
        return run.hyper.kl_coefficient
    return jnp.where(jnp.asarray(own)[run.method], 0.0, run.hyper.kl_coefficient)


def label_temperature(run: Run, config: Static) -> Float[Array, ""] | float:
    """T of the noise in what ranks responses: 0 for a method that reads a prompt's rewards by what they say.

    People who compare give no numbers, so that a reward with the noise of a comparison is nothing that anybody says.
    """
    exact = ["group rewards" in method.needs for method in config.methods]
    if not any(exact):
        return run.hyper.label_temperature
    return jnp.where(jnp.asarray(exact)[run.method], 0.0, run.hyper.label_temperature)


def make_run(
    problem: Problem,
    config: Static,
    *,
    method: str | None = None,
    on_policy: bool | None = None,
    behavior: Behavior | None = None,
    hyper: HyperParameters | None = None,
    seed: int = 0,
    reference_every: int = 0,
    reference_decay: float = 0.0,
) -> Run:
    """A `Run` from Python numbers, with the conventions' defaults for its method.

    Args:
        problem: the bandit.
        config: what it will be compiled for; its `methods` hold the method.
        method: name of one of `config.methods`; the first, if none is given.
        on_policy: Table 1's side of the method, if none is given.
        behavior: of offline data; the policy before training, if none is given.
        hyper: hyper-parameters.
        seed: of everything random.
        reference_every: collections between two moves of the reference, if the program has one that moves.
        reference_decay: its own share in a move.

    Raises:
        ValueError: the method is not among `config.methods`.
    """
    hyper = hyper or HyperParameters()
    names = tuple(each.name for each in config.methods)
    if method is not None and method not in names:
        raise ValueError(f"method must be one of the compiled {names}, got {method!r}")
    index = 0 if method is None else names.index(method)
    chosen = config.methods[index]
    return Run(
        problem=problem,
        behavior=behavior or Behavior(problem.reference_log_probs, jnp.asarray(False)),
        hyper=jax.tree.map(jnp.float32, hyper),
        method=jnp.asarray(index),
        on_policy=jnp.asarray(chosen.on_policy if on_policy is None else on_policy),
        standardization=jnp.asarray(advantages.STANDARDIZATIONS.index(config.conventions.standardization_of(chosen))),
        seed=jnp.asarray(seed),
        reference_moves=ReferenceMoves(jnp.asarray(reference_every, jnp.int32), jnp.float32(reference_decay))
        if config.reference_moves
        else (),
    )
