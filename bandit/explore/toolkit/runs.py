"""Training for an explorer: one program for each shape, whatever its numbers; a collection of every seed at a time."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from modeseek.bandit.objectives.log_probs import shift
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig, Static
from modeseek.bandit.simulator.devices import use_compilation_cache
from modeseek.bandit.simulator.evaluate import Evaluation
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.memory import check_room
from modeseek.bandit.simulator.objective import as_batch, response_weights
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.simulator.policy import Params, make_policy
from modeseek.bandit.simulator.programs import Programs
from modeseek.bandit.simulator.run import Run
from modeseek.bandit.simulator.sampling import score
from modeseek.bandit.simulator.train import TrainState, pretrain_seed, run_collection, start


class Turn(NamedTuple):
    """What an explorer shows of one collection; E evaluations.

    Attributes:
        evaluation: after gradient steps, each `[E]`.
        token_distribution: at the end, for each position.
        responses: the collection's tokens, without prompts.
        rewards: their rewards.
        weights: `response_weights` at the policy before the collection's first step.
        log_ratios: log policy - log behavior of each response after the last step, nats.
        diverged_at: gradient step of the first number that was not finite; -1 if none.
    """

    evaluation: Evaluation
    token_distribution: Float[Array, "T V"]
    responses: Int[Array, "P N T"]
    rewards: Float[Array, "P N"]
    weights: Float[Array, "P N"]
    log_ratios: Float[Array, "P N"]
    diverged_at: Int[Array, ""]


def take_turn(state: TrainState, run: Run, config: Static) -> tuple[TrainState, Turn]:
    """`run_collection`, and what its batch looked like to the policy before and after.

    Raises:
        ValueError: frozen copies are not whole, so that a collection does not hold their log-probs.
    """
    if config.conventions.frozen_copies != "whole":
        raise ValueError(f"an explorer trains with frozen_copies 'whole', got {config.conventions.frozen_copies!r}")
    policy, before = make_policy(config), state.params
    state, metrics = run_collection(state, run, config)
    data = state.batch
    tokens = data.tokens.reshape(-1, data.tokens.shape[-1])

    def scored(params: Params) -> Array:
        return score(policy, params, tokens, config.conventions.scoring).reshape(data.behavior_token_log_probs.shape)

    return state, Turn(
        evaluation=metrics.evaluation,
        token_distribution=metrics.token_distribution,
        responses=shift(data.tokens)[1],
        rewards=data.rewards,
        weights=response_weights(as_batch(data, scored(before)), run, config),
        log_ratios=(scored(state.params) - data.behavior_token_log_probs).sum(axis=-1),
        diverged_at=state.diverged_at,
    )


class Reference:
    """Policies at the reference; no knob of Algorithm 1 is in their shapes."""

    def __init__(self, static: Static, run: Run) -> None:
        self.programs, self._numbers = Programs(), static.pretraining
        args = run.problem, run.seed
        self.shapes = self.programs.compile("pretrain", lambda p, s: pretrain_seed(p, s, static), *args).params
        self._kept: dict[Any, Params] = {}

    def __call__(self, run: Run) -> Params:
        """Where a run starts from; the last few are kept.

        Raises:
            ValueError: pretraining has not come near enough to the reference.
        """
        key = (int(run.seed), np.asarray(run.problem.reference_log_probs).tobytes())
        if key not in self._kept:
            pretrained = self.programs("pretrain", run.problem, run.seed)
            if not pretrained.kl_to_reference <= self._numbers.tolerance:
                raise ValueError(
                    f"pretraining ended {float(pretrained.kl_to_reference):.3g} nats from this reference after "
                    f"{self._numbers.steps} steps, more than {self._numbers.tolerance:g}: choose a reference that is "
                    "less peaked, or the table, which needs no pretraining"
                )
            _forget(self._kept, 20)
            self._kept[key] = pretrained.params
        return self._kept[key]


_references: dict[Static, Reference] = {}
_programs: dict[Static, Programs] = {}


def _forget(kept: dict[Any, Any], most: int) -> None:
    while len(kept) >= most:
        kept.pop(next(iter(kept)))


def _shape(static: Static) -> Static:
    """How many collections are taken is up to the loop on the host; nothing is compiled for it."""
    return dataclasses.replace(static, algorithm=dataclasses.replace(static.algorithm, collections=1))


def compiled(experiment: Experiment) -> bool:
    """Whether training this needs no compilation."""
    static = _shape(experiment.static)
    return static in _programs and _programs[static].ready


def programs_for(static: Static, run: Run) -> tuple[Reference, Programs]:
    """What a training needs, compiled once a process."""
    alone = dataclasses.replace(static, algorithm=AlgorithmConfig(), evaluation=EvaluationConfig())
    if alone not in _references:
        _forget(_references, 8)
        _references[alone] = Reference(alone, run)
    reference, shape = _references[alone], _shape(static)
    if shape not in _programs:
        _forget(_programs, 32)
        programs = _programs[shape] = Programs()
        state, _, _ = programs.compile("start", lambda p, r: start(p, r, shape), reference.shapes, run)
        programs.compile("turn", lambda s, r: take_turn(s, r, shape), state, run)
    return reference, _programs[shape]


class Progress(NamedTuple):
    """How far a training is.

    Attributes:
        share: of the work, 0 to 1.
        doing: in words.
        initial: evaluation and token distribution at the reference, for each seed; None before they are known.
        turns: so far, `[seed][collection]`, equally many for every seed.
    """

    share: float
    doing: str
    initial: Sequence[tuple[Evaluation, np.ndarray]] | None
    turns: Sequence[Sequence[Turn]]


def train(experiment: Experiment, method: str) -> Iterator[Progress]:
    """Algorithm 1 of one of the experiment's methods on its first reward, all seeds abreast, a collection at a time.

    All its methods are compiled in, which costs next to nothing, so that another one finds the same program. The
    caller stops it by not asking for more; there is a yield after each piece of work.

    Raises:
        ValueError: the method is none of them, there is too little memory, or pretraining has not come near enough to
            the reference.
    """
    check_room(experiment, experiment.seeds)  # their states are held abreast
    use_compilation_cache()
    plan = make_plan(experiment)
    names = plan.axes[0].labels
    if method not in names:
        raise ValueError(f"method must be one of {', '.join(names)}, got {method!r}")
    first = names.index(method) * (plan.total // len(names))
    runs = [jax.tree.map(lambda a, i=first + i: jnp.asarray(a[i]), plan.runs) for i in range(experiment.seeds)]
    yield Progress(0.0, "compiling for these shapes", None, ())
    reference, programs = programs_for(experiment.static, runs[0])
    params = []
    for i, run in enumerate(runs):
        yield Progress(0.0, f"bringing seed {i + 1} of {len(runs)} to the reference", None, ())
        params.append(reference(run))
    states, initial = [], []
    for each, run in zip(params, runs, strict=True):
        state, evaluation, tokens = programs("start", each, run)
        states.append(state)
        initial.append((jax.tree.map(np.asarray, evaluation), np.asarray(tokens)))
    turns: list[list[Turn]] = [[] for _ in runs]
    collections = experiment.algorithm.collections
    yield Progress(0.0, "compiling for these shapes", initial, turns)
    for done in range(collections):
        fresh = []
        for i, run in enumerate(runs):
            states[i], turn = programs("turn", states[i], run)
            fresh.append(jax.tree.map(np.asarray, turn))
            if i + 1 < len(runs):
                yield Progress((done + (i + 1) / len(runs)) / collections, _counted(done, collections), initial, turns)
        for have, turn in zip(turns, fresh, strict=True):
            have.append(turn)
        yield Progress((done + 1) / collections, _counted(done + 1, collections), initial, turns)


def _counted(done: int, collections: int) -> str:
    return f"{done} of {collections} collections"
