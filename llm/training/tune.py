"""Algorithm 1 from its first collection to its last, with evaluations in between."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import jax
import optax

from modeseek.checks import whole
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.low_rank import Adapter
from modeseek.llm.models.parameters import Params
from modeseek.llm.training.algorithm1 import Algorithm1, Record, TuneState
from modeseek.llm.training.collection import Reward
from modeseek.llm.training.run_checkpoints import RunCheckpoints
from modeseek.llm.training.tune_config import TuneConfig


class Tuned(NamedTuple):
    """What a run gives.

    Attributes:
        params: the policy's, adapters merged.
        steps: gradient steps.
        adapter: what was trained beside the start's own parameters; None if all of them were.
    """

    params: Params
    steps: int
    adapter: Adapter | None


def tune(
    policy: ModelWithParams,
    data: Sequence[Example],
    config: TuneConfig,
    *,
    reward: Reward | None = None,
    reference: Params | None = None,
    eos: Sequence[int] = (),
    pad: int = 0,
    optimizer: optax.GradientTransformation | None = None,
    mesh: jax.sharding.Mesh | None = None,
    evaluate: Callable[[Params, int], Mapping[str, float]] | None = None,
    evaluate_every: int = 10,
    checkpoints: RunCheckpoints | None = None,
    report: Callable[[Record], None] = lambda record: None,
    progress: Callable[[Iterable[int]], Iterable[int]] = lambda items: items,
) -> Tuned:
    """Algorithm 1 from its first collection to its last.

    Args:
        policy: as `Algorithm1` takes it, and so are data, config, reward, reference, eos, pad and optimizer.
        data: prompts, with responses where they are not sampled.
        config: see there.
        reward: judges responses.
        reference: the policy at the start, if None.
        eos: ids that end a sampled response.
        pad: the id that fills rows up.
        optimizer: any of optax's.
        mesh: of this process's devices, or of several hosts' that all do this alike; one device, if None.
        evaluate: parameters and gradient steps so far → numbers; before the first collection, at every
            `evaluate_every`-th and at the last.
        evaluate_every: in collections.
        checkpoints: of a run that may be killed: called anew with the same arguments, it goes on from the last one, and
            ends with the same bits (on one device) as if it had not been stopped.
        report: takes the records of `Algorithm1.turn`, one of each evaluation, with `evaluate_seconds`, and one of each
            checkpoint, with `checkpoint_seconds`, the time for which the run waited for it.
        progress: wraps the numbers of the collections.

    Raises:
        ValueError: as `Algorithm1`, its `turn`, and `RunCheckpoints`.
    """
    whole("evaluate_every", evaluate_every, 1)
    loop = Algorithm1(
        policy, data, config, reward=reward, reference=reference, eos=eos, pad=pad, optimizer=optimizer, mesh=mesh
    )
    state = loop.start() if checkpoints is None else checkpoints.begin(loop.start)

    def measure(state: TuneState) -> None:
        if evaluate is None:
            return
        began = time.monotonic()
        numbers = dict(evaluate(loop.params(state), state.step))
        seconds = round(time.monotonic() - began, 3)
        report({"collection": state.collection, "step": state.step, **numbers, "evaluate_seconds": seconds})

    if state.collection == 0:
        measure(state)
    for number in progress(range(state.collection + 1, config.collections + 1)):
        state, last = loop.turn(state, report), number == config.collections
        if number % evaluate_every == 0 or last:
            measure(state)
        began = time.monotonic()
        if checkpoints is not None and checkpoints.save(number, state, last=last):
            seconds = round(time.monotonic() - began, 3)
            report({"collection": state.collection, "step": state.step, "checkpoint_seconds": seconds})
    return Tuned(loop.params(state), state.step, loop.adapter(state))
