"""Several processes as one, of one machine or of many: how they find each other, and what they do together."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from modeseek.checks import whole

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
"""The environment's names of coordinator, processes and process."""


def initialize(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, *, timeout: int = 300
) -> bool:
    """Join the other hosts; to be called before anything touches a device.

    Args:
        coordinator: host:port of the first process, the same for all; from the environment, if not given.
        processes: how many; likewise.
        process: which of them this is, 0 … processes - 1; likewise.
        timeout: seconds to wait for the others.

    Returns:
        whether there are others: False, and nothing done, if neither arguments nor environment name any.

    Raises:
        ValueError: some of the three without the others, or an impossible value.
        RuntimeError: a device is in use already, or the others do not come in time (JAX's).
    """
    given = (coordinator, processes, process)
    values = [os.environ.get(v) if g is None else g for g, v in zip(given, VARIABLES, strict=True)]
    missing = [variable for variable, value in zip(VARIABLES, values, strict=True) if value in (None, "")]
    if len(missing) == len(VARIABLES):
        return False
    if missing:
        raise ValueError(f"several hosts need coordinator, processes and process: {', '.join(missing)} is not set")
    address = str(values[0])
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"the coordinator must be host:port, got {address!r}")
    count, index = _parsed(VARIABLES[1], values[1]), _parsed(VARIABLES[2], values[2])
    whole("the number of processes", count, 1)
    if not 0 <= index < count:
        raise ValueError(f"the process must be one of 0 to {count - 1}, got {index}")
    whole("timeout", timeout, 1)
    jax.distributed.initialize(address, count, index, initialization_timeout=timeout)
    return True


@contextlib.contextmanager
def together() -> Iterator[None]:
    """What fails on one host fails on all, instead of leaving them to wait for it; none goes on before all are here.

    Raises:
        ValueError: another host failed, whose own error says why.
    """
    failure = None
    try:
        yield
    except Exception as error:  # whatever it is: the others wait
        failure = error
    fine = np.array([True])
    if jax.process_count() > 1:
        fine = multihost_utils.process_allgather(np.array(failure is None))
    if failure is not None:
        raise failure
    if not fine.all():
        raise ValueError(f"host {int(np.argmin(fine))} failed: its own error says why")


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
    """What every host would say alike is said by the first; an error that ends this is each one's own to tell."""
    if jax.process_index() == 0:
        yield
        return
    with (
        Path(os.devnull).open("w") as silence,
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
    ):
        yield


def gathered(tree: Any) -> Any:
    """A tree whose arrays this process has whole: those that several hosts share are brought to each of them.

    All others stay as and where they are. With several hosts all must call it.
    """

    def one(leaf: Any) -> Any:
        shared = isinstance(leaf, jax.Array) and not leaf.is_fully_addressable
        return jnp.asarray(multihost_utils.process_allgather(leaf, tiled=True)) if shared else leaf

    return jax.tree.map(one, tree)


def _parsed(name: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ValueError(f"{name} must be a whole number, got {value!r}") from None
