"""What is held out of training, chosen by prompt: no prompt is on both sides."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from modeseek.checks import require
from modeseek.llm.data.order import order
from modeseek.llm.data.records import Record, as_prompts


class Split(NamedTuple):
    """Records to train on and records to evaluate with, each in the order of the data."""

    training: list[Record]
    held_out: list[Record]


def split_by_prompt(records: Sequence[Record], share: float, *, seed: int) -> Split:
    """Hold out all records of a random share of the prompts (one prompt at least, unless the share is 0).

    Args:
        records: of any kind.
        share: of the distinct prompts.
        seed: of the choice.

    Raises:
        ValueError: the share is not in [0, 1), or leaves nothing to train on.
    """
    require(0 <= share < 1, f"share must be at least 0 and less than 1, got {share!r}")
    prompts = as_prompts(records)
    count = math.ceil(share * len(prompts))
    require(count < len(prompts), f"a share of {share} of {len(prompts)} prompts leaves no prompt to train on")
    held_out = {prompts[i].prompt for i in order(seed, 0, len(prompts))[:count]}
    return Split(
        training=[record for record in records if record.prompt not in held_out],
        held_out=[record for record in records if record.prompt in held_out],
    )
