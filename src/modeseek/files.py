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


DEEPEST = 100
"""Lists and objects within each other; what is nested deeper is damaged, and would end whatever walks through it."""


def parse_json(text: str | bytes, where: str = "this") -> Any:
    """What JSON holds, in UTF-8 if it is bytes.

    Args:
        text: the JSON.
        where: it stands, for errors.

    Raises:
        ValueError: it is not JSON, or is nested too deeply.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode()
        found = json.loads(decoded)
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply to be read") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not JSON: it is not text in UTF-8") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if "\n" in error.doc else f"column {error.colno}"
        raise ValueError(f"{where} is not JSON: {error.msg} in {place}") from error
    except ValueError as error:  # a number of thousands of digits
        raise ValueError(f"{where} is not JSON that is read: {error}") from error
    if decoded.count("[") + decoded.count("{") > DEEPEST and _deeper(found, DEEPEST):
        raise ValueError(f"{where} is nested too deeply to be read")
    return found


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is not there, is no file (a pipe would be waited for), cannot be read, or is not JSON.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"cannot read {path}: it is not a file")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
    return parse_json(content, str(path))


def _deeper(value: Any, most: int) -> bool:
    """Whether lists and objects are within each other more than `most` times; taken level by level."""
    level = [value]
    for _ in range(most):
        members = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for within in members for each in within if isinstance(each, dict | list)]
        if not level:
            return False
    return True


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
