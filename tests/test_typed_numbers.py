"""Wherever a number is typed, Python's `0_1` is a slip and not 1: refused with what came, never read."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from modeseek.bandit.categorical.presets import named_problem
from modeseek.bandit.commands.runs import parse_vary
from modeseek.bandit.explore.toolkit.controls import Distribution, Heights, Number
from modeseek.bandit.explore.toolkit.reading import read_number
from modeseek.bandit.simulator.behavior import parse_behavior
from modeseek.bandit.simulator.problem import parse_reward

READERS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    ("1", lambda text: Number("x", "x", 0, 10).accept(text, 0.0, 10.0)),
    ("1, 3", Distribution("q", "q").accept),
    ("0, 1", Heights("h", "h", ("a", "b")).accept),
    ("knots:0,1", Heights("h", "h", ("a", "b")).accept),
    ("knots:0,1", parse_reward),
    ("bump:1:2", parse_reward),
    ("bump:1:2", parse_behavior),
    ("dirichlet:1", lambda text: named_problem(text, categories=3)),
    ("tau=1", lambda text: parse_vary((text,))),
)
"""What is read, and what reads it."""


@pytest.mark.parametrize(("text", "read"), READERS)
def test_an_underscore_makes_no_number(text: str, read: Callable[[str], Any]):
    read(text)
    slip = text.replace("1", "0_1")
    with pytest.raises(ValueError, match=re.escape(slip.removeprefix("knots:"))):
        read(slip)


def test_an_answer_with_an_underscore_is_no_number():
    assert math.isnan(read_number("1_0")[0])
