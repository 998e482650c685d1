"""Tables in Markdown."""

import doctest

import pytest

from modeseek import markdown
from modeseek.markdown import markdown_table


def test_the_docstring_shows_what_comes_out():
    assert doctest.testmod(markdown).failed == 0


def test_a_pipe_does_not_end_a_cell():
    table = markdown_table([("KL(p | q)", "left")], [("a|b",)])
    assert table == "| KL(p \\| q) |\n|---|\n| a\\|b |"


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"2 cells, one a column, got 1: \('ppo',\)"):
        markdown_table([("method", "left"), ("reward", "right")], [("ppo",)])
