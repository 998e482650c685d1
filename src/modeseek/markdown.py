"""Tables in Markdown."""

from collections.abc import Iterable, Sequence
from typing import Literal

Align = Literal["left", "right"]

_RULES = {"left": "---", "right": "---:"}


def markdown_table(columns: Sequence[tuple[str, Align]], rows: Iterable[Sequence[object]]) -> str:
    """A table with one line a row; a pipe within a cell is escaped.

    >>> print(markdown_table([("method", "left"), ("reward", "right")], [("ppo", 0.92)]))
    | method | reward |
    |---|---:|
    | ppo | 0.92 |

    Args:
        columns: title and alignment of each.
        rows: as many cells a row as there are columns, written as `str` writes them.

    Raises:
        ValueError: a row of another length.
    """
    lines = [_line(title for title, _ in columns), f"|{'|'.join(_RULES[align] for _, align in columns)}|"]
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row must have {len(columns)} cells, one a column, got {len(row)}: {row!r}")
        lines.append(_line(row))
    return "\n".join(lines)


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
