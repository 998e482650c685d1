"""Explorers as pages: frames are the explorer's own pictures, nothing comes from the network, nothing is given away."""

import html
import importlib
import inspect
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from modeseek.bandit.commands.pages import Pages
from modeseek.bandit.explore import EXPLORERS
from modeseek.bandit.explore.pages import write as writing
from modeseek.bandit.explore.pages.catalogue import ROWS, catalogue
from modeseek.bandit.explore.pages.frames import Film, Frame, difference, films, places
from modeseek.bandit.explore.pages.page import HERE, LARGEST_PAGE, fitted, page

SHOWN = next(row for row in ROWS if row.explorer == "Figure18Explorer")
ELEMENTS_THAT_FETCH = ("src", "srcset", "href", "poster", "data", "action")


@pytest.fixture(scope="module")
def figure18() -> list[Film]:
    return list(films(replace(SHOWN, even=False)))


class Structure(HTMLParser):
    """Elements of a page with their attributes, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data):
        if self.elements and self.elements[-1][0] == "script":
            name = self.elements[-1][1].get("id", "")
            self.scripts[name] = self.scripts.get(name, "") + data

    def having(self, tag):
        return [given for name, given in self.elements if name == tag]


def decoded(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)))


def composed(film: Film, frame: Frame) -> np.ndarray:
    """What the page draws: the patch over the preset's picture."""
    picture = decoded(film.picture).copy()
    if frame.patch:
        patch, (x, y) = decoded(frame.patch), frame.place
        there = picture[y : y + patch.shape[0], x : x + patch.shape[1]]
        there[patch[..., 3] == 255] = patch[patch[..., 3] == 255][:, :3]
    return picture


def test_a_patch_over_the_picture_is_the_other_picture():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 256, (30, 40, 3), np.uint8)
    other = base.copy()
    other[5:9, 30:37] = rng.integers(0, 256, (4, 7, 3), np.uint8)
    other[20, 3] ^= 255
    patch, place = difference(other, base)
    film = Film("", "", (40, 30), difference(base, ~base)[0], (Frame("", "", "", patch, place),))
    film = replace(film, picture=_rgb(film.picture))
    np.testing.assert_array_equal(composed(film, film.frames[0]), other)
    assert place == (3, 5)
    assert difference(base, base)[0] == b""


def _rgb(picture: bytes) -> bytes:
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").save(stream, "WEBP", lossless=True)
    return stream.getvalue()


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("high", [0, 5, 16, 17, 200, 1000])
def test_places_have_both_ends_and_real_steps(even, high):
    found = places(0, high, even=even)
    assert found[0] == 0
    assert found[-1] == high
    assert len(found) <= 17
    assert found == sorted(set(found))
    gaps = np.diff(found)
    if even and high:
        assert np.ptp(gaps) <= 1
    elif high == 1000:
        assert gaps[0] == 1
        ratios = (np.array(found[8:]) + 1) / (np.array(found[7:-1]) + 1)
        np.testing.assert_allclose(ratios, 1001 ** (1 / 16), rtol=0.03)


def test_every_frame_is_the_explorers_picture_in_its_state(figure18):
    for film in figure18:
        for frame in film.frames[:: len(film.frames) - 1]:
            explorer = SHOWN.kind.from_state(frame.state)
            np.testing.assert_array_equal(composed(film, frame), explorer.pixels())
            assert frame.caption == explorer.caption()
            assert frame.at == f"{explorer.model.control('step').label} {explorer.model.values.step}"


def test_a_page_is_whole_and_fetches_nothing(figure18):
    text = fitted(SHOWN, figure18, "abc", "../index.html")
    assert len(text.encode()) < LARGEST_PAGE
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    found = Structure(text)
    for tag, given in found.elements:
        for name in ELEMENTS_THAT_FETCH:
            if name in given:
                assert given[name].startswith("data:") or (tag == "a" and given[name] == "../index.html")
    ids = [given["id"] for _, given in found.elements if "id" in given]
    assert len(ids) == len(set(ids))
    labelled = {given["for"] for given in found.having("label") if "for" in given}
    assert labelled == {"preset", "scrub", "state"}
    assert {given.get("aria-describedby") for given in found.having("canvas") + found.having("img")} == {"caption"}
    shown = json.loads(found.scripts["films"])
    assert [film["name"] for film in shown] == list(SHOWN.kind.presets())
    assert {f"preset-{film['name']}" for film in shown} == {given["id"] for given in found.having("option")}
    for film in shown:
        for frame in film["frames"]:
            assert len(frame["caption"]) > 40
            assert frame["again"] == f'modeseek.explorer("fig18", state="{frame["state"]}")'


def test_predictions_are_asked_in_the_notebooks_words_and_answered_below(figure18):
    asked = SHOWN.predictions[0]()
    truth = asked.truth()
    text = page(SHOWN, figure18, "")
    found = Structure(text)
    radios = [given for given in found.having("input") if given.get("type") == "radio"]
    assert [given["value"] for given in radios] == [str(i) for i in range(len(asked.options))]
    assert found.having("form")[0]["data-reveal"] == "reveal-0"
    assert next(given for given in found.having("div") if given.get("id") == "reveal-0")["data-option"] == str(
        truth.option
    )
    for words in (asked.question, *asked.options, truth.because):
        assert html.escape(words) in text
    before = text[: text.index('id="explorer"')]
    assert html.escape(truth.because) not in before
    assert all(film.shows not in before for film in figure18)


def test_every_prediction_of_the_bandits_notebooks_is_asked_by_a_page():
    """A new one needs a row: its explorer's page would give it away."""
    asked = {each for row in ROWS for each in row.predictions}
    rooms = sorted(path.parent.name for path in HERE.parent.glob("*/questions.py"))
    there = {
        function
        for room in rooms
        for name, function in inspect.getmembers(importlib.import_module(f"modeseek.bandit.explore.{room}.questions"))
        if name.startswith("predict_")
    }
    assert asked == there


def test_every_explorer_has_a_page_and_a_question():
    rows = catalogue()
    assert {row.explorer for row in rows} == set(EXPLORERS)
    assert len({row.name for row in rows}) == len(rows)


def test_a_page_that_is_too_large_has_fewer_frames(figure18, monkeypatch):
    whole = len(page(SHOWN, figure18, "").encode())
    module = importlib.import_module("modeseek.bandit.explore.pages.page")
    monkeypatch.setattr(module, "LARGEST_PAGE", whole - 1)
    thin = json.loads(Structure(fitted(SHOWN, figure18, "")).scripts["films"])
    for before, after in zip(figure18, thin, strict=True):
        states = [frame["state"] for frame in after["frames"]]
        assert states[:-1] == [frame.state for frame in before.frames[:-1]][::2]
        assert states[-1] == before.frames[-1].state
    monkeypatch.setattr(module, "LARGEST_PAGE", 1000)
    with pytest.raises(ValueError, match="the page of fig18 does not fit into 1000 bytes"):
        fitted(SHOWN, figure18, "")


def test_text_of_a_page_has_contrast_in_light_and_dark():
    """WCAG 2.2: 4.5 to 1 for text, 3 to 1 for edges of controls and focus, on each of the page's grounds."""
    css = (HERE / "page.css").read_text()
    for block in re.findall(r":root \{ (--[^}]+)\}", css)[:2]:
        colour = dict(re.findall(r"--(\w+): (#\w{6})", block))
        for ground in ("paper", "soft"):
            for ink, least in (("ink", 4.5), ("quiet", 4.5), ("accent", 4.5), ("line", 3.0)):
                assert contrast(colour[ink], colour[ground]) >= least, (ink, ground, block)


def contrast(one: str, other: str) -> float:
    """WCAG's, of two colours."""
    light, dark = sorted((luminance(each) for each in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.fixture
def two_pages(monkeypatch):
    """Two rows whose pictures are made up; which were drawn."""
    rows, drawn = ROWS[:2], []

    def made_up(shown):
        drawn.append(shown.name)
        picture = difference(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8))[0]
        return iter([Film("one", "shows", (2, 2), picture, (Frame("", "caption", f"{shown.name}?", b"", (0, 0)),))])

    monkeypatch.setattr(writing, "catalogue", lambda: tuple(replace(row, predictions=()) for row in rows))
    monkeypatch.setattr(writing, "films", made_up)
    return drawn


def test_what_is_there_from_the_same_code_is_left(two_pages, tmp_path, monkeypatch):
    paths = writing.write(tmp_path)
    assert [path.name for path in paths] == ["demo.html", "steps.html", "index.html"]
    index = paths[-1].read_text()
    assert 'href="demo.html"' in index
    assert 'href="steps.html"' in index
    assert 'href="index.html"' in paths[0].read_text()
    writing.write(tmp_path)
    assert two_pages == ["demo", "steps"]
    paths[0].write_text("half a page")
    writing.write(tmp_path)
    assert two_pages == ["demo", "steps", "demo"]
    writing.write(tmp_path, again=True)
    assert len(two_pages) == 5
    monkeypatch.setattr(writing, "version", lambda name: "99")
    writing.write(tmp_path)
    assert len(two_pages) == 7


def test_the_command_says_what_it_made_and_goes_on_after_an_interrupt(two_pages, tmp_path, capsys, monkeypatch):
    made, drawing = Pages(out=tmp_path), writing.films

    def stopped(shown):
        if shown.name == "steps":
            raise KeyboardInterrupt
        return drawing(shown)

    monkeypatch.setattr(writing, "films", stopped)
    assert made.run() == 130
    assert "goes on from here" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.html", "index.html"]
    monkeypatch.setattr(writing, "films", drawing)
    assert made.run() == 0
    assert two_pages == ["demo", "steps"]
    out = capsys.readouterr().out
    assert re.search(r"^demo.html: \d+ kB$", out, re.MULTILINE)
    assert f"open {tmp_path / 'index.html'}" in out
    monkeypatch.setattr(writing, "films", stopped)
    assert Pages(out=tmp_path, again=True).run() == 130  # what goes on is another command
    assert "The same command without --again, and with --out" in capsys.readouterr().err
