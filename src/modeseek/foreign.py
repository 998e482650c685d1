"""The boundary to other people's code: whatever it raises is one line of ours."""

import contextlib
from collections.abc import Iterator

LONGEST = 300
"""Letters of a reason; some libraries quote their whole input."""


def reason(error: BaseException) -> str:
    """What an error says, its first line, or of which kind it is if it says nothing."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{line[:LONGEST]}…" if len(line) > LONGEST else line


@contextlib.contextmanager
def foreign(says: str) -> Iterator[None]:
    """Around a call of a library, or of a program that came with a model: a context, or a decorator of a function.

        with foreign("the chat template does not take these messages"):
            text = tokenizer.apply_chat_template(messages)

    Templates, tokenizers and parsers raise kinds of their own without a common ancestor; a panic of one in Rust is not
    even an `Exception`. None of them is worth a traceback to whoever named the file.

    Args:
        says: what could not be done.

    Raises:
        ValueError: anything went wrong within; it has `says` and the reason.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise ValueError(f"{says}: {reason(error)}") from error
