"""What a `check_…()` returns: whether an answer is right, and, if not, what is wrong with it but never the answer."""

import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

from modeseek.bandit.explore.toolkit.explorer import Explorer
from modeseek.bandit.explore.toolkit.model import ViewModel
from modeseek.bandit.explore.toolkit.reading import named, read_number
from modeseek.bandit.explore.toolkit.words import line

Given = ParamSpec("Given")
Model = TypeVar("Model", bound=ViewModel[Any, Any])


class Feedback(NamedTuple):
    """A verdict on an answer, shown with a sign and a word, not by colour alone.

    Attributes:
        right: whether it is.
        says: what is right about it, or what is wrong.
    """

    right: bool
    says: str

    def __str__(self) -> str:
        return f"{'✓ Right' if self.right else '✗ Not yet'}: {self.says}"

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return line(str(self), "right" if self.right else "wrong")


class Wrong(Exception):
    """Raised inside a check, with what is wrong."""


def check(function: Callable[Given, str]) -> Callable[Given, Feedback]:
    """Make a check of a function that returns what is right, or raises `Wrong` or `ValueError` with what is not.

    An answer that was left as `...` is told so, whatever the question.
    """

    @wraps(function)
    def checked(*args: Given.args, **kwargs: Given.kwargs) -> Feedback:
        if any(given is ... or given is None for given in (*args, *kwargs.values())):
            return Feedback(False, "there is no answer here yet: put it in place of the dots.")
        try:
            return Feedback(True, function(*args, **kwargs))
        except (Wrong, ValueError) as wrong:
            return Feedback(False, str(wrong))

    return checked


def number(given: Any, what: str, low: float, high: float) -> float:
    """An answer as a number.

    Raises:
        Wrong: it is none, or lies outside what makes sense.
    """
    value, _ = read_number(given)
    if math.isnan(value):
        raise Wrong(f"{what} is a number; this is {given!r}.")
    if not low < value < high:
        raise Wrong(f"{what} lies between {low:g} and {high:g}; this is {value:g}.")
    return value


def options_of(given: Any, options: Mapping[str, str], what: str) -> set[str]:
    """An answer as a set of options, each by its name or by what a legend shows of it; a name alone is a set of one.

    Raises:
        Wrong: it is neither.
        ValueError: one of them is none, as `named` says.
    """
    try:
        each = [given] if isinstance(given, str) else list(given)
    except TypeError:
        first, second, *_ = options
        raise Wrong(f"names are asked for, such as ({first!r}, {second!r}); this is {given!r}.") from None
    return {named(one, options, what) for one in each}


def model_of(answer: Any, kind: type[Model]) -> Model:
    """An answer as a view-model: an explorer was given, or its state.

    Raises:
        Wrong: neither was.
        ValueError: it is a state of another kind of explorer.
    """
    if isinstance(answer, Explorer):
        answer = answer.to_state()
    if not isinstance(answer, str):
        raise Wrong(f"give an explorer, or the state string that its last line shows; this is {answer!r}.")
    model = kind.from_state(answer)
    assert isinstance(model, kind)
    return model
