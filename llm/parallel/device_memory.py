"""How much memory there is, compared with what work needs before anything is loaded or compiled."""

from typing import Any

import jax

from modeseek.llm.models.model import Compute
from modeseek.llm.parallel.memory import MemoryEstimate
from modeseek.memory import free_bytes, readable


def available_bytes(device: Any = None) -> int | None:
    """Bytes that a device (this process's first, if not given) has left; None where it cannot be told.

    By its own account, or, for a CPU, the host's, which its devices share.
    """
    device = jax.local_devices()[0] if device is None else device
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0))
    free = free_bytes() if device.platform == "cpu" else None
    return None if free is None else free // jax.local_device_count("cpu")


def compute_counted(dtype: str) -> Compute:
    """How a model is computed, as memory is to be counted: a CPU computes 16-bit numbers in float32 copies."""
    return Compute("float32" if jax.default_backend() == "cpu" else dtype)


CPU_CHUNK = 128
"""Tokens whose logits a CPU makes at once, whatever is allowed: 128 x 50 304 logits stay in its cache, and larger
chunks were slower, the larger the more (`benchmarks/llm_results.md`)."""


def chunk_counted(chunk: int) -> int:
    """Tokens whose logits exist at once where `chunk` are allowed, on this process's devices."""
    return min(chunk, CPU_CHUNK) if jax.default_backend() == "cpu" else chunk


def check_fits(
    needed: MemoryEstimate, what: str, advice: str, *, there: tuple[str, ...] = (), device: Any = None
) -> None:
    """Refuse work that does not fit on a device, with the numbers.

    Args:
        needed: estimated bytes.
        what: the work, for the message.
        advice: how to need less.
        there: the parts of `needed` that the device holds already.
        device: one of those that do the work; the first of this process, if not given.

    Raises:
        ValueError: more is needed than there is. Where what there is cannot be told, nothing is refused.
    """
    free = available_bytes(device)
    if free is None:
        return
    missing = needed.total - sum(needed.parts[part] for part in there)
    if missing > free:
        parts = ", ".join(f"{part} {readable(count)}" for part, count in needed.parts.items())
        beside = f" beside {' and '.join(there)}" if there else ""
        raise ValueError(
            f"{what} needs about {readable(needed.total)} on each device ({parts}), and {readable(free)} are "
            f"free{beside}: {advice}"
        )
