"""What the language models' commands share."""

import sys
from collections.abc import Callable, Iterable
from typing import Any


def progress(what: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A bar on standard error for work of more than two seconds."""

    def wrap(items: Iterable[Any]) -> Iterable[Any]:
        from tqdm import tqdm

        return tqdm(items, desc=what, delay=2, leave=False, file=sys.stderr)

    return wrap
