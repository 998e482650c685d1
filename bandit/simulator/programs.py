"""Compiled programs by name: they begin to compile at once, in threads, and are waited for on first use."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import jax

from modeseek.bandit.simulator.devices import in_float32


class Programs:
    """Programs of arrays whose shapes are fixed and whose numbers are not, so that a change of any number finds them
    as they are."""

    def __init__(self, sharding: jax.sharding.Sharding | None = None) -> None:
        """Nothing compiled yet.

        Args:
            sharding: of all arrays that go in, and how results come out; one device, if None.
        """
        self.sharding = sharding
        self._compiled: dict[str, Future[Any]] = {}
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="compile")

    def compile(self, name: str, function: Callable[..., Any], *args: Any, donate: tuple[int, ...] = ()) -> Any:
        """Begin to compile a program, unless one of that name has begun.

        Args:
            name: to call it by.
            function: what it computes.
            args: arrays, or the shapes that a program before it gives.
            donate: places of arguments whose memory the results may take over.

        Returns:
            the shapes that come out.
        """
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=self.sharding), args)
        jitted = jax.jit(function, donate_argnums=donate)
        if name not in self._compiled:
            self._compiled[name] = self._pool.submit(in_float32()(lambda: jitted.lower(*shapes).compile()))
        return in_float32()(jax.eval_shape)(jitted, *shapes)

    @property
    def ready(self) -> bool:
        """Whether nothing is compiling any more."""
        return all(future.done() for future in self._compiled.values())

    def wait(self, name: str, stop: threading.Event) -> bool:
        """Wait until one is compiled, or there is reason to stop; whether it is compiled."""
        while not stop.is_set():
            if wait([self._compiled[name]], timeout=0.1).done:
                return True
        return False

    def __call__(self, name: str, *args: Any) -> Any:
        """Run one, and wait for it."""
        return jax.block_until_ready(self._compiled[name].result()(*args))
