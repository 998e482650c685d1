"""The index of the paper: every place is listed, and points to code, tests and notebooks, or says why not."""

import ast
import re
from functools import cache

import pytest
from pages import paper
from pages.paper import Entry, Place, faults, named


@cache
def entries():
    """By place, as the index has them: made once, and not while tests are collected."""
    return {entry.place.name: entry for entry in paper.index()}


@pytest.mark.parametrize("name", [place.name for place in paper.places()])
def test_an_entry_points_somewhere(name):
    assert faults(entries()[name]) == []


@pytest.mark.parametrize(("series", "last"), [("eq. ", 20), ("Table ", 10), ("figure ", 23), ("Algorithm ", 1)])
def test_the_list_is_complete(series, last):
    """The paper's own numbering, from 1 on."""
    listed = [place.name.removeprefix(series) for place in paper.places() if place.name.startswith(series)]
    assert sorted(map(int, listed)) == list(range(1, last + 1))


def test_statements_and_methods_are_listed():
    listed = {place.name for place in paper.places()}
    assert {*(f"Lemma E.{n}" for n in range(1, 5)), "Theorem E.5", "Lemma 5.1", "Theorem 5.2"} <= listed
    assert {f"I.2.{n}" for n in range(1, 6)} <= listed
    assert len(listed) == len(paper.places())


def test_nobody_names_a_place_that_the_paper_has_not():
    """A number that is mistyped."""
    listed = {name for place in paper.places() for name in (place.name, *place.also)}
    numbered = re.compile(r"(eq\.|Table|figure|Algorithm) \d+")
    unlisted = {
        f"{name}: {place}"
        for name, said in paper.named_in_packages().items()
        for place in said
        if numbered.fullmatch(place) and place not in listed
    }
    assert unlisted == set()


IPO = Place("eq. 20", "IPO")


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (Entry(IPO, (), ("tests/x.py::test_x",), ("02",)), "nothing in the packages names it"),
        (Entry(IPO, ("modeseek.cli.main",), (), ("02",)), "no test names it"),
        (Entry(IPO, ("modeseek.cli.main",), ("tests/x.py::test_x",), ()), "no notebook names it"),
        (Entry(IPO, ("modeseek.cli.mian",), ("tests/x.py::test_x",), ("02",)), "modeseek.cli.mian cannot be imported"),
        (Entry(IPO, ("modeseek.gone.f",), ("tests/x.py::test_x",), ("02",)), "modeseek.gone.f cannot be imported"),
        (
            Entry(Place("eq. 20", "IPO", absent="not yet"), ("modeseek.cli.main",), (), ()),
            "is called absent, but modeseek.cli.main names it",
        ),
        (
            Entry(Place("eq. 20", "IPO", no_notebook="why"), ("modeseek.cli.main",), ("tests/x.py::test_x",), ("02",)),
            "gives a reason, but 02 names it",
        ),
    ],
)
def test_an_entry_that_points_nowhere_is_noticed(entry, fault):
    (found,) = faults(entry)
    assert fault in found


def test_code_that_is_gone_is_missed(monkeypatch):
    """Who named the equation is renamed to say nothing of it, so that the index has a hole."""
    without = {name: said for name, said in paper.named_in_packages().items() if "eq. 19" not in said}
    monkeypatch.setattr(paper, "named_in_packages", lambda: {k: v for k, v in without.items() if "F.1" not in v})
    entry = next(entry for entry in paper.index() if entry.place.name == "eq. 19")
    assert faults(entry)[0] == "eq. 19: nothing in the packages names it"


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("Paper F.1, eq. 19.", {"F.1", "eq. 19"}),
        ("paper eqs. 3, 4", {"eq. 3", "eq. 4"}),
        ("eqs. 9-10, aligned", {"eq. 9", "eq. 10"}),
        ("eqs. 3 and 20)", {"eq. 3", "eq. 20"}),
        ("Lemmas E.1 to E.3 and E.1.4", {"Lemma E.1", "Lemma E.2", "Lemma E.3", "E.1.4"}),
        ('FIGURES["fig16"], table3', {"figure 16", "Table 3"}),
        ("Theorem E.5, case 1 (Algorithm 1)", {"Theorem E.5", "Algorithm 1"}),
        ("RoFormer, Su et al. 2021, eq. 15", set()),
        ("preferences of Bradley and Terry", {"Bradley and Terry"}),
        ("the eqs., a figure, 3 tables", set()),
        ("figure\n    4", {"figure 4"}),
    ],
)
def test_what_a_text_names(text, places):
    assert named(text) == places


def test_a_place_belongs_to_what_it_stands_in():
    lines = ['"""See eq. 1."""', "X = 1", '"""See eq. 2."""', "def f():", "    # eq. 3", "    return 1"]
    source = "\n".join([*lines, "def _g():", '    """Eq. 4."""', ""])
    tree = ast.parse(source)
    assert {named(text).pop(): paper._top(tree, line) for line, text in paper.texts(source, tree)} == {
        "eq. 1": None,
        "eq. 2": "X",
        "eq. 3": "f",
        "eq. 4": None,
    }
