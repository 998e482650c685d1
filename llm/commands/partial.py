"""Finished rows beside a file that is to be: an interrupted command leaves them, and the same command goes on."""

import contextlib
import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, TypeVar

import numpy as np

from modeseek import __version__
from modeseek.files import parse_json

Result = TypeVar("Result")


class PartialRows(Generic[Result]):
    """Rows by number, in `<out>.partial`: a line that says of which command, then a line a row, with its digest.

    To be entered: on success the file is taken away, otherwise it stays and is named. A last line that was cut is not
    counted.

    Attributes:
        found: the rows that an earlier run of the same command has finished.
    """

    found: dict[int, Result]

    def __init__(self, out: Path | None, command: Mapping[str, Any], read: Callable[[dict[str, Any]], Result]) -> None:
        """Look for rows of an earlier run.

        Args:
            out: where all rows shall be; None for nowhere: nothing is kept.
            command: what the rows depend on, as JSON holds it.
            read: a row from the dictionary of its fields.

        Raises:
            ValueError: there are rows of another command, or the file cannot be read.
        """
        self.path = None if out is None else out.with_name(f"{out.name}.partial")
        self.header = json.dumps({**command, "modeseek": __version__}, sort_keys=True)
        self.found = {}
        self._file: IO[str] | None = None
        self._new = 0
        if self.path is not None and self.path.exists():
            self._go_on(self.path, read)

    def _go_on(self, path: Path, read: Callable[[dict[str, Any]], Result]) -> None:
        try:
            written = path.read_bytes()
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
        whole = written[: written.rfind(b"\n") + 1]  # without a line that was cut
        if written and not (whole or self.header.encode().startswith(written)):
            whole = written  # no beginning of ours
        before: Any = parse_json(self.header)
        try:
            if whole:
                first, *lines = whole.decode().removesuffix("\n").split("\n")
                before = parse_json(first)
                if not isinstance(before, dict):
                    raise ValueError("its first line names no command")
                self.found = dict(_row(line, first, read) for line in lines)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is damaged ({error}): delete it, or name another output") from error
        now = parse_json(self.header)
        changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if changed:
            raise ValueError(
                f"{path} holds rows of another command ({', '.join(changed)} changed): give that command again, "
                "delete the file, or name another output"
            )
        os.truncate(path, len(whole))
        if self.found:
            print(f"modeseek: {len(self.found)} finished rows are taken from {path}", file=sys.stderr)

    def add(self, rows: Mapping[int, Result]) -> None:
        """Keep rows that are finished."""
        self._new += len(rows.keys() - self.found.keys())
        if self.path is None:
            return
        file = self._open(self.path)
        file.writelines(_line(number, _fields(row), self.header) for number, row in rows.items())
        file.flush()

    def __enter__(self) -> "PartialRows[Result]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(*(() if kind is None else (OSError,))):  # a full disk has been told already
                self._file.close()
        finished = len(self.found) + self._new
        if kind is None:
            if self.path is not None:
                self.path.unlink(missing_ok=True)
        elif self.path is None and finished:
            print(f"\nmodeseek: {finished} finished rows are lost; --out PATH would have kept them", file=sys.stderr)
        elif finished:
            print(f"\nmodeseek: {finished} finished rows are in {self.path}; the same command goes on", file=sys.stderr)

    def _open(self, path: Path) -> IO[str]:
        if self._file is None:
            self._file = path.open("a", encoding="utf-8", newline="\n")
            if self._file.tell() == 0:
                self._file.write(self.header + "\n")
        return self._file


def _line(number: int, fields: dict[str, Any], header: str) -> str:
    """A row, and what shows that no letter of it has changed since, nor the command that it is of."""
    row = {"row": number, "fields": fields}
    return json.dumps({**row, "digest": digest([header, row])[:16]}) + "\n"


def _row(line: str, header: str, read: Callable[[dict[str, Any]], Result]) -> tuple[int, Result]:
    row = dict(parse_json(line))
    if line + "\n" != _line(row["row"], row["fields"], header):
        raise ValueError(f"its row {row['row']} is not as it was written")
    return row["row"], read(row["fields"])


def digest(*parts: Any) -> str:
    """What tells inputs apart: of token ids, arrays and files' sizes and times."""
    found = hashlib.sha256()
    for part in parts:
        found.update(np.asarray(part).tobytes() if hasattr(part, "dtype") else json.dumps(part).encode())
    return found.hexdigest()


OF_A_MODEL = (".json", ".safetensors", ".model", ".jinja")


def state_of(folder: Path) -> list[list[Any]]:
    """Names, sizes and times of a model's files: another model in the same place is another command."""
    files = sorted(file for file in folder.iterdir() if file.suffix in OF_A_MODEL and file.is_file())
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _fields(row: Any) -> dict[str, Any]:
    plain = lambda value: value.tolist() if isinstance(value, np.ndarray) else value
    return {field.name: plain(getattr(row, field.name)) for field in dataclasses.fields(row)}
