"""Every text of every explorer's picture can be read: none on another, none cut, none too small where it is shown."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from modeseek.bandit import explore
from modeseek.bandit.explore.phase.whole import WholeMap
from modeseek.bandit.explore.toolkit.canvas import DPI, Canvas
from modeseek.bandit.explore.toolkit.display import Displayed
from modeseek.bandit.explore.toolkit.explorer import Explorer
from modeseek.bandit.explore.toolkit.model import ViewModel
from modeseek.bandit.simulator.conventions import PRESETS as CONVENTIONS
from modeseek.llm.explore.live import LiveRuns
from modeseek.llm.explore.recorded import Picture, Recorded
from modeseek.llm.studies.draw import PANELS

KINDS = explore.explorer_classes()
WINDOWS = {1400: (920, 11.0), 1024: (760, 9.0)}
"""Width of a browser's window → width that a picture has in it, and how high its type must be there; CSS pixels."""
QUICK = ("fig2", "fig16", "fig18", "table3", "ablation")
"""Targets of the reproduction that are looked at without asking: curves, rows and verdicts, most of each."""
SLACK = 1.0
"""A box is wider and higher than the ink in it by this on each side, pixels."""


class Written(NamedTuple):
    """A text as it was drawn.

    Attributes:
        text: the words.
        moves: whether it is drawn anew with every picture.
        box: left, bottom, right, top; pixels.
        height: of the type, pixels.
        room: the panel's rectangle: what leaves it is cut, or stays behind when the panel is drawn again.
    """

    text: str
    moves: bool
    box: tuple[float, ...]
    height: float
    room: tuple[float, ...]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Written]:
    """Fills as texts are drawn."""
    found: list[Written] = []
    real = Text.draw

    def draw(self: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        real(self, renderer, *args, **kwargs)
        if self.get_visible() and self.get_text().strip():
            box = Text.get_window_extent(self, renderer).extents  # an annotation's would have its arrow in it
            small = 0.7 if "^{" in self.get_text() else 1.0  # an exponent
            height = small * self.get_fontsize() * DPI / 72
            room = self.get_figure(root=False).bbox.extents
            found.append(Written(self.get_text(), self.get_animated(), tuple(box), height, tuple(room)))

    monkeypatch.setattr(Text, "draw", draw)
    return found


def complaints(texts: list[Written], width: float) -> Iterator[str]:
    """What a reader could not read of a picture of this width."""
    boxes, rooms = (np.array([getattr(each, name) for each in texts]) for name in ("box", "room"))
    out = np.maximum(rooms[:, :2] - boxes[:, :2], boxes[:, 2:] - rooms[:, 2:]).max(axis=1) - SLACK
    for i in np.flatnonzero(out > 0):
        yield f"{texts[i].text!r} leaves its rectangle by {out[i]:.0f} px"
    for window, (pane, least) in WINDOWS.items():
        for text in texts:
            if (shown := text.height * min(1.0, pane / width)) < least:
                yield f"{text.text!r} is {shown:.1f} px high in a window of {window}"
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    for i, j in np.argwhere(np.triu((high - low).min(axis=-1) > 2 * SLACK, 1)):
        across, along = (high - low)[i, j]
        yield f"{texts[i].text!r} lies on {texts[j].text!r}, {across:.0f} × {along:.0f} px"


def views(kind: type[Explorer]) -> Iterator[tuple[str, ViewModel[Any, Any]]]:
    """View-models: every preset, at its own step and at both ends, and with each of its choices."""
    for preset in QUICK if kind is explore.ReproduceExplorer else kind.presets():
        model = kind.Model(preset)
        yield preset, model
        names = [control.name for control in model.controls]
        for step in model.limits("step") if "step" in names else ():
            model.set("step", step)
            yield f"{preset}, step {step:g}", model
        if kind is explore.ReproduceExplorer:  # the last claim
            model.set("row", max(1, len(model.result.rows)))
            yield f"{preset}, last row", model
        if kind is explore.BudgetExplorer:
            for method in dict(model.control("method").options):
                for name, value in (
                    ("method", method),
                    ("scored", "yes"),
                    ("learning_rate", 0.2),
                ):  # scored, then stale
                    model.set(name, value)
                    yield f"{preset}, {method}, {name}", model
                model.set("learning_rate", 0.1)
        if kind is explore.DemoExplorer:
            for method in dict(model.control("method").options):
                model.set("method", method)
                yield f"{preset}, {method}", model


def unread(kind: type[Explorer], written: list[Written], models: Iterator[tuple[str, Any]]) -> list[str]:
    """What cannot be read of these view-models' pictures, which one canvas draws."""
    canvas, keys, still, wrong = Canvas(kind.Scene()), None, [], []
    for name, model in models:
        written.clear()
        new = [panel.key(model) for panel in canvas._panels]
        if new != keys:  # all of it, that nothing is missing
            canvas._background = None
        canvas.pixels(model)
        if new != keys:
            keys, still = new, [text for text in written if not text.moves]
        texts = [*still, *(text for text in written if text.moves)]
        wrong += [f"{name}: {each}" for each in complaints(texts, canvas.figure.bbox.width)]
    return wrong


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_text_can_be_read(kind: type[Explorer], written: list[Written]):
    wrong = unread(kind, written, views(kind))
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.slow
@pytest.mark.parametrize("conventions", CONVENTIONS)
def test_every_target_can_be_read_under_every_reading(conventions: str, written: list[Written]):
    kind = explore.ReproduceExplorer
    models = ((preset, kind.Model(preset, conventions=conventions)) for preset in kind.presets())
    wrong = unread(kind, written, models)
    assert not wrong, "\n".join(["", *wrong])


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda figure: [figure.text(x, 0.5, "word", fontsize=12) for x in (0.4, 0.42)], "'word' lies on 'word'"),
        (lambda figure: figure.text(0.97, 0.5, "word", fontsize=12), "'word' leaves its rectangle by"),
        (lambda figure: figure.text(0.5, 0.5, "word", fontsize=8), "'word' is 9.8 px high in a window of 1400"),
        (lambda figure: figure.text(0.5, 0.5, "word", fontsize=8), "'word' is 8.1 px high in a window of 1024"),
        (lambda figure: figure.text(0.5, 0.5, "$10^{-2}$", fontsize=12), "px high in a window of 1024"),
    ],
)
def test_what_cannot_be_read_is_noticed(write: Callable[[Figure], Any], said: str, written: list[Written]):
    figure = Figure(figsize=(10.4, 4.0), dpi=DPI)
    figure.text(0.1, 0.1, "at peace", fontsize=12)
    write(figure)
    FigureCanvasAgg(figure).draw()
    found = list(complaints(written, figure.bbox.width))
    assert any(said in each for each in found)
    assert not any("at peace" in each for each in found)


def recorded(name: str) -> Picture:
    return Recorded(name).picture


STILL: dict[str, Callable[[], Displayed]] = {
    "whole map": WholeMap,
    "live": lambda: LiveRuns({"on_policy_dpo": [20.0, 9.5, 1.0], "rwr": [20.0, 19.0, 18.0]}),
    **{target.name: partial(recorded, target.name) for target in PANELS},
}
"""Pictures that no control changes: notebook 08's and 10's, and those that 10 says how to get."""
SEEN = ("whole map", "live", "fig6", "fig10", "fig20", "eos")
"""Those that a notebook shows."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n not in SEEN else []) for n in STILL])
def test_every_still_picture_can_be_read(name: str, written: list[Written]):
    STILL[name]().still()
    texts = list(dict.fromkeys(written))  # layout may have drawn some before
    left, _, right, _ = texts[0].room
    wrong = list(complaints(texts, right - left))
    assert not wrong, "\n".join(["", *wrong])
