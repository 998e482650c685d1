"""Any number of rows, a batch at a time: prompts to responses, sequences to their scores, each row by itself."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array

from modeseek.llm.inference import generate as loop
from modeseek.llm.inference.padding import bucket, pad_right
from modeseek.llm.inference.sampling import Sampling
from modeseek.llm.inference.scoring import ModelWithParams, Scores, score
from modeseek.llm.inference.stops import end_of_text, ordinary_ids
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.models.parameters import Params
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.device_memory import chunk_counted
from modeseek.llm.parallel.mesh import MeshShape
from modeseek.processes import gathered

Result = TypeVar("Result")
Progress = Callable[[Iterable[Any]], Iterable[Any]]


@runtime_checkable  # the tests execute every annotation
class Keeper(Protocol):
    """Where finished rows are kept, by their numbers."""

    found: dict[int, Any]

    def add(self, rows: Mapping[int, Any]) -> None:
        """Keep rows that are finished."""
        ...


@dataclasses.dataclass(frozen=True)
class Response:
    """One response to one prompt.

    Attributes:
        prompt_ids: what the model read.
        response_ids: what it wrote, the stop that ended it included.
        log_prob: log π(response | prompt), nats, under the model itself (no temperature, no truncation).
        stopped: whether EOS or a stop ended it; otherwise it was cut at the number of tokens asked for.
        text: the response as text, special tokens included; None without a tokenizer.
    """

    prompt_ids: list[int]
    response_ids: list[int]
    log_prob: float
    stopped: bool
    text: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class ResponseScores:
    """What a model says of one response's T tokens, nats each.

    Attributes:
        log_probs: log π of each token, `[T]`.
        entropy: of each whole next-token distribution, `[T]`; None if it was not asked for.
        kl: KL(model ‖ other) of each next-token distribution, `[T]`; None without another model.
    """

    log_probs: np.ndarray
    entropy: np.ndarray | None = None
    kl: np.ndarray | None = None

    @property
    def log_prob(self) -> float:
        """log π(response | prompt), nats."""
        return float(self.log_probs.sum(dtype="float64"))


class Stops(NamedTuple):
    """What ends a response.

    Attributes:
        ids: sequences of ids, which the loop knows.
        texts: what is looked for in the text afterwards: a text has more tokenisations than the ordinary ones.
    """

    ids: Sequence[Sequence[int]] = ()
    texts: Sequence[str] = ()


NO_STOPS = Stops()


def stops_of(eos: Sequence[int], texts: Sequence[str], tokenizer: Callable[[], Any]) -> Stops:
    """The ids of EOS, and texts with the ids that they are ordinarily written with."""
    return Stops([*([i] for i in eos), *(ids for text in texts for ids in ordinary_ids(tokenizer(), text))], texts)


def generation_memory(
    config: ModelConfig, compute: Compute, prompts: Sequence[Sequence[int]], new_tokens: int, size: int
) -> memory.MemoryEstimate:
    """What `generate_rows` needs for `size` rows at once, decoding parameters included."""
    prompt = bucket(max(map(len, prompts)))
    return memory.inference(config, compute, MeshShape(), size, prompt + bucket(new_tokens), prompt)


def scoring_memory(
    configs: Sequence[ModelConfig], compute: Compute, rows: Sequence[Sequence[int]], size: int, chunk: int
) -> memory.MemoryEstimate:
    """What `score_rows` needs for `size` rows at once, the models' parameters included."""
    length, parts = bucket(max(map(len, rows)) - 1), dict[str, int]()
    chunk = chunk_counted(chunk)
    for config in configs:
        need = memory.scoring(config, compute, MeshShape(), size, length, chunk)
        parts = {name: parts.get(name, 0) + count for name, count in need.parts.items()}
    return memory.MemoryEstimate(parts)


def overflow_cure(dtype: str, option: str = "dtype") -> str:
    """What helps a model whose numbers are not finite in this type; `option` is what the reader calls it."""
    return f"take {option} bfloat16 or float32" if dtype == "float16" else "are all its weights finite?"


def check_finite(numbers: np.ndarray, what: str, dtype: str, cure: str) -> None:
    """Refuse what overflow leaves: softmax gives every token a finite log-prob.

    Args:
        numbers: one a token, of one kind.
        what: whose and which they are, in the error.
        dtype: that the model computes in.
        cure: as `overflow_cure`.

    Raises:
        ValueError: NaN, an infinity or minus infinity (no token of a finite model is impossible).
    """
    for token in np.flatnonzero(~np.isfinite(numbers))[:1]:
        raise ValueError(f"{what} is {numbers[token]} at token {token}: the model overflows in {dtype}; {cure}")


def generate_rows(
    model: Model,
    params: Params,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    *,
    key: Array,
    samples: int = 1,
    batch: int = 64,
    sampling: Sampling = loop.AS_IT_IS,
    stops: Stops = NO_STOPS,
    tokenizer: Callable[[], Any] | None = None,
    cure: str | None = None,
    keeper: Keeper | None = None,
    progress: Progress = lambda items: items,
) -> list[Response]:
    """`samples` responses to each prompt, one prompt's after the other.

    A response depends on the key, its prompt and its number alone, whatever batch it is in.

    Args:
        model: with a language-model head.
        params: as `model.for_decoding` gives them.
        prompts: token ids, checked (`modeseek.llm.inference.padding.check_ids`).
        new_tokens: the most that a response has.
        key: of all draws; consumed.
        samples: responses to each prompt.
        batch: responses at once.
        sampling: temperature, top-k and top-p.
        stops: what ends a response.
        tokenizer: gives what stops as texts are looked for with.
        cure: what the error of a model that overflows advises.
        keeper: has responses of before, which are not made again, and takes the others as they are made.
        progress: wraps the batches.

    Raises:
        ValueError: a log-prob that is not finite.
    """
    rows = [prompt for prompt in prompts for _ in range(samples)]
    cure = overflow_cure(model.compute.dtype) if cure is None else cure

    def response(number: int, ids: list[int], log_probs: np.ndarray, stopped: bool) -> Response:
        what = f"the log-prob of a response to prompt {number // samples}"
        check_finite(log_probs, what, model.compute.dtype, cure)
        # The loop knows a stop's ordinary ids alone, and may have missed an end.
        end = end_of_text(tokenizer(), ids, stops.texts) if stops.texts and tokenizer is not None else None
        kept = ids[:end]  # None keeps all
        log_prob = float(log_probs[: len(kept)].sum(dtype="float64"))
        return Response(list(rows[number]), kept, log_prob, stopped or end is not None)

    def run(numbers: list[int]) -> list[Response]:
        keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(np.array(numbers))
        padded = pad_right([rows[i] for i in numbers])
        how: dict[str, Any] = {"keys": keys, "sampling": sampling, "stops": stops.ids}
        out = jax.device_get(gathered(loop.generate(model, params, *padded, new_tokens, **how)))
        return [
            response(number, tokens[:length].tolist(), log_probs[:length], bool(stopped))
            for number, tokens, length, stopped, log_probs in zip(
                numbers, out.tokens, out.lengths, out.stopped, out.log_probs, strict=True
            )
        ]

    return in_batches(rows, min(batch, len(rows)), run, progress, keeper)


def score_rows(
    models: Sequence[ModelWithParams],
    rows: Sequence[Sequence[int]],
    starts: Sequence[int],
    *,
    batch: int = 8,
    chunk: int = 1024,
    with_entropy: bool = False,
    cure: str | None = None,
    keeper: Keeper | None = None,
    progress: Progress = lambda items: items,
) -> list[ResponseScores]:
    """Scores of each row's tokens from its start on.

    Args:
        models: one, or two of one vocabulary for KL(first ‖ second).
        rows: token ids, checked.
        starts: where what is scored begins, at least 1.
        batch: rows at once.
        chunk: tokens whose logits are held at once.
        with_entropy: whether the entropies are wanted.
        cure: what the error of a model that overflows advises.
        keeper: has scores of before, and takes the others as they are made.
        progress: wraps the batches.

    Raises:
        ValueError: a number that is not finite.
    """
    bare, dtype = tuple(each.model for each in models), models[0].model.compute.dtype
    cure = overflow_cure(dtype) if cure is None else cure
    params = [each.params for each in models]

    def of_row(number: int, row: int, scores: Scores) -> ResponseScores:
        mask = np.asarray(scores.mask[row])
        named = {"log_prob": scores.log_probs, "entropy": scores.entropy, "kl": scores.kl}
        kept = {name: None if each is None else np.asarray(each)[row][mask] for name, each in named.items()}
        for name, each in kept.items():
            if each is not None:
                check_finite(each, f"the {name} of record {number}", dtype, cure)
        assert kept["log_prob"] is not None
        return ResponseScores(kept["log_prob"], kept["entropy"], kept["kl"])

    def run(numbers: list[int]) -> list[ResponseScores]:
        # One more than a bucket: the last token is scored, not read.
        tokens, lengths = pad_right([rows[i] for i in numbers], bucket(len(rows[numbers[0]]) - 1) + 1)
        first = np.array([starts[i] for i in numbers], np.int32)
        scores = jax.device_get(gathered(_scores(bare, with_entropy, chunk, params, tokens, lengths, first)))
        return [of_row(number, row, scores) for row, number in enumerate(numbers)]

    return in_batches(rows, min(batch, len(rows)), run, progress, keeper)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _scores(
    models: tuple[Model, ...],
    with_entropy: bool,
    chunk: int,
    params: list[Params],
    tokens: Array,
    lengths: Array,
    starts: Array,
) -> Scores:
    """`score`, compiled once for models, options and shapes: a run that evaluates often compiles no more."""
    both = [ModelWithParams(model, p) for model, p in zip(models, params, strict=True)]
    other = both[1] if len(both) > 1 else None
    return score(both[0], tokens, lengths, starts, other=other, with_entropy=with_entropy, chunk=chunk)


def in_batches(
    rows: Sequence[Sequence[int]],
    size: int,
    run: Callable[[list[int]], Iterable[Result]],
    progress: Progress = lambda items: items,
    keeper: Keeper | None = None,
) -> list[Result]:
    """Results of all rows in their order, `size` rows at a time, the longest first: each batch is padded little.

    What is kept changes no batch: a row that is made after an interruption has the same neighbours, and the same bits.

    Args:
        rows: token ids.
        size: rows at once; the last batch is filled up with its own first row, so that it has the others' shape.
        run: indices of `size` rows, the longest first, to a result for each.
        progress: wraps the batches.
        keeper: has results of before, and takes batches of which some were missing.
    """
    results: dict[int, Result] = {} if keeper is None else dict(keeper.found)
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    for batch in progress([batch for batch in batches if any(i not in results for i in batch)]):
        found = run([*batch, *[batch[0]] * (size - len(batch))])
        new = dict(zip(batch, found, strict=False))  # what fills up is dropped
        results |= new
        if keeper is not None:
            keeper.add(new)
    return [results[i] for i in range(len(rows))]
