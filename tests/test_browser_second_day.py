"""A notebook that was run, saved and left is opened on another day: it shows what was seen last, dead or alive."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_page import IN_BROWSER, NOTEBOOKS, READY, Notebook, opening
from lab_server import TOKEN

pytestmark = IN_BROWSER

FIRST = "07_kl_explorer"
OTHERS = sorted({path.stem for path in NOTEBOOKS.glob("*.ipynb")} - {FIRST})
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


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    root = tmp_path_factory.mktemp("lab")
    with opening(root) as run:
        yield Desk(run, root / "work")


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


@pytest.mark.slow
def test_a_notebook_is_predicted_explored_saved_and_opened_again(desk: Desk):
    notebook = desk.run(FIRST, anyway=False)
    page, browser, address = notebook.page, notebook.page.context.browser, address_of(notebook)
    assert page.locator(".modeseek").count() == 0  # everything waits
    assert page.locator(PICTURES).count() == 0
    questions, focused = page.locator(".modeseek-question"), lambda: page.evaluate("document.activeElement.textContent")

    def commit(number: int, option: str) -> None:  # with the keyboard alone
        questions.nth(number).get_by_label(option, exact=True).focus()
        page.keyboard.press("Space")
        questions.nth(number).get_by_role("button").focus()
        page.keyboard.press("Enter")
        page.get_by_text(re.compile(r"^Committed\. ")).nth(number).wait_for()

    commit(0, "Forward KL.")
    page.get_by_text("You predicted it.").first.wait_for()
    assert page.locator(".modeseek").count() == 0
    assert focused() == "Committed"  # and not the page
    commit(1, "Forward KL at both.")
    explorer = notebook.explorer()
    page.wait_for_function("() => document.activeElement.textContent === 'Fold away'")
    assert page.evaluate("() => !!document.activeElement.parentElement.querySelector('.modeseek')")  # led there
    assert notebook.count() == 2

    explorer.slider("step").focus()
    for _ in range(3):
        explorer.after(lambda: page.keyboard.press("ArrowRight"))
    seen, caption = explorer.state(), str(explorer.root.locator("[data-ready]").inner_text())
    page.wait_for_function("seen => document.querySelector('.modeseek-saved code').textContent === seen", arg=seen)
    pictures = page.locator(PICTURES).count()
    assert pictures == notebook.count()  # each once: what is saved is hidden where its widgets live
    assert notebook.complaints() == []
    path = desk.leave(notebook)

    saved = html_of(path)
    assert saved.count("<img") == pictures
    assert "You predicted it." in saved
    assert "Committed: Forward KL at both." in saved

    again = desk.reopen(browser, address, path, pictures)
    assert_whole(again, pictures)
    assert seen in again.locator(".modeseek-saved code").all_inner_texts()
    assert caption in again.locator(PICTURES).evaluate_all("all => all.map(one => one.alt)")
    assert again.get_by_text("You predicted it.").locator("visible=true").count() == 1
    shut(again)

    strange = path.with_name("strange.ipynb")  # as if it came by post: not trusted, so styles are stripped
    strange.write_text(path.read_text().replace("Forward against reverse KL", "Reverse against forward KL"))
    again = desk.reopen(browser, address, strange, pictures)
    assert again.locator(".modeseek-saved style").count() == 0
    assert_whole(again, pictures)
    shut(again)

    nbconvert = pytest.importorskip("nbconvert")
    body, _ = nbconvert.HTMLExporter().from_filename(str(path))
    images = re.findall(r"<img[^>]*>", body)
    assert len([image for image in images if "data:image/png" in image]) == pictures
    assert all(re.search(r'alt="[^"]{40,}"', image) for image in images)
    assert "Error displaying widget" not in body


@pytest.mark.slow  # a minute each, most of it the notebook's own
@pytest.mark.parametrize("name", OTHERS)
def test_every_notebook_shows_its_pictures_on_the_second_day(desk: Desk, name: str):
    notebook = desk.run(name)
    browser, address, pictures = (
        notebook.page.context.browser,
        address_of(notebook),
        notebook.page.locator(PICTURES).count(),
    )
    explorers = notebook.page.locator(".modeseek").count()
    assert pictures >= max(1, explorers)
    path = desk.leave(notebook)
    assert html_of(path).count("<img") == pictures
    again = desk.reopen(browser, address, path, pictures)
    assert_whole(again, pictures)
    shut(again)
