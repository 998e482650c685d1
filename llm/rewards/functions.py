"""Rewards as plain functions: any of (prompt ids, response ids, mask, texts), called so that a fault names its row.

def polite(prompt_ids, response_ids, mask, texts):
    return [[float("please" in text) for text in group] for group in texts]

rewards = call(polite, responses_of(prompts, answers, tokens))  # [P, N]
"""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from modeseek.checks import choices, positive, require
from modeseek.llm.data.rows import Rows
from modeseek.llm.data.scenarios import PAPER_MODE, Gold, min_length, mode_length
from modeseek.llm.data.tokenization import Example
from modeseek.llm.data.tokens import Ids, TextTokens

Texts = Sequence[Sequence[str]]

RewardFunction = Callable[[Sequence[np.ndarray], np.ndarray, np.ndarray, Texts | None], Any]
"""Takes the four fields of `Responses` in their order; gives a finite number for each response, `[P, N]`.

Anything that can be called so: a function, a `functools.partial`, an object. What it gives may be nested lists, or an
array of NumPy's or JAX's.
"""


class Responses(NamedTuple):
    """P prompts with up to N responses each, as a reward function reads them.

    Attributes:
        prompt_ids: of each prompt, P arrays `[L]` int32.
        response_ids: `[P, N, T]` int32, from the response's first token, EOS included; anything where `mask` is false.
        mask: which of them are real, `[P, N, T]` bool; nowhere in a response that is not there.
        texts: of each response, without the EOS that ends it, P groups of N; None where there is no tokenizer.
    """

    prompt_ids: Sequence[np.ndarray]
    response_ids: np.ndarray
    mask: np.ndarray
    texts: Texts | None

    @property
    def real(self) -> np.ndarray:
        """Which responses are there, `[P, N]` bool."""
        return np.asarray(self.mask.any(axis=-1))

    def at(self, prompt: int, response: int) -> "Responses":
        """One response by itself, P = N = 1."""
        alone = (slice(prompt, prompt + 1), slice(response, response + 1))
        texts = None if self.texts is None else [[self.texts[prompt][response]]]
        return Responses([self.prompt_ids[prompt]], self.response_ids[alone], self.mask[alone], texts)


def responses_of(
    prompts: Sequence[Ids],
    responses: Sequence[Sequence[Ids]],
    tokens: TextTokens | None = None,
    *,
    eos: Sequence[int] | None = None,
) -> Responses:
    """Responses from their ids.

    Args:
        prompts: ids of each.
        responses: a group of them for each prompt; groups may differ in size. One without ids is not there: a response
            that says nothing is an EOS.
        tokens: writes the texts, if they are wanted.
        eos: ids that end a response, and are not written as text; the tokens' own, if not given.

    Raises:
        ValueError: another number of groups than of prompts, or no response at all.
    """
    require(len(prompts) == len(responses), f"{len(prompts)} prompts have {len(responses)} groups of responses")
    require(any(len(group) for group in responses), "there are no responses to reward")
    count = max(len(group) for group in responses)
    room = max(1, *(len(ids) for group in responses for ids in group))
    ids = np.zeros((len(prompts), count, room), np.int32)
    mask = np.zeros(ids.shape, bool)
    for p, group in enumerate(responses):
        for n, response in enumerate(group):
            ids[p, n, : len(response)] = response
            mask[p, n, : len(response)] = True
    texts = None
    if tokens is not None:
        ends = (tokens.eos,) if eos is None else eos
        filled = [without_end(ids[p, n][mask[p, n]], ends) for p in range(len(ids)) for n in range(count)]
        decoded = tokens.decode_responses(filled)
        texts = [decoded[i : i + count] for i in range(0, len(decoded), count)]
    return Responses([np.asarray(prompt, np.int32) for prompt in prompts], ids, mask, texts)


def responses_in(rows: Rows, tokens: TextTokens | None = None) -> Responses:
    """The responses that rows hold: `[P, N, S]` on the device or not, prompts and all, to what follows the prompts.

    A prompt without any real response has no ids.
    """
    rows = Rows(*(np.asarray(array) for array in rows))
    count = rows.tokens.shape[1]
    prompts, groups = [], []
    for ids, lengths, starts, real in zip(*rows, strict=True):
        first = int(real.argmax())
        prompts.append(ids[first, : starts[first] if real[first] else 0])
        groups.append([ids[n, starts[n] : lengths[n] if real[n] else 0] for n in range(count)])
    return responses_of(prompts, groups, tokens)


def without_end(ids: Ids, eos: Sequence[int]) -> Ids:
    """A response without the EOS at its end, if one is there."""
    return ids[:-1] if len(ids) and int(ids[-1]) in eos else ids


def call(function: RewardFunction, responses: Responses, name: str = "the reward") -> np.ndarray:
    """The rewards of responses, `[P, N]` float32; 0 for those that are not there.

    Args:
        function: called once; if it fails, then with one response at a time, to learn which one it fails on.
        responses: what it reads.
        name: of the function, in errors.

    Raises:
        ValueError: the function raises, or gives None, another shape, or for some response no finite number. The error
            names the prompt and the response, counted from 0.
    """
    try:
        given = function(*responses)
    except Exception as error:
        place, cause = _first_failure(function, responses) or (f"{len(responses.mask)} prompts together", error)
        raise ValueError(f"{name} raised {type(cause).__name__} for {place}: {cause}") from cause
    return _checked(given, responses, name)


def of_examples(
    function: RewardFunction,
    tokens: TextTokens | None = None,
    name: str = "the reward",
    *,
    eos: Sequence[int] | None = None,
) -> Callable[[Sequence[Example]], np.ndarray]:
    """A reward function that judges examples, `[P, N]` float32, as `call` does: Algorithm 1 takes it so.

    Args:
        function: of ids, masks and texts.
        tokens: writes the texts, if the function reads them.
        name: of the function, in errors.
        eos: ids that end a response, as `responses_of` takes them.
    """
    return lambda examples: call(
        function, responses_of([e.prompt for e in examples], [e.responses for e in examples], tokens, eos=eos), name
    )


def _first_failure(function: RewardFunction, responses: Responses) -> tuple[str, Exception] | None:
    """Which response a function fails on by itself, and how."""
    for p, n in np.argwhere(responses.real).tolist():
        try:
            function(*responses.at(p, n))
        except Exception as error:
            return _place(responses, p, n), error
    return None


def _checked(given: Any, responses: Responses, name: str) -> np.ndarray:
    """Finite numbers of the right shape, or an error that says where they are not."""
    real = responses.real
    wanted = f"{name} must give {real.shape[1]} reward(s) for each of {real.shape[0]} prompt(s)"
    require(given is not None, f"{wanted}, got None")
    if isinstance(given, list | tuple):
        sizes = [len(group) if hasattr(group, "__len__") else None for group in given]
        for p, size in enumerate(sizes):
            require(size == real.shape[1], f"{wanted}, got {_shown(given[p])} for prompt {p}")
    array = np.asarray(given, dtype=object if isinstance(given, list | tuple) else None)
    require(array.shape == real.shape, f"{wanted}, got the shape {array.shape}")
    rewards = np.zeros(real.shape, np.float32)
    for p, n in np.argwhere(real).tolist():
        with np.errstate(over="ignore"), contextlib.suppress(TypeError, ValueError):
            rewards[p, n] = np.nan if isinstance(array[p, n], str | bytes) else array[p, n]
            if np.isfinite(rewards[p, n]):
                continue
        raise ValueError(f"{name} is {array[p, n]!r} for {_place(responses, p, n)}: not a finite number")
    return rewards


def _place(responses: Responses, prompt: int, response: int) -> str:
    text = "" if responses.texts is None else f" ({_shown(responses.texts[prompt][response])})"
    return f"prompt {prompt}, response {response}{text}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def of_texts(gold: Gold) -> RewardFunction:
    """A function of one response's text (`modeseek.llm.data.scenarios.min_length()`, say) as a reward function."""

    def function(prompt_ids: Any, response_ids: Any, mask: np.ndarray, texts: Texts | None) -> list[list[float]]:
        if texts is None:
            raise ValueError("it reads texts, and there is no tokenizer to write them")
        one = lambda text, real: gold(text) if real.any() else 0.0
        return [[one(*each) for each in zip(*group, strict=True)] for group in zip(texts, mask, strict=True)]

    return function


def of_ids(gold: Gold, eos: Sequence[int]) -> RewardFunction:
    """A function of one response's ids (`min_length(len)`, say), without the EOS that ends it, as a reward function."""

    def function(prompt_ids: Any, response_ids: np.ndarray, mask: np.ndarray, texts: Any) -> list[list[float]]:
        one = lambda y, real: gold(without_end(y[real], eos)) if real.any() else 0.0
        return [[one(*each) for each in zip(*group, strict=True)] for group in zip(response_ids, mask, strict=True)]

    return function


@dataclasses.dataclass(frozen=True)
class LengthGold:
    """The gold reward of Min Length and Skew Length, or of Mode Length (`modeseek.llm.data.scenarios`).

    Attributes:
        scenario: shorter is better, or nearer to `mode` is.
        unit: what a length counts; EOS counts for neither.
        mode: the length with the highest reward of Mode Length.
    """

    scenario: Literal["min_length", "mode_length"] = "min_length"
    unit: Literal["words", "tokens"] = "words"
    mode: float = PAPER_MODE

    def __post_init__(self) -> None:
        choices(self)
        positive("mode", self.mode)

    def function(self, eos: Sequence[int]) -> RewardFunction:
        """The reward function, for responses that one of these ids ends."""
        counted: dict[str, Any] = {} if self.unit == "words" else {"length": len}
        gold = min_length(**counted) if self.scenario == "min_length" else mode_length(self.mode, **counted)
        return of_texts(gold) if self.unit == "words" else of_ids(gold, eos)
