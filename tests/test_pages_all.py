"""Every page that `modeseek pages` writes: it fits, has every preset, and keeps WCAG 2.2 AA from opening to playing."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_axe import violations
from lab_page import IN_BROWSER

from modeseek.bandit.explore.pages import write as writing
from modeseek.bandit.explore.pages.catalogue import catalogue
from modeseek.bandit.explore.pages.page import LARGEST_PAGE

pytestmark = pytest.mark.slow  # all pictures: minutes of a core

WIDE, NARROW = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}
REFLOWED = {"width": 320, "height": 640}
"""A window of 1280 px at 400 %, which WCAG's reflow (1.4.10) asks for."""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return writing.write(tmp_path_factory.mktemp("pages"))


def test_every_page_fits_and_has_every_preset(pages: list[Path]):
    for path, row in zip(pages, catalogue(), strict=False):
        assert path.stat().st_size < LARGEST_PAGE
        held = re.search(r'id="films">(.*?)</script>', path.read_text(), re.DOTALL)
        assert held is not None
        shown = json.loads(held[1])
        assert [film["name"] for film in shown] == list(row.kind.presets())
        assert all(frame["caption"] for film in shown for frame in film["frames"])


@pytest.mark.parametrize("scheme", [pytest.param(scheme, marks=IN_BROWSER) for scheme in ("light", "dark")])
def test_no_page_breaks_a_rule_of_wcag_or_scrolls_sideways(pages: list[Path], tabs, scheme: str):
    wrong = []
    for path in pages:
        tab = tabs(path.as_uri(), viewport=NARROW, color_scheme=scheme)
        for state in passing(tab):
            wrong += [f"{path.name}, {state}: {each}" for each in violations(tab, "html")]
            for window in (REFLOWED, NARROW, WIDE):
                tab.set_viewport_size(window)
                if (beyond := tab.evaluate(SIDEWAYS)) > 0:
                    wrong.append(f"{path.name}, {state}: scrolls {beyond} px sideways in {window['width']}")
            tab.set_viewport_size(NARROW)
        tab.close()
    assert wrong == [], "\n".join(wrong)


def passing(tab: Any) -> Iterator[str]:
    """Go through a page, from what it opens with to what is left of it; the name of each state."""
    yield "as it opens"
    asked = tab.get_by_role("button", name="Commit").all()
    for button in asked:
        button.click()
    if asked:
        yield "nothing chosen"
    for form in tab.locator("form").all():
        form.get_by_role("radio").first.check()
        form.get_by_role("button", name="Commit").click()
    if tab.locator("#explorer").count() == 0:  # the list of pages
        return
    presets = tab.get_by_label("Preset")
    presets.select_option(index=presets.locator("option").count() - 1)
    yield "another preset"
    play = tab.locator("#play")
    if play.is_visible():
        play.click()
        yield "playing"
        play.click()
        tab.get_by_role("slider").press("End")
        yield "at the end"
    for name in ("Fit the width", "Copy"):
        tab.get_by_role("button", name=name).click()
    yield "fitted and copied"
