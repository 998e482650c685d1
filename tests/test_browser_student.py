"""Every notebook as a student goes through it: predict, explore, answer, save, leave, and open it again on another day.

At 1400 px in the light theme and at 1024 px in the dark one, by the keyboard but for the player and to get to a cell.
"""

import json
import os
import re
from typing import Any

import numpy as np
import pytest
from lab_axe import show_theme, violations
from lab_desk import PICTURES, Desk, address_of, assert_whole, html_of, shut
from lab_page import IN_BROWSER, Notebook
from notebook_build import build

pytestmark = [*IN_BROWSER, pytest.mark.slow]

MOVED = {"06_on_policy": "evaluation"}
"""The slider that is moved, where it is not the first: there all others ask for a training."""
RUNS = "place => window.jupyterapp.shell.currentWidget.content.widgets[place].model.executionCount"
WRITTEN = "place => window.jupyterapp.shell.currentWidget.content.widgets[place].model.sharedModel.getSource()"
OVERFLOWING = """
() => [...document.querySelectorAll('.jp-OutputArea-output')]
  .filter(one => one.querySelector('.modeseek, img') && one.scrollWidth > one.clientWidth + 1)
  .map(one => `${one.scrollWidth} px in ${one.clientWidth}: ${one.textContent.slice(0, 80)}`)
"""


@pytest.mark.parametrize("name", build.names())
def test_a_student_goes_through_a_notebook(desk: Desk, name: str):
    notebook = desk.run(name, anyway=False)
    page, browser, address = notebook.page, notebook.page.context.browser, address_of(notebook)
    foreseen = predict(notebook)
    if page.locator(".modeseek").count():
        explore(notebook, name)
    answer(page, name)
    for width, theme in ((1400, "JupyterLab Light"), (1024, "JupyterLab Dark")):
        page.set_viewport_size({"width": width, "height": 1000})
        show_theme(page, theme)
        page.wait_for_timeout(500)
        assert page.evaluate(OVERFLOWING) == []
        found = violations(page, ".jp-OutputArea-output")
        assert found == [], json.dumps(found, indent=1)
    assert notebook.complaints() == []

    pictures = page.locator(PICTURES).count()
    assert pictures >= max(1, page.locator(".modeseek").count())
    path = desk.leave(notebook)
    assert html_of(path).count("<img") == pictures
    again = desk.reopen(browser, address, path, pictures)
    assert_whole(again, pictures)
    told = again.get_by_text(re.compile("^You predicted")).locator("visible=true").count()
    assert told == foreseen
    shut(again)


def predict(notebook: Notebook) -> int:
    """Commit every prediction by the keyboard, which opens all that waits; how many there were."""
    page = notebook.page
    questions, waiting = page.locator(".modeseek-question"), page.get_by_role("button", name="Show me anyway")
    assert waiting.count() > 0
    for number in range(questions.count()):
        questions.nth(number).locator("input").first.focus()
        page.keyboard.press("Space")
        questions.nth(number).get_by_role("button").focus()
        page.keyboard.press("Enter")
        page.get_by_text(re.compile(r"^Committed\. ")).nth(number).wait_for(timeout=180_000)
    waiting.first.wait_for(state="detached", timeout=180_000)
    notebook.idle()
    return int(questions.count())


def explore(notebook: Notebook, name: str) -> None:
    """Move, play and reset each explorer: its picture is what the view-model in its state draws."""
    for number in range(notebook.count()):
        shown = notebook.explorer(number)
        shown.settle()
        start = shown.pixels()
        handle = shown.slider(MOVED[name]) if name in MOVED else shown.root.locator(".noUi-handle").first
        handle.focus()
        at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        key = "ArrowLeft" if at_end else "ArrowRight"
        shown.after(lambda: notebook.page.keyboard.press(key))  # noqa: B023
        shown.check()
        assert (shown.pixels() != start).any()
        if shown.plays():
            shown.play_from_start(frames=3)
            shown.check()
        shown.reset()
        np.testing.assert_array_equal(shown.pixels(), start)


PATIENCE = 180
"""Seconds for what a cell computes: notebook 05's last answer trains a policy."""


def answer(page: Any, name: str) -> None:
    """Exercises as they stand are told what is missing, wrong answers what is wrong; the folded solutions are right."""
    cells = build.source(name).cells
    exercises = [i for i, cell in enumerate(cells) if "exercise" in cell.metadata.get("tags", ())]
    solutions = [found[1] for cell in cells if (found := build.SOLUTION.search(cell.source))]
    for place, solution in zip(exercises, solutions, strict=True):
        stub = cells[place].source
        imports = [line for line in stub.splitlines() if line.startswith(("from ", "import "))]
        assert "✗ Not yet: there is no answer here yet" in cell_at(page, place).inner_text()
        wrong = typed(page, place, stub.replace("...", "0"))
        assert "✗ Not yet: " in wrong
        assert "no answer here" not in wrong
        assert "✓ Right: " in typed(page, place, "\n".join([*imports, solution.rstrip()]))


def cell_at(page: Any, place: int) -> Any:
    return page.locator(f".jp-Cell[data-windowed-list-index='{place}']")


def typed(page: Any, place: int, code: str) -> str:
    """Click into a cell, type over what is to be other in it, run it with Shift and Enter; what it says."""
    cell, there, before = cell_at(page, place), page.evaluate(WRITTEN, place), page.evaluate(RUNS, place)
    kept = len(os.path.commonprefix([there, code]))  # noqa: RUF071  (letter by letter is meant)
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    for _ in there[kept:]:
        page.keyboard.press("Shift+ArrowLeft")
    for number, line in enumerate(code[kept:].split("\n")):
        if number:
            page.keyboard.press("Enter")
            page.keyboard.press("Shift+Home")  # over the indent that the editor proposes
        page.keyboard.type(line)
    assert page.evaluate(WRITTEN, place) == code
    page.keyboard.press("Shift+Enter")
    ran = f"([place, before]) => ![null, before].includes(({RUNS})(place))"
    page.wait_for_function(ran, arg=[place, before], timeout=1000 * PATIENCE)
    return str(cell.inner_text())
