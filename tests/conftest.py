"""Strictness for every test: promotions are errors, shape annotations are executed, warnings are errors (pyproject).

Set before the project is imported: the import hook wraps functions as their modules load.
"""

import os
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["MODESEEK_CACHE"] = "off"

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("bandit", "beartype.beartype")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

from bandit.simulator.devices import use_host_devices  # noqa: E402  (after the hook and JAX's settings)

use_host_devices(2)


@pytest.fixture
def float64() -> Iterator[None]:
    """Sixty-four bits for the length of a test: finite differences need them."""
    with jax.enable_x64(True):
        yield
