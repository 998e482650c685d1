"""Explorers' widgets without a browser: callbacks, dragged bars, failures shown, and how fast they redraw."""

import html
import io
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import IPython
import numpy as np
import pytest
from PIL import Image

from modeseek.bandit.explore import KLExplorer
from modeseek.bandit.explore.toolkit import numbering
from modeseek.bandit.explore.toolkit.controls import Bar, Distribution


def _shell(explorer):
    explorer.widget
    return explorer._shell


def test_widgets_and_view_model_agree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer = KLExplorer("case-1-fails")
    shell = _shell(explorer)
    play, box, slider = shell.rows["step"].widgets
    for widget, value in ((play, 5), (slider, 10), (box, "15")):
        widget.value = value
        assert [play.value, slider.value, int(box.value)] == [explorer.model.values.step] * 3 == [int(value)] * 3
    box, slider = shell.rows["step_size"].widgets
    for position in (0, 77, 200):
        slider.value = position
        assert float(box.value) == explorer.model.values.step_size
        assert slider.value == position  # showing the value moves nothing
    box.value = "1000"
    assert (box.value, slider.value) == ("20", 200)
    assert "set to 20" in shell.messages.value
    box.value = "0,5"
    assert (box.value, explorer.model.values.step_size) == ("0.5", 0.5)
    assert "step size η (0,5 was read as 0.5)" in shell.messages.value
    box.value = "5e-1"  # the same value, spelled otherwise: left as it is
    assert (box.value, explorer.model.values.step_size) == ("5e-1", 0.5)
    for typed in ("", "half", "1,000", "2.5.1"):
        box.value = typed
        assert (box.value, explorer.model.values.step_size) == ("0.5", 0.5)
        assert f"got {typed!r}" in html.unescape(shell.messages.value)
    steps = shell.rows["step"].widgets[1]
    steps.value = "2.5"
    assert (steps.value, explorer.model.values.step) == ("2", 2)
    assert "step must be a whole number, got 2.5: set to 2" in shell.messages.value
    shell.rows["target"].widgets[0].value = "one, two"
    assert "Not possible: target q must be numbers" in shell.messages.value
    assert shell.rows["target"].widgets[0].value.startswith("0.5, 0.1, 0.05")
    shell.state.value = "what?"
    assert "Not possible: a state of this explorer" in shell.messages.value
    shell.state.value = "kl?preset=R2&step=8"
    assert explorer.model.values.preset == shell.rows["preset"].widgets[0].value == "R2"
    assert explorer.caption() in html.unescape(shell.caption.value)
    shell.export.click()
    assert "explore-kl-1" in shell.answer.value
    assert shell.messages.value == ""
    shell.rows["step"].widgets[0].value = 9
    assert shell.answer.value == ""
    shell.reset.click()
    assert explorer.to_state() == "kl?preset=case-1-fails"
    picture = np.asarray(Image.open(io.BytesIO(shell.image.value)))
    np.testing.assert_array_equal(picture, KLExplorer("case-1-fails").pixels())
    shell.leave.click()
    assert explorer._shell is None
    assert explorer.widget is not shell.box  # it can be shown anew


def test_a_bar_is_dragged_and_the_others_make_room():
    explorer = KLExplorer("case-1-fails")
    bars, text = _shell(explorer).rows["target"].bars, _shell(explorer).rows["target"].widgets[0]
    assert bars is not None
    assert [slider.value for slider in bars.sliders] == [100, 20, *[10] * 8]  # two hundred positions from 0 to 1
    before = np.asarray(explorer.model.values.target)
    bars.sliders[1].value = 60
    after = np.asarray(explorer.model.values.target)
    assert after[1] == 0.3
    np.testing.assert_allclose(np.delete(after / before, 1), 0.7 / 0.9, rtol=2e-4)  # in proportion, to four digits
    assert explorer.to_state() == f"kl?preset=case-1-fails&target={','.join(map(str, after))}"
    assert len(explorer.to_state()) < 110
    assert KLExplorer.from_state(explorer.to_state()).model.values == explorer.model.values
    assert bars.sliders[0].value == round(200 * 0.5 * 0.7 / 0.9)
    assert text.value.startswith("0.3889, 0.3")
    assert "category 1: 0.3; the others share 0.7" in _shell(explorer).messages.value
    # A position is coarser than a probability: looking at one, or moving another bar back, changes nothing else.
    bars.sliders[1].value = 20
    np.testing.assert_allclose(explorer.model.values.target, before, rtol=2e-4)
    explorer.set(target=(0.9999, 0.00005, 0.00005))
    assert [slider.value for slider in bars.box.children] == [199, 1, 1]
    assert explorer.model.values.target[1] == 0.00005
    explorer.set(preset="R1")
    assert bars.box.children == ()  # a hundred bars are typed, or moved one at a time
    explorer.set(preset="case-2")
    assert len(bars.box.children) == 3


def test_a_bar_takes_from_the_rest_even_where_it_had_all():
    accepted = Distribution("q", "target q").accept(Bar((1.0, 0.0, 0.0), 0, 0.4))
    assert accepted.value == pytest.approx((0.4, 0.3, 0.3))


def test_a_failure_that_is_not_the_readers_is_shown_too(monkeypatch):
    explorer = KLExplorer("case-2")
    shell = _shell(explorer)

    def broken(*_):
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(explorer.model, "set", broken)
    shell.rows["step"].widgets[1].value = "3"
    assert "this should not happen" in shell.messages.value
    assert "a bug of ours" in shell.messages.value


def test_two_explorers_do_not_share_anything_and_threads_do_not_mix():
    one, two = KLExplorer("case-1-fails"), KLExplorer("case-2")
    shells = [_shell(one), _shell(two)]

    def drag(shell):
        for step in range(1, 15):
            shell.rows["step"].widgets[2].value = step

    threads = [threading.Thread(target=drag, args=(shell,)) for shell in (*shells, *shells)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for explorer, shell in zip((one, two), shells, strict=True):
        assert shell.messages.value == ""
        picture = np.asarray(Image.open(io.BytesIO(shell.image.value)))
        np.testing.assert_array_equal(picture, type(explorer).from_state(explorer.to_state()).pixels())


def test_explorers_are_numbered_by_the_cells_that_make_them(monkeypatch):
    monkeypatch.setattr(numbering, "_made", {})
    kernel = SimpleNamespace()
    monkeypatch.setattr(IPython, "get_ipython", lambda: kernel)

    def run(cell: str, execution: str, explorers: int = 1) -> list[int]:
        kernel.get_parent = lambda: {"header": {"msg_id": execution}, "metadata": {"cellId": cell}}
        return [KLExplorer("case-2").number for _ in range(explorers)]

    assert [run("a", "1"), run("b", "2", 2), run("c", "3")] == [[1], [2, 3], [4]]
    assert [run("a", "4"), run("b", "5", 2), run("c", "6")] == [[1], [2, 3], [4]]  # Run All again
    assert run("b", "7", 3) == [2, 3, 5]  # the cell was changed
    assert run("", "8") + run("", "9") == [6, 7]  # a front end that names no cells


def test_hidden_controls_keep_their_values():
    explorer = KLExplorer("R1", step_size=0.5, hide=("step_size", "state", "export"))
    shell = _shell(explorer)
    assert "step_size" not in shell.rows
    assert explorer.model.values.step_size == 0.5


def test_redrawing_is_fast(capsys):
    """A redraw in 50 ms, a preset in 300 ms, of processor time: others may compute on the same machine."""
    explorer = KLExplorer("case-1-fails")
    shell = _shell(explorer)

    def median(actions):
        times = []
        for action in actions:
            began = time.process_time()
            action()
            times.append(1000 * (time.process_time() - began))
        return float(np.median(times))

    slider = shell.rows["step"].widgets[2]
    redraw = median([lambda s=s: setattr(slider, "value", s) for s in range(1, 30)])
    preset = shell.rows["preset"].widgets[0]
    switch = median([lambda name=name: setattr(preset, "value", name) for name in ("R1", "case-2", "bimodal", "R2")])
    with capsys.disabled():
        print(f"\nredraw {redraw:.0f} ms, preset {switch:.0f} ms of processor time", end="")
    # The goal is printed beside what was measured; three times it is a fault, whatever else the machine does.
    assert redraw < 3 * 50
    assert switch < 3 * 300


def test_the_first_picture_is_there_in_three_seconds(capsys):
    code = "import time; from modeseek.bandit.explore import KLExplorer; KLExplorer().png(); print(time.process_time())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with capsys.disabled():
        print(f"\nimport and first picture: {float(done.stdout):.1f} s of processor time", end="")
    assert float(done.stdout) < 3 * 3
