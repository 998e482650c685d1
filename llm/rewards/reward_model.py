"""A reward model after Bradley and Terry (1952): P(y ≻ y' | x) = σ(r(x, y) - r(x, y')), r the score of the last token.

r is what a head without bias reads from the last real token of prompt and response (EOS, unless the response was cut),
so that pads and the batch have no part in it. Its zero is arbitrary: a pair says what the difference is and no more.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from modeseek.bandit.objectives.log_probs import kept
from modeseek.bandit.objectives.preference import dpo
from modeseek.checks import require
from modeseek.llm.checkpoints.checkpoint import Checkpoint, open_checkpoint
from modeseek.llm.checkpoints.hub import local_folder
from modeseek.llm.data.order import BEGINNING, Position, batches
from modeseek.llm.data.rows import Rows, pad_rows
from modeseek.llm.data.tokenization import Example
from modeseek.llm.data.tokens import Ids
from modeseek.llm.inference.batched import Progress, in_batches
from modeseek.llm.inference.padding import bucket, check_ids, pad_right
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.inference.tokenizer import FILES, load_tokenizer
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import Params
from modeseek.llm.rewards.calibration import Agreement, agreement
from modeseek.llm.rewards.functions import RewardFunction
from modeseek.llm.training.optimizer import State, start
from modeseek.llm.training.run_checkpoints import RunCheckpoints
from modeseek.llm.training.settings import RewardModelConfig
from modeseek.llm.training.step import make_step
from modeseek.llm.training.trainable import AllParameters


class Comparisons(NamedTuple):
    """Pairs of responses, the preferred one first.

    Attributes:
        tokens: prompt and response, padded on the right with any id.
        lengths: real tokens of each row.
        real: whether there is such a pair; not where a batch is filled up.
    """

    tokens: Int[Array, "B 2 S"] | Int[np.ndarray, "B 2 S"]
    lengths: Int[Array, "B 2"] | Int[np.ndarray, "B 2"]
    real: Bool[Array, "B"] | Bool[np.ndarray, "B"]


def comparisons(rows: Rows) -> Comparisons:
    """Rows of pairs, as `modeseek.llm.data.rows.pad_rows` makes them."""
    return Comparisons(rows.tokens, rows.lengths, np.asarray(rows.real.all(axis=-1)))


def scores(model: Model, params: Params, tokens: Int[Array, "B S"], lengths: Int[Array, "B"]) -> Float[Array, "B"]:
    """r of each row, nats; differentiable."""
    return model.reward(params, model.hidden(params, tokens, lengths), lengths)


@dataclasses.dataclass(frozen=True)
class BradleyTerry:
    """-log σ(r(x, y_w) - r(x, y_l)), the mean over pairs: a `modeseek.llm.training.step.Loss` whose rows are pairs.

    It is DPO's loss with a learnt score in the place of β log π/π_ref, and is computed by the same line.

    Attributes:
        model: with a reward head.
        chunk: no logits are made: it is 1, and counts for nothing.
    """

    model: Model
    chunk: int = 1

    def summed(self, params: Params, batch: Comparisons) -> Float[Array, ""]:
        """Over the pairs that are real."""
        length = batch.tokens.shape[-1]
        rows = jnp.asarray(batch.tokens).reshape(-1, length), jnp.asarray(batch.lengths).reshape(-1)
        pairs = scores(self.model, params, *rows).reshape(-1, 2)
        return kept(dpo(pairs[:, 0] - pairs[:, 1], 1.0), jnp.asarray(batch.real)).sum()

    def divisor(self, batch: Comparisons) -> Float[Array, ""]:
        """The pairs of the whole batch, at least 1."""
        return jnp.maximum(jnp.asarray(batch.real).sum(), 1).astype(jnp.float32)


class RewardState(NamedTuple):
    """Everything that training carries from one step to the next.

    Attributes:
        learner: what is trained, and the optimizer's state; donated to the next step.
        position: where the data stands.
        step: gradient steps so far.
    """

    learner: State
    position: Position = BEGINNING
    step: int = 0


class Trained(NamedTuple):
    """A trained reward model's parameters, and how it judges held-out pairs (None where nothing is held out)."""

    params: Params
    held_out: Agreement | None
    steps: int


def train(
    scorer: ModelWithParams,
    examples: Sequence[Example],
    held_out: Sequence[Example] = (),
    config: RewardModelConfig | None = None,
    *,
    checkpoints: RunCheckpoints | None = None,
    report: Callable[[Mapping[str, Any]], None] = lambda record: None,
    progress: Progress = lambda steps: steps,
) -> Trained:
    """Train a reward model on preferences.

    Args:
        scorer: what to begin with: a policy's trunk and a fresh reward head; its parameters are given up.
        examples: pairs, chosen first.
        held_out: pairs of other prompts.
        config: the run's.
        checkpoints: of a run that may be killed, as `modeseek.llm.training.tune.tune` takes them.
        report: takes a record at each step (`step`, `epoch`, `loss`, `learning_rate`, `update_seconds`), at each
            evaluation (`step`, `held_out_loss`, `held_out_accuracy`, `held_out_calibration_error`, `evaluate_seconds`)
            and at each checkpoint (`step`, `checkpoint_seconds`).
        progress: wraps the step numbers.

    Raises:
        ValueError: examples that are no pairs, fewer of them than a batch, a warm-up longer than the run, ids that the
            model cannot read, or a loss that is no number: the step and its rows are named.
    """
    config = RewardModelConfig() if config is None else config
    for each, what in ((examples, "pairs"), (held_out, "held-out pairs")):
        _check_pairs(each, what, scorer.model.config)
    steps = config.steps(len(examples))
    rate, optimizer = config.optimizer.rate(steps), config.optimizer.transformation(steps)
    trainable = AllParameters(scorer.model.config, ("reward",))
    step = make_step(BradleyTerry(scorer.model), trainable, optimizer=optimizer, accumulate=config.accumulate)
    at_once, judged = 2 * config.batch // config.accumulate, None
    measure = lambda state: judge(ModelWithParams(scorer.model, state.learner.params), held_out, batch=at_once)
    begin = lambda: RewardState(start(scorer.params, optimizer))
    state = begin() if checkpoints is None else checkpoints.begin(begin)
    order = batches(len(examples), config.batch, seed=config.seed, start=state.position)
    for number in progress(range(state.step + 1, steps + 1)):
        began = time.monotonic()
        rows, following = next(order)
        batch = comparisons(pad_rows([examples[i] for i in rows], multiple=config.multiple))
        learner, value = step(state.learner, batch)
        state = RewardState(learner, following, number)
        loss = float(value)
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss of the reward model is {loss} at step {number} (pairs {sorted(rows.tolist())[:8]} …): "
                "take a lower learning rate"
            )
        seconds = round(time.monotonic() - began, 3)
        numbers = {"epoch": following.epoch, "loss": loss, "learning_rate": float(rate(number - 1))}
        report({"step": number, **numbers, "update_seconds": seconds})
        if held_out and (number % config.evaluate_every == 0 or number == steps):
            began = time.monotonic()
            judged = measure(state)
            report(
                {
                    "step": number,
                    "held_out_loss": judged.loss,
                    "held_out_accuracy": judged.accuracy,
                    "held_out_calibration_error": judged.calibration_error,
                    "evaluate_seconds": round(time.monotonic() - began, 3),
                }
            )
        began = time.monotonic()
        if checkpoints is not None and checkpoints.save(number, state, last=number == steps):
            report({"step": number, "checkpoint_seconds": round(time.monotonic() - began, 3)})
    if held_out and judged is None:  # a run that had come to its end has measured and forgotten it
        judged = measure(state)
    return Trained(state.learner.params, judged, steps)


def judge(scorer: ModelWithParams, examples: Sequence[Example], *, batch: int = 64, bins: int = 10) -> Agreement:
    """How a reward model agrees with pairs.

    Args:
        scorer: with a reward head.
        examples: pairs, chosen first.
        batch: rows at once.
        bins: of the calibration.

    Raises:
        ValueError: examples that are no pairs or that the model cannot read, or a score that is not finite.
    """
    _check_pairs(examples, "pairs", scorer.model.config)
    found = score_ids(scorer, [np.append(e.prompt, r) for e in examples for r in e.responses], batch=batch)
    pairs = found.reshape(-1, 2)
    return agreement(pairs[:, 0] - pairs[:, 1], bins)


def score_ids(
    scorer: ModelWithParams,
    rows: Sequence[Ids],
    *,
    pad: int | None = None,
    batch: int = 64,
    progress: Progress = lambda items: items,
) -> np.ndarray:
    """r of sequences, prompt and response together, `[rows]` float64; the longest first, `batch` at a time.

    Args:
        scorer: with a reward head.
        rows: ids of each sequence.
        pad: where a checkpoint names one, r is read at the last other token, as transformers reads it; of a model whose
            pad is its EOS (Pythia's, from TRL) that is the token before EOS.
        batch: rows at once.
        progress: wraps the batches.

    Raises:
        ValueError: ids that the model cannot read, or a score that is not finite.
    """
    lists = [np.asarray(row, np.int64).tolist() for row in rows]
    check_ids(lists, scorer.model.config, name="sequence")
    lists = [_without_end(row, pad) for row in lists]

    def run(numbers: list[int]) -> list[float]:
        padded = pad_right([lists[i] for i in numbers], bucket(len(lists[numbers[0]])))
        return list(np.asarray(_scores(scorer.model, scorer.params, *padded), np.float64).tolist())

    found = np.array(in_batches(lists, min(batch, len(lists)), run, progress))
    for row in np.flatnonzero(~np.isfinite(found))[:1]:
        raise ValueError(f"the score of sequence {row} is {found[row]}: are all the reward model's weights finite?")
    return found


def _without_end(row: list[int], pad: int | None) -> list[int]:
    """The row without the padding ids at its end: what comes later changes nothing of a token's hidden state."""
    kept = len(row)
    while kept > 1 and row[kept - 1] == pad:
        kept -= 1
    return row[:kept]


_scores = functools.partial(jax.jit, static_argnums=0)(scores)


def as_reward(scorer: ModelWithParams, *, pad: int | None = None, batch: int = 64) -> RewardFunction:
    """A reward model as a reward function: it reads the very ids that were sampled, and nothing is tokenised again.

    `pad` and `batch` are those of `score_ids`.

    It raises a ValueError for an id outside its vocabulary and for a sequence that is longer than its context.
    """

    def function(
        prompt_ids: Sequence[np.ndarray], response_ids: np.ndarray, mask: np.ndarray, texts: Any
    ) -> Float[np.ndarray, "P N"]:
        found = np.zeros(mask.shape[:2])
        there = np.argwhere(mask.any(axis=-1)).tolist()
        rows = [np.append(prompt_ids[p], response_ids[p, n][mask[p, n]]) for p, n in there]
        if rows:
            found[tuple(np.transpose(there))] = score_ids(scorer, rows, pad=pad, batch=batch)
        return found

    return function


def open_scorer(source: str, policy: Checkpoint) -> Checkpoint:
    """A reward model that reads the policy's ids as the policy writes them.

    Args:
        source: a local folder, or a name on the Hugging Face hub.
        policy: whose responses it shall judge.

    Raises:
        ValueError: no such source, a model with another head, or another vocabulary.
    """
    scorer = open_checkpoint(local_folder(source))
    require(scorer.heads == ("reward",), f"{source} has a {scorer.heads[0]} head: this needs a reward model")
    check_same_vocabulary(policy.config, scorer.config)
    if any((scorer.folder / name).is_file() for name in FILES):
        same = load_tokenizer(policy.folder).get_vocab() == load_tokenizer(scorer.folder).get_vocab()
        require(same, f"the tokenizer of {source} is not the policy's: ids would mean other words")
    return scorer


def check_same_vocabulary(policy: ModelConfig, scorer: ModelConfig) -> None:
    """Refuse a reward model that would read a policy's ids as other words.

    Raises:
        ValueError: the vocabularies have not one size.
    """
    require(
        policy.vocab_size == scorer.vocab_size,
        f"the reward model reads a vocabulary of {scorer.vocab_size} entries and the policy writes one of "
        f"{policy.vocab_size}: ids would mean other words",
    )


def _check_pairs(examples: Sequence[Example], what: str, config: ModelConfig) -> None:
    for number, example in enumerate(examples, 1):
        if len(example.responses) != 2:
            raise ValueError(f"{what} need two responses each, but number {number} has {len(example.responses)}")
    if examples:
        check_ids([np.append(e.prompt, r).tolist() for e in examples for r in e.responses], config, name="row of pairs")
