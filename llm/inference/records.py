"""What a person gives, texts, conversations or ids, as the token ids that a model reads."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Record = dict[str, Any]
"""With some of `prompt`, `messages`, `prompt_ids`, `response`, `response_ids`, `text`, `text_ids`."""


PROMPT_KEYS = ("prompt", "messages", "prompt_ids")
RESPONSE_KEYS = ("response", "response_ids")
TEXT_KEYS = ("text", "text_ids")
WRITTEN_KEYS = ("log_prob", "stopped")
"""What `modeseek llm generate` writes beside ids and texts; nothing reads it."""


class Sequences(NamedTuple):
    """Whole sequences, and where what is scored begins in each.

    Attributes:
        rows: token ids, prompt and response.
        starts: index of each row's first scored token, at least 1.
    """

    rows: list[list[int]]
    starts: list[int]


def check_text(text: str, where: str) -> None:
    """Refuse half of a pair of surrogates, which JSON can write and no text holds.

    Raises:
        ValueError: it is there.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} is not text: it holds the lone surrogate {text[error.start]!a}") from error


def ends_turns(records: Sequence[Record], *, chat: bool = False) -> bool:
    """Whether some of the records are conversations, whose answers end with a turn of the model's chat template."""
    return any("messages" in record or (chat and "prompt" in record) for record in records)


def prompt_ids(records: Sequence[Record], tokenizer: Callable[[], Any], *, chat: bool = False) -> list[list[int]]:
    """Token ids of each record's prompt: `prompt_ids` as they are, `messages` through the chat template, `prompt` as
    text, or, with `chat`, as one message of the user.

    Raises:
        ValueError: a record has none of them, or the template does not take its messages.
    """
    from modeseek.llm.inference.tokenizer import encode_chats, encode_prompts

    found: list[list[int]] = []
    for number, record in enumerate(records):
        if "prompt" in record and "messages" in record:
            raise ValueError(f"record {number} has prompt and messages: give one of them")
        if "prompt_ids" in record:
            found.append(record["prompt_ids"])
        elif "messages" in record:
            found += encode_chats(tokenizer(), [record["messages"]])
        elif "prompt" in record and chat:
            found += encode_chats(tokenizer(), [[{"role": "user", "content": record["prompt"]}]])
        elif "prompt" in record:
            found += encode_prompts(tokenizer(), [record["prompt"]])
        else:
            raise ValueError(f"record {number} has none of prompt, messages and prompt_ids")
    return found


def sequences(records: Sequence[Record], tokenizer: Callable[[], Any]) -> Sequences:
    """Prompt and response of each record, tokenised apart; the joined ids are the joined texts'.

    Of a text alone every token after the first is scored.

    Raises:
        ValueError: records that lack a prompt, a response or a text, or have an empty one; all of them are named.
    """
    from modeseek.llm.inference.tokenizer import encode, encode_responses

    rows, starts, problems = [], [], []
    for number, record in enumerate(records):
        texts, others = ([k for k in keys if k in record] for keys in (TEXT_KEYS, (*PROMPT_KEYS, *RESPONSE_KEYS)))
        if texts and others:
            problems.append(
                f"record {number} has {texts[0]} and {others[0]}: give a text, or a prompt and its response"
            )
            continue
        if "response_ids" in record or "response" in record:
            ids, text = record.get("prompt_ids"), record.get("prompt")
            if ids is None and text is None and "messages" not in record:
                problems.append(f"record {number} has a response and no prompt")
                continue
            prompt = prompt_ids([record], tokenizer)[0]
            given = record.get("response_ids")
            response = given if given is not None else encode_responses(tokenizer(), [record["response"]])[0]
            if not prompt or not response:
                problems.append(f"record {number} has an empty {'prompt' if not prompt else 'response'}")
            rows.append([*prompt, *response])
            starts.append(len(prompt))
        elif any(name in record for name in ("text_ids", "text", "prompt")):
            row = record["text_ids"] if "text_ids" in record else encode(tokenizer(), [_text(record)])[0]
            if len(row) < 2:
                problems.append(f"record {number} has {len(row)} token(s): nothing predicts the first one")
            rows.append(row)
            starts.append(1)
        else:
            problems.append(f"record {number} has neither a response nor a text")
    if problems:
        raise ValueError("; ".join(problems))
    return Sequences(rows, starts)


def _text(record: Record) -> str:
    return str(record["text"] if "text" in record else record["prompt"])
