"""Locks that end with the process that holds them, however it ends; and what killed processes left, found by them.

A process number says little of who is alive: numbers are used again, and another host has its own. A lock does.
"""

import contextlib
import errno
import functools
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

HELD = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)
"""What the system says of a lock that another process has; any other error is of a file system without locks."""
OLD = 24 * 3600
"""Seconds after which a temporary file is abandoned, where no lock says so: no single file is written for a day."""
TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}(\.\w+)?")


class NoLocks(Exception):
    """This system, or this file system, has no locks."""


def take(number: int) -> bool:
    """Lock an open file or folder; False if another process has it.

    Raises:
        NoLocks: it cannot be known.
    """
    try:
        import fcntl
    except ImportError:
        raise NoLocks("this system has none") from None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in HELD:
            return False
        raise NoLocks(error.strerror or str(error)) from error
    return True


def lock_folder(folder: Path) -> IO[str]:
    """Keep other processes out for as long as the file is open: until this process ends, however it ends.

    What killed processes left in the folder is removed. On a file system without locks it is said, once, that there is
    none.

    Raises:
        ValueError: another process holds the lock.
    """
    while True:
        lock = (folder / ".lock").open("w")
        try:
            ours = take(lock.fileno())
        except NoLocks as reason:
            _say_without_locks(str(reason))
            break
        if not ours:
            lock.close()
            raise ValueError(f"another process is at work in {folder}")
        if os.fstat(lock.fileno()).st_nlink:
            break
        lock.close()  # another process has removed it while it was opened here
    remove_abandoned(folder)
    return lock


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, and leave no lock in it.

    Raises:
        ValueError: another process is at work in it.
    """
    lock = lock_folder(folder)
    try:
        yield
    finally:
        (folder / ".lock").unlink(missing_ok=True)
        lock.close()


@functools.cache
def _say_without_locks(reason: str) -> None:
    text = f"modeseek: there are no locks on files here ({reason}): let no two commands write into one folder at once"
    print(text, file=sys.stderr)


def remove_abandoned(folder: Path, named: re.Pattern[str] = TEMPORARY) -> None:
    """Remove temporary files and folders (`files.temporary_beside`) that no living process holds.

    Args:
        folder: where.
        named: which names are looked at.
    """
    with contextlib.suppress(OSError):  # what cannot be listed or removed is in nobody's way
        for path in list(folder.iterdir()):
            if named.fullmatch(path.name) and not path.is_symlink():
                _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    with contextlib.suppress(OSError):
        is_folder = path.is_dir()
        number = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            abandoned = take(number)
        except NoLocks:
            abandoned = time.time() - os.fstat(number).st_mtime > OLD
        try:
            if abandoned and is_folder:
                shutil.rmtree(path)
            elif abandoned:
                path.unlink()
        finally:
            os.close(number)
