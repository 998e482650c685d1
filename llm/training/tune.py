"""Algorithm 1 from its first collection to its last, with evaluations in between."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import optax

from modeseek.checks import whole
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.parameters import Params
from modeseek.llm.training.algorithm1 import Algorithm1, Record, TuneState
from modeseek.llm.training.collection import Reward
from modeseek.llm.training.tune_config import TuneConfig


class Tuned(NamedTuple):
    """What a run gives.

    Attributes:
        params: the policy's, adapters merged.
        steps: gradient steps.
    """

    params: Params
    steps: int


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
    evaluate: Callable[[Params, int], Mapping[str, float]] | None = None,
    evaluate_every: int = 10,
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
        evaluate: parameters and gradient steps so far → numbers; before the first collection, at every
            `evaluate_every`-th and at the last.
        evaluate_every: in collections.
        report: takes the records of `Algorithm1.turn`, and one of each evaluation, with `evaluate_seconds`.
        progress: wraps the numbers of the collections.

    Raises:
        ValueError: as `Algorithm1` and its `turn`.
    """
    whole("evaluate_every", evaluate_every, 1)
    loop = Algorithm1(policy, data, config, reward=reward, reference=reference, eos=eos, pad=pad, optimizer=optimizer)
    state = loop.start()

    def measure(state: TuneState) -> None:
        if evaluate is None:
            return
        began = time.monotonic()
        numbers = dict(evaluate(loop.params(state), state.step))
        seconds = round(time.monotonic() - began, 3)
        report({"collection": state.collection, "step": state.step, **numbers, "evaluate_seconds": seconds})

    measure(state)
    for number in progress(range(1, config.collections + 1)):
        state = loop.turn(state, report)
        if number % evaluate_every == 0 or number == config.collections:
            measure(state)
    return Tuned(loop.params(state), state.step)
