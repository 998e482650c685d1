"""Explorers' widgets without a browser: callbacks, dragged bars, failures shown, and how fast they redraw."""

import html
import io
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from modeseek.bandit.explore import KLExplorer
from modeseek.bandit.explore.toolkit.controls import Bar, Distribution


def _shell(explorer):
    explorer.widget
    return explorer._shell


def test_widgets_and_view_model_agree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer = KLExplorer("case-1-fails")
    shell = _shell(explorer)
    play, box, slider = shell.rows["step"].widgets
    for widget in (play, slider, box):
        widget.value = widget.value + 5
        assert [each.value for each in (play, box, slider)] == [explorer.model.values.step] * 3
    assert explorer.model.values.step == 15
    box, slider = shell.rows["step_size"].widgets
    for position in (0, 77, 200):
        slider.value = position
        assert box.value == explorer.model.values.step_size
        assert slider.value == position  # showing the value moves nothing
    box.value = 1000.0
    assert (box.value, slider.value) == (20.0, 200)
    assert "set to 20" in shell.messages.value
    shell.rows["target"].widgets[0].value = "one, two"
    assert "Not possible: target q must be numbers" in shell.messages.value
    assert shell.rows["target"].widgets[0].value.startswith("0.5, 0.1, 0.05")
    shell.state.value = "what?"
    assert "Not possible: a state of this explorer" in shell.messages.value
    shell.state.value = "kl?preset=R2&step=8"
    assert explorer.model.values.preset == shell.rows["preset"].widgets[0].value == "R2"
    assert explorer.caption() in html.unescape(shell.caption.value)
    shell.export.click()
    assert "explore-kl-1" in shell.messages.value
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
    np.testing.assert_allclose(np.delete(after / before, 1), 0.7 / 0.9, rtol=1e-12)  # what is left, in proportion
    assert bars.sliders[0].value == round(200 * 0.5 * 0.7 / 0.9)
    assert text.value.startswith("0.3889, 0.3")
    assert "category 1: 0.3; the others share 0.7" in _shell(explorer).messages.value
    # A position is coarser than a probability: looking at one, or moving another bar back, changes nothing else.
    bars.sliders[1].value = 20
    np.testing.assert_allclose(explorer.model.values.target, before, rtol=1e-12)
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
    shell.rows["step"].widgets[1].value = 3
    assert "this should not happen" in shell.messages.value
    assert "a bug of ours" in shell.messages.value


def test_two_explorers_do_not_share_anything_and_threads_do_not_mix():
    one, two = KLExplorer("case-1-fails"), KLExplorer("case-2")
    shells = [_shell(one), _shell(two)]
    assert two.number == one.number + 1

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
