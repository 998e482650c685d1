"""What is saved for other front ends: which types of data there are, and what a strict sanitiser leaves of the HTML.

Front ends choose one type by an order of their own, and clean HTML by lists of their own. nbconvert's `SanitizeHTML`
is no yardstick: it turns every paragraph into text. So the list here is as strict as any that was met: no style, no
class, no name of an element beyond those for text, and, the second time, no picture that HTML brings along.
"""

import base64
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import IPython.display
import nbformat
import numpy as np
import pytest
from notebook_build import build
from PIL import Image

from modeseek.bandit import explore
from modeseek.bandit.explore.toolkit.canvas import encode_small
from modeseek.bandit.explore.toolkit.display import WIDGET_VIEW, Displayed, Still, figure
from modeseek.bandit.explore.toolkit.explorer import Explorer
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth
from modeseek.bandit.figures.style import new_figure

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
KINDS = explore.explorer_classes()
ALLOWED = {
    "b": set(),
    "br": set(),
    "code": set(),
    "details": {"open"},
    "div": set(),
    "img": {"alt", "src"},
    "li": set(),
    "p": set(),
    "pre": set(),
    "summary": set(),
    "ul": set(),
}
"""Element → attributes that stay. Any other element leaves its text behind, but a style, which leaves nothing."""


class Strict(HTMLParser):
    """Collects what stays.

    Attributes:
        text: all of it.
        images: their attributes.
        names: of elements.
    """

    def __init__(self, given: str, *, data_images: bool) -> None:
        super().__init__()
        self.text, self.images, self.names = "", list[dict[str, str | None]](), list[str]()
        self._data_images, self._silent = data_images, False
        self.feed(given)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent = tag == "style"
        if tag not in ALLOWED:
            return
        self.names.append(tag)
        if tag == "br":
            self.text += "\n"
        if tag == "img":
            kept = {name: value for name, value in attrs if name in ALLOWED["img"]}
            if not self._data_images and (kept.get("src") or "").startswith("data:"):
                del kept["src"]
            self.images.append(kept)

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._silent else data


def outputs(shown: Displayed, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a cell that shows it publishes."""
    found: list[dict[str, Any]] = []
    with monkeypatch.context() as patched:
        patched.setattr(IPython.display, "display", lambda data, **_: found.append(data))
        shown._ipython_display_()
    return found


def assert_picture(source: str | None, pixels: tuple[int, int]) -> None:
    assert source is not None
    data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
    assert Image.open(io.BytesIO(data)).size == pixels


@pytest.mark.parametrize("kind", KINDS, ids=[kind.Model.kind for kind in KINDS])
def test_an_explorer_keeps_picture_words_and_state(kind: type[Explorer], monkeypatch: pytest.MonkeyPatch):
    explorer = kind()
    view, saved = outputs(explorer, monkeypatch)
    # No front end shows the view where it has a choice: nothing else stands beside it but a line of text.
    assert [*view] == [WIDGET_VIEW, "text/plain"]
    assert [*saved] == ["text/html", "text/plain"]
    height, width = explorer.pixels().shape[:2]
    for data_images in (True, False):
        left = Strict(saved["text/html"], data_images=data_images)
        assert [image["alt"] for image in left.images] == [explorer.caption()]
        assert left.text == f"{explorer.caption()}\n{explorer.to_state()}"
        if data_images:
            assert_picture(left.images[0]["src"], (width, height))


def test_a_prediction_and_its_answer_keep_their_words(monkeypatch: pytest.MonkeyPatch):
    prediction = Prediction("Which?", ("this", "that"), lambda: Truth(1, "because."))

    def left(shown: Displayed) -> Strict:
        view, saved = outputs(shown, monkeypatch)
        assert ([*view], [*saved]) == ([WIDGET_VIEW, "text/plain"], ["text/html", "text/plain"])
        return Strict(saved["text/html"], data_images=False)

    closed = left(prediction.reveal)
    assert closed.names[:4] == ["div", "details", "summary", "p"]  # folded still
    assert "because." in closed.text
    prediction.commit(0)
    question, told = left(prediction), left(prediction.reveal)
    assert question.text == "Predict: Which?thisthatCommitted: this"
    assert [name for name in question.names if name == "li"] == ["li", "li"]
    assert "You predicted otherwise: “this”" in told.text
    assert "details" not in told.names


class Uncaptioned(Displayed):
    """A picture whose alt text is all that there is, as of the map of notebook 08."""

    def still(self) -> Still:
        return Still(figure(encode_small(np.zeros((4, 4, 3), np.uint8)), "a | b"), "a | b")


def committed(published: list[dict[str, Any]]) -> list[Any]:
    """What the build makes of what a cell has published."""
    return [one for each in published for one in build.standing(nbformat.v4.new_output("display_data", each))]


def test_what_is_committed_says_in_words_what_a_picture_shows(monkeypatch: pytest.MonkeyPatch):
    """PNG for those who show no picture in HTML, and words of their own for those who pass over a PNG's alt text."""
    drawn, axes = new_figure(1, 1)
    axes[0, 0].set_title("a panel")
    bare, _ = drawn._repr_mimebundle_()
    explorer = explore.KLExplorer("case-2", hide=("state",))
    for published, words in (
        (outputs(explorer, monkeypatch), explorer.caption()),
        (outputs(Uncaptioned(), monkeypatch), "a | b"),
        ([bare], repr(drawn)),
    ):
        made = committed(published)
        assert [[*one.data] for one in made] == [["image/png", "text/plain"], ["text/html", "text/plain"]]
        assert made[0].metadata["image/png"]["alt"] == words
        assert made[0].data["text/plain"].startswith(words)  # VS Code's alt text
        assert Strict(made[1].data["text/html"], data_images=False).text == words  # a hidden state is not among them


def test_what_is_committed_has_no_ties_to_widgets(monkeypatch: pytest.MonkeyPatch):
    prediction = Prediction("Which?", ("this", "that"), lambda: Truth(1, "because."))
    made = [one for each in (prediction, prediction.reveal) for one in committed(outputs(each, monkeypatch))]
    made += committed(outputs(explore.KLExplorer("case-2").after(prediction), monkeypatch))
    assert [[*one.data] for one in made[:2]] == [["text/html", "text/plain"]] * 2
    assert made[1].data["text/html"] == prediction.reveal.still().html
    assert "modeseek-" not in str(made)
    other = nbformat.v4.new_output("display_data", {"text/html": "<p>a check</p>", "text/plain": "a check"})
    assert build.standing(other) == [other]


@pytest.mark.parametrize("name", build.names())
def test_every_picture_of_a_committed_notebook_is_png_with_its_words_below(name: str):
    pictures = 0
    for cell in json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]:
        shown = [each for each in cell.get("outputs", ()) if "data" in each]
        assert [each for each in shown if "<img" in "".join(each["data"].get("text/html", ()))] == []
        for each, below in zip(shown, [*shown[1:], None], strict=False):
            if "image/png" not in each["data"]:
                continue
            pictures += 1
            assert [*each["data"]] == ["image/png", "text/plain"]
            assert below is not None
            left = Strict("".join(below["data"]["text/html"]), data_images=False).text
            alt = each["metadata"]["image/png"]["alt"]
            assert " ".join(alt.split()) in " ".join(html.unescape(left).split())
            assert len(re.findall(r"\w+", alt)) > 10
    assert pictures
