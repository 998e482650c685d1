"""A notebook that is left and opened again: saved, its kernel stopped, its page closed; another day, a new page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab_page import READY, Notebook
from lab_server import TOKEN

PICTURES = ".jp-OutputArea-output img:visible"


class Desk:
    """A server and a browser, and the folder in which notebooks are saved."""

    def __init__(self, run: Callable[..., Notebook], folder: Path) -> None:
        self.run, self.folder = run, folder

    def leave(self, notebook: Notebook) -> Path:
        """Save, stop the kernel and close the page; the file."""
        page = notebook.page
        for _ in range(20):  # what is saved follows what is seen a second later, and the notebook is unsaved again
            page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
            page.wait_for_timeout(1500)
            if not page.evaluate("() => window.jupyterapp.shell.currentWidget.context.model.dirty"):
                break
        else:
            raise AssertionError("the notebook does not come to rest")
        path = self.folder / str(page.evaluate("() => window.jupyterapp.shell.currentWidget.context.path"))
        notebook.close()
        return path

    def reopen(self, browser: Any, address: str, path: Path, pictures: int) -> Any:
        """A page on which nothing was run, with its new kernel idle."""
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"{address}/doc/tree/{path.name}?token={TOKEN}")
        page.wait_for_function("() => window.jupyterapp")
        assert page.evaluate(READY), "no idle kernel within 30 s"
        page.locator(PICTURES).nth(pictures - 1).wait_for()
        return page


def address_of(notebook: Notebook) -> str:
    return str(notebook.page.url).split("/doc/")[0]


def html_of(path: Path) -> str:
    """All HTML that is saved among the outputs."""
    outputs = [each for cell in json.loads(path.read_text())["cells"] for each in cell.get("outputs", ())]
    return "\n".join("".join(each.get("data", {}).get("text/html", "")) for each in outputs)


def shut(page: Any) -> None:
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()


def assert_whole(page: Any, pictures: int) -> None:
    """As many pictures as there were, none broken or without its alt text, and no word of a dead widget."""
    assert page.locator(PICTURES).count() == pictures
    for width, alt in page.locator(PICTURES).evaluate_all("all => all.map(one => [one.naturalWidth, one.alt])"):
        assert width > 400
        assert len(alt) > 40
    for words in ("Error displaying widget", "Loading widget"):
        assert page.get_by_text(words).locator("visible=true").count() == 0
