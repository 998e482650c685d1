"""Where runs are computed: one device per core on a CPU, many runs at once on an accelerator."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh

from modeseek.files import expanded, writable_folder
from modeseek.machine import EIGEN_FLAG


def use_host_devices(count: int | None = None) -> None:
    """Split this computer's CPU into `count` JAX devices (its cores, if none is given), one thread each.

    A network this small does not gain from several threads: two devices with a run each finish 1.6 to 2.5 times as
    many runs as one device with two threads. Call it before JAX is first used; afterwards it cannot change and is
    left as it is. Does nothing to GPUs and TPUs. A flag of the user's own, set before, is kept.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if EIGEN_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {EIGEN_FLAG}=false".strip()
    try:
        jax.config.update("jax_num_cpu_devices", count or available_cores())
    except RuntimeError:  # JAX has started already
        return


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


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_mesh() -> Mesh:
    """All devices of this process in one axis, `runs`."""
    return Mesh(np.asarray(jax.local_devices()), ("runs",))


def runs_per_device(mesh: Mesh, runs: int) -> int:
    """How many runs a device computes at once: one on a CPU, where batching small products gains nothing; else up
    to 64, batched."""
    if mesh.devices.flat[0].platform == "cpu":
        return 1
    return max(1, min(64, -(-runs // mesh.devices.size)))


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
