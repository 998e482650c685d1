"""Whole trajectories: one scan in JAX, batched over problems, step sizes and starts; the same steps in NumPy."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from modeseek.bandit.categorical.divergences import DIVERGENCES, Field
from modeseek.bandit.categorical.methods import METHODS
from modeseek.bandit.categorical.metrics import Metrics, measure
from modeseek.bandit.categorical.optimizers import OPTIMIZERS, Settings, State, initial
from modeseek.bandit.categorical.paths import KeptPaths, Path, Progress
from modeseek.bandit.categorical.problem import Problem
from modeseek.bandit.categorical.simplex import (
    LOG_ZERO,
    CategoricalPolicy,
    check_distribution,
    check_positive,
    exact,
    finite,
    policy,
)
from modeseek.bandit.simulator.devices import run_mesh
from modeseek.checks import whole

OBJECTIVES: dict[str, Callable[[Problem], Field]] = {**DIVERGENCES, **METHODS}
"""Everything that can be descended, by name."""

BLOCK = 256
"""Runs that `batched` takes through all their steps side by side: as many as keep their state in cache."""

PAIR = ("forward_kl", "reverse_kl")


def check_names(objectives: tuple[str, ...], optimizer: str) -> None:
    """Names of objectives and of an optimizer.

    Raises:
        ValueError: one of them is unknown; the message lists what there is.
    """
    for name in objectives:
        if name not in OBJECTIVES:
            raise ValueError(f"unknown objective {name!r}; there are {', '.join(sorted(OBJECTIVES))}")
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {optimizer!r}; there are {', '.join(OPTIMIZERS)}")


def check_run(start: Any, settings: Settings, steps: int, categories: int) -> np.ndarray:
    """The start as a distribution, once every number of the run has been found good.

    Raises:
        ValueError: the start is no distribution, a step size, ε or step count is not positive, a decay is outside
            [0, 1), or the damping is negative.
    """
    for name, least in (("decay_1", 0.0), ("decay_2", 0.0)):
        value = float(getattr(settings, name))
        if not least <= value < 1:
            raise ValueError(f"{name} must be in [0, 1), got {value!r}")
    check_positive("step_size", settings.step_size)
    check_positive("epsilon", settings.epsilon)
    if not 0 <= float(settings.damping) < float("inf"):
        raise ValueError(f"damping must be a number of at least 0, got {settings.damping!r}")
    whole("steps", steps, 1)
    return check_distribution("start", start, categories)


def check_converging(name: str, path: np.ndarray) -> None:
    """No NaN on the way, `[E, K]`.

    Two objectives can bring one, under every optimizer but Adam, since their gradients have no bound: IPO, whose loss
    is quadratic, so that a step size beyond 2/curvature makes every step larger than the last; and alpha at α < 0,
    whose gradient grows like p^α where a step has left next to nothing of a category that the target has.

    Raises:
        ValueError: there is one.
    """
    broken = np.isnan(path).any(-1)
    if broken.any():
        raise ValueError(f"{name} diverged at step {int(broken.argmax())}: expected a smaller step_size")


def confine(field: Field, state: State) -> State:
    """The state with its policy conditioned on the field's support; see `Field.log_support`.

    Once is enough: a logit of `LOG_ZERO` stays where it is under every step. The policy must have mass there; the
    front doors check it.
    """
    return state._replace(policy=policy(state.policy.log_probs + field.log_support))


def _step(field: Field, optimizer: str, settings: Settings, state: State) -> State:
    return OPTIMIZERS[optimizer](field, settings, state)


def _scan(
    problem: Problem,
    log_start: Array,
    settings: Settings,
    objective: str,
    optimizer: str,
    steps: int,
    watch: Any,
    every: int = 1,
) -> Any:
    """What `watch` sees of the start and of the policy after each `every`-th step, stacked `[steps / every + 1, …]`."""
    field = OBJECTIVES[objective](problem)
    state = initial(log_start)

    def step(state: State, _: None) -> tuple[State, None]:
        return _step(field, optimizer, settings, state), None

    def body(state: State, _: None) -> tuple[State, Any]:
        state, _ = jax.lax.scan(step, state, None, length=every)
        return state, watch(problem, state.policy)

    first = watch(problem, state.policy)
    _, rest = jax.lax.scan(body, confine(field, state), None, length=steps // every)
    return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, rest)


def _log_probs(problem: Problem, current: CategoricalPolicy) -> Any:
    return current.log_probs


def _metrics(problem: Problem, current: CategoricalPolicy) -> Any:
    return measure(problem, current.log_probs, current.probs)


@partial(jax.jit, static_argnames=("objective", "optimizer", "steps"))
def trajectory(
    problem: Problem,
    log_start: Float[Array, "K"],
    settings: Settings,
    *,
    objective: str = "reverse_kl",
    optimizer: str = "gd",
    steps: int = 1000,
) -> Float[Array, "E K"]:
    """Log-probabilities along one trajectory: the start and the policy after each of `steps` steps, E = steps + 1.

    Names and `steps` are static; everything else is data. `vmap` it over problems, starts and settings; see `batched`
    for the metrics of many. Zero probability is `simplex.LOG_ZERO` here, so the result can be computed with.
    """
    log_probs: Array = _scan(problem, finite(log_start), settings, objective, optimizer, steps, _log_probs)
    return log_probs


@partial(jax.jit, static_argnames=("objectives", "optimizer", "steps"))
def trajectories(
    problem: Problem,
    log_start: Float[Array, "K"],
    settings: Settings,
    *,
    objectives: tuple[str, ...] = PAIR,
    optimizer: str = "gd",
    steps: int = 1000,
) -> tuple[Float[Array, "O E K"], Metrics]:
    """Trajectories of several objectives from one start, in one scan, and every metric, shaped `[O, E]`."""
    fields = [OBJECTIVES[name](problem) for name in objectives]
    start = initial(finite(log_start))

    def body(states: tuple[State, ...], _: None) -> tuple[tuple[State, ...], tuple[Array, ...]]:
        states = tuple(_step(field, optimizer, settings, s) for field, s in zip(fields, states, strict=True))
        return states, tuple(s.policy.log_probs for s in states)

    confined = tuple(confine(field, start) for field in fields)
    _, visited = jax.lax.scan(body, confined, None, length=steps)
    first = start.policy.log_probs[None]
    # Metrics after the scan, in one pass over all steps: ten times cheaper than inside it.
    paths = [jnp.concatenate([first, path]) for path in visited]
    measured = [measure(problem, path) for path in paths]
    return jnp.stack(paths), jax.tree.map(lambda *m: jnp.stack(m), *measured)


@partial(jax.jit, static_argnames=("objective", "optimizer", "steps", "every"))
def batched(
    problems: Problem,
    log_starts: Float[Array, "R K"],
    settings: Settings,
    *,
    objective: str = "reverse_kl",
    optimizer: str = "gd",
    steps: int = 1000,
    every: int = 1,
) -> Metrics:
    """Metrics `[R, E]` of R runs, each with its own problem, start and settings (leading axis R everywhere).

    Measured at the start and after each `every`-th step: E = steps / every + 1. At every step, measuring takes as long
    as the steps themselves. The runs are shared out among all devices; on a CPU, `devices.use_host_devices` makes one
    of each core. Log-probabilities of the way are not kept: 10 000 runs of 1000 steps over 100 categories would fill
    4 GB.

    Raises:
        ValueError: `every` does not divide `steps`.
    """
    if every < 1 or steps % every:
        raise ValueError(f"every must divide steps, {steps}, got {every}")
    run = partial(_scan, every=every, objective=objective, optimizer=optimizer, steps=steps, watch=_metrics)
    mesh = run_mesh()
    runs = len(log_starts)
    # Every device takes as many: the last run is repeated to fill up, and dropped again.
    share = np.minimum(np.arange(-(-runs // mesh.size) * mesh.size), runs - 1)
    everything = jax.tree.map(lambda leaf: leaf[share], (problems, finite(log_starts), settings))
    local = lambda these: jax.lax.map(lambda one: run(*one), these, batch_size=BLOCK)
    spec = PartitionSpec("runs")
    metrics = jax.shard_map(local, mesh=mesh, in_specs=(spec,), out_specs=spec, check_vma=False)(everything)
    kept: Metrics = jax.tree.map(lambda leaf: leaf[:runs], metrics)
    return kept


def begun(
    problem: Problem, log_start: np.ndarray, settings: Settings, *, objective: str = "reverse_kl", optimizer: str = "gd"
) -> Path:
    """`trajectory` in NumPy, float64, with nothing to compile: the same step functions, taken as they are asked for."""
    field = OBJECTIVES[objective](problem)
    state = initial(finite(np.asarray(log_start)))
    return Path(state.policy.log_probs, confine(field, state), partial(OPTIMIZERS[optimizer], field, settings))


kept = KeptPaths(begun)
"""`begun` that goes on where the same run ended: for who changes the number of steps by hand."""


def trajectory_numpy(
    problem: Problem,
    log_start: np.ndarray,
    settings: Settings,
    *,
    objective: str = "reverse_kl",
    optimizer: str = "gd",
    steps: int = 1000,
) -> np.ndarray:
    """So many steps of `begun`, `[E, K]`."""
    return begun(problem, log_start, settings, objective=objective, optimizer=optimizer).until(steps)


def simulate(
    problem: Problem,
    start: Any = None,
    *,
    objectives: tuple[str, ...] = PAIR,
    optimizer: str = "gd",
    settings: Settings | None = None,
    steps: int = 1000,
    progress: Progress = iter,
    begin: Callable[..., Path] = begun,
) -> tuple[Float[np.ndarray, "O E K"], Metrics]:
    """The checked front door of the NumPy path: log-probabilities (-inf for zero) and metrics of each objective.

    Args:
        problem: from `problem.from_rewards` or `problem.from_target`.
        start: p₀; the reference if not given.
        objectives: names in `OBJECTIVES`.
        optimizer: a name in `OPTIMIZERS`.
        settings: step size and the like.
        steps: gradient steps.
        progress: wraps the loop over steps of each objective, for a progress bar.
        begin: makes each path, or `kept`.

    Raises:
        ValueError: an unknown name, a start that shares no category with the target, a run that diverges, or as
            `check_run`.
    """
    settings = settings or Settings()
    check_names(objectives, optimizer)
    start = np.exp(problem.log_reference) if start is None else start
    start = check_run(start, settings, steps, problem.categories)
    for log_probs, name in ((problem.log_target, "target"), (problem.log_reference, "reference")):
        if not ((start > 0) & (log_probs > LOG_ZERO / 2)).any():
            raise ValueError(f"the start has no mass where the {name} has: no step could lead there")
    # Overflow is divergence, which is reported below in words.
    with np.errstate(divide="ignore", under="ignore", over="ignore", invalid="ignore"):
        begin = partial(begin, problem, np.log(start), settings, optimizer=optimizer)
        paths = [begin(objective=name).until(steps, progress) for name in objectives]
        for name, path in zip(objectives, paths, strict=True):
            check_converging(name, path)
        measured = [measure(problem, path) for path in paths]
    return exact(np.stack(paths)), Metrics(*(np.stack(values) for values in zip(*measured, strict=True)))


def flow_error(problem: Problem, start: Any, settings: Settings, *, objective: str, steps: int) -> float:
    """Estimated error of the flow's final probabilities, by Richardson: largest |whole - half steps| · 16/15.

    The classical Runge-Kutta method is of fourth order, so halving the step leaves 1/16 of the error.
    """
    log_start = np.log(np.asarray(start, np.float64))
    halved = settings._replace(step_size=np.float64(settings.step_size) / 2)
    whole = trajectory_numpy(problem, log_start, settings, objective=objective, optimizer="flow", steps=steps)
    half = trajectory_numpy(problem, log_start, halved, objective=objective, optimizer="flow", steps=2 * steps)
    return float(np.abs(np.exp(whole[-1]) - np.exp(half[-1])).max() * 16 / 15)
