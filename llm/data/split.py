"""What is held out of training, chosen by prompt: no prompt is on both sides."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from modeseek.checks import require
from modeseek.llm.data.conversations import opening
from modeseek.llm.data.order import order
from modeseek.llm.data.records import Record


class Split(NamedTuple):
    """Records to train on and records to evaluate with, each in the order of the data."""

    training: list[Record]
    held_out: list[Record]


def split_by_prompt(records: Sequence[Record], share: float, *, seed: int) -> Split:
    """Hold out all records of a random share of the prompts (one prompt at least, unless the share is 0).

    Conversations that begin alike, up to the first turn of the user, stay together: one may be a part of the other.

    Args:
        records: of any kind.
        share: of the distinct prompts.
        seed: of the choice.

    Raises:
        ValueError: the share is not in [0, 1), or leaves nothing to train on.
    """
    require(0 <= share < 1, f"share must be at least 0 and less than 1, got {share!r}")
    openings = [opening(record.prompt) for record in records]
    prompts = list(dict.fromkeys(openings))
    count = math.ceil(share * len(prompts))
    require(count < len(prompts), f"a share of {share} of {len(prompts)} prompts leaves no prompt to train on")
    held_out = {prompts[i] for i in order(seed, 0, len(prompts))[:count]}
    there = [each in held_out for each in openings]
    return Split(
        training=[record for record, out in zip(records, there, strict=True) if not out],
        held_out=[record for record, out in zip(records, there, strict=True) if out],
    )
