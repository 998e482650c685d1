"""Values of a row of data as what they must be: text, messages, numbers."""

import math
from collections.abc import Mapping
from typing import Any

from modeseek.llm.data.records import Conversation, Message, PromptText

Row = Mapping[str, Any]


def text_of(row: Row, name: str) -> str:
    """A text that can be encoded. Raises ValueError for anything else."""
    value = row[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} is not text: it holds the lone surrogate {value[error.start]!a}") from error
    return value


def messages_of(row: Row, name: str) -> Conversation:
    """Turns with the texts role and content. Raises ValueError for anything else."""
    turns = []
    for turn in row[name]:
        if not isinstance(turn, Mapping) or not all(isinstance(turn.get(key), str) for key in Message._fields):
            raise ValueError(f"{name} must be text or a list of objects with the texts role and content")
        turns.append(Message(text_of(turn, "role"), text_of(turn, "content")))
    return tuple(turns)


def content_of(row: Row, name: str) -> PromptText:
    """A text, or turns. Raises ValueError for anything else."""
    return messages_of(row, name) if isinstance(row[name], list | tuple) else text_of(row, name)


def score_of(row: Row, name: str) -> float:
    """A finite number. Raises ValueError for anything else."""
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def scores_of(row: Row, chosen: str, rejected: str) -> tuple[float, float] | None:
    """Both rewards, where the row has both."""
    if row.get(chosen) is None or row.get(rejected) is None:
        return None
    return score_of(row, chosen), score_of(row, rejected)
