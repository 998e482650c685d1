"""What the language models' commands share."""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from modeseek.llm.commands.lines import Format

if TYPE_CHECKING:
    import numpy as np

    from modeseek.llm.models.model import Compute
    from modeseek.llm.parallel.memory import MemoryEstimate


Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]


@dataclasses.dataclass(frozen=True)
class OnRows:
    """Options of the commands that run a language model over rows of tokens.

    Attributes:
        source: a local folder, or a name on the Hugging Face hub (owner/name or owner/name@revision).
        file: what to read from a file: .jsonl with one record a line, or text with one a line; - is standard input.
        batch: sequences at once.
        dtype: of computing.
        out: a new file; standard output, if not given.
        format: of the output; auto writes JSON to a file whose name ends in .jsonl, else text.
    """

    source: Source
    file: Path | None = None
    batch: int = 8
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    out: Path | None = None
    format: Format = "auto"

    def check_counts(self, *fields: str) -> None:
        """Raises ValueError for a number below 1."""
        for field in fields:
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")

    def check_finite(self, numbers: "np.ndarray", what: str) -> None:
        """Refuse what overflow leaves: softmax gives every token a finite log-prob.

        Args:
            numbers: one a token, of one kind.
            what: whose and which they are, in the error.

        Raises:
            ValueError: NaN, an infinity or minus infinity (no token of a finite model is impossible).
        """
        import numpy as np

        for token in np.flatnonzero(~np.isfinite(numbers))[:1]:
            cure = "take --dtype bfloat16 or float32" if self.dtype == "float16" else "are all its weights finite?"
            raise ValueError(
                f"{what} is {numbers[token]} at token {token}: the model overflows in {self.dtype}; {cure}"
            )

    def counted_in(self) -> "Compute":
        """How the model is computed, as memory is to be counted: a CPU computes 16-bit numbers in float32 copies."""
        import jax

        from modeseek.llm.models.model import Compute

        return Compute("float32" if jax.default_backend() == "cpu" else self.dtype)

    def check_fits(self, needed: "MemoryEstimate", what: str, smaller: str) -> None:
        """Raises ValueError if it does not fit; `smaller` names the options that need less."""
        import jax

        from modeseek.llm.parallel.device_memory import check_fits

        dtype = ", or --dtype bfloat16" if self.dtype == "float32" and jax.default_backend() != "cpu" else ""
        check_fits(needed, what, f"take {smaller}{dtype}")


def in_batches(
    rows: Sequence[Sequence[int]], size: int, run: Callable[[list[int]], Iterable[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Results of all rows in their order, `size` rows at a time, the longest first: each batch is padded little.

    Args:
        rows: token ids.
        size: rows at once; the last batch is filled up with its own first row, so that it has the others' shape.
        run: indices of `size` rows, the longest first, to a result for each.
    """
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    results: list[dict[str, Any]] = [{} for _ in rows]
    # At once: the first batch is compiled, which on a large model takes longer than all others.
    for batch in progress("batches (the first one compiles)", delay=0)(
        [order[i : i + size] for i in range(0, len(order), size)]
    ):
        found = run([*batch, *[batch[0]] * (size - len(batch))])
        for i, result in zip(batch, found, strict=False):  # what fills up is dropped
            results[i] = result
    return results


def progress(what: str, delay: int = 2) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A bar on standard error for work of more than `delay` seconds."""

    def wrap(items: Iterable[Any]) -> Iterable[Any]:
        from tqdm import tqdm

        return tqdm(items, desc=what, delay=delay, leave=False, file=sys.stderr)

    return wrap
