"""Notebooks 01 and 02 in a real browser: Chromium, JupyterLab on a free port; the picture is the view-model's."""

import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lab_server import TOKEN, lab
from PIL import Image

from bandit.explore import BanditExplorer, KLExplorer
from bandit.explore.explorer import Explorer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
TINY = "policy=table&prompts=2&responses=4&inner_steps=2&seeds=1&learning_rate=0.05"
SCRUB_MS = 150.0
LIMIT_MS = 100.0
"""p95 of slider to picture on a machine of our own; where others compute too, times the load average for each core."""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
    # Sockets of the browser's driver and of asyncio, closed when the interpreter gets to it.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

READY = """
async () => {
  const app = window.jupyterapp;
  await app.restored;
  for (let i = 0; i < 300; i++) {
    const panel = app.shell.currentWidget;
    if (panel && panel.sessionContext) {
      await panel.sessionContext.ready;
      await panel.revealed;
      const kernel = panel.sessionContext.session?.kernel;
      if (kernel && kernel.status === 'idle') {
        window.kernelErrors = [];
        kernel.iopubMessage.connect((_, m) => {
          if (m.header.msg_type === 'error') window.kernelErrors.push(m.content.ename + ': ' + m.content.evalue);
        });
        return true;
      }
    }
    await new Promise(done => setTimeout(done, 100));
  }
  return false;
}
"""

PIXELS = """
async (image) => {
  const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
  return Array.from(bytes);
}
"""


WATCH = """
() => {
  const root = document.querySelector('.modeseek');
  window.began = null;
  for (const kind of ['keydown', 'pointermove'])
    root.addEventListener(kind, event => { window.began ??= event.timeStamp; }, true);
  new MutationObserver(async () => {
    const began = window.began;
    if (began === null || !root.querySelector('[data-ready]')) return;
    if (root.querySelector('[data-ready]').dataset.ready === window.frameBefore) return;
    window.began = null;
    await root.querySelector('img').decode();
    window.took = performance.now() - began;
  }).observe(root, {subtree: true, childList: true, characterData: true});
}
"""


class Page:
    """The open notebook, and the first explorer in it, of the given class."""

    def __init__(self, page: Any, made_by: type[Explorer]) -> None:
        self.page, self.made_by = page, made_by
        self.console: list[str] = []
        page.on(
            "console",
            lambda message: (
                self.console.append(f"{message.text} {message.location}") if message.type == "error" else None
            ),
        )
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.set_default_timeout(20_000)

    def open(self, address: str, name: str) -> None:
        self.page.goto(f"{address}/doc/tree/{name}?token={TOKEN}")
        self.page.wait_for_function("() => window.jupyterapp")
        assert self.page.evaluate(READY), "no idle kernel within 30 s"
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        self.page.wait_for_selector(".modeseek [data-ready]")
        self.idle()

    def idle(self) -> None:
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
        )

    @property
    def explorer(self) -> Any:
        return self.page.locator(".modeseek").first

    def frame(self) -> int:
        return int(self.explorer.locator("[data-ready]").get_attribute("data-ready"))

    def after(self, action: Any) -> float:
        """Milliseconds from an action to the next picture."""
        before = self.frame()
        began = time.perf_counter()
        action()
        self.page.wait_for_function(
            "n => +document.querySelector('.modeseek [data-ready]').dataset.ready > n", arg=before, polling=5
        )
        return 1000 * (time.perf_counter() - began)

    def picture_time(self, action: Any) -> float:
        """Milliseconds in the browser from the event of an action to the decoded picture that it made."""
        self.page.evaluate(
            "n => { window.took = null; window.began = null; window.frameBefore = n; }", str(self.frame())
        )
        action()
        return float(self.page.wait_for_function("() => window.took", polling=5).json_value())

    def settle(self) -> None:
        """Until no further picture comes."""
        last = -1
        while last != (last := self.frame()):
            self.page.wait_for_timeout(400)

    def box(self, label: str) -> Any:
        return self.explorer.get_by_label(label, exact=True)

    def slider(self, label: str) -> Any:
        row = self.explorer.locator(".widget-hbox").filter(has=self.page.get_by_label(label, exact=True))
        return row.locator(".noUi-handle").last

    def state(self) -> str:
        return str(self.box("state").input_value())

    def shown(self) -> np.ndarray:
        data = self.explorer.locator("img").first.evaluate(PIXELS)
        return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB"))

    def button(self, name: str) -> Any:
        return self.explorer.get_by_role("button", name=name, exact=True)

    def check(self) -> None:
        """The picture is what a view-model in the state that is shown draws, to the pixel."""
        self.settle()
        np.testing.assert_array_equal(self.shown(), self.made_by.from_state(self.state()).pixels())


OPENED = {"01_kl_explorer.ipynb": KLExplorer, "02_bandit_explorer.ipynb": BanditExplorer}


@pytest.fixture(scope="module")
def open_notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Page]]:
    """Opens a notebook of `OPENED` and runs it; one server and one browser for all."""
    from playwright.sync_api import sync_playwright

    root = tmp_path_factory.mktemp("lab")
    with lab(root, [NOTEBOOKS / name for name in OPENED]) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def opening(name: str) -> Page:
            page = Page(browser.new_page(viewport={"width": 1500, "height": 1300}), OPENED[name])
            page.open(address, name)
            return page

        yield opening
        browser.close()


@pytest.fixture(scope="module")
def opened(open_notebook: Callable[[str], Page]) -> Page:
    return open_notebook("01_kl_explorer.ipynb")


@pytest.fixture(scope="module")
def bandit(open_notebook: Callable[[str], Page]) -> Page:
    return open_notebook("02_bandit_explorer.ipynb")


def test_keyboard_mouse_and_typing_change_the_picture_to_what_the_view_model_says(opened: Page, tmp_path: Path):
    page = opened
    page.explorer.scroll_into_view_if_needed()
    page.check()
    start = page.state()
    assert start == "kl?preset=case-1-fails"

    handle = page.slider("step")
    handle.focus()
    page.after(lambda: page.page.keyboard.press("ArrowRight"))
    assert page.state() == "kl?preset=case-1-fails&step=1"
    page.check()

    place = page.slider("step size η").bounding_box()
    page.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.page.mouse.down()
    page.after(lambda: page.page.mouse.move(place["x"] - 40, place["y"] + place["height"] / 2, steps=4))
    page.page.mouse.up()
    page.settle()
    moved = KLExplorer.from_state(page.state()).model.values["step_size"]
    assert moved < 1
    page.check()

    box = page.box("target q")
    box.fill("0.6, 0.3, 0.3")
    page.after(lambda: box.press("Enter"))
    page.check()
    assert KLExplorer.from_state(page.state()).model.values["target"] == pytest.approx((0.5, 0.25, 0.25))
    assert "target q summed to 1.2: divided by its sum" in page.explorer.inner_text()

    page.after(lambda: page.button("Reset").click())
    assert page.state() == start
    page.check()


def test_bad_input_is_shown_and_changes_nothing(opened: Page):
    page = opened
    page.button("Reset").click()
    page.settle()
    for label, typed, says in (
        ("target q", "one half", "Not possible: target q must be numbers"),
        ("state", "kl?step=x", "Not possible: step must be a number"),
        ("state", "bandit?step=1", "Not possible: a state of this explorer begins with kl?"),
    ):
        box = page.box(label)
        box.fill(typed)
        page.after(lambda: box.press("Enter"))  # noqa: B023
        assert says in page.explorer.inner_text()
        assert page.state() == "kl?preset=case-1-fails"
    size = page.box("step size η")
    size.fill("1000")
    page.after(lambda: size.press("Enter"))
    assert "step size η must be from 0.001 to 20, got 1000: set to 20" in page.explorer.inner_text()
    assert size.input_value() == "20"
    page.check()


def test_play_moves_the_step_and_stops(opened: Page):
    page = opened
    page.button("Reset").click()
    page.settle()
    play = page.explorer.locator(".widget-play button")
    play.first.click()
    page.page.wait_for_function(
        "() => document.querySelector('.modeseek .modeseek-caption').innerText.includes('step 5 of')"
    )
    play.first.click()
    page.settle()
    assert KLExplorer.from_state(page.state()).model.values["step"] >= 5
    page.check()


def test_slider_to_picture_stays_under_the_limit(opened: Page, capsys: pytest.CaptureFixture[str]):
    page = opened
    page.button("Reset").click()
    page.settle()
    page.page.evaluate(WATCH)
    times = {}
    page.slider("step").focus()
    times["step, by key"] = [page.picture_time(lambda: page.page.keyboard.press("ArrowRight")) for _ in range(40)]
    page.slider("step size η").focus()
    times["step size, by key"] = [page.picture_time(lambda: page.page.keyboard.press("ArrowLeft")) for _ in range(40)]
    place = page.slider("step").bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    times["step, by mouse"] = [page.picture_time(lambda: page.page.mouse.move(x + 6 * i, y)) for i in range(1, 31)]  # noqa: B023
    page.page.mouse.up()
    box = page.box("step")
    typed = []
    for step in range(50, 70):
        box.fill(str(step))
        typed.append(page.picture_time(lambda: box.press("Enter")))
    times["step, typed"] = typed
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    # The goal is printed beside what was measured; three times it is a fault, whatever else the machine does.
    limit = 3 * LIMIT_MS * max(1.0, load)
    with capsys.disabled():
        for name, each in times.items():
            p50, p95 = np.percentile(each, [50, 95])
            print(f"\nslider to picture, {name}: p50 {p50:.0f} ms, p95 {p95:.0f} ms (load {load:.1f} a core)", end="")
    for name, each in times.items():
        assert np.percentile(each, 95) < limit, f"{name}: {np.sort(each)[-5:]} ms at a load of {load:.1f} a core"


def test_two_explorers_do_not_disturb_each_other(opened: Page):
    page = opened
    other = page.page.locator(".modeseek").nth(1)
    before = other.locator("[data-ready]").inner_text()
    page.after(lambda: page.button("Reset").click())
    assert other.locator("[data-ready]").inner_text() == before
    assert "Forward against reverse KL · 2" in other.inner_text()
    assert other.get_by_label("target q", exact=True).count() == 0  # hide=


def test_a_prediction_is_committed_before_its_reveal_opens(opened: Page):
    page = opened.page
    closed = page.get_by_text("Closed until you commit to a prediction above.")
    assert closed.count() == 2
    radio = page.get_by_label("Forward KL.", exact=True).first
    radio.check()
    page.get_by_role("button", name="Commit").first.click()
    page.get_by_text("You predicted it.").wait_for()
    assert closed.count() == 1


def test_export_close_and_restart_are_seen(opened: Page):
    page = opened
    page.after(lambda: page.button("Export").click())
    assert "Saved kl.png, kl.svg, kl.csv, kl.json in modeseek-results/explore-kl-1" in page.explorer.inner_text()
    page.idle()
    assert page.page.evaluate("() => window.kernelErrors") == []
    assert page.console == []
    count = page.page.locator(".modeseek").count()
    page.button("Close").click()
    page.page.wait_for_function("n => document.querySelectorAll('.modeseek').length === n", arg=count - 1)
    page.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.page.wait_for_selector(".modeseek.jupyter-widgets-disconnected")
    said = page.page.evaluate(
        "() => getComputedStyle(document.querySelector('.modeseek.jupyter-widgets-disconnected'), '::before').content"
    )
    assert "Run the cells again" in said


def test_a_bandit_is_scrubbed_by_key_and_mouse(bandit: Page, capsys: pytest.CaptureFixture[str]):
    page = bandit
    page.explorer.scroll_into_view_if_needed()
    page.check()
    assert page.state() == "bandit?preset=R1-ppo&step=8"
    page.page.evaluate(WATCH)
    page.slider("collection").focus()
    times = {"by key": [page.picture_time(lambda: page.page.keyboard.press("ArrowRight")) for _ in range(20)]}
    assert page.state() == "bandit?preset=R1-ppo&step=28"
    page.check()
    place = page.slider("collection").bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    times["by mouse"] = [page.picture_time(lambda: page.page.mouse.move(x - 16 * i, y)) for i in range(1, 16)]  # noqa: B023
    page.page.mouse.up()
    page.check()
    assert BanditExplorer.from_state(page.state()).model.values["step"] < 20
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    limit = 3 * SCRUB_MS * max(1.0, load)
    with capsys.disabled():
        for name, each in times.items():
            p50, p95 = np.percentile(each, [50, 95])
            print(f"\nscrubbing the bandit {name}: p50 {p50:.0f} ms, p95 {p95:.0f} ms (load {load:.1f} a core)", end="")
    for name, each in times.items():
        assert np.percentile(each, 95) < limit, f"{name}: {np.sort(each)[-5:]} ms at a load of {load:.1f} a core"


def test_a_training_is_shown_and_another_one_cancelled(bandit: Page):
    page, wait = bandit, 180_000
    box = page.box("state")
    box.fill(f"bandit?preset=R1-ppo&{TINY}&collections=3&step=3")
    page.after(lambda: box.press("Enter"))
    assert "The curves are of other settings: press Train." in page.explorer.inner_text()
    page.button("Train").click()
    page.explorer.get_by_text("Trained.", exact=True).wait_for(timeout=wait)
    page.settle()
    assert "collection 3 of 3" in page.explorer.inner_text()
    again = BanditExplorer.from_state(page.state())
    assert isinstance(again, BanditExplorer)
    again.train()
    np.testing.assert_array_equal(page.shown(), again.pixels())

    box.fill(f"bandit?preset=R1-ppo&{TINY}&collections=100")
    page.after(lambda: box.press("Enter"))
    page.after(lambda: page.button("Train").click())
    page.page.wait_for_function("() => /[1-9][0-9]* of 100 collections/.test(document.body.innerText)", timeout=wait)
    page.button("Cancel").click()
    page.explorer.get_by_text("Cancelled: what was trained until then").wait_for(timeout=wait)
    page.settle()
    assert "The training was stopped after" in page.explorer.inner_text()
    page.after(lambda: page.button("Reset").click())
    assert page.state() == "bandit?preset=R1-ppo&step=8"
    page.check()
    page.idle()
    assert page.page.evaluate("() => window.kernelErrors") == []
    assert page.console == []
