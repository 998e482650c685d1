"""Which tokens of a response are trained: all of them, or those that the paper's released code trains.

The released code leaves its own mathematics here: a mask that is off by one passes over a response's first token,
samples that are decoded without special tokens and tokenised again have no EOS, and pads are targets. A policy that
never learns EOS learns its lengths only by what it writes instead. Three more of its ways are settings that there are
anyway: `Options.margin="token"` (DPO and IPO of means over tokens), `TuneConfig.standardization="none"` (no eq. 19),
and a `TuneConfig.minibatch_size` of 8 (an accumulation that accumulates nothing).
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modeseek.llm.data.rows import Rows


@dataclasses.dataclass(frozen=True)
class Conventions:
    """What of a row is a target. The defaults are the mathematics: every token of the response, EOS included.

    Attributes:
        train_first_token: whether a response's first token is trained.
        train_eos: whether the EOS that ends a response is trained.
        train_pads: whether what fills a row up behind the response is read and trained too.
    """

    train_first_token: bool = True
    train_eos: bool = True
    train_pads: bool = False

    def targets(self, rows: "Rows", eos: "Sequence[int]") -> "Rows":
        """Rows whose starts and lengths leave these targets; the tokens stay what they are.

        A response whose only token is not trained has no target left. Rows that are not real have none in any case.

        Args:
            rows: prompts with their responses, `[P, N, S]`.
            eos: ids that end a response.
        """
        starts, lengths, width = rows.starts, rows.lengths, rows.tokens.shape[-1]
        if not self.train_eos:
            last = np.take_along_axis(rows.tokens, lengths[..., None] - 1, axis=-1)[..., 0]
            ended = (lengths > starts) & np.isin(last, np.asarray(eos, rows.tokens.dtype))
            lengths = lengths - ended
        if self.train_pads:
            lengths = np.full_like(lengths, width)
        if not self.train_first_token:
            starts = np.minimum(starts + 1, lengths)
        return rows._replace(starts=starts.astype(np.int32), lengths=lengths.astype(np.int32))


MATHEMATICS = Conventions()
"""The paper's text: log π(y | x) is of the whole response."""
