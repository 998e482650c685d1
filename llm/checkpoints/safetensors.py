"""The safetensors format: eight bytes of header length, a JSON header, the tensors' bytes.

Read through a memory map and written tensor by tensor, so that no more than one tensor is ever held in memory; the
library of that name wants all tensors of a file at once to write it.
"""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from modeseek.files import parse_json

DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
"""The format's name of each type that is read."""

FLOATS = ("F64", "F32", "F16", "BF16")
LONGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""


class Stored(NamedTuple):
    """One tensor in a file: where its bytes start, and what they are."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def read(self) -> np.ndarray:
        """The tensor, as a read-only view of the file: bytes are read when they are touched."""
        if math.prod(self.shape) == 0:
            return np.zeros(self.shape, DTYPES[self.dtype])
        return np.memmap(self.file, DTYPES[self.dtype], "r", self.offset, self.shape)


class Pending(NamedTuple):
    """One tensor to be written: `make` gives it when its turn comes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    make: Callable[[], np.ndarray]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


def read_header(file: Path) -> tuple[dict[str, Stored], list[str]]:
    """A file's tensors by name, and what is wrong with those that cannot be read.

    Raises:
        ValueError: the file is not there, or its header cannot be read.
    """
    try:
        size = file.stat().st_size
        if not file.is_file():  # a pipe would be waited for
            raise ValueError(f"{file.name} is not a file")
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if size < 8 or length > min(size - 8, LONGEST_HEADER):
                raise ValueError(f"{file.name} is cut short or not safetensors: a file of {size} bytes")
            header = parse_json(opened.read(length), f"the header of {file.name}")
    except OSError as error:
        raise ValueError(f"cannot read {file.name}: {error.strerror}") from error
    if not isinstance(header, dict):
        raise ValueError(f"{file.name} is corrupt: its header is not a JSON object")
    tensors, problems = {}, []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            tensors[name] = _stored(file, entry, 8 + length, size)
        except ValueError as error:
            problems.append(f"{name} in {file.name} {error}")
    return tensors, problems


def _stored(file: Path, entry: object, data: int, size: int) -> Stored:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]  # type: ignore[index]
        whole = isinstance(dtype, str) and all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    except (TypeError, KeyError, ValueError):
        whole = False
    if not whole:
        raise ValueError("has no readable dtype, shape and data_offsets")
    if dtype not in DTYPES:
        raise ValueError(f"is of type {dtype}, which is not read (only {', '.join(DTYPES)})")
    if end - begin != math.prod(shape) * DTYPES[dtype].itemsize:
        raise ValueError(f"has {end - begin} bytes, but {dtype}{list(shape)} needs another number")
    if data + end > size:
        raise ValueError(f"is cut off: it ends at byte {data + end} of a file of {size}")
    return Stored(file, dtype, shape, data + begin)


def write_file(file: Path, tensors: Iterable[Pending], wrote: Callable[[], object] = lambda: None) -> None:
    """Write tensors to a file, one after the other; `wrote` is called after each.

    Raises:
        ValueError: a tensor is not what was announced.
    """
    tensors = list(tensors)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [begin, begin + tensor.size],
        }
        begin += tensor.size
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # data starts at a multiple of eight
    with file.open("wb") as opened:
        opened.write(len(encoded).to_bytes(8, "little"))
        opened.write(encoded)
        for tensor in tensors:
            array = np.ascontiguousarray(tensor.make())
            if array.dtype != DTYPES[tensor.dtype] or array.shape != tensor.shape:
                raise ValueError(
                    f"{tensor.name} was to be {tensor.dtype}{list(tensor.shape)}, got {array.dtype}{list(array.shape)}"
                )
            opened.write(array.reshape(-1).view(np.uint8).data)
            wrote()
