"""Writing files so that a reader, or a killed process, never meets half of one."""

import contextlib
import itertools
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modeseek.locks import NoLocks, remove_abandoned, take


def temporary_beside(path: Path) -> Path:
    """A new name in the same folder; the suffix stays last, since writers choose a format by it."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` in one step, on failure it is removed.

    The temporary file is there, empty, and locked while it is written; what killed processes left of writing the same
    path, whose locks went with them, is removed first.
    """
    path = Path(path)
    remove_abandoned(path.parent, _temporaries_of(path))
    temporary, number = _claimed(path)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)  # noqa: PTH105  (the atomic call by its own name)
    except OSError as error:
        if error.filename is None:  # a full disk is noticed by an open file, which does not know its name
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        if number is not None:
            os.close(number)


def _temporaries_of(path: Path) -> re.Pattern[str]:
    return re.compile(rf"\.{re.escape(path.stem)}\.\d+-[0-9a-f]{{8}}{re.escape(path.suffix)}")


def _claimed(path: Path) -> tuple[Path, int | None]:
    """A new empty file beside `path`, and its open number, which holds a lock on it, where there are locks."""
    while True:
        temporary = temporary_beside(path)
        number = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        try:
            if take(number) and os.fstat(number).st_nlink:
                return temporary, number
        except NoLocks:  # an open file could not be replaced on Windows
            os.close(number)
            return temporary, None
        os.close(number)  # in the instant between making and locking, another process took it for abandoned


class NewFolder:
    """A folder that appears in one step: filled under a temporary name, which it loses when everything is in it.

        with NewFolder(Path("model")) as filled:
            (filled / "config.json").write_text(…)

    Args:
        folder: its name at the end; nothing, or an empty folder, is there.

    Raises:
        ValueError: nothing can be made beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pattern = re.compile(rf"\.{re.escape(folder.name)}\.\d+-[0-9a-f]{{8}}")
        remove_abandoned(folder.parent, pattern)
        self._temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}")
        self._number: int | None = None
        try:
            self._temporary.mkdir(parents=True)
        except OSError as error:
            raise ValueError(f"cannot write to {folder.parent}: {error.strerror}") from error
        with contextlib.suppress(OSError, NoLocks):  # some systems open no folders
            self._number = os.open(self._temporary, os.O_RDONLY)
            take(self._number)

    def __enter__(self) -> Path:
        return self._temporary

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                if self.folder.exists():
                    self.folder.rmdir()
                self._temporary.rename(self.folder)
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)
            if self._number is not None:
                os.close(self._number)


def expanded(path: str | Path) -> Path:
    """A path with `~` as a home folder; as it is, where there is no such user, or no home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


DEEPEST = 100
"""Lists and objects within each other; what is nested deeper is damaged, and would end whatever walks through it."""


def parse_json(text: str | bytes, where: str = "this") -> Any:
    """What JSON holds, in UTF-8 if it is bytes.

    Args:
        text: the JSON.
        where: it stands, for errors.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or has a key twice: one of its values would be ignored.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode()
        found = json.loads(decoded, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError(f"{where} is nested too deeply to be read") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} is not JSON: it is not text in UTF-8") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if "\n" in error.doc else f"column {error.colno}"
        raise ValueError(f"{where} is not JSON: {error.msg} in {place}") from error
    except ValueError as error:  # a number of thousands of digits, a key that is there twice
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


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys differ."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object has the key {next(n for n in names if names.count(n) > 1)!r} twice")
    return found


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
        probe = temporary_beside(path / "probe")
        probe.touch()
        probe.unlink(missing_ok=True)
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
