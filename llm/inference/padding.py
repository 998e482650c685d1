"""Token ids as a model reads them: checked, padded on the right, with their lengths."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from modeseek.llm.models.config import ModelConfig


class PaddedRows(NamedTuple):
    """Sequences of different lengths in one array.

    Attributes:
        tokens: ids, `[B, S]` int32, padded on the right.
        lengths: real tokens of each row, `[B]` int32.
    """

    tokens: np.ndarray
    lengths: np.ndarray


def check_ids(rows: Sequence[Sequence[int]], config: ModelConfig, *, new_tokens: int = 0, name: str = "prompt") -> None:
    """Refuse what the model cannot read, before any work; every faulty row is named.

    Args:
        rows: token ids, one sequence a row.
        config: the model's.
        new_tokens: how many more shall be generated after each row.
        name: of a row, in the error.

    Raises:
        ValueError: no rows, an empty row, ids outside the vocabulary, or a row that is longer than the context.
    """
    if len(rows) == 0:
        raise ValueError(f"there are no {name}s")
    problems = []
    for i, row in enumerate(rows):
        outside = [t for t in row if not 0 <= t < config.vocab_size]
        if len(row) == 0:
            problems.append(f"{name} {i} is empty: begin it with a token, such as the tokenizer's BOS or EOS")
        elif outside:
            problems.append(f"{name} {i} holds id {outside[0]}, outside the vocabulary of {config.vocab_size}")
        elif len(row) + new_tokens > config.context:
            more = f" and {new_tokens} new ones" if new_tokens else ""
            problems.append(f"{name} {i} has {len(row)} tokens{more}, more than the context of {config.context}")
    if problems:
        raise ValueError("; ".join(problems))


def pad_right(rows: Sequence[Sequence[int]], length: int | None = None, *, pad_id: int = 0) -> PaddedRows:
    """Rows in one array, padded to `length` (the longest row's, if not given). Which id pads does not matter.

    Raises:
        ValueError: a row is longer than `length`.
    """
    lengths = np.array([len(row) for row in rows], np.int32)
    length = int(lengths.max(initial=0)) if length is None else length
    if lengths.max(initial=0) > length:
        raise ValueError(f"a row of {lengths.max()} tokens does not fit in {length}")
    tokens = np.full((len(rows), length), pad_id, np.int32)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    return PaddedRows(tokens, lengths)


def bucket(length: int, *, least: int = 16) -> int:
    """The smallest of `least` · (1, 1.5, 2, 3, 4, 6, 8, …) that holds `length`: programs are compiled for these alone.

    At most a third of a bucket above the first is padding.
    """
    size = least
    while size < length:
        if size * 3 // 2 >= length:
            return size * 3 // 2
        size *= 2
    return size
