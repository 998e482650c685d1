"""Where a model comes from: a local folder, or a name on the Hugging Face hub."""

import contextlib
from pathlib import Path

from modeseek.checks import install
from modeseek.files import expanded
from modeseek.foreign import foreign
from modeseek.llm.checkpoints.checkpoint import INDEX, SINGLE, without_safetensors
from modeseek.llm.checkpoints.save import COMPANIONS

CONFIGURATION = ("config.json",)
EVERYTHING = (*CONFIGURATION, INDEX, "model*.safetensors", *COMPANIONS)
"""What is fetched from the hub: never code, never pickles."""


def local_folder(source: str, files: tuple[str, ...] = EVERYTHING) -> Path:
    """The folder of a model; one on the hub (`owner/name` or `owner/name@revision`) is fetched into the hub's cache.

    Raises:
        ValueError: no such folder, and no such name or no way to the hub, or a name without safetensors.
    """
    if expanded(source).is_dir():
        return expanded(source)
    name, _, revision = source.partition("@")
    if source.startswith((".", "/", "~")) or name.count("/") > 1 or not name:
        raise ValueError(f"there is no folder {source}")
    try:
        from huggingface_hub import list_repo_files, snapshot_download
    except ImportError as error:
        raise ValueError(f"there is no folder {source}, and to fetch it from the hub needs {install('llm')}") from error
    with foreign(f"there is no folder {source}, and the hub did not give {name!r}"):
        folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=list(files)))
    if files == EVERYTHING and not any((folder / name).exists() for name in (SINGLE, INDEX)):
        listed: list[str] = []
        with contextlib.suppress(Exception):  # without a way to the hub it is not said what is there instead
            listed = list_repo_files(name, revision=revision or None)
        raise without_safetensors(f"{source} on the hub", listed)
    return folder
