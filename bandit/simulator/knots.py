"""A reward that somebody drew: knots over the tokens with straight lines between them, as text and as a small file."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from modeseek.checks import number_list, read_float, require
from modeseek.files import expanded, read_json, replacing, writable_folder

KIND, SAVED = "knots", "saved"
"""What a reward's text begins with: its knots follow, or the name under which they were saved."""

FOLDER = Path("modeseek-rewards")
"""Where rewards are saved, in the current folder."""

FORMAT = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
MOST = 1000
"""Knots of a reward."""


class Knots(NamedTuple):
    """A reward by its knots.

    Attributes:
        values: the reward of the first token, …, of the last, at equal distances over the tokens; each from 0 to 1.
    """

    values: tuple[float, ...]

    def of_tokens(self, vocab_size: int) -> Float[np.ndarray, "V"]:
        """The reward of each token, float64: straight lines between the knots."""
        places = np.linspace(0, vocab_size - 1, len(self.values))
        return np.interp(np.arange(vocab_size), places, self.values)

    @property
    def text(self) -> str:
        """As `Experiment.rewards` and the command line have it: `knots:0,0.5,1`."""
        return f"{KIND}:{','.join(f'{v:g}' if float(f'{v:g}') == v else repr(v) for v in self.values)}"


def knots(values: Sequence[float]) -> Knots:
    """A reward by its knots.

    Raises:
        ValueError: there are fewer than two, or one of them is no number from 0 to 1.
    """
    require(2 <= len(values) <= MOST, f"a drawn reward has 2 to {MOST} knots, got {len(values)}")
    held = tuple(float(value) + 0.0 for value in values)
    for i, value in enumerate(held):
        require(math.isfinite(value) and 0 <= value <= 1, f"a knot must be from 0 to 1, got {value!r} at knot {i + 1}")
    return Knots(held)


def parse_knots(text: str) -> Knots:
    """Read `knots:0,0.5,1`.

    Raises:
        ValueError: it is not such a text, or as `knots`.
    """
    kind, _, numbers = text.partition(":")
    try:
        require(kind == KIND, "")
        values = [read_float(number) for number in numbers.split(",")]
    except ValueError:
        raise ValueError(f"a drawn reward is knots:NUMBER,NUMBER,…, got {text!r}") from None
    return knots(values)


def save_reward(name: str, reward: str, *, folder: str | Path | None = None, replace: bool = False) -> Path:
    """Save a drawn reward under a name; `saved:NAME` is a reward from then on.

    >>> modeseek.save_reward("two-hills", "knots:0,1,0.2,0.2,0.8,0")
    >>> modeseek.run(methods=["ppo"], rewards=["saved:two-hills"])

    Args:
        name: letters, digits, hyphens, underscores and points.
        reward: `knots:…`.
        folder: where; `modeseek-rewards`, if not given, where `saved:NAME` looks.
        replace: write over one of that name.

    Returns:
        the file, a small JSON.

    Raises:
        ValueError: the name cannot be one, there is such a reward already, or it cannot be written.
    """
    values = parse_knots(reward).values
    path = _path(name, folder)
    require(replace or not path.exists(), f"{path} is there already: choose another name, or say replace=True")
    writable_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({"modeseek_reward": FORMAT, "name": name, "knots": list(values)}) + "\n")
    return path


def load_reward(name: str, *, folder: str | Path | None = None) -> str:
    """The `knots:…` of a reward that was saved.

    >>> modeseek.explorer("bandit", knots=modeseek.load_reward("two-hills"))

    Args:
        name: of `save_reward`.
        folder: where it was saved.

    Raises:
        ValueError: there is none of that name, or its file is damaged.
    """
    path = _path(name, folder)
    if not path.exists():
        there = sorted(each.stem for each in path.parent.glob("*.json") if NAME.fullmatch(each.stem))
        known = f"; there are {', '.join(there)}" if there else ""
        raise ValueError(f"there is no saved reward {name!r} in {path.parent}{known}")
    data = read_json(path)
    try:
        require(isinstance(data, dict), f"got {type(data).__name__}")
        found = data.get("modeseek_reward")
        require(type(found) is int and found == FORMAT, f"modeseek_reward must be {FORMAT}, got {found!r}")
        return knots(number_list("knots", data.get("knots"))).text
    except ValueError as error:
        raise ValueError(f"{path} holds no reward of this version: {error}") from error


def resolved(text: str) -> str:
    """A reward's one text: `saved:NAME` becomes its knots, so that what holds it needs the file no more.

    Raises:
        ValueError: there is none of that name, or knots cannot be ones.
    """
    kind, _, rest = text.partition(":")
    if kind == SAVED:
        return load_reward(rest)
    return parse_knots(text).text if kind == KIND else text


def _path(name: str, folder: str | Path | None) -> Path:
    require(
        NAME.fullmatch(name) is not None,
        f"a reward's name has letters, digits, hyphens, underscores and points, at most 60, got {name!r}",
    )
    return expanded(FOLDER if folder is None else folder) / f"{name}.json"
