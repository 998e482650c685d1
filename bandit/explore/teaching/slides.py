"""Slides: each telling view as an SVG whose letters are outlines, a PNG of it, and a page that shows all of them."""

import html
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from modeseek.bandit.explore.pages.page import HERE
from modeseek.bandit.explore.teaching.misconceptions import MISCONCEPTIONS
from modeseek.bandit.explore.teaching.view import View
from modeseek.bandit.explore.toolkit.canvas import Canvas
from modeseek.files import replacing


def write(
    folder: Path,
    views: Sequence[View] = MISCONCEPTIONS,
    *,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> list[Path]:
    """Draw the views, numbered in their order, and `index.html`, which has a title and one sentence for each.

    Args:
        folder: is there.
        views: what is to be seen.
        progress: wraps what a loop runs over.

    Returns:
        the files, the page last.
    """
    paths, sections = [], []
    for number, view in enumerate(progress(views), 1):
        stem = folder / f"{number:02d}-{view.name}"
        model = view.kind.Model.from_state(view.state)
        paths += draw(view, model, stem)
        sections.append(_section(view, view.finds(model).says, model.caption(), stem.name))
    with replacing(folder / "index.html") as temporary:
        temporary.write_text(_page(sections), encoding="utf-8")
    return [*paths, folder / "index.html"]


def draw(view: View, model: Any, stem: Path) -> list[Path]:
    """`stem.png` and `stem.svg` of a view-model in the view's state; the SVG needs no font."""
    canvas = Canvas(view.kind.Scene())
    canvas.figure.letters = "path"
    return canvas.save(model, stem)


def _section(view: View, says: str, caption: str, name: str) -> str:
    return (
        f"<section>\n<h2>{html.escape(view.title)}</h2>\n<p>{html.escape(says)}</p>\n"
        f'<figure><img src="{name}.svg" alt="{html.escape(caption)}">\n'
        f"<figcaption>Look at {html.escape(view.look)}. <code>{html.escape(view.again)}</code></figcaption></figure>\n"
        "</section>"
    )


def _page(sections: Sequence[str]) -> str:
    """All slides, one a sheet of paper when printed."""
    css = (HERE / "page.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Slides · modeseek</title>\n'
        f"<style>\n{css}\nimg {{ width: 100%; height: auto; background: #ffffff; }}\n"
        "@media print { section { break-after: page; } }\n</style>\n</head>\n<body>\n<main>\n<h1>Slides</h1>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )
