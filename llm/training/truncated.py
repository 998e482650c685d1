"""Responses that no EOS ended: what a collection makes of those that were cut at their limit."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from modeseek.checks import require
from modeseek.llm.data.rows import Rows
from modeseek.llm.training.tune_config import TuneConfig


def with_truncated(
    config: TuneConfig, rows: Rows, rewards: Float[np.ndarray, "P N"], eos: Sequence[int]
) -> tuple[Rows, Float[np.ndarray, "P N"]]:
    """Rows and rewards as they are learnt from.

    `missing_eos_penalty` is taken off the reward of a response that was cut: never to end is then no way to a long
    reward. `mask_truncated` takes such a response out altogether: of pairs, groups, standardisation, the loss and what
    it is divided by, since its reward is of a text that was not finished.

    Args:
        config: with both options.
        rows: of a collection.
        rewards: of its responses.
        eos: ids that end one.

    Raises:
        ValueError: an option is asked for, and nothing says what ends a response.
    """
    if not config.missing_eos_penalty and not config.mask_truncated:
        return rows, rewards
    require(len(eos) > 0, "missing_eos_penalty and mask_truncated need an EOS, and there is none")
    ended = rows.ended(eos)
    penalised = np.where(rows.real & ~ended, rewards - np.float32(config.missing_eos_penalty), rewards)
    return rows._replace(real=ended) if config.mask_truncated else rows, penalised
