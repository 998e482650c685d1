"""From a source to a model with its language-model head, for the commands that run one."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm.models.model import Model
    from llm.models.parameters import Params
    from llm.weights.checkpoint import Checkpoint


def open_language_model(source: str) -> "Checkpoint":
    """A checkpoint that can generate and score.

    Raises:
        ValueError: no such source, a faulty folder, or a model with another head.
    """
    from llm.source import local_folder
    from llm.weights.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(local_folder(source))
    if checkpoint.heads != ("lm",):
        raise ValueError(f"{source} has a {checkpoint.heads[0]} head: this needs a language model")
    return checkpoint


def load_model(checkpoint: "Checkpoint", dtype: str) -> "tuple[Model, Params]":
    """The model and its parameters, both in the dtype of computing: nothing is trained here."""
    from llm.commands.common import progress
    from llm.models.model import Compute, Model
    from llm.weights.load import load

    return Model(checkpoint.config, Compute(dtype)), load(checkpoint, dtype=dtype, progress=progress("tensors"))


def lazy_tokenizer(folder: Path) -> Callable[[], Any]:
    """The folder's tokenizer, read when text first needs it: ids alone need none."""
    from llm.tokenizer import load_tokenizer

    return functools.cache(lambda: load_tokenizer(folder))


def eos_ids(checkpoint: "Checkpoint") -> list[int]:
    """The ids that end a response: of `generation_config.json`, else of `config.json`; possibly none."""
    given = None
    file = checkpoint.folder / "generation_config.json"
    if file.is_file():
        try:
            given = json.loads(file.read_text()).get("eos_token_id")
        except (OSError, ValueError, AttributeError) as error:
            raise ValueError(f"cannot read {file}: {error}") from error
    given = checkpoint.raw.get("eos_token_id") if given is None else given
    return [] if given is None else [int(i) for i in (given if isinstance(given, list) else [given])]
