"""Where an explorer's controls stand, what each says that it does, and how many digits a state has."""

import numpy as np
import pytest

from modeseek.bandit import explore
from modeseek.bandit.explore.toolkit.controls import Accepted, Distribution, rounded, with_bar
from modeseek.bandit.explore.toolkit.explorer import Explorer
from modeseek.bandit.explore.toolkit.layout import Layout, arranged, hidden

KINDS = explore.explorer_classes()


def test_probabilities_made_by_hand_are_short_and_sum_to_one():
    rng = np.random.default_rng(3)
    for size in (3, 12, 100):
        probs = rng.dirichlet(np.full(size, 0.2))
        values = np.asarray(rounded(probs))
        assert abs(values.sum() - 1) < 1e-11
        np.testing.assert_allclose(values, probs, rtol=5e-4 * (1 + 1 / probs.max()), atol=1e-300)
        assert sum(float(f"{p:.4g}") != p for p in values) <= 1  # the largest
        control = Distribution("q", "q")
        assert control.accept(control.encode(values.tolist())) == Accepted(tuple(values.tolist()))
        exact = with_bar(tuple(probs), 1, 0.123456)
        assert exact[1] == 0.123456
        assert min(exact) >= 0


def test_controls_stand_where_the_view_model_says():
    shown = ("preset", "a", "b", "c", "d", "e", "f", "step")
    assert arranged(shown, ("f", "b")) == Layout(("preset", "f", "b"), ("step",), ("a", "c", "d", "e"))
    assert arranged(shown, ()) == Layout(("preset", "a", "b", "c", "d", "e"), ("step",), ("f",))
    assert arranged(("b", "c", "step"), ("a", "b")) == Layout(("b", "c"), ("step",), ())  # few are left: none is folded
    assert hidden(("a", "b"), ("b",), None) == ("b",)
    assert hidden(("a", "b"), (), ("b", "state")) == ("a", "export")
    with pytest.raises(ValueError, match="not both"):
        hidden(("a",), ("a",), ("state",))
    with pytest.raises(ValueError, match="show: unknown control 'z'"):
        hidden(("a",), (), ("z",))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_few_controls_are_near_and_each_says_what_it_does(kind: type[Explorer]):
    names = [control.name for control in kind.Model.controls]
    assert set(kind.Model.near) <= set(names) - {"preset", "step"}
    layout = arranged(names, kind.Model.near)
    assert 1 <= len(layout.near) - 1 <= 5
    assert sorted(sum(layout, ())) == sorted(names)
    for control in kind.Model.controls:
        assert control.help[0].isupper() and control.help.endswith("."), control
        assert ". " not in control.help, control  # one sentence
        assert len(control.help) <= 100, control
