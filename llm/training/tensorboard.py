"""TensorBoard: a run's metrics.jsonl as event files. The lines are what counts; the events follow them."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from modeseek.checks import install
from modeseek.llm.training.run_folder import RunFolder, read_line

EVENTS = "tensorboard"
"""The folder, within a run's, of event files; what was there is begun anew, as it is all in the lines."""


class Mirror:
    """A run's lines, and, if TensorBoard was asked for, the same numbers as events; a context.

        with Mirror(run, tensorboard=True) as mirror:
            mirror.append({"step": 1, "loss": 4.2})

    Every number but `step` is a scalar at its line's gradient step; a stage's name stands before the number's.

    Args:
        run: whose lines are written.
        tensorboard: whether events are written too.

    Raises:
        ValueError: the extra is not installed.
    """

    def __init__(self, run: RunFolder, *, tensorboard: bool) -> None:
        self._run = run
        self._writer = _writer(run.folder / EVENTS) if tensorboard and run.writes else None
        self._read = 0

    def __enter__(self) -> "Mirror":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._follow()
            self._writer.close()

    def append(self, record: Mapping[str, Any]) -> None:
        """One more line (`RunFolder.append`), and its numbers."""
        self._run.append(record)
        if self._writer is not None:
            self._follow()

    def _follow(self) -> None:
        """The finished lines that are new, those of an earlier process included: the file says what has happened."""
        if self._writer is None or not self._run.metrics.exists():
            return
        with self._run.metrics.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        finished = new[: new.rfind(b"\n") + 1]
        self._read += len(finished)
        for line in finished.splitlines():
            record = read_line(line, f"a line of {self._run.metrics}")
            before = f"{record['stage']}/" if "stage" in record else ""
            for name, value in record.items():
                if name != "step" and isinstance(value, int | float):
                    self._writer.add_scalar(f"{before}{name}", value, record.get("step", 0))


def _writer(folder: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ValueError(f"--tensorboard needs {install('tensorboard')}") from error
    for old in folder.glob("events.out.tfevents.*") if folder.is_dir() else ():
        old.unlink()
    return SummaryWriter(str(folder), flush_secs=10)
