"""Standard output and error that cannot cost a run its results: whatever becomes of them, the work goes on."""

import codecs
import contextlib
import errno
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PLAIN = {
    "‖": "||",
    "±": "+-",
    "×": "x",
    "·": "*",
    "→": "->",
    "←": "<-",
    "⇔": "<=>",
    "∞": "inf",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "•": "*",
    "≥": ">=",
    "≤": "<=",
    "✓": "ok",
    "✗": "no",
    **dict.fromkeys("╭╮╰╯", "+"),  # the frames of the help
    "─": "-",
    "│": "|",
}
"""What our own texts have beyond ASCII → how it is spelled where a stream's encoding lacks it."""

READER_GONE = (errno.EPIPE, errno.EIO)
"""A pipe that nobody reads any more (`| head`), a terminal that was closed: nobody is there to be told."""


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """A handler of encoding errors: our signs are spelled in plain letters, so that nothing ends half way."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(sign: str) -> str:
    """`‖` → `||`, `β` → `beta`, `₀` → `0`; of any other sign its escape."""
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(sign, ""))
    alike = unicodedata.normalize("NFKD", sign)
    if sign in PLAIN:
        return PLAIN[sign]
    if greek:
        return greek[2].lower() if greek[1] == "SMALL" else greek[2].capitalize()
    return alike if alike.isascii() else sign.encode("ascii", "backslashreplace").decode()


codecs.register_error("modeseek.spelled", _spelled)


class Steady:
    """A text stream that remembers the first error of writing and lets what follows vanish.

    Args:
        stream: what is written to.

    Attributes:
        error: the first error; None as long as there was none.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As a stream does; once writing has failed, nowhere."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._lose(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """As a stream does."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As a stream does; what cannot be written is forgotten."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """From now on the stream leads nowhere; so does what it holds still, which Python writes at its end."""
        self.error = self.error or error
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def steady_streams() -> Iterator[Steady]:
    """For its time, standard output and error take any character, and their errors end nothing.

    Streams that were closed before the start lead nowhere: without that, the next file that is opened would take their
    number, and what a library says on standard error would go into it.

    Yields:
        standard output, which knows at the end whether something was lost.
    """
    _open_closed()
    given = sys.stdin, sys.stdout, sys.stderr
    with Path(os.devnull).open(encoding="utf-8") as empty, Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        read, written, said = given[0] or empty, given[1] or nowhere, given[2] or nowhere
        for stream in (written, said):
            if hasattr(stream, "reconfigure"):  # what stands in for a stream may have no encoding
                stream.reconfigure(errors="modeseek.spelled")
        out = Steady(written)
        sys.stdin, sys.stdout, sys.stderr = read, out, Steady(said)
        try:
            yield out
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdin, sys.stdout, sys.stderr = given


def _open_closed() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the least number that is free


def is_live(stream: Any) -> bool:
    """Whether a person watches it change: a terminal, or a notebook's output."""
    in_notebook = type(stream).__module__.startswith("ipykernel")
    return in_notebook or bool(getattr(stream, "isatty", lambda: False)())
