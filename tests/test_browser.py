"""Notebooks in a real browser: Chromium, JupyterLab on a free port; the picture is the view-model's."""

import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from lab_page import IN_BROWSER, Notebook, Shown, assert_fast, opening

from modeseek.bandit.explore import BanditExplorer

pytestmark = IN_BROWSER

TINY = "policy=table&prompts=2&responses=4&inner_steps=2&seeds=1&learning_rate=0.05"
SLIDER_MS = 100.0
SCRUB_MS = 150.0


@pytest.fixture(scope="module")
def open_notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Notebook]]:
    with opening(tmp_path_factory.mktemp("lab")) as by_name:
        yield by_name


@pytest.fixture(scope="module")
def kl_notebook(open_notebook: Callable[..., Notebook]) -> Iterator[Notebook]:
    notebook = open_notebook("07_kl_explorer")
    yield notebook
    notebook.close()


@pytest.fixture
def kl(kl_notebook: Notebook) -> Shown:
    """The first explorer of notebook 07, as it was made."""
    shown = kl_notebook.explorer()
    shown.reset()
    return shown


def test_keyboard_mouse_and_typing_change_the_picture_to_what_the_view_model_says(kl: Shown):
    kl.check()
    start = kl.state()
    assert start == "kl?preset=case-1-fails"

    kl.slider("step").focus()
    kl.after(lambda: kl.page.keyboard.press("ArrowRight"))
    assert kl.state() == "kl?preset=case-1-fails&step=1"
    kl.check()

    kl.drag(kl.slider("step size η"), right=-40)
    assert kl.made().model.values.step_size < 1
    kl.check()

    kl.type("target q", "0.6, 0.3, 0.3")
    kl.check()
    assert kl.made().model.values.target == pytest.approx((0.5, 0.25, 0.25))
    assert "target q summed to 1.2: divided by its sum" in kl.text()

    kl.after(lambda: kl.button("Reset").click())
    assert kl.state() == start
    kl.check()


def test_a_bar_is_dragged_with_the_mouse_and_moved_by_keyboard(kl: Shown):
    kl.drag(kl.bar("target q", 2), down=-30)
    dragged = kl.made().model.values.target
    assert 0.25 < dragged[2] < 0.4  # from .05, by 30 of some 120 pixels
    assert sum(dragged) == pytest.approx(1)
    assert dragged[0] / dragged[1] == pytest.approx(5, rel=1e-3)  # the others keep their proportions
    assert f"target q, category 2: {dragged[2]:.3g}; the others share" in kl.text()
    assert kl.box("target q").input_value().startswith(f"{dragged[0]:.4g}, {dragged[1]:.4g}, {dragged[2]:.4g}")
    kl.check()

    kl.bar("start p₀", 9).focus()
    kl.after(lambda: kl.page.keyboard.press("ArrowUp"))
    assert kl.made().model.values.start[9] == pytest.approx(0.105)
    kl.check()


def test_bad_input_is_shown_and_changes_nothing(kl: Shown):
    for label, typed, says in (
        ("target q", "one half", "Not possible: target q must be numbers"),
        ("state", "kl?step=x", "Not possible: step must be a number"),
        ("state", "bandit?step=1", "Not possible: a state of this explorer begins with kl?"),
    ):
        kl.type(label, typed)
        assert says in kl.text()
        assert kl.state() == "kl?preset=case-1-fails"
    kl.type("step size η", "1000")
    assert "step size η must be from 0.001 to 20, got 1000: set to 20" in kl.text()
    assert kl.box("step size η").input_value() == "20"
    kl.check()


def test_play_moves_the_step_and_stops(kl: Shown):
    kl.play_from_start(frames=5)
    assert kl.made().model.values.step >= 5
    kl.check()


@pytest.mark.slow
def test_slider_to_picture_stays_under_the_limit(kl: Shown, capsys: pytest.CaptureFixture[str]):
    kl.watch()
    times = {}
    kl.slider("step").focus()
    times["step by key"] = [kl.picture_time(lambda: kl.page.keyboard.press("ArrowRight")) for _ in range(40)]
    kl.slider("step size η").focus()
    times["step size by key"] = [kl.picture_time(lambda: kl.page.keyboard.press("ArrowLeft")) for _ in range(40)]
    x, y = kl.grasp(kl.slider("step"))
    times["step by mouse"] = [kl.picture_time(lambda: kl.page.mouse.move(x + 6 * i, y)) for i in range(1, 31)]  # noqa: B023
    kl.page.mouse.up()
    box, typed = kl.box("step"), []
    for step in range(50, 70):
        box.fill(str(step))
        typed.append(kl.picture_time(lambda: box.press("Enter")))
    times["step typed"] = typed
    kl.root.evaluate("root => root.scrollIntoView()")  # the bar is pulled upwards, and must not leave the explorer
    x, y = kl.grasp(kl.bar("target q", 2))
    times["a bar by mouse"] = [kl.picture_time(lambda: kl.page.mouse.move(x, y - 2 * i)) for i in range(1, 31)]  # noqa: B023
    kl.page.mouse.up()
    assert_fast("slider to picture", times, SLIDER_MS, capsys)


def test_two_explorers_do_not_disturb_each_other(kl: Shown, kl_notebook: Notebook):
    other = kl_notebook.explorer(1)
    before = other.root.locator("[data-ready]").inner_text()
    kl.after(lambda: kl.button("Reset").click())
    assert other.root.locator("[data-ready]").inner_text() == before
    assert "Forward against reverse KL · 2" in other.text()
    assert other.box("target q").count() == 0  # hide=


def test_export_close_and_restart_are_seen(kl: Shown, kl_notebook: Notebook):
    kl.after(lambda: kl.button("Export").click())
    assert "Saved kl.png, kl.svg, kl.csv, kl.json in modeseek-results/explore-kl-1" in kl.text()
    assert kl_notebook.complaints() == []
    page, count = kl_notebook.page, kl_notebook.count()
    kl.button("Close").click()
    page.wait_for_function("n => document.querySelectorAll('.modeseek').length === n", arg=count - 1)
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.wait_for_selector(".modeseek.jupyter-widgets-disconnected")
    said = page.evaluate(
        "() => getComputedStyle(document.querySelector('.modeseek.jupyter-widgets-disconnected'), '::before').content"
    )
    assert "Run the cells again" in said


@pytest.fixture(scope="module")
def bandit_notebook(open_notebook: Callable[..., Notebook]) -> Iterator[Notebook]:
    notebook = open_notebook("05_bandit_explorer")
    yield notebook
    notebook.close()


@pytest.mark.slow
def test_a_bandit_is_scrubbed_by_key_and_mouse(bandit_notebook: Notebook, capsys: pytest.CaptureFixture[str]):
    shown = bandit_notebook.explorer()
    shown.check()
    assert shown.state() == "bandit?preset=R1-ppo&step=8"
    shown.watch()
    shown.slider("collection").focus()
    times = {"by key": [shown.picture_time(lambda: shown.page.keyboard.press("ArrowRight")) for _ in range(20)]}
    assert shown.state() == "bandit?preset=R1-ppo&step=28"
    shown.check()
    x, y = shown.grasp(shown.slider("collection"))
    times["by mouse"] = [shown.picture_time(lambda: shown.page.mouse.move(x - 20 * i, y)) for i in range(1, 13)]  # noqa: B023
    shown.page.mouse.up()
    shown.check()
    assert shown.made().model.values.step < 20
    assert_fast("scrubbing the bandit", times, SCRUB_MS, capsys)


HELD_BACK = """
import time
from modeseek.bandit.explore.bandit import model as bandit_model

def held_back(values, training=bandit_model.training):
    for part in training(values):
        yield part
        time.sleep(0.3)

bandit_model.training = held_back
"""
"""A hundred tiny collections are over in .3 s, before the browser's Cancel has reached the kernel; so they take 30."""


@pytest.mark.slow
def test_a_training_is_shown_and_another_one_cancelled(bandit_notebook: Notebook):
    shown, wait = bandit_notebook.explorer(), 180_000
    shown.type("state", f"bandit?preset=R1-ppo&{TINY}&collections=3&step=3")
    assert "The curves are of other settings: press Train." in shown.text()
    shown.button("Train").click()
    shown.root.get_by_text("Trained.", exact=True).wait_for(timeout=wait)
    shown.settle()
    assert "collection 3 of 3" in shown.text()
    again = shown.made()
    assert isinstance(again, BanditExplorer)
    again.train()
    np.testing.assert_array_equal(shown.pixels(), again.pixels())

    bandit_notebook.execute(HELD_BACK)
    shown.type("state", f"bandit?preset=R1-ppo&{TINY}&collections=100")
    shown.after(lambda: shown.button("Train").click())
    shown.root.get_by_role("status").get_by_text(re.compile("^[1-9][0-9]* of 100 collections")).wait_for(timeout=wait)
    shown.button("Cancel").click()
    shown.root.get_by_text("Cancelled: what was trained until then").wait_for(timeout=wait)
    shown.settle()
    assert "The training was stopped after" in shown.text()
    shown.after(lambda: shown.button("Reset").click())
    assert shown.state() == "bandit?preset=R1-ppo&step=8"
    shown.check()
    assert bandit_notebook.complaints() == []
