"""Whatever is typed, passed or answered is taken as it is meant, mended aloud, or told what is wrong with it."""

import importlib
import inspect
import itertools
import math
import pkgutil
import re
from pathlib import Path

import numpy as np
import pytest

from modeseek.bandit import explore
from modeseek.bandit.explore.bandit.presets import METHODS
from modeseek.bandit.explore.demo.model import METHODS as RECORDED
from modeseek.bandit.explore.demo.questions import check_fastest
from modeseek.bandit.explore.kl.questions import check_counter_example
from modeseek.bandit.explore.reproduce.questions import check_remedies, remedied
from modeseek.bandit.explore.toolkit.checks import Feedback, number
from modeseek.bandit.explore.toolkit.controls import Choice, Distribution, Number
from modeseek.bandit.explore.toolkit.reading import named, read_number
from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.reproduce.cells import REMEDIES
from modeseek.llm import explore as llm_explore

ROOMS = [each.name for each in pkgutil.iter_modules(explore.__path__) if each.ispkg and each.name != "toolkit"]


def _checks():
    """Every `check_…` of every explorer's questions."""
    for room in ROOMS:
        try:
            module = importlib.import_module(f"modeseek.bandit.explore.{room}.questions")
        except ModuleNotFoundError:
            continue  # an explorer beside another one, whose questions are in the other's room
        for name, function in vars(module).items():
            if name.startswith("check_"):
                yield pytest.param(function, id=f"{room}-{name}")


SILLY = (
    *(7, -1, 0, -0.0, 2.5, True, math.nan, math.inf, 10**400, 1j, "2.5", "0,5", "x", "", "kl?", "phase?center=x"),
    *((), [], {}, {"a": 1}, {3}, {"dpo", "magic"}, [None], [[1, 2], [3]], b"x", object, object(), np.zeros((2, 2))),
    *((-0.0, 1.0, 1.0), ("a", "b", "c"), (1, math.nan, 1), np.array(3.0), lambda: 0, "bandit?preset=R2-ppo"),
)


@pytest.mark.parametrize("check", list(_checks()))
def test_no_answer_is_an_error(check):
    count = len(inspect.signature(check).parameters)
    for answers in itertools.chain(
        ((silly,) * count for silly in SILLY), zip(*(SILLY[i:] + SILLY[:i] for i in range(count)), strict=True)
    ):
        said = check(*answers)
        assert isinstance(said, Feedback)
        assert said.says
        if "-0" not in repr(answers):  # what was given is repeated as it was
            assert not re.search(r"-0(?![.\d])|-0\.0+(?!\d)", said.says), said


def test_a_number_for_a_distribution_is_told_so():
    assert "start must be numbers with commas between them, got 7" in check_counter_example(7, 8).says


@pytest.mark.parametrize(
    ("given", "meant", "read"),
    [
        ("0.5", 0.5, ""),
        (" 1e-3 ", 1e-3, ""),
        ("−3", -3.0, ""),
        ("0,5", 0.5, "0,5 was read as 0.5"),
        ("-,25", -0.25, "-,25 was read as -.25"),
        ("12,3456", 12.3456, "12,3456 was read as 12.3456"),
        ("-0", 0.0, ""),
        (-0.0, 0.0, ""),
    ],
)
def test_a_number_is_read_as_it_is_meant(given, meant: float, read: str):
    value, said = read_number(given)
    assert (value, said) == (meant, read)
    assert math.copysign(1.0, value) == math.copysign(1.0, meant)
    assert math.copysign(1.0, number(given, "x", -9.0, 99.0)) == math.copysign(1.0, meant)


@pytest.mark.parametrize("given", ["1,000", "1.2.3", "1,2,3", "", "half", "2 5", None, [], "0x10"])
def test_what_is_no_number_is_not_made_one(given):
    assert math.isnan(read_number(given)[0])
    with pytest.raises(ValueError, match="η must be a number from 0 to 9, got"):
        Number("eta", "η", 0, 9).accept(given, 0.0, 9.0)


def test_what_was_done_to_a_number_is_said():
    whole = Number("n", "N", 1, 9, whole=True)
    assert whole.accept("2.5", 1.0, 9.0) == (2, "N must be a whole number, got 2.5: set to 2")
    assert whole.accept("2,5", 1.0, 9.0) == (2, "N must be a whole number, got 2.5: set to 2 (2,5 was read as 2.5)")
    assert whole.accept("99,5", 1.0, 9.0) == (9, "N must be from 1 to 9, got 99.5: set to 9 (99,5 was read as 99.5)")
    assert Number("eta", "η", 0, 9).accept("0,5", 0.0, 9.0) == (0.5, "η (0,5 was read as 0.5)")
    assert Number("eta", "η", -9, 9).encode(Number("eta", "η", -9, 9).accept("-0", -9.0, 9.0).value) == "0"
    assert Distribution("p", "p").encode(Distribution("p", "p").accept("-0, 1").value) == "0.0,1.0"


def test_a_legends_name_is_the_methods():
    assert check_fastest("On-policy IPO").right
    for name in RECORDED:
        assert check_fastest(variant(name).title) == check_fastest(name)
    method = next(control for control in explore.BanditExplorer.Model.controls if control.name == "method")
    assert isinstance(method, Choice)
    assert [method.accept(shown).value for shown in method.options.values()] == list(METHODS)
    assert [method.accept(name).value for name in METHODS] == list(METHODS)
    reach = {name for name, ends in remedied().items() if ends.reward > 0.98}
    assert check_remedies({REMEDIES[name].title for name in reach}).right


def test_a_name_that_is_shown_for_another_one_is_its_own():
    assert named("b", {"a": "b", "b": "c"}, "it") == "b"
    assert named("C", {"a": "b", "b": "c"}, "it") == "b"
    with pytest.raises(ValueError, match="it must be one of a, b, got 'd'"):
        named("d", {"a": "b", "b": "c"}, "it")


def test_zero_has_no_sign_wherever_decimals_are_written():
    signed = re.compile(r":\+?\.\d[f]\}|:\+\.\d[eg]\}")  # without the z of PEP 682
    folders = (Path(explore.__path__[0]), Path(llm_explore.__path__[0]))
    files = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    assert len(files) > 60
    for path in files:
        assert not signed.search(path.read_text()), path
    assert f"{-0.004:z.2f} {-0.004:+z.2f}" == "0.00 +0.00"
