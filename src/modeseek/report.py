"""What comes after the results: a table, figures. A part of it that fails is one line, and the rest goes on."""

import contextlib
import os
import sys
from collections.abc import Iterator


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
            reason = (str(error).strip() or "no reason was given").splitlines()[0]
            print(f"modeseek: {what} is missing: {type(error).__name__}: {reason}", file=sys.stderr)
            self.missing.append(what)

    @property
    def code(self) -> int:
        """The status that a command ends with: 0, or 2 if something is missing."""
        return 2 if self.missing else 0
