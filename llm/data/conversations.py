"""Conversations of several turns: a row for each of the assistant's, and what tells one conversation from another."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from modeseek.llm.data.records import PromptText

Row = Mapping[str, Any]


def each_turn(rows: Iterable[Row]) -> Iterator[Row]:
    """Conversations (`messages`) as a row for each of the assistant's turns, with all that came before it.

    Σ over the turns of log π(turn | what came before) is what a mask of the assistant's tokens within one sequence
    learns; here what came before is read anew for each turn, and every turn ends with EOS. Other rows stay.
    """
    for row in rows:
        turns = row.get("messages")
        if not isinstance(turns, list | tuple):
            yield row
            continue
        ends = [i for i, turn in enumerate(turns) if isinstance(turn, Mapping) and turn.get("role") == "assistant"]
        yield from ({**row, "messages": turns[: i + 1]} for i in ends or [len(turns) - 1])


def opening(prompt: PromptText) -> PromptText:
    """A conversation up to the first turn of the user; a text as it is."""
    if isinstance(prompt, str):
        return prompt
    first = next((i for i, turn in enumerate(prompt) if turn.role == "user"), len(prompt))
    return prompt[: first + 1]
