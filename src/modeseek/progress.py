"""Progress on standard error: a bar where someone watches it move, a line every ten seconds in a file or a pipe."""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from modeseek.streams import is_live

if TYPE_CHECKING:
    from tqdm import tqdm

SECONDS = 10.0
"""Between two lines where nobody watches."""


def progress(what: str, delay: int = 2) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A wrapper of what a loop runs over: it shows a bar where the loop takes more than `delay` seconds."""

    def wrap(items: Iterable[Any]) -> Iterable[Any]:
        shown: Iterable[Any] = progress_bar(items, desc=what, delay=delay, leave=False)
        return shown

    return wrap


def progress_bar(items: Iterable[Any] | None = None, **options: Any) -> "tqdm[Any]":
    """A bar of tqdm's, as `tqdm.tqdm(items, **options)` makes it; where nobody watches it, lines."""
    from tqdm import tqdm

    if is_live(sys.stderr):
        return tqdm(items, file=sys.stderr, **options)
    return _lines()(items, file=sys.stderr, mininterval=SECONDS, maxinterval=SECONDS, **options)


def _lines() -> "type[tqdm[Any]]":
    """A class, made here so that no command waits for tqdm before it needs it."""
    from tqdm import tqdm

    class Lines(tqdm):
        """A bar each of whose states is a line; the empty one, which clears a bar, is none."""

        disable: bool

        @staticmethod
        def status_printer(file: Any) -> Callable[[str], None]:
            """What writes a state."""

            def write(state: str) -> None:
                if state.strip():
                    file.write(state.rstrip() + "\n")
                    file.flush()

            return write

        def close(self) -> None:
            """Say the last state, if the bar is one that stays; one that an interrupt left half made has none."""
            if not getattr(self, "disable", True):
                self.disable = True
                self._decr_instances(self)
                if self.leave and hasattr(self, "last_print_t") and self.last_print_t >= self.start_t + self.delay:
                    self.display()

    return Lines
