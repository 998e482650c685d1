"""Explorers near the eye, by keyboard and by ear: where their parts stand at four widths, names, keys, WCAG 2.2 AA.

axe-core's rules are run on what is ours: JupyterLab breaks some outside of it (decision 0105).
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import nbformat
import pytest
from lab_axe import show_theme, violations
from lab_page import IN_BROWSER, Notebook, Shown, chromium
from lab_server import lab

from modeseek.bandit import explore

pytestmark = IN_BROWSER

EXPLORERS = ("KLExplorer", "BanditExplorer", "OutOfDistributionExplorer")
"""Each in a cell of one notebook; the first three for all tests, the others are looked at by the slow ones."""
ALL = (*EXPLORERS, *(name for name in explore.EXPLORERS if name not in EXPLORERS))
PLACES = """
(root) => {
  root.scrollIntoView({block: 'start'});
  const place = (element) => { const {left, top, right, bottom} = element.getBoundingClientRect();
                               return {left, top, right, bottom}; };
  const all = (css) => [...root.querySelectorAll(css)].filter(one => one.offsetParent).map(place);
  return {root: place(root), picture: place(root.querySelector('.modeseek-picture')),
          pane: place(document.querySelector('.jp-WindowedPanel-outer')), player: all('.modeseek-player')[0],
          near: all('.modeseek-near > *'), bars: all('.modeseek-bars'), parts: all('input, select, button, img, p, h3'),
          wide: [root.scrollWidth, root.clientWidth]};
}
"""
NAMED = """
(root) => [...root.querySelectorAll('.noUi-handle')].map(handle => {
  const box = handle.closest('.modeseek-number')?.querySelector('input');
  return [handle.getAttribute('aria-label'), handle.getAttribute('aria-valuetext'), box ? box.value : null];
})
"""
FOCUSED = """
() => {
  const at = document.activeElement;
  const own = at.getAttribute('aria-label') ?? at.labels?.[0]?.textContent ?? at.textContent;
  return at.closest('.modeseek') ? `${own.trim()}${at.matches('.noUi-handle') ? ' |' : ''}` : '';
}
"""
SENTENCE = """
() => {
  const row = document.activeElement.closest('.modeseek-distribution, .widget-dropdown, .modeseek-number');
  const seen = getComputedStyle(row.querySelector('.widget-label > span'), '::after');
  const clear = seen.backgroundColor === 'rgba(0, 0, 0, 0)';  // then what it lies on shows through
  return seen.content === 'none' || clear ? '' : seen.content;
}
"""
COVERED = """
(root) => {
  const caption = root.querySelector('.modeseek-caption'), covered = [];
  const rows = ':is(.modeseek-number, .modeseek-distribution, .widget-dropdown)';
  for (const row of root.querySelectorAll(`.modeseek-stage ${rows}`)) {
    const control = row.querySelector('input, select');
    if (!control?.offsetParent) continue;
    control.focus({preventScroll: true});
    caption.scrollIntoView({block: 'center'});
    const words = document.createRange();
    words.selectNodeContents(caption);
    for (const {left, right, top, bottom} of words.getClientRects())
      for (const x of [left + 2, (left + right) / 2, right - 2])
        if (!caption.contains(document.elementFromPoint(x, (top + bottom) / 2)))
          covered.push(`${row.textContent.trim()} at ${Math.round(x)}, ${Math.round(top)}`);
    control.blur();
  }
  return covered;
}
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A notebook with an explorer of each kind."""
    root = tmp_path_factory.mktemp("lab")
    made = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    made.cells = [
        nbformat.v4.new_code_cell(f"from modeseek.bandit.explore import {name}\n{name}()", id=name) for name in ALL
    ]
    nbformat.write(made, root / "all.ipynb")
    with lab(root, [root / "all.ipynb"]) as address, chromium() as browser:
        opened = Notebook(browser.new_page(viewport={"width": 1400, "height": 1000}), address, "all.ipynb")
        for number in range(len(ALL)):
            opened.page.wait_for_function(
                "n => document.querySelectorAll('.modeseek [data-ready]').length > n", arg=number, timeout=60_000
            )
        yield opened
        opened.close()


@pytest.fixture
def shown(notebook: Notebook) -> Callable[[str], Shown]:
    """An explorer by the name of its class, as it was made, in a window of 1400 by 1000."""

    def of(name: str) -> Shown:
        notebook.page.set_viewport_size({"width": 1400, "height": 1000})
        found = notebook.explorer(ALL.index(name))
        found.reset()
        return found

    return of


def places(notebook: Notebook, number: int, width: int, height: int) -> dict[str, Any]:
    """Of an explorer's parts, its top at the pane's, in a window of this size."""
    notebook.page.set_viewport_size({"width": width, "height": height})
    notebook.page.wait_for_timeout(300)
    return dict(notebook.explorer(number).root.evaluate(PLACES))


@pytest.mark.parametrize("name", ALL)
def test_the_picture_its_player_and_the_controls_beside_it_are_in_the_first_screen(notebook: Notebook, name: str):
    wide = places(notebook, ALL.index(name), 1400, 1000)
    small = places(notebook, ALL.index(name), 1024, 768)
    for there in (wide, small):
        assert there["picture"]["top"] - there["root"]["top"] < 40
        lowest = max(part["bottom"] for part in (there["picture"], there["player"] or there["picture"]))
        assert lowest <= there["pane"]["bottom"]
    assert min(part["left"] for part in wide["near"]) >= wide["picture"]["right"]
    assert max(part["bottom"] for part in (*wide["near"], *wide["bars"])) <= wide["pane"]["bottom"]
    assert min(part["top"] for part in small["near"]) >= small["picture"]["bottom"]
    assert wide["picture"]["right"] - wide["picture"]["left"] >= 920
    assert small["picture"]["right"] - small["picture"]["left"] >= 760


@pytest.mark.parametrize("name", ALL)
def test_what_a_control_does_covers_no_word_of_the_caption(notebook: Notebook, name: str):
    for width, height in ((1400, 1000), (768, 1024), (390, 844)):
        notebook.page.set_viewport_size({"width": width, "height": height})
        notebook.page.wait_for_timeout(300)
        assert notebook.explorer(ALL.index(name)).root.evaluate(COVERED) == [], width


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_cut_on_narrow_screens(notebook: Notebook, name: str):
    for width, height in ((768, 1024), (390, 844)):
        there = places(notebook, ALL.index(name), width, height)
        assert there["wide"][0] <= there["wide"][1]
        for part in there["parts"]:
            assert part["left"] >= there["root"]["left"] - 1
            assert part["right"] <= there["root"]["right"] + 1


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"])
def test_no_explorer_breaks_a_rule_of_wcag(notebook: Notebook, theme: str):
    page = notebook.page
    show_theme(page, theme)
    page.evaluate("() => document.querySelectorAll('.modeseek details').forEach(each => { each.open = true; })")
    page.wait_for_timeout(300)
    found = violations(page, ".modeseek")
    page.evaluate("() => document.querySelectorAll('.modeseek details').forEach(each => { each.open = false; })")
    assert found == [], json.dumps(found, indent=1)


def test_every_slider_has_a_name_and_says_the_number_that_its_box_shows(notebook: Notebook, shown):
    for number in range(len(ALL)):
        root = notebook.explorer(number).root
        for name, said, box in root.evaluate(NAMED):
            assert name
            assert box is None or said == box, name
    kl = shown("KLExplorer")
    assert ["step size η", "1", "1"] in kl.root.evaluate(NAMED)  # 140 of 200 positions
    assert ["target q, 1", "0.1", None] in kl.root.evaluate(NAMED)
    kl.slider("step size η").focus()
    kl.after(lambda: kl.page.keyboard.press("ArrowRight"))
    kl.settle()
    moved = kl.box("step size η").input_value()
    assert kl.slider("step size η").get_attribute("aria-valuetext") == moved != "1"
    picture = kl.root.get_by_role("img", name="Forward against reverse KL: the text below says what is drawn")
    assert picture.count() == 1
    assert kl.root.get_by_role("button", name="Play or pause").count() == 1
    hover = "() => [...document.querySelectorAll('.modeseek [title=null]')].filter(one => one.offsetParent).length"
    assert notebook.page.evaluate(hover) == 0


def tabbed(shown: Shown) -> list[str]:
    """What has the keyboard, Tab after Tab, from an explorer's first part until another explorer, or none, has it."""
    page, names = shown.page, []
    shown.root.locator("button").first.focus()
    while True:
        here = shown.root.evaluate("root => root.contains(document.activeElement)")
        if not here:
            return names
        names.append(page.evaluate(FOCUSED))
        assert len(names) < 100, names
        page.keyboard.press("Tab")


ENDS = ["Reset", "Export", "Close", "state"]
PLAYER = ["Play or pause", "Stop, back to the start"]


def test_tab_goes_through_an_explorer_in_the_order_of_the_eye(shown):
    assert tabbed(shown("KLExplorer")) == [
        *PLAYER,
        "step",
        "step |",
        "preset",
        "target q",
        *(f"target q, {k} |" for k in range(10)),
        "start p₀",
        *(f"start p₀, {k} |" for k in range(10)),
        "step size η",
        "step size η |",
        "optimizer",
        "More controls (8)",
        *ENDS,
    ]
    names = ["reward peak", "reference x₀", "learning rate"]
    sliders = [part for name in names for part in (name, f"{name} |")]
    assert tabbed(shown("BanditExplorer")) == [
        *PLAYER, "collection", "collection |", "preset", "method", *sliders, "Train", "More controls (15)", *ENDS
    ]  # fmt: skip
    names = ["r₁ − r₂", "r₃ − r₂", "β", "τ of IPO"]
    sliders = [part for name in names for part in (name, f"{name} |")]
    bars = [f"reference π, {name} |" for name in ("y₁", "y₂", "y₃")]
    assert tabbed(shown("OutOfDistributionExplorer")) == [
        *PLAYER, "step", "step |", "preset", "reference π", *bars, *sliders, "More controls (3)", *ENDS
    ]  # fmt: skip


def test_an_explorer_is_used_by_keyboard_alone(notebook: Notebook, shown):
    kl = shown("KLExplorer")
    keys, cells = kl.page.keyboard, kl.page.locator(".jp-Cell").count()
    kl.slider("step").focus()
    for key in ("b", "d", "d", "Enter"):  # a new cell, a cell's end, and into its text, where JupyterLab gets them
        keys.press(key)
    assert kl.page.locator(".jp-Cell").count() == cells
    assert kl.page.evaluate(FOCUSED) == "step |"
    kl.after(lambda: keys.press("End"))
    kl.settle()
    assert kl.made().model.values.step == 200

    kl.box("optimizer").focus()
    assert "How a gradient becomes a step" in kl.page.evaluate(SENTENCE)
    kl.after(lambda: keys.press("ArrowDown"))
    assert kl.made().model.values.optimizer == "adam"
    keys.press("Tab")
    assert kl.page.evaluate(FOCUSED) == "More controls (8)"
    assert not kl.box("seed").is_visible()
    keys.press("Enter")
    kl.box("seed").wait_for()
    keys.press("Tab")
    assert kl.page.evaluate(FOCUSED) == "categories K"
    keys.press("ControlOrMeta+A")
    keys.type("4")
    kl.after(lambda: keys.press("Enter"))
    kl.settle()
    assert len(kl.made().model.values.target) == 4
    kl.root.locator("summary").click()

    answer = kl.button("Export")
    answer.focus()
    kl.after(lambda: keys.press("Enter"))
    said = kl.root.get_by_text("Saved kl.png")
    assert abs(said.bounding_box()["y"] - answer.bounding_box()["y"]) < 40  # beside its button


def test_a_button_that_goes_out_of_use_passes_the_keyboard_on(notebook: Notebook, shown):
    bandit = shown("BanditExplorer")
    bandit.type(
        "state", "bandit?preset=R1-ppo&policy=table&prompts=2&responses=4&inner_steps=2&seeds=1&collections=100"
    )
    bandit.button("Train").focus()
    bandit.after(lambda: bandit.page.keyboard.press("Enter"))
    bandit.page.wait_for_function("() => document.activeElement.textContent.trim() === 'Cancel'")
    bandit.after(lambda: bandit.page.keyboard.press("Enter"))
    bandit.root.get_by_text("Cancelled").wait_for(timeout=180_000)
    assert bandit.page.evaluate("() => document.activeElement.closest('.modeseek') !== null")
    assert notebook.complaints() == []
