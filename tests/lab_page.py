"""Notebooks in Chromium: open and run one, reach its explorers by label, time their pictures and compare them."""

import contextlib
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

from modeseek.bandit.explore import explorer_class
from modeseek.bandit.explore.toolkit.explorer import Explorer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

IN_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
    # Sockets of the browser's driver and of asyncio, closed when the interpreter gets to it.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""`pytestmark` of every file that opens notebooks."""

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

RUN_ALL = """
() => {
  window.ran = null;
  window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => { window.ran = true; });
}
"""

EXECUTE = """
async (code) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  return (await kernel.requestExecute({code, store_history: false}).done).content.status;
}
"""

IDLE = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"

PIXELS = """
async (image) => {
  const bytes = new Uint8Array(await (await fetch(image.src)).arrayBuffer());
  return Array.from(bytes);
}
"""

WATCH = """
(root) => {
  window.began = null;
  for (const kind of ['keydown', 'pointermove'])
    root.addEventListener(kind, event => { window.began ??= event.timeStamp; }, true);
  new MutationObserver(async () => {
    const began = window.began;
    if (began === null) return;
    window.began = null;
    await root.querySelector('img').decode();
    window.took = performance.now() - began;
  }).observe(root.querySelector('img'), {attributeFilter: ['src']});
}
"""


READY_EXPLORER = ".modeseek [data-ready]"

RUN_MS = 600_000
"""For all cells of a notebook. The slowest, notebook 10, took 75 s of a core, and 410 s of one that others shared."""


class Notebook:
    """An open notebook all of whose cells were run, and all of whose gates opened unless `anyway` is false.

    Attributes:
        page: of the browser's driver.
        console: errors that the browser has reported.
    """

    def __init__(self, page: Any, address: str, name: str, *, anyway: bool = True) -> None:
        self.page = page
        self.console: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.set_default_timeout(20_000)
        page.goto(f"{address}/doc/tree/{name}?token={TOKEN}")
        page.wait_for_function("() => window.jupyterapp")
        assert page.evaluate(READY), "no idle kernel within 30 s"
        page.evaluate(RUN_ALL)
        page.wait_for_function("() => window.ran", timeout=RUN_MS)
        self.idle()
        if anyway:
            self.show_all()

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.console.append(f"{message.text} {message.location}")

    def show_all(self) -> None:
        """Open everything that waits for a prediction."""
        waiting = self.page.get_by_role("button", name="Show me anyway")
        while left := waiting.count():
            waiting.first.click()
            waiting.nth(left - 1).wait_for(state="detached")
        self.idle()

    def idle(self) -> None:
        self.page.wait_for_function(IDLE, timeout=RUN_MS)

    def execute(self, code: str) -> None:
        """In the notebook's kernel, unseen in its cells."""
        ended = self.page.evaluate(EXECUTE, code)
        assert ended == "ok", ended

    def explorer(self, number: int = 0) -> "Shown":
        self.page.wait_for_selector(READY_EXPLORER)
        return Shown(self.page, number)

    def count(self) -> int:
        """Its explorers; there must be one."""
        self.page.wait_for_selector(READY_EXPLORER)
        return int(self.page.locator(".modeseek").count())

    def complaints(self) -> list[str]:
        """What the browser's console and the kernel's callbacks complained of."""
        self.idle()
        return [*self.console, *self.page.evaluate("() => window.kernelErrors")]

    def close(self) -> None:
        """With its kernel: each takes half a gigabyte."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.close()


class Shown:
    """One explorer of an open notebook."""

    def __init__(self, page: Any, number: int) -> None:
        self.page, self._number = page, number
        self.root = page.locator(".modeseek").nth(number)

    def frame(self) -> int:
        return int(self.root.locator("[data-ready]").get_attribute("data-ready"))

    def after(self, action: Callable[[], Any]) -> float:
        """Milliseconds from an action to the next picture."""
        before = self.frame()
        began = time.perf_counter()
        action()
        self._frames_after(before)
        return 1000 * (time.perf_counter() - began)

    def _frames_after(self, frame: int) -> None:
        self.page.wait_for_function(
            "([n, k]) => +document.querySelectorAll('.modeseek')[k].querySelector('[data-ready]').dataset.ready > n",
            arg=[frame, self._number],
            polling=5,
        )

    def watch(self) -> None:
        """Once, before `picture_time`."""
        self.root.evaluate(WATCH)

    def picture_time(self, action: Callable[[], Any]) -> float:
        """Milliseconds in the browser from the event of an action to the decoded picture that it made."""
        before = self.frame()
        self.page.evaluate("() => { window.took = null; window.began = null; }")
        action()
        took = float(self.page.wait_for_function("() => window.took", polling=5).json_value())
        self._frames_after(before)  # everything else has followed: the next action finds a quiet page
        return took

    def settle(self) -> None:
        """Until the kernel is idle and no further picture comes."""
        last = -1
        while last != (last := self.frame()):
            self.page.wait_for_timeout(400)
            self.page.wait_for_function(IDLE, timeout=RUN_MS)

    def box(self, label: str) -> Any:
        """What is typed into or chosen from; a slider may have the same name."""
        return self.root.locator("input, select").and_(self.root.get_by_label(label, exact=True))

    def type(self, label: str, text: str) -> float:
        """Into a labelled box, with Enter; milliseconds to the picture."""
        box = self.box(label)
        box.fill(text)
        return self.after(lambda: box.press("Enter"))

    def slider(self, label: str) -> Any:
        row = self.root.locator(".widget-hbox").filter(has=self.page.get_by_label(label, exact=True))
        return row.locator(".noUi-handle").last

    def bar(self, label: str, category: int) -> Any:
        """The handle of one bar of a distribution."""
        row = self.root.locator(".modeseek-distribution").filter(has=self.page.get_by_label(label, exact=True))
        return row.locator(".noUi-handle").nth(category)

    def drag(self, handle: Any, right: float = 0.0, down: float = 0.0, *, steps: int = 4) -> None:
        """With the mouse, by pixels, until the picture has followed."""
        x, y = self.grasp(handle)
        self.after(lambda: self.page.mouse.move(x + right, y + down, steps=steps))
        self.page.mouse.up()
        self.settle()

    def grasp(self, handle: Any) -> tuple[float, float]:
        """Press the mouse on a handle; where that is."""
        handle.scroll_into_view_if_needed()
        place = handle.bounding_box()
        x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        return x, y

    def button(self, name: str) -> Any:
        return self.root.get_by_role("button", name=name, exact=True)

    def plays(self) -> bool:
        return bool(self.root.locator(".widget-play").count())

    def play_from_start(self, frames: int) -> None:
        """Until there are that many more pictures, or as many as there are steps; then stop."""
        step = self.root.locator(".widget-hbox").filter(has=self.page.locator(".widget-play")).locator(".noUi-handle")
        first, last = (float(step.get_attribute(f"aria-value{end}")) for end in ("min", "max"))
        frames = min(frames, round(last - first))
        step.focus()
        self.page.keyboard.press("Home")
        self.settle()
        play, before = self.root.locator(".widget-play button").first, self.frame()
        play.click()
        self._frames_after(before + frames - 1)
        play.click()
        self.settle()

    def reset(self) -> None:
        self.after(lambda: self.button("Reset").click())
        self.settle()

    def text(self) -> str:
        return str(self.root.inner_text())

    def state(self) -> str:
        return str(self.box("state").input_value())

    def made(self) -> Explorer:
        """A new explorer in the state that is shown."""
        return explorer_class(self.state().partition("?")[0]).from_state(self.state())

    def pixels(self) -> np.ndarray:
        """What the browser shows, `[height, width, 3]`."""
        data = self.root.locator("img").first.evaluate(PIXELS)
        return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB"))

    def check(self) -> None:
        """The picture is, to the pixel, what a view-model in the state shown draws; nothing, if that is hidden."""
        self.settle()
        if self.box("state").count() == 0:
            return
        np.testing.assert_array_equal(self.pixels(), self.made().pixels())


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser without windows yet; closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def opening(root: Path, *, height: int = 1300) -> Iterator[Callable[..., Notebook]]:
    """Opens notebooks by name, in windows of this height, and runs them; one server and one browser for all."""
    with lab(root, sorted(NOTEBOOKS.glob("*.ipynb"))) as address, chromium() as browser:
        yield lambda name, **how: Notebook(
            browser.new_page(viewport={"width": 1500, "height": height}), address, f"{name}.ipynb", **how
        )


def assert_fast(what: str, times: dict[str, list[float]], goal: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Print the goal's percentiles; three times the goal is a fault, whatever else the machine does.

    The goal is for a machine of our own: where others compute too it is multiplied by the load average for each core.
    """
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    with capsys.disabled():
        for name, each in times.items():
            p50, p95 = np.percentile(each, [50, 95])
            print(f"\n{what}, {name}: p50 {p50:.0f} ms, p95 {p95:.0f} ms (load {load:.1f} a core)", end="")
    for name, each in times.items():
        assert np.percentile(each, 95) < 3 * goal * max(1.0, load), f"{name}: {np.sort(each)[-5:]} ms, load {load:.1f}"
