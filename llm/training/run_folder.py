"""The folder of one run: its configuration, a line of numbers for each event, a lock while a process works in it."""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import jax

from modeseek.files import differences, parse_json, read_json, replacing, writable_folder
from modeseek.locks import lock_folder
from modeseek.machine import described, moved
from modeseek.processes import together

CONFIG = "config.json"
METRICS = "metrics.jsonl"
SAMPLES = "samples.jsonl"
LINES = (METRICS, SAMPLES)
"""The files of lines."""
MACHINES = "machines.json"
"""What the run was made on, one after the other, each as `here` has it."""


class RunFolder:
    """What a run writes while it goes on. A killed run loses no line that was finished; results are made elsewhere.

    With several hosts all must make one, of a folder that all of them see; the first writes, and what it is refused is
    an error on all.

        with RunFolder(Path("runs/sft"), {"learning_rate": 1e-3, "seed": 0}) as run:
            run.append({"step": 1, "loss": 4.2})

    Args:
        folder: made if it is not there.
        configuration: JSON-able; what makes this run another one than others. A folder that holds another is refused.

    Raises:
        ValueError: the folder cannot be written to, another process is at work in it, or it was made with another
            configuration; the fields that differ are named.
    """

    def __init__(self, folder: Path, configuration: Mapping[str, Any]) -> None:
        self.folder = folder
        self.machines: list[dict[str, Any]] = []
        """What the run was made on up to now; the writing process has it."""
        self._lock: IO[str] | None = None
        with together():
            if jax.process_index() == 0:
                self._take(configuration)
        self._opened = time.monotonic()

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        """Let other processes in."""
        if self._lock is not None:
            self._lock.close()

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes."""
        return self._lock is not None

    @property
    def metrics(self) -> Path:
        """The file of lines."""
        return self.folder / METRICS

    def append(self, record: Mapping[str, Any], file: str = METRICS) -> None:
        """One more line, on the disk when this returns: what is given, and the seconds since the folder was opened.

        Args:
            record: what is given.
            file: one of `LINES`.

        Raises:
            ValueError: a number that JSON has not (NaN, infinity), or something that is no JSON at all.
        """
        if not self.writes:
            return
        seconds = {"seconds": round(time.monotonic() - self._opened, 3)}
        try:
            line = json.dumps({**record, **seconds}, allow_nan=False) + "\n"
        except TypeError as error:
            raise ValueError(f"a line of {self.folder / file} cannot be written: {error}") from error
        with (self.folder / file).open("ab") as opened:
            opened.write(line.encode())
            opened.flush()  # the whole line or an error: on a disk that fills, a bare write may take a part
            os.fsync(opened.fileno())

    def records(self) -> list[dict[str, Any]]:
        """All lines of numbers so far (`read_metrics`), on every host."""
        with together():  # after the first has written what it is ahead of the others by
            pass
        return read_metrics(self.folder)

    def begin(self) -> None:
        """Start the lines anew: those of an earlier attempt, which did not come to its end, are kept in
        `metrics-1.jsonl`, `-2`, …; nothing of the machines that it was made on is left."""
        for path in self._lines():
            if path.exists():
                number = 1
                while (kept := path.with_stem(f"{path.stem}-{number}")).exists():
                    number += 1
                path.rename(kept)
        if self.writes:
            self._made_on([here()])

    def go_on(self) -> None:
        """The run goes on from a checkpoint: if that is another machine's or other versions', say so, and keep both."""
        if not self.writes:
            return
        at_work = here()
        differing = moved(self.machines[-1], at_work) if self.machines else ""
        if differing:
            print(f"note: {self.folder} was begun elsewhere ({differing}): {LAST_BITS}", file=sys.stderr, flush=True)
        if differing or not self.machines:
            self._made_on([*self.machines, at_work])

    def marks(self) -> dict[str, int]:
        """How far the files of lines reach now, in bytes."""
        return {path.name: path.stat().st_size for path in self._lines() if path.exists()}

    def rewind(self, marks: Mapping[str, int]) -> None:
        """Cut off all lines that were written after those marks."""
        for path in self._lines():
            if path.exists() and path.stat().st_size > (mark := marks.get(path.name, 0)):
                os.truncate(path, mark)

    def _take(self, configuration: Mapping[str, Any]) -> None:
        self.folder = writable_folder(self.folder)
        self._lock = lock_folder(self.folder)
        try:
            self._identify(json.loads(json.dumps(dict(configuration), default=str)))
            self._mend()
            self.machines = self._read_machines()
        except BaseException:
            self._lock.close()
            raise

    def _lines(self) -> list[Path]:
        """The files of lines that this process writes."""
        return [self.folder / name for name in LINES] if self.writes else []

    def _identify(self, wanted: dict[str, Any]) -> None:
        path = self.folder / CONFIG
        if not path.exists():
            if self.metrics.exists():
                raise ValueError(f"{self.folder} holds a run and does not say which: choose another folder")
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
            return
        try:
            found = read_json(path)
        except ValueError as error:
            raise ValueError(f"{error}: choose another folder") from error
        differing = sorted(differences(found, wanted))
        if differing:
            shown = "; ".join(differing[:6]) + ("; …" if len(differing) > 6 else "")
            raise ValueError(
                f"{self.folder} holds a run with another configuration ({shown}): use the same, or another folder"
            )

    def _made_on(self, machines: list[dict[str, Any]]) -> None:
        self.machines = machines
        with replacing(self.folder / MACHINES) as temporary:
            temporary.write_text(json.dumps(machines, indent=1) + "\n", encoding="utf-8")

    def _read_machines(self) -> list[dict[str, Any]]:
        """None of a run that was begun before they were written down."""
        path = self.folder / MACHINES
        found = read_json(path) if path.exists() else []
        if not are_places(found):
            raise ValueError(f"{path} is damaged (it says of no machine): delete it")
        return list(found)

    def _mend(self) -> None:
        """Cut off a line that a killed process did not finish."""
        for path in self._lines():
            if path.exists():
                written = path.read_bytes()
                whole = written.rfind(b"\n") + 1
                if whole < len(written):
                    os.truncate(path, whole)


LAST_BITS = "last bits may differ from what would have come there"
"""What going on elsewhere means, in words."""


def here() -> dict[str, Any]:
    """What computes here, with the versions that may change a bit of a language model's run."""
    return described("jax", "jaxlib", "flax", "optax", "transformers")


def are_places(found: Any) -> bool:
    """Whether something of JSON is a list of what `here` gives."""
    return isinstance(found, list) and all(isinstance(each, dict) and "machine" in each for each in found)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The finished lines of a run, one dictionary each; none if there is no such file.

    Args:
        path: of a run's folder, or of its file.

    Raises:
        ValueError: a line that is no JSON object, or what is no file (a pipe would be waited for); it is named.
    """
    path = path / METRICS if path.is_dir() else path
    if not path.exists():
        return []
    if not path.is_file():
        raise ValueError(f"cannot read {path}: it is not a file")
    *lines, _unfinished = path.read_bytes().split(b"\n")
    return [read_line(line, f"line {number} of {path}") for number, line in enumerate(lines, 1) if line]


def read_line(line: bytes, where: str) -> dict[str, Any]:
    """One finished line. Raises ValueError for what is no JSON object; `where` it stands is said."""
    record = parse_json(line, where)
    if not isinstance(record, dict):
        raise ValueError(f"{where} must be a JSON object, got {type(record).__name__}")
    return record
