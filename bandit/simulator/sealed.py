"""Files of arrays that are either what was written or refused: an `.npz` whose comment is a sum over all its bytes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from modeseek.files import replacing

_SIZE = hashlib.sha256().digest_size


def save_arrays(path: Path, arrays: Mapping[str, Any], seal: str) -> None:
    """Write arrays in one step, as a plain `.npz` that NumPy reads.

    Args:
        path: where.
        arrays: by name.
        seal: what the file belongs to; under another one, or another name, it is not read.
    """
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)
        with temporary.open("rb+") as written:
            # A zip archive ends with the length of its comment, and the comment.
            written.seek(-2, 2)
            written.write(_SIZE.to_bytes(2, "little"))
            end = written.tell()
            written.write(_sum(written, end, path.name, seal))


def load_arrays(path: Path, seal: str) -> dict[str, np.ndarray]:
    """What `save_arrays` wrote there under this seal.

    The sum is compared before a byte is interpreted, so that whatever is wrong with a file is found here.

    Raises:
        ValueError: another file, or another seal.
        OSError: it cannot be read.
    """
    with path.open("rb") as written:
        end = written.seek(0, 2) - _SIZE
        if end < 0 or _sum(written, end, path.name, seal) != written.read():
            raise ValueError("it is not as it was written")
        written.seek(0)
        with np.load(written, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}


def _sum(file: IO[bytes], end: int, name: str, seal: str) -> bytes:
    """A sum over the name, the seal and the first `end` bytes, after which the file stands."""
    found = hashlib.sha256(f"{name}\n{seal}\n".encode())
    file.seek(0)
    left = end
    while left and (block := file.read(min(left, 1 << 20))):
        found.update(block)
        left -= len(block)
    file.seek(end)
    return found.digest()
