"""Supervised fine-tuning: the mean cross-entropy of responses, EOS included; of prompts nothing is learnt."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from modeseek.checks import require
from modeseek.llm.data.order import BEGINNING, Position, batches
from modeseek.llm.data.packing import pack
from modeseek.llm.data.rows import Rows, pad_rows, padded_length, row_lengths, split_by_length
from modeseek.llm.data.tokenization import Example
from modeseek.llm.inference.padding import check_ids
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.parameters import Params
from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
from modeseek.llm.training.optimizer import State, start
from modeseek.llm.training.run_checkpoints import RunCheckpoints
from modeseek.llm.training.settings import SFTConfig
from modeseek.llm.training.step import make_step
from modeseek.llm.training.trainable import AllParameters

Record = Mapping[str, Any]


class HeldOut(NamedTuple):
    """The mean cross-entropy of held-out responses, nats a token, and over how many tokens."""

    loss: float
    tokens: int


class SFTState(NamedTuple):
    """Everything that SFT carries from one step to the next.

    Attributes:
        learner: what is trained, and the optimizer's state; donated to the next step.
        position: where the data stands.
        step: gradient steps so far.
        before: the held-out loss at the start, over no tokens where nothing is held out.
    """

    learner: State
    position: Position = BEGINNING
    step: int = 0
    before: HeldOut = HeldOut(0.0, 0)


class Tuned(NamedTuple):
    """What SFT leaves: parameters, the held-out loss before and after (None where nothing is held out), and steps."""

    params: Params
    before: HeldOut | None
    after: HeldOut | None
    steps: int


def sft(
    policy: ModelWithParams,
    examples: Sequence[Example],
    held_out: Sequence[Example] = (),
    config: SFTConfig | None = None,
    *,
    pad: int = 0,
    checkpoints: RunCheckpoints | None = None,
    report: Callable[[Record], None] = lambda record: None,
    progress: Callable[[Any], Any] = lambda steps: steps,
) -> Tuned:
    """Train a policy on completions.

    Args:
        policy: what to begin with; its parameters are given up (their memory is used for the trained ones).
        examples: each with one response.
        held_out: of the same kind.
        config: the run's.
        pad: the id that fills rows up.
        checkpoints: of a run that may be killed, as `modeseek.llm.training.tune.tune` takes them.
        report: takes a record at each step (`step`, `epoch`, `loss`, `tokens`, `learning_rate`, and of the phases
            `update_seconds`), at each evaluation (`step`, `held_out_loss`, `evaluate_seconds`), and at each checkpoint
            (`step`, `checkpoint_seconds`).
        progress: wraps the step numbers.

    Raises:
        ValueError: examples that have not one response each, fewer of them than a batch, a warm-up longer than the run,
            or a loss that is no number: the step and its rows are named.
    """
    config = SFTConfig() if config is None else config
    for given, what in ((examples, "example"), (held_out, "held-out example")):
        _check(given, f"{what}s")
        ids = [[*each.prompt.tolist(), *each.responses[0].tolist()] for each in given]
        if ids:
            check_ids(ids, policy.model.config, name=what)
    steps = config.steps(len(examples))
    rate, optimizer = config.optimizer.rate(steps), config.optimizer.transformation(steps)
    loss = CrossEntropy(policy.model, config.chunk)
    step = make_step(loss, AllParameters(policy.model.config), optimizer=optimizer, accumulate=config.accumulate)
    measure = _measurer(loss, held_out, config, pad)
    batch_of = _batcher(examples, config, policy.model.config.context, pad)

    def evaluate(params: Params, number: int) -> HeldOut | None:
        began = time.monotonic()
        found = measure(params)
        if found is not None:
            seconds = time.monotonic() - began
            report({"step": number, "held_out_loss": found.loss, "evaluate_seconds": round(seconds, 3)})
        return found

    begin = lambda: SFTState(start(policy.params, optimizer))
    state = begin() if checkpoints is None else checkpoints.begin(begin)
    if state.step == 0:
        state = state._replace(before=evaluate(state.learner.params, 0) or state.before)
    order, after = batches(len(examples), config.batch, seed=config.seed, start=state.position), None
    for number in progress(range(state.step + 1, steps + 1)):
        began = time.monotonic()
        rows, following = next(order)
        batch, learnt = batch_of([examples[i] for i in rows])
        learner, value = step(state.learner, batch)
        state = state._replace(learner=learner, position=following, step=number)
        report(
            {
                "step": number,
                "epoch": following.epoch,
                "loss": _finite(float(value), number, rows),
                "tokens": learnt,
                "learning_rate": float(rate(number - 1)),
                "update_seconds": round(time.monotonic() - began, 3),
            }
        )
        if number % config.evaluate_every == 0 or number == steps:
            after = evaluate(learner.params, number)
        began = time.monotonic()
        if checkpoints is not None and checkpoints.save(number, state, last=number == steps):
            report({"step": number, "checkpoint_seconds": round(time.monotonic() - began, 3)})
    after = after or measure(state.learner.params)  # a run that had come to its end has measured and forgotten it
    return Tuned(state.learner.params, state.before if state.before.tokens else None, after, steps)


def held_out_loss(
    policy: ModelWithParams, examples: Sequence[Example], *, batch: int = 32, pad: int = 0, chunk: int = 4096
) -> HeldOut:
    """The mean cross-entropy of responses, nats a token: over all tokens of all rows, not a mean of batches' means.

    Raises:
        ValueError: no examples, or some that have not one response each.
    """
    _check(examples, "examples")
    config = SFTConfig(batch=batch, chunk=chunk)
    found = _measurer(CrossEntropy(policy.model, chunk), examples, config, pad)(policy.params)
    if found is None:
        raise ValueError("there are no examples to measure a loss on")
    return found


def _measurer(
    loss: CrossEntropy, examples: Sequence[Example], config: SFTConfig, pad: int
) -> Callable[[Params], HeldOut | None]:
    """Parameters → their held-out loss. Rows of like lengths share a batch; the last is filled up."""
    if not examples:
        return lambda params: None
    summed = jax.jit(loss.summed)
    groups = split_by_length(row_lengths(examples), config.batch)
    padded = [
        pad_rows([examples[i] for i in group], pad=pad, prompts=config.batch, multiple=config.multiple)
        for group in groups
    ]
    tokens = sum(int(rows.targets().sum()) for rows in padded)

    def measure(params: Params) -> HeldOut:
        total = sum(float(summed(params, _token_batch(rows))) for rows in padded)
        return HeldOut(total / tokens, tokens)

    return measure


def _check(examples: Sequence[Example], what: str) -> None:
    for number, example in enumerate(examples, 1):
        if len(example.responses) != 1:
            raise ValueError(f"{what} need one response each, but number {number} has {len(example.responses)}")


def _batcher(
    examples: Sequence[Example], config: SFTConfig, context: int, pad: int
) -> Callable[[Sequence[Example]], tuple[TokenBatch, int]]:
    """Examples of a batch → what a step takes, and how many of its tokens are learnt.

    Raises:
        ValueError: packed rows that the model cannot read, or that an example does not fit in.
    """

    def padded(chosen: Sequence[Example]) -> tuple[TokenBatch, int]:
        rows = pad_rows(chosen, pad=pad, multiple=config.multiple)
        return _token_batch(rows), int(rows.targets().sum())

    if not config.pack:
        return padded
    longest = int(row_lengths(examples).max())
    length = min(padded_length(longest, config.multiple), context) if config.pack_length is None else config.pack_length
    require(longest <= length, f"pack_length is {length}, and the longest example has {longest} tokens")
    require(length <= context, f"pack_length is {length}, and the model's context is {context}")
    # A program is compiled for each number of rows: an eighth of the batch apart, there are eight at most.
    apart = config.accumulate * -(-config.batch // (8 * config.accumulate))

    def packed(chosen: Sequence[Example]) -> tuple[TokenBatch, int]:
        rows = pack(chosen, length, multiple=apart, pad=pad)
        whole_rows = jnp.full(len(rows.tokens), length, jnp.int32)
        arrays = jnp.asarray(rows.tokens), whole_rows
        batch = TokenBatch(*arrays, segments=jnp.asarray(rows.segments), targets=jnp.asarray(rows.targets))
        return batch, int(rows.targets.sum())

    return packed


def _token_batch(rows: Rows) -> TokenBatch:
    """The rows of completions; one that is not real has no target."""
    return TokenBatch(*map(jnp.asarray, (rows.tokens[:, 0], rows.lengths[:, 0], rows.starts[:, 0])))


def _finite(loss: float, step: int, rows: np.ndarray) -> float:
    if not math.isfinite(loss):
        shown = ", ".join(map(str, sorted(rows.tolist())[:8])) + (", …" if len(rows) > 8 else "")
        raise ValueError(
            f"the loss of SFT is {loss} at step {step} (rows {shown}): take a lower learning rate or more warm-up"
        )
    return loss
