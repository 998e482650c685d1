"""Texts that are put back: the same picture as without, letters inside their place, and nothing drawn twice."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure

from modeseek.bandit.explore.negative import NegativeGradientExplorer
from modeseek.bandit.explore.toolkit import lettering
from modeseek.bandit.explore.toolkit.lettering import LetteringCanvas, LetteringRenderer


def walked(explorer: NegativeGradientExplorer) -> list[np.ndarray]:
    """Pictures of presets, steps and other axes, each more than once."""
    pictures = []
    for values in ({"preset": name, "step": step} for name in list(explorer.presets())[:3] * 2 for step in (0, 5, 0)):
        pictures.append(explorer.set(**values).pixels())
    return pictures + [explorer.set(steps=steps).pixels() for steps in (20, 40, 20)]


def test_pictures_are_those_of_a_renderer_that_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = walked(NegativeGradientExplorer())
    monkeypatch.setattr(LetteringRenderer, "draw_text", RendererAgg.draw_text)
    monkeypatch.setattr(LetteringRenderer, "get_text_width_height_descent", RendererAgg.get_text_width_height_descent)
    for mine, plain in zip(remembered, walked(NegativeGradientExplorer()), strict=True):
        np.testing.assert_array_equal(mine, plain)


@pytest.mark.parametrize("angle", [0, 30, 90])
@pytest.mark.parametrize("size", [7, 9, 24])
def test_no_letter_reaches_beyond_its_texts_place(angle: int, size: int) -> None:
    figure = Figure((4, 4), dpi=100)
    canvas = LetteringCanvas(figure)
    for said in ("jÅgf,", "π₃ ← ∇log p", "$\\mathdefault{10^{-3}}$", "two lines,\nÅngström"):
        figure.texts.clear()
        text = figure.text(0.5, 0.5, said, rotation=angle, size=size, style="italic")
        canvas.draw()
        seen = np.asarray(canvas.buffer_rgba()).copy()
        assert (seen < 255).any(-1).any() if text.get_text() else True
        figure.texts.clear()
        canvas.draw()
        blank = np.asarray(canvas.buffer_rgba()).copy()
        inside = np.zeros(blank.shape[:2], bool)
        for drawn in canvas.get_renderer()._texts.values():
            inside[drawn.place] = True
        assert not (seen != blank).any(-1)[~inside].any()


def test_a_text_is_drawn_once_for_each_ground_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    plain = RendererAgg.draw_text
    monkeypatch.setattr(RendererAgg, "draw_text", lambda self, *a, **k: drawn.append(a[3]) or plain(self, *a, **k))
    monkeypatch.setattr(lettering, "MOST_TEXTS", 2)
    figure = Figure((2, 2), dpi=100)
    canvas = LetteringCanvas(figure)
    text = figure.text(0.2, 0.5, "one")
    canvas.draw()
    canvas.draw()
    assert drawn == ["one"]
    text.set_color("red")
    canvas.draw()
    figure.set_facecolor("black")
    canvas.draw()
    text.set_position((0.3, 0.5))
    canvas.draw()
    assert drawn == ["one"] * 4
    assert len(canvas.get_renderer()._texts) == 2
    figure.set_dpi(50)
    canvas.draw()
    assert len(drawn) == 5
