"""A page without a kernel in Chromium, from a file: as a reader with a keyboard, a telephone or paper meets it."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lab_page import IN_BROWSER
from PIL import Image

from modeseek.bandit.explore.pages.catalogue import ROWS
from modeseek.bandit.explore.pages.frames import films
from modeseek.bandit.explore.pages.page import fitted

pytestmark = IN_BROWSER

SHOWN = next(row for row in ROWS if row.explorer == "Figure18Explorer")
DRAWN = "() => canvas.dataset.shown === films[preset.selectedIndex].frames[scrub.value].state"
FOCUSED = """
() => {
  const at = document.activeElement, ring = getComputedStyle(at), {top, bottom} = at.getBoundingClientRect();
  const seen = ring.outlineStyle === 'solid' && parseFloat(ring.outlineWidth) >= 2 && bottom > 0 && top < innerHeight;
  return [at.id || at.labels?.[0]?.textContent.trim() || at.textContent, seen];
}
"""
"""What has the focus, and whether that is seen."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pages") / "fig18.html"
    path.write_text(fitted(SHOWN, list(films(SHOWN)), ""), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(tabs: Callable[..., Any], address: str) -> Callable[..., Any]:
    """Opens the page at an anchor, in a window of these settings."""
    return lambda anchor="", **settings: tabs(address + anchor, **settings)


def passed(tab: Any) -> Any:
    for button in tab.get_by_role("button", name="Show me anyway").all():
        button.click()
    return tab


def picture_of(tab: Any) -> np.ndarray:
    """What is drawn once that is the chosen frame, `[height, width, 3]`."""
    tab.wait_for_function(DRAWN)
    data = tab.locator("#picture").evaluate("canvas => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("RGB"))


def check(tab: Any) -> None:
    """Picture, caption and the line for a notebook are the explorer's own in the state that the page names."""
    picture, state = picture_of(tab), tab.get_by_label("State").input_value()
    explorer = SHOWN.kind.from_state(state)
    np.testing.assert_array_equal(picture, explorer.pixels())
    assert tab.locator("#caption").inner_text() == explorer.caption()
    assert tab.locator("#again").inner_text() == f'modeseek.explorer("fig18", state="{state}")'


def test_nothing_is_seen_before_a_prediction_and_the_keyboard_suffices(opened):
    tab = opened()
    explorer, answers, form = tab.locator("#explorer"), tab.locator("#reveals"), tab.locator("form")
    assert not explorer.is_visible()
    assert not answers.is_visible()
    tab.get_by_role("button", name="Commit").press("Enter")
    assert "Choose one of the options first." in form.inner_text()
    assert not explorer.is_visible()
    asked = SHOWN.predictions[0]()
    wrong = (asked.truth().option + 1) % len(asked.options)
    tab.get_by_role("radio").nth(wrong).press("Space")
    tab.get_by_role("button", name="Commit").press("Enter")
    assert tab.evaluate("document.activeElement.id") == "explorer"
    assert answers.is_visible()
    assert f"You predicted otherwise: “{asked.options[wrong]}”" in answers.inner_text()
    check(tab)
    before = tab.locator("#caption").inner_text()
    slider = tab.get_by_role("slider")
    for _ in range(3):
        slider.press("ArrowRight")
    assert "4 of 17" in slider.get_attribute("aria-valuetext")
    tab.wait_for_function("text => document.getElementById('caption').textContent !== text", arg=before)
    check(tab)
    slider.press("End")
    assert slider.get_attribute("aria-valuetext").startswith("measurement 49,")
    check(tab)


def test_another_preset_and_playing(opened):
    tab = passed(opened())
    names = list(SHOWN.kind.presets())
    assert "You predicted" not in tab.locator("#reveals").inner_text()
    tab.get_by_label("Preset").select_option(names[1])
    check(tab)
    assert f"preset={names[1]}" in tab.get_by_label("State").input_value()
    tab.get_by_role("slider").press("End")
    tab.get_by_role("slider").press("ArrowLeft")
    tab.get_by_role("button", name="Play").click()
    assert tab.locator("#caption").get_attribute("aria-live") == "off"
    tab.wait_for_selector("#play:text('Play')")  # it has come to the end, and stopped
    assert tab.locator("#caption").get_attribute("aria-live") == "polite"
    assert tab.locator("#scrub").input_value() == tab.locator("#scrub").get_attribute("max")
    check(tab)


def test_the_tab_key_leads_through_a_page_in_its_order(opened):
    """Nothing is touched or clicked; each stop is in sight, with a ring around it."""
    tab = opened(permissions=["clipboard-write"])
    asked = SHOWN.predictions[0]()

    def stop(*keys: str) -> str:
        for key in keys:
            tab.keyboard.press(key)
        name, seen = tab.evaluate(FOCUSED)
        assert seen, name
        return name

    assert stop("Tab", "Space") == asked.options[0]
    assert stop("Tab") == "Commit"
    assert stop("Enter") == "explorer"
    assert stop("Tab", "ArrowDown") == "preset"
    assert tab.get_by_label("Preset").input_value() == list(SHOWN.kind.presets())[1]
    check(tab)
    assert stop("Tab", "Enter") == "play"
    tab.wait_for_function("document.getElementById('scrub').value > 0")
    assert stop("Enter", "Tab") == "scrub"
    at = tab.locator("#scrub").input_value()
    assert stop("ArrowLeft") == "scrub"
    assert int(tab.locator("#scrub").input_value()) == int(at) - 1
    check(tab)
    assert [stop("Tab"), stop("Tab"), stop("Tab", "Enter")] == ["stage", "state", "copy"]
    tab.get_by_text("Copied.").wait_for()
    assert stop() == "copy"
    assert stop("Shift+Tab") == "state"
    for _ in range(2):
        tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.tagName") == "BODY"  # the page lets go


def test_a_link_opens_a_preset(opened):
    last = list(SHOWN.kind.presets())[-1]
    tab = passed(opened(f"#preset-{last}"))
    assert tab.get_by_label("Preset").input_value() == last
    check(tab)


@pytest.mark.parametrize("anchor", ["#%", "#%E0%A4%A", "#explorer", "#preset-nothing"])
def test_a_link_that_names_no_preset_leaves_everything_as_it_is(opened, anchor):
    tab = passed(opened(anchor))
    check(tab)
    slider = tab.get_by_role("slider")
    slider.press("End")
    tab.evaluate("anchor => { location.hash = anchor + '?'; }", anchor)
    tab.wait_for_timeout(100)
    assert slider.input_value() == slider.get_attribute("max") != "0"
    check(tab)


def test_nothing_of_a_prediction_is_kept_over_a_reload(opened):
    """By the attributes: Firefox keeps what is disabled, and no Chromium does."""
    kept = (
        opened()
        .locator("form, form button, #preset, #scrub")
        .evaluate_all("all => all.filter(each => each.getAttribute('autocomplete') !== 'off').length")
    )
    assert kept == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_scrolls_the_picture_and_never_the_page(opened, scheme):
    tab = opened(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not tab.evaluate(overflow)
    passed(tab)
    assert not tab.evaluate(overflow)
    stage = tab.locator("#stage")
    assert stage.evaluate("each => each.scrollWidth > each.clientWidth")  # letters stay large enough to be read
    tab.get_by_role("button", name="Fit the width").click()
    assert not stage.evaluate("each => each.scrollWidth > each.clientWidth")
    for control in tab.locator("button:visible, select:visible, input:visible").all():
        assert control.bounding_box()["height"] >= 44
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")


def test_on_paper_the_picture_and_its_caption_are_left(opened):
    tab = passed(opened())
    tab.emulate_media(media="print")
    assert tab.locator("#picture").is_visible()
    assert tab.locator("#caption").is_visible()
    assert not tab.get_by_role("button").first.is_visible()
    assert not tab.locator("#scrub").is_visible()


def test_without_scripts_the_first_picture_and_all_answers_are_there(opened):
    tab = opened(java_script_enabled=False)
    assert tab.locator("#stage img").is_visible()
    assert not tab.locator("#picture").is_visible()
    assert tab.locator("#reveals").is_visible()
    assert "Without JavaScript" in tab.locator("main").inner_text()


def test_a_page_needs_no_file_beside_it(address):
    assert [path.name for path in Path(address.removeprefix("file://")).parent.iterdir()] == ["fig18.html"]
