"""Progress bars on standard error."""

import sys
from collections.abc import Callable, Iterable
from typing import Any


def progress(what: str, delay: int = 2) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A wrapper of what a loop runs over: it shows a bar where the loop takes more than `delay` seconds."""

    def wrap(items: Iterable[Any]) -> Iterable[Any]:
        from tqdm import tqdm

        bar: Iterable[Any] = tqdm(items, desc=what, delay=delay, leave=False, file=sys.stderr)
        return bar

    return wrap
