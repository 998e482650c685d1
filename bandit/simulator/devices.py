"""Where runs are computed: a device for each core of a CPU, or the accelerators that this process has."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from modeseek.checks import require, whole
from modeseek.files import expanded, writable_folder
from modeseek.machine import EIGEN_FLAG, available_cores

FEWEST_DEVICES = 2
"""Of a CPU, so that a run's bits are those that it has on any number of devices: XLA makes another program for one."""


def use_host_devices(count: int | None = None) -> None:
    """Split this computer's CPU into `count` JAX devices, one thread each: if none is given, as many as
    `JAX_NUM_CPU_DEVICES` says, or its cores, but at least `FEWEST_DEVICES`.

    A network this small does not gain from several threads: two devices with a run each finish 1.6 to 2.5 times as
    many runs as one device with two threads. Call it before JAX is first used; afterwards it cannot change and is
    left as it is. Does nothing to GPUs and TPUs. A flag of the user's own, set before, is kept.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if EIGEN_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {EIGEN_FLAG}=false".strip()
    try:
        jax.config.update("jax_num_cpu_devices", count or _asked_devices() or max(FEWEST_DEVICES, available_cores()))
    except RuntimeError:  # JAX has started already
        return


def _asked_devices() -> int:
    """What the environment asks for; 0 if nothing."""
    asked = os.environ.get("JAX_NUM_CPU_DEVICES", "")
    return int(asked) if asked.isdecimal() else 0


def check_platform() -> None:
    """Start JAX's devices.

    Raises:
        ValueError: there is no such platform, or no device of it.
    """
    try:
        jax.local_devices()
    except (RuntimeError, AssertionError) as error:
        asked = getattr(jax.config, "jax_platforms", None)
        what = f"JAX finds no device of the platform {asked!r} (JAX_PLATFORMS)" if asked else "JAX finds no device"
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"{what}: name another, or cpu{f' ({reason})' if reason else ''}") from error


@contextlib.contextmanager
def in_float32() -> Iterator[None]:
    """The simulator computes in float32, whatever JAX_ENABLE_X64 says: its numbers are those of every other process."""
    with jax.enable_x64(False):
        yield


def run_mesh(devices: int | None = None) -> Mesh:
    """The first so many devices of this process in one axis, `runs`; all of them, if no number is given.

    Raises:
        ValueError: none, or more than there are.
    """
    there = jax.local_devices()
    if devices is not None:
        whole("devices", devices, 1)
        kind = there[0].platform
        more = " (JAX_NUM_CPU_DEVICES=N in the environment makes N of a processor)" if kind == "cpu" else ""
        require(
            devices <= len(there),
            f"devices must be at most {len(there)}, as there are here of the platform {kind}, got {devices}{more}",
        )
    return Mesh(np.asarray(there[:devices]), ("runs",))


def use_compilation_cache(folder: Path | None = None) -> Path | None:
    """Keep compiled programs between processes, so that the next start compiles nothing.

    Args:
        folder: where; without, `$MODESEEK_CACHE`, or `modeseek` in the user's cache folder. `MODESEEK_CACHE=off` turns
            it off, as does a folder that cannot be written, and a user without a home. A cache that JAX was already
            given is left alone.

    Returns:
        the folder, or None if there is no cache.
    """
    if given := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(given)
    setting = os.environ.get("MODESEEK_CACHE", "")
    if setting.lower() == "off":
        return None
    default = expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "modeseek"
    if not (folder or setting) and not default.is_absolute():  # a user without a home
        return None
    try:
        folder = writable_folder(folder or (Path(setting) if setting else default))
    except ValueError:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder
