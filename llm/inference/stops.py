"""Stops as text: a text has many tokenisations, so the loop ends on the ordinary ones, and what it misses is cut here.

"\\n\\n" alone is one token of Pythia's, but two where a word follows, and "User:" another after a space; a full stop
and "</" may share a token. Which ids a model writes a stop with is known only once it has.
"""

import bisect
from collections.abc import Sequence
from typing import Any

from modeseek.llm.inference.tokenizer import decode_responses, encode_responses

BEFORE = ("", " ", "\n", "a", ".", ")")
AFTER = ("", " ", "\n", "a", ".")
"""Neighbours that a tokenizer splits or joins a text by."""


def ordinary_ids(tokenizer: Any, stop: str) -> list[list[int]]:
    """The sequences of ids that the tokenizer writes a stop with, alone and between ordinary neighbours.

    Each is as short as holds the stop, neighbours that share a token with it included.
    `modeseek.llm.inference.generate.generate` ends a row early by them; others are left to `end_of_text`.
    """
    texts = [before + stop + after for before in BEFORE for after in AFTER]
    found = {tuple(_around(tokenizer, ids, stop)): None for ids in encode_responses(tokenizer, texts)}
    return [list(ids) for ids in found if ids]


def end_of_text(tokenizer: Any, ids: Sequence[int], stops: Sequence[str]) -> int | None:
    """How many of the ids there are when their text first holds one of the stops; None if it never does."""

    def holds(count: int) -> bool:
        (text,) = decode_responses(tokenizer, [ids[:count]])
        return any(stop in text for stop in stops)

    # Once in the text, a stop stays there.
    return bisect.bisect_left(range(len(ids)), True, key=holds) if holds(len(ids)) else None


def _around(tokenizer: Any, ids: Sequence[int], stop: str) -> Sequence[int]:
    """The shortest run of ids whose text holds the stop, where it stands first; nothing, if it does not."""
    end = end_of_text(tokenizer, ids, [stop])
    if end is None:
        return []
    begin = next(i for i in reversed(range(end)) if stop in decode_responses(tokenizer, [ids[i:end]])[0])
    return ids[begin:end]
