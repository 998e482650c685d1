"""Writing files so that a reader, or a killed process, never meets half of one."""

import contextlib
import itertools
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any


def temporary_beside(path: Path) -> Path:
    """A new name in the same folder; the suffix stays last, since writers choose a format by it."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` in one step, on failure it is removed."""
    path = Path(path)
    temporary = temporary_beside(path)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)  # noqa: PTH105  (the atomic call by its own name)
    finally:
        temporary.unlink(missing_ok=True)


def parse_json(text: str | bytes) -> Any:
    """What JSON holds.

    Raises:
        ValueError: it is not JSON, or is nested deeper than it can be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def writable_folder(path: Path) -> Path:
    """Make a folder and prove that files can be written there, before any work is done.

    Raises:
        ValueError: it is a file, cannot be made, or cannot be written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"the output folder {path} is not writable: {error.strerror or error}") from error
    return path


def check_new_file(path: Path | None) -> None:
    """Prove that a file that is to be is not there and can be written, before any work is done; None is no file.

    Raises:
        ValueError: it exists, its folder does not, or nothing can be written there under such a name.
    """
    if path is None:
        return
    try:
        if path.exists():
            raise ValueError(f"{path} is there already and is not overwritten")
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent}")
        probe = temporary_beside(path)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"cannot write to {path}: {error.strerror or error}") from error


def lock_folder(folder: Path) -> IO[str]:
    """Keep other processes out for as long as the file is open: until this process ends, however it ends.

    Raises:
        ValueError: another process holds the lock.
    """
    lock = (folder / ".lock").open("w")
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # no such locks on this system
        pass
    except OSError:
        lock.close()
        raise ValueError(f"another process is at work in {folder}") from None
    return lock


def differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """Paths at which two JSON values differ, with both values: what a file has, and what is wanted here."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = found.keys() | wanted.keys()
        return [d for k in keys for d in differences(found.get(k), wanted.get(k), f"{name}.{k}".lstrip("."))]
    return [] if found == wanted else [f"{name}: there {found!r}, here {wanted!r}"]


DEFAULT_ROOT = Path("modeseek-results")


def free_folder(folder: Path | None, name: str) -> Path:
    """The folder asked for, or the first of `modeseek-results/NAME-1`, `-2`, … that is not there; it exists then.

    Raises:
        ValueError: it cannot be made, or cannot be written to.
    """
    if folder is not None:
        return writable_folder(folder)
    root = writable_folder(DEFAULT_ROOT)
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):  # another process may take a number in between
            made = root / f"{name}-{number}"
            made.mkdir()
            return made
    raise AssertionError("numbers do not end")
