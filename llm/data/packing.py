"""Several short sequences in one row: fewer pads to compute, and, as no sequence reads another, the same loss."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from modeseek.checks import require, whole
from modeseek.llm.data.rows import row_lengths
from modeseek.llm.data.tokenization import Example


class Packed(NamedTuple):
    """Completions, several in a row.

    Attributes:
        tokens: ids, prompt and response of one example after the other, `[R, S]` int32.
        segments: which example of its row a token belongs to, from 1; 0 where the row is filled up, `[R, S]` int32.
        targets: which tokens are a response's, EOS among them, `[R, S]` bool.
    """

    tokens: np.ndarray
    segments: np.ndarray
    targets: np.ndarray


def first_fit(lengths: Sequence[int] | np.ndarray, room: int) -> list[list[int]]:
    """Which sequences share a row: the longest first, each into the first row that has room for it.

    First-fit decreasing takes at most 11/9 of the fewest rows and two thirds of one (Dósa 2007).

    Args:
        lengths: of the sequences, in tokens.
        room: of a row.

    Raises:
        ValueError: a sequence that no row has room for.
    """
    whole("room", room, 1)
    rows: list[list[int]] = []
    left: list[int] = []
    for number in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        length = int(lengths[number])
        require(length <= room, f"sequence {number} has {length} tokens, and a packed row has room for {room}")
        place = next((i for i, free in enumerate(left) if free >= length), len(rows))
        if place == len(rows):
            rows.append([])
            left.append(room)
        rows[place].append(number)
        left[place] -= length
    return rows


def pack(examples: Sequence[Example], length: int, *, multiple: int = 1, pad: int = 0) -> Packed:
    """Completions in rows of `length` tokens.

    Args:
        examples: each with one response.
        length: S, at least the longest example's.
        multiple: rows are filled up with empty ones to a multiple of so many: each number of rows is one program.
        pad: the id that fills up.

    Raises:
        ValueError: examples that have not one response each, or one that no row has room for.
    """
    whole("multiple", multiple, 1)
    for number, example in enumerate(examples):
        count = len(example.responses)
        require(count == 1, f"packing is for completions, and example {number} has {count} responses")
    groups = first_fit(row_lengths(examples), length)
    shape = (-(-len(groups) // multiple) * multiple, length)
    tokens, segments = np.full(shape, pad, np.int32), np.zeros(shape, np.int32)
    targets = np.zeros(shape, bool)
    for row, group in enumerate(groups):
        at = 0
        for segment, number in enumerate(group, 1):
            prompt, (response,) = examples[number].prompt, examples[number].responses
            middle, end = at + len(prompt), at + len(prompt) + len(response)
            tokens[row, at:middle], tokens[row, middle:end] = prompt, response
            segments[row, at:end] = segment
            targets[row, middle:end] = True
            at = end
    return Packed(tokens, segments, targets)
