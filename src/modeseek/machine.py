"""What computes here, and under which versions: all that may change the last bits of a number."""

import contextlib
import itertools
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from modeseek import __version__
from modeseek.files import differences

EIGEN_FLAG = "--xla_cpu_multi_thread_eigen"
"""XLA's, whether one product on a CPU may use several threads; the commands set it themselves."""


def versions(*packages: str) -> dict[str, str]:
    """Versions of modeseek, Python and these packages, by name."""
    found = {name: metadata.version(name) for name in packages}
    return {"modeseek": __version__, "python": platform.python_version(), **found}


def processor() -> str:
    """The architecture, and the processor's name where the system tells it: rounding differs from one to another."""
    names = set()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        names = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return ", ".join([platform.machine(), *sorted(names)])


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> str:
    """What computes here, with everything of it that may change a bit: processor, devices, the user's flags of XLA."""
    import jax  # here, so that who asks for versions does not wait for it

    devices = f"{jax.device_count()} {jax.devices()[0].device_kind} device(s)"
    flags = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if not flag.startswith(EIGEN_FLAG)]
    return ", ".join([processor(), devices, *flags])


def described(*packages: str) -> dict[str, Any]:
    """`machine` and the `versions` of these packages, as JSON has it."""
    return {"machine": machine(), "versions": versions(*packages)}


def moved(before: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """In what two places (`described`) differ, with both values; empty if in nothing."""
    return "; ".join(sorted(differences(dict(before), dict(here))))


def names_of(places: Sequence[Mapping[str, Any]]) -> list[str]:
    """The machines of places (`described`), one after the other; where versions alone changed, once."""
    return [name for name, _ in itertools.groupby(str(place["machine"]) for place in places)]
