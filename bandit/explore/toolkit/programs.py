"""Compiled programs of a training, each begun ahead of its first use."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from modeseek.bandit.simulator.devices import use_compilation_cache


class Programs:
    """Compiled programs that take numbers only: a change of any number finds them as they are. They begin to compile
    at once, in threads, and are waited for on first use."""

    def __init__(self) -> None:
        use_compilation_cache()
        self._compiled: dict[str, Future[Any]] = {}
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="compile")

    def compile(self, name: str, function: Any, *args: Any) -> Any:
        """Begin; arrays or their shapes, and the shapes that come out."""
        shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), args)
        jitted = jax.jit(function)
        self._compiled[name] = self._pool.submit(lambda: jitted.lower(*shapes).compile())
        return jax.eval_shape(jitted, *shapes)

    @property
    def ready(self) -> bool:
        """Whether nothing is compiling any more."""
        return all(future.done() for future in self._compiled.values())

    def __call__(self, name: str, *args: Any) -> Any:
        """Run one, and wait for it."""
        return jax.block_until_ready(self._compiled[name].result()(*args))
