"""What a reader types, as a number, as numbers, or as one of several names."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from modeseek.checks import plain, read_float, suggestion

DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


def read_numbers(given: Any, what: str) -> np.ndarray:
    """Numbers, typed with commas or blanks between them, or passed as a sequence; zero has no sign.

    Raises:
        ValueError: they are none; the message calls them `what`.
    """
    try:
        words = re.split(r"[,;\s]+", given.strip().strip("[]()")) if isinstance(given, str) else list(given)
        return np.asarray([read_float(word) for word in words if not isinstance(word, str) or word]) + 0.0
    except (TypeError, ValueError):
        raise ValueError(f"{what} must be numbers with commas between them, got {given!r}") from None


def read_number(given: Any) -> tuple[float, str]:
    """What is meant as a number, NaN if nothing is, and how it was read where that is not plain.

    A comma between digits is taken for a decimal point, but not where it may part thousands; zero has no sign.
    """
    read = ""
    if isinstance(given, str):
        text = given.strip().replace("−", "-")
        if DECIMAL_COMMA.fullmatch(text) and len(text.rpartition(",")[2]) != 3:
            given, read = text.replace(",", "."), f"{text} was read as {text.replace(',', '.')}"
        else:
            given = text
    try:
        return read_float(given) + 0.0, read
    except (TypeError, ValueError, OverflowError):
        return math.nan, ""


def named(given: Any, options: Mapping[str, str], what: str) -> str:
    """The option that is meant: by its name, or by what a menu or a legend shows of it; letters and digits count.

    Args:
        given: `case1_fails` is `case-1-fails`, and `On-policy IPO` is `on_policy_ipo`.
        options: name → what is shown.
        what: they are, in the message.

    Raises:
        ValueError: there is none; the message lists what there is.
    """
    if str(given) in options:
        return str(given)
    known = {plain(shown): name for name, shown in options.items()} | {plain(name): name for name in options}
    if plain(str(given)) not in known:
        raise ValueError(f"{what} must be one of {', '.join(options)}, got {given!r}{suggestion(given, options)}")
    return known[plain(str(given))]
