"""`modeseek llm convert`: a checkpoint in another type and other files."""

import dataclasses
import math
from pathlib import Path
from typing import Annotated, Literal

import tyro

from modeseek.llm.commands.common import Source


@dataclasses.dataclass(frozen=True)
class Convert:
    """Write a checkpoint to a new folder: checked, as safetensors, in the type and the file size asked for.

    The tensors stream from file to file, one at a time; tokenizer and configuration go along. transformers opens it.

    Attributes:
        source: a local folder, or a name on the Hugging Face hub (owner/name or owner/name@revision).
        out: the new folder; an existing one is not overwritten.
        dtype: of the weights; keep leaves them as they are.
        shard_gigabytes: the most that one file holds.
    """

    source: Source
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    dtype: Literal["keep", "float32", "bfloat16", "float16"] = "keep"
    shard_gigabytes: float = 5.0

    def run(self) -> int:
        """Check, stream, say where; 0 on success.

        Raises:
            ValueError: the source is not a checkpoint that fits its configuration, or the output cannot be written.
        """
        if not 0 < self.shard_gigabytes * 1e9 < math.inf:
            raise ValueError(f"shard_gigabytes must be positive and finite, got {self.shard_gigabytes}")
        from modeseek.llm.checkpoints.checkpoint import open_checkpoint
        from modeseek.llm.checkpoints.hub import local_folder
        from modeseek.llm.checkpoints.save import check_new, convert
        from modeseek.memory import readable
        from modeseek.progress import progress

        check_new(self.out)
        checkpoint = open_checkpoint(local_folder(self.source))
        convert(
            checkpoint,
            self.out,
            dtype=None if self.dtype == "keep" else self.dtype,
            shard_bytes=max(1, round(self.shard_gigabytes * 1e9)),
            progress=progress("tensors"),
        )
        files = sorted(self.out.glob("*.safetensors"))
        size = readable(sum(file.stat().st_size for file in files))
        print(f"{len(checkpoint.tensors)} tensors of {checkpoint.config.architecture}, {size} in {len(files)} file(s)")
        print(f"saved in {self.out}")
        return 0
