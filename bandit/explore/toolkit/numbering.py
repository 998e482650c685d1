"""Which of its kind an explorer is: counted by a notebook's cells, so that running all of them again counts anew."""

import itertools
import sys
from typing import Any, NamedTuple

_made: "dict[str, dict[int, Place]]" = {}


class Place(NamedTuple):
    """Where an explorer was made.

    Attributes:
        cell: of a notebook; empty where no front end names one.
        execution: of that cell.
    """

    cell: str
    execution: str


def here() -> Place:
    """The cell that is run, as JupyterLab tells the kernel with each request to run it."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    request = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return Place(request.get("metadata", {}).get("cellId", ""), request.get("header", {}).get("msg_id", ""))


def next_number(kind: str) -> int:
    """1 for the first explorer of a kind, 2 for the next; a cell that is run again gets its numbers back."""
    place, made = here(), _made.setdefault(kind, {})
    for number, before in list(made.items()):
        if place.cell and before.cell == place.cell and before.execution != place.execution:
            del made[number]
    number = next(each for each in itertools.count(1) if each not in made)
    made[number] = place
    return number
