"""Finished rows beside a file that is to be: an interrupted command leaves them, and the same command goes on."""

import contextlib
import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Generic, TypeVar

import numpy as np

from modeseek import __version__
from modeseek.files import parse_json, replacing

Result = TypeVar("Result")


class PartialRows(Generic[Result]):
    """Rows by number, in `<out>.partial`: a line that says of which command, then a line a row.

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
        self.command: dict[str, Any] = json.loads(json.dumps({**command, "modeseek": __version__}))
        self.found = {}
        self._file: IO[str] | None = None
        self._new = 0
        if self.path is None or not self.path.exists():
            return
        try:
            first, *lines = self.path.read_text(encoding="utf-8").split("\n")
            before, rows = dict(parse_json(first)), [parse_json(line) for line in lines[:-1]]
            self.found = {row["row"]: read(row["fields"]) for row in rows}
        except OSError as error:
            raise ValueError(f"cannot read {self.path}: {error.strerror or error}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.path} is damaged ({error}): delete it, or name another output") from error
        changed = sorted(key for key in before.keys() | self.command.keys() if before.get(key) != self.command.get(key))
        if changed:
            raise ValueError(
                f"{self.path} holds rows of another command ({', '.join(changed)} changed): give that command again, "
                "delete the file, or name another output"
            )
        whole = "\n".join([first, *lines[:-1], ""])  # without a line that was cut
        with replacing(self.path) as temporary:
            temporary.write_text(whole, encoding="utf-8")
        print(f"modeseek: {len(self.found)} finished rows are taken from {self.path}", file=sys.stderr)

    def add(self, rows: Mapping[int, Result]) -> None:
        """Keep rows that are finished."""
        if self.path is None:
            return
        file = self._open(self.path)
        file.writelines(
            json.dumps({"row": n, "fields": _fields(row)}, ensure_ascii=False) + "\n" for n, row in rows.items()
        )
        file.flush()
        self._new += len(rows)

    def __enter__(self) -> "PartialRows[Result]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(*(() if kind is None else (OSError,))):  # a full disk has been told already
                self._file.close()
        if self.path is None:
            return
        if kind is None:
            self.path.unlink(missing_ok=True)
        elif self.found or self._new:
            kept = len(self.found) + self._new
            print(f"\nmodeseek: {kept} finished rows are in {self.path}; the same command goes on", file=sys.stderr)

    def _open(self, path: Path) -> IO[str]:
        if self._file is not None:
            return self._file
        new = not path.exists()
        self._file = file = path.open("a", encoding="utf-8")
        if new:
            file.write(json.dumps(self.command) + "\n")
        return file


def digest(*parts: Any) -> str:
    """What tells inputs apart: of token ids, arrays and files' sizes and times."""
    found = hashlib.sha256()
    for part in parts:
        found.update(np.asarray(part).tobytes() if hasattr(part, "dtype") else json.dumps(part).encode())
    return found.hexdigest()


def state_of(folder: Path) -> list[list[Any]]:
    """Names, sizes and times of a model's files: another model in the same place is another command."""
    files = sorted(file for file in folder.iterdir() if file.suffix in (".json", ".safetensors") and file.is_file())
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]


def _fields(row: Any) -> dict[str, Any]:
    plain = lambda value: value.tolist() if isinstance(value, np.ndarray) else value
    return {field.name: plain(getattr(row, field.name)) for field in dataclasses.fields(row)}
