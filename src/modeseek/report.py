"""What comes after the results: a table, figures. A part of it that fails is one line, and the rest goes on."""

import contextlib
import os
import sys
from collections.abc import Iterator

from modeseek.foreign import reason


class Report:
    """The parts of a report.

    Attributes:
        missing: the parts that failed.
    """

    def __init__(self) -> None:
        self.missing: list[str] = []

    @contextlib.contextmanager
    def part(self, what: str) -> Iterator[None]:
        """Try a part; why it failed is said on standard error. With MODESEEK_TRACEBACK set it is raised."""
        try:
            yield
        except Exception as error:  # whatever it is: the results are saved, and the other parts are wanted
            if os.environ.get("MODESEEK_TRACEBACK"):
                raise
            print(f"modeseek: {what} is missing: {type(error).__name__}: {reason(error)}", file=sys.stderr)
            self.missing.append(what)

    @property
    def code(self) -> int:
        """The status that a command ends with: 0, or 2 if something is missing."""
        return 2 if self.missing else 0
