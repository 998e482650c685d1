"""How much memory there is, compared with what work needs before anything is loaded or compiled."""

import contextlib
import os
from pathlib import Path

import jax

from llm.memory import Memory, readable


def available_bytes(device: "jax.Device | None" = None) -> int | None:
    """Bytes that a device has left: by its own account, or, for a CPU, the host's; None where neither can be told."""
    device = jax.local_devices()[0] if device is None else device
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    return _host_bytes() if device.platform == "cpu" else None


def _host_bytes() -> int | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    with contextlib.suppress(OSError, ValueError, AttributeError):  # systems without these names
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def check_room(needed: Memory, what: str, advice: str, available: int | None = None) -> None:
    """Refuse work that does not fit, with the numbers.

    Args:
        needed: estimated bytes.
        what: the work, for the message.
        advice: how to need less.
        available: bytes; asked of the first device, if not given. Where it cannot be told, nothing is refused.

    Raises:
        ValueError: more is needed than there is.
    """
    available = available_bytes() if available is None else available
    if available is not None and needed.total > available:
        parts = ", ".join(f"{part} {readable(count)}" for part, count in needed.parts.items())
        raise ValueError(
            f"{what} needs about {readable(needed.total)} ({parts}), and {readable(available)} are free: {advice}"
        )
