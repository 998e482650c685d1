"""How much memory this process may still take, and bytes in words."""

import contextlib
import math
import os
from pathlib import Path


def readable(count: int) -> str:
    """Bytes in the unit that a person would choose."""
    if count <= 0:
        return "0 B"
    count = min(count, 1024**7)  # beyond it, no one reads digits
    step = min(int(math.log2(count) // 10), 4)
    return f"{count / 1024**step:.{0 if step == 0 else 2}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[step]}"


def free_bytes() -> int | None:
    """Bytes that this process may still take: what the system, its container and its own limit of address space leave.

    None where none of them can be told.
    """
    found = (_of_system(), _of_container(), address_space())
    return min((each for each in found if each is not None), default=None)


def address_space() -> int | None:
    """Bytes of address space that are left under this process's own limit (`ulimit -v`); None without one."""
    try:
        import resource
    except ImportError:  # no such limits on this system
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    with contextlib.suppress(OSError, ValueError, IndexError):
        return max(0, limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
    return limit


def _of_system() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    with contextlib.suppress(OSError, ValueError, AttributeError):  # systems without these names
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_container() -> int | None:
    """What a control group (version 2) leaves: its limit without what is in use and cannot be given back."""
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        limit = int((group / "memory.max").read_text())  # "max": no limit
        in_use = int((group / "memory.current").read_text())
        files = [line.split() for line in (group / "memory.stat").read_text().splitlines()]
        cached = sum(int(count) for name, count in files if name in ("active_file", "inactive_file"))
        return max(0, limit - in_use + cached)
    return None
