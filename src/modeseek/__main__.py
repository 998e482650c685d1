"""The `modeseek` command, and `python -m modeseek`: Ctrl-C is answered from the first moment to the last."""

import os
import signal
import sys
from typing import Any


def command() -> None:
    """Entry point: `modeseek.cli.main`, whose imports take a second, and whose threads may be compiling at its end."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _leave)
    from modeseek.cli import main

    if ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main()
    except SystemExit as ended:
        if ended.code == 130:  # interrupted: what is still compiling would be waited for
            _exit(130)
        raise


def _leave(number: int, frame: Any) -> None:
    """In the middle of an import: what C extensions make of an exception is not theirs to say."""
    print("\nmodeseek: interrupted", file=sys.stderr)
    _exit(130)


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
