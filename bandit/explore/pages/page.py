"""One explorer as one HTML file: its pictures inside, a few lines of script, nothing from the network.

Whoever opens it is asked the notebook's predictions first; until all are committed, or passed over, neither explorer
nor answers are shown. Without JavaScript everything is open, and the first picture is seen.
"""

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from modeseek.bandit.explore.pages.catalogue import Shown
from modeseek.bandit.explore.pages.frames import Film
from modeseek.bandit.explore.toolkit.model import opening
from modeseek.bandit.explore.toolkit.prediction import Prediction

LARGEST_PAGE = 2_000_000
"""Bytes of a page: what is loaded on a phone."""
HERE = Path(__file__).parent


def fitted(shown: Shown, films: Sequence[Film], made_from: str, home: str = "") -> str:
    """The page with as many frames as go into `LARGEST_PAGE`.

    Args:
        shown: what it is of.
        films: its presets.
        made_from: stands in the page, so that it is not made again from the same.
        home: address of a page to go back to; none, if empty.

    Raises:
        ValueError: not even two frames a preset go into it.
    """
    films = list(films)
    while len((text := page(shown, films, made_from, home)).encode()) > LARGEST_PAGE:
        if max(len(film.frames) for film in films) < 3:
            raise ValueError(
                f"the page of {shown.name} does not fit into {LARGEST_PAGE} bytes: it has too many presets"
            )
        films = [film.thinned() for film in films]
    return text


def page(shown: Shown, films: Sequence[Film], made_from: str, home: str = "") -> str:
    """The HTML; arguments as of `fitted`."""
    model, first = shown.kind.Model, films[0]
    asked = [make() for make in shown.predictions]
    said = {name: html.escape(text) for name, text in words(shown).items()}
    return Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        made_from=made_from,
        title=html.escape(model.title),
        about=said["question"] + (f" {said['notebook']}" if said["notebook"] else ""),
        home=f'<nav><a href="{html.escape(home)}">All explorers</a></nav>' if home else "",
        css=(HERE / "page.css").read_text(encoding="utf-8"),
        js=(HERE / "page.js").read_text(encoding="utf-8"),
        predictions="\n".join(_form(i, each) for i, each in enumerate(asked)),
        reveals=_reveals(asked),
        options="\n".join(_option(film) for film in films),
        alt=html.escape(first.name),
        width=first.size[0],
        height=first.size[1],
        picture=_base64(first.picture),
        caption=html.escape(first.frames[0].caption),
        state=html.escape(first.frames[0].state),
        again=html.escape(opening(shown.name, first.frames[0].state)),
        films=json.dumps([_film(shown, film) for film in films], ensure_ascii=False).replace("<", "\\u003c"),
    )


def words(shown: Shown) -> dict[str, str]:
    """What a list says of a page: its title, its question, and where it stands in the course."""
    model = shown.kind.Model
    return {
        "title": model.title,
        "question": (model.__doc__ or "").partition("\n")[0],
        "notebook": f"Notebook {shown.notebook} of the course." if shown.notebook else "",
    }


def _form(number: int, prediction: Prediction) -> str:
    """Nothing of it is remembered: Firefox keeps what was disabled over a reload, and with it an answer nobody sees."""
    options = "\n".join(
        f'<label><input type="radio" name="prediction-{number}" value="{i}"> <span>{html.escape(option)}</span></label>'
        for i, option in enumerate(prediction.options)
    )
    return (
        f'<form class="prediction" autocomplete="off" data-reveal="reveal-{number}">\n<fieldset>\n'
        f"<legend>Predict: {html.escape(prediction.question)}</legend>\n{options}\n"
        '<p class="row"><button type="submit" autocomplete="off">Commit</button>\n'
        '<button type="button" class="pass" autocomplete="off">Show me anyway</button>\n'
        '<span role="status"></span></p>\n'
        "</fieldset>\n</form>"
    )


def _reveals(asked: Sequence[Prediction]) -> str:
    """The answers, with the words of the notebook's reveals."""
    if not asked:
        return ""
    parts = ['<section id="reveals" aria-labelledby="so">', '<h2 id="so">What is so</h2>']
    for number, prediction in enumerate(asked):
        truth = prediction.truth()
        answer = f"<strong>{html.escape(prediction.options[truth.option])}</strong> {html.escape(truth.because)}"
        parts += [
            f'<div class="reveal" id="reveal-{number}" data-option="{truth.option}">',
            f"<p>{html.escape(prediction.question)}</p>",
            f'<p class="verdict"></p>\n<p>{answer}</p>\n</div>',
        ]
    return "\n".join([*parts, "</section>"])


def _option(film: Film) -> str:
    name = html.escape(film.name)
    return f'<option id="preset-{name}" value="{name}">{name}: {html.escape(film.shows)}</option>'


def _film(shown: Shown, film: Film) -> dict[str, Any]:
    frames = [
        {
            "at": frame.at,
            "caption": frame.caption,
            "state": frame.state,
            "again": opening(shown.name, frame.state),
            "patch": _base64(frame.patch),
            "x": frame.place[0],
            "y": frame.place[1],
        }
        for frame in film.frames
    ]
    width, height = film.size
    return {"name": film.name, "width": width, "height": height, "picture": _base64(film.picture), "frames": frames}


def _base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode("ascii")
