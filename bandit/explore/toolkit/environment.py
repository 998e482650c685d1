"""Is everything here that the notebooks need? One line each, with what to do if not."""

import platform
import sys
from importlib import metadata
from typing import NamedTuple

from modeseek.checks import install

NEEDED = ("jax", "numpy", "matplotlib", "xarray", "ipywidgets", "jupyterlab")

INSTALL = install("notebooks")
"""What to do about a missing package; no registry has modeseek."""


class Environment(NamedTuple):
    """What was found.

    Attributes:
        lines: of text, one finding each.
        ready: whether the notebooks can be used fully.
    """

    lines: tuple[str, ...]
    ready: bool

    def __repr__(self) -> str:
        return "\n".join(self.lines)


def check_environment() -> Environment:
    """Python's and the packages' versions, JAX's devices, and whether sliders will work."""
    lines, ready = [f"✓ Python {platform.python_version()}"], sys.version_info >= (3, 11)
    if not ready:
        lines = [f"✗ Python {platform.python_version()}: version 3.11 or later is needed"]
    for name in ("modeseek", *NEEDED):
        try:
            lines.append(f"✓ {name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            ready = False
            lines.append(f"✗ {name} is missing: {INSTALL}, then restart the kernel")
    import jax

    kinds = sorted({f"{device.platform}" for device in jax.devices()})
    lines.append(f"✓ JAX computes on {len(jax.devices())} {' and '.join(kinds)} device(s)")
    lines.append("Everything is here." if ready else "Figures will show, but not every control will work.")
    return Environment(tuple(lines), ready)
