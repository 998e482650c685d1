"""From a source to a model with its language-model head, for the commands that run one."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modeseek.llm.checkpoints.checkpoint import Checkpoint
    from modeseek.llm.models.model import Model
    from modeseek.llm.models.parameters import Params


def open_language_model(source: str) -> "Checkpoint":
    """A checkpoint that can generate and score.

    Raises:
        ValueError: no such source, a faulty folder, or a model with another head.
    """
    from modeseek.llm.checkpoints.checkpoint import open_checkpoint
    from modeseek.llm.checkpoints.hub import local_folder

    checkpoint = open_checkpoint(local_folder(source))
    if checkpoint.heads != ("lm",):
        raise ValueError(f"{source} has a {checkpoint.heads[0]} head: this needs a language model")
    return checkpoint


def load_model(checkpoint: "Checkpoint", dtype: str) -> "tuple[Model, Params]":
    """The model and its parameters, both in the dtype of computing: nothing is trained here."""
    from modeseek.llm.checkpoints.load import load
    from modeseek.llm.commands.common import progress
    from modeseek.llm.models.model import Compute, Model

    return Model(checkpoint.config, Compute(dtype)), load(checkpoint, dtype=dtype, progress=progress("tensors"))


def lazy_tokenizer(folder: Path) -> Callable[[], Any]:
    """The folder's tokenizer, read when text first needs it: ids alone need none."""
    from modeseek.llm.inference.tokenizer import load_tokenizer

    return functools.cache(lambda: load_tokenizer(folder))


def tokenizer_to_show(folder: Path, tokenizer: Callable[[], Any]) -> Any | None:
    """What writes responses as text, read before any work; None if the folder has no tokenizer, and, with a note on
    standard error, if it cannot be read: prompts that came as ids can do without."""
    from modeseek.llm.inference.tokenizer import FILES

    if not any((folder / name).is_file() for name in FILES):
        return None
    try:
        return tokenizer()
    except ValueError as error:
        print(f"modeseek: note: {error}; responses are written as ids alone", file=sys.stderr)
        return None


def eos_ids(checkpoint: "Checkpoint") -> list[int]:
    """The ids that end a response: of `generation_config.json`, else of `config.json`; possibly none.

    Raises:
        ValueError: the file cannot be read, or what it names is no id.
    """
    file, given = checkpoint.folder / "generation_config.json", None
    if file.is_file():
        try:
            given = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
        except (OSError, ValueError, AttributeError) as error:
            raise ValueError(f"cannot read {file}: {error}") from error
    if given is None:
        file, given = checkpoint.folder / "config.json", checkpoint.raw.get("eos_token_id")
    ids = [] if given is None else given if isinstance(given, list) else [given]
    if not all(type(i) is int and i >= 0 for i in ids):  # True is an int too
        raise ValueError(f"{file}: eos_token_id must be an id, a list of ids or null, got {json.dumps(given)}")
    return [i for i in ids if i < checkpoint.config.vocab_size]  # no other is ever generated
