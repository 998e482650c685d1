"""What the language models' commands share."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from modeseek.checks import whole
from modeseek.llm.commands.lines import Format

if TYPE_CHECKING:
    from modeseek.llm.commands.partial import PartialRows
    from modeseek.llm.models.config import ModelConfig
    from modeseek.llm.models.low_rank import Adapter
    from modeseek.llm.models.model import Compute
    from modeseek.llm.parallel.memory import MemoryEstimate


Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]


@dataclasses.dataclass(frozen=True)
class OnRows:
    """Options of the commands that run a language model over rows of tokens.

    Attributes:
        source: a local folder, or a name on the Hugging Face hub (owner/name or owner/name@revision).
        adapter: low-rank changes of the source (LoRA, in PEFT's format): a local folder, or a name on the hub.
        file: what to read from a file: .jsonl with one record a line, or text with one a line; - is standard input.
        batch: sequences at once.
        dtype: of computing.
        out: a new file; standard output, if not given.
        format: of the output; auto writes JSON to a file whose name ends in .jsonl, .ndjson or .json, else text.
    """

    source: Source
    adapter: str | None = None
    file: Path | None = None
    batch: int = 8
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    out: Path | None = None
    format: Format = "auto"

    def check_counts(self, *fields: str) -> None:
        """Raises ValueError for what is no whole number of at least 1."""
        for field in fields:
            whole(field, getattr(self, field), 1)

    def compute_counted(self) -> "Compute":
        """How the model is computed, as memory is to be counted."""
        from modeseek.llm.parallel.device_memory import compute_counted

        return compute_counted(self.dtype)

    def check_fits(self, needed: "MemoryEstimate", what: str, smaller: str) -> None:
        """Raises ValueError if it does not fit; `smaller` names the options that need less."""
        import jax

        from modeseek.llm.parallel.device_memory import check_fits

        dtype = ", or --dtype bfloat16" if self.dtype == "float32" and jax.default_backend() != "cpu" else ""
        check_fits(needed, what, f"take {smaller}{dtype}")

    def kept(
        self, folders: Sequence[Path], ids: Any, adapter: "Adapter | None", read: Callable[[dict[str, Any]], Any]
    ) -> "PartialRows[Any]":
        """Where finished rows are kept until all are: beside the output, if there is one.

        Args:
            folders: of the models.
            ids: what they read.
            adapter: of the first model.
            read: a row from its fields.
        """
        import jax

        from modeseek.llm.commands.partial import PartialRows, digest, state_of

        settings = {k: v for k, v in dataclasses.asdict(self).items() if k not in ("out", "format", "file", "batch")}
        changes = () if adapter is None else jax.tree.leaves(adapter.tree)
        inputs = {
            "ids": digest(ids),
            "model files": digest([state_of(f) for f in folders]),
            "adapter": digest(*changes),
        }
        return PartialRows(self.out, json.loads(json.dumps(settings | inputs, default=str)), read)

    def open_adapter(self, config: "ModelConfig") -> "Adapter | None":
        """The adapter that was asked for, checked against its base.

        Raises:
            ValueError: it is not there, or does not fit.
        """
        from modeseek.llm.checkpoints.adapters import open_adapter

        return None if self.adapter is None else open_adapter(self.adapter, config)

    def overflow_cure(self) -> str:
        """What the error of a model that overflows advises."""
        from modeseek.llm.inference.batched import overflow_cure

        return overflow_cure(self.dtype, "--dtype")


# The first batch is compiled, which on a large model takes longer than all others: the bar is there at once.
BATCHES = "batches (the first one compiles)"
