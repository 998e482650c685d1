"""Records to token ids: prompt and response apart, EOS behind each response, limits kept and what they cost counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from modeseek.checks import choices, whole
from modeseek.llm.data.records import Completion, PreferencePair, Record
from modeseek.llm.data.report import Report
from modeseek.llm.data.templates import Template
from modeseek.llm.data.tokens import TextTokens

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
    """Examples, and what became of the records."""

    examples: list[Example]
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
    written, sources, reason = [], [], None
    for record in records:
        try:
            written.append(template.write(record))
            sources.append(record)
        except ValueError as error:
            reason = reason or str(error)
            dropped[TEMPLATE] += 1
    if not written:
        raise ValueError("there are no rows" if reason is None else f"no row can be written: {reason}")

    special = template.writes_special_tokens
    prompts = tokens.encode_prompts([text.prompt for text in written], special=special)
    bare = [ids if special else ids[len(tokens.prefix) :] for ids in prompts]
    prompts_altered = _altered([text.prompt for text in written], tokens.decode(bare))
    flat = [response for text in written for response in text.responses]
    encoded = tokens.encode_responses(flat, special=special)
    answers = iter(zip(encoded, _altered(flat, tokens.decode_responses(encoded)), strict=True))

    examples: list[Example] = []
    cut_prompts = cut_responses = altered_prompts = altered_responses = 0
    for record, text, prompt, altered in zip(sources, written, prompts, prompts_altered, strict=True):
        responses = [next(answers) for _ in text.responses]
        ended = [[*ids, tokens.eos] for ids, _ in responses]
        fault = _fault(record, prompt, ended, limits)
        if fault is not None:
            dropped[fault] += 1
            continue
        altered_prompts += altered
        altered_responses += sum(otherwise for _, otherwise in responses)
        cut_prompts += len(prompt) > limits.max_prompt
        cut_responses += sum(len(ids) > limits.max_response for ids in ended)
        kept = _cut_left(prompt, limits.max_prompt, 0 if special else len(tokens.prefix))
        examples.append(
            Example(
                prompt=np.array(kept, np.int32),
                responses=tuple(np.array(ids[: limits.max_response], np.int32) for ids in ended),
                label=record.label if isinstance(record, Completion) else None,
            )
        )
    return Tokenized(
        examples,
        Report(
            read=len(records),
            kept=len(examples),
            dropped=dict(dropped),
            cut_prompts=cut_prompts,
            cut_responses=cut_responses,
            altered_prompts=altered_prompts,
            altered_responses=altered_responses,
        ),
    )


def _fault(record: Record, prompt: list[int], responses: list[list[int]], limits: Limits) -> str | None:
    """Why a row cannot be used, if it cannot."""
    if not prompt:
        return "the prompt has no tokens"
    if limits.long_prompts == "drop" and len(prompt) > limits.max_prompt:
        return LONG_PROMPT
    if limits.long_responses == "drop" and any(len(ids) > limits.max_response for ids in responses):
        return LONG_RESPONSE
    if isinstance(record, PreferencePair):
        chosen, rejected = (ids[: limits.max_response] for ids in responses)
        if chosen == rejected:
            return IDENTICAL_ONCE_CUT
    return None


def _altered(texts: Sequence[str], decoded: Sequence[str]) -> list[bool]:
    """Whether each text comes back as another."""
    return [text != back for text, back in zip(texts, decoded, strict=True)]


def _cut_left(prompt: list[int], limit: int, prefix: int) -> list[int]:
    """The newest tokens of a prompt behind its BOS."""
    if len(prompt) <= limit:
        return prompt
    room = limit - prefix
    return prompt[:prefix] + prompt[-room:] if room > 0 else prompt[-limit:]
