"""Records to token ids: prompt and response apart, EOS behind each response, limits kept and what they cost counted."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from modeseek.checks import choices, whole
from modeseek.llm.data.records import Completion, PreferencePair, Record
from modeseek.llm.data.report import Report
from modeseek.llm.data.templates import Template, Written
from modeseek.llm.data.tokens import TextTokens

NO_PROMPT = "the prompt has no tokens"
LONG_PROMPT = "the prompt is over the limit"
LONG_RESPONSE = "a response is over the limit"
IDENTICAL_ONCE_CUT = "chosen and rejected are the same tokens"
TEMPLATE = "the template cannot write the row"


@dataclass(frozen=True)
class Limits:
    """How long a row may be, in tokens; the paper's numbers by default.

    Attributes:
        max_prompt: tokens of a prompt, BOS included.
        max_response: tokens of a response, EOS included.
        long_prompts: over the limit, a prompt loses its oldest tokens (BOS stays), or its row is dropped.
        long_responses: over the limit, a response is cut on its right and has no EOS, since it did not end there, or
            its row is dropped.
    """

    max_prompt: int = 128
    max_response: int = 256
    long_prompts: Literal["cut", "drop"] = "cut"
    long_responses: Literal["cut", "drop"] = "cut"

    def __post_init__(self) -> None:
        choices(self)
        whole("max_prompt", self.max_prompt, 1)
        whole("max_response", self.max_response, 1)


@dataclass(frozen=True)
class Example:
    """One record's ids.

    Attributes:
        prompt: `[L]` int32, at least one.
        responses: each `[T]` int32, EOS at its end unless it was cut; chosen first in a pair, none for a bare prompt.
        label: of a labelled completion.
    """

    prompt: np.ndarray
    responses: tuple[np.ndarray, ...]
    label: bool | None = None


class Tokenized(NamedTuple):
    """Examples, the records that they were made of, one each, and what became of all records."""

    examples: list[Example]
    records: list[Record]
    report: Report


def tokenize(
    records: Sequence[Record], tokens: TextTokens, template: Template, limits: Limits | None = None
) -> Tokenized:
    """Token ids of each record.

    Prompt and response are tokenised apart, as a policy meets them: it reads the prompt's ids and writes the
    response's. No id of the prompt depends on the response.

    Raises:
        ValueError: there are no records, or the template can write none of them (the first reason is given).
    """
    limits = limits or Limits()
    dropped: Counter[str] = Counter()
    texts: list[tuple[Record, Written]] = []
    reason = "there are none"
    for record in records:
        try:
            texts.append((record, template.write(record)))
        except ValueError as error:
            reason = str(error) if not dropped else reason
            dropped[TEMPLATE] += 1
    if not texts:
        raise ValueError(f"no row can be written: {reason}")

    kept: list[_Encoded] = []
    for encoded in _encode(texts, tokens, special=template.writes_special_tokens):
        fault = _fault(encoded, limits)
        if fault is None:
            kept.append(encoded)
        else:
            dropped[fault] += 1
    report = Report(
        read=len(records),
        kept=len(kept),
        dropped=dict(dropped),
        cut_prompts=sum(len(row.prompt) > limits.max_prompt for row in kept),
        cut_responses=sum(len(ids) > limits.max_response for row in kept for ids in row.responses),
        altered_prompts=sum(row.prompt_altered for row in kept),
        altered_responses=sum(row.responses_altered for row in kept),
    )
    return Tokenized([_example(row, tokens.prefix, limits) for row in kept], [row.record for row in kept], report)


class _Encoded(NamedTuple):
    """A record's ids before they are cut, EOS behind each response, and whether its texts came back otherwise."""

    record: Record
    prompt: list[int]
    responses: list[list[int]]
    prompt_altered: bool
    responses_altered: int


def _encode(texts: Sequence[tuple[Record, Written]], tokens: TextTokens, *, special: bool) -> Iterator[_Encoded]:
    """All texts in two calls of the tokenizer, one for each of its readings."""
    prompts = tokens.encode_prompts([text.prompt for _, text in texts], special=special)
    added = 0 if special else len(tokens.prefix)
    prompts_back = tokens.decode([ids[added:] for ids in prompts])
    flat = [response for _, text in texts for response in text.responses]
    encoded = tokens.encode_responses(flat, special=special)
    responses = iter(zip(encoded, tokens.decode_responses(encoded), strict=True))
    for (record, text), prompt, prompt_back in zip(texts, prompts, prompts_back, strict=True):
        own = list(itertools.islice(responses, len(text.responses)))
        yield _Encoded(
            record=record,
            prompt=prompt,
            responses=[[*ids, tokens.eos] for ids, _ in own],
            prompt_altered=prompt_back != text.prompt,
            responses_altered=sum(back != given for (_, back), given in zip(own, text.responses, strict=True)),
        )


def _fault(row: _Encoded, limits: Limits) -> str | None:
    """Why a row cannot be used, if it cannot."""
    if not row.prompt:
        return NO_PROMPT
    if limits.long_prompts == "drop" and len(row.prompt) > limits.max_prompt:
        return LONG_PROMPT
    if limits.long_responses == "drop" and any(len(ids) > limits.max_response for ids in row.responses):
        return LONG_RESPONSE
    if isinstance(row.record, PreferencePair):
        chosen, rejected = (ids[: limits.max_response] for ids in row.responses)
        if chosen == rejected:
            return IDENTICAL_ONCE_CUT
    return None


def _example(row: _Encoded, prefix: tuple[int, ...], limits: Limits) -> Example:
    prompt = row.prompt
    if len(prompt) > limits.max_prompt:
        begins = len(prefix) if tuple(prompt[: len(prefix)]) == prefix else 0
        room = limits.max_prompt - begins
        prompt = prompt[:begins] + prompt[-room:] if room > 0 else prompt[-limits.max_prompt :]
    return Example(
        prompt=np.array(prompt, np.int32),
        responses=tuple(np.array(ids[: limits.max_response], np.int32) for ids in row.responses),
        label=row.record.label if isinstance(row.record, Completion) else None,
    )
