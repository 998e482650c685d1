"""A notebook that was run, saved and left is opened on another day: it shows what was seen last, dead or alive."""

import re

import pytest
from lab_desk import PICTURES, Desk, address_of, assert_whole, html_of, shut
from lab_page import IN_BROWSER

pytestmark = IN_BROWSER


@pytest.mark.slow
def test_a_notebook_is_predicted_explored_saved_and_opened_again(desk: Desk):
    notebook = desk.run("07_kl_explorer", anyway=False)
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
    questions.nth(0).get_by_role("button", name="Take back").focus()
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("^Taken back")).wait_for()
    page.get_by_text("You predicted it.").locator("visible=true").wait_for(state="detached")
    assert focused() == "Commit"
    assert questions.nth(0).get_by_role("button").all_inner_texts() == ["Commit"]
    assert questions.nth(0).locator("input:checked, input:disabled").count() == 0
    commit(0, "Forward KL.")
    page.get_by_text("You predicted it.").first.wait_for()
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
