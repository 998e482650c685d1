"""Write the pages into a folder: those that are there, made from the same code and data, are left as they are."""

import hashlib
import html
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from modeseek import __version__
from modeseek.bandit.explore.pages.catalogue import Shown, catalogue
from modeseek.bandit.explore.pages.frames import films
from modeseek.bandit.explore.pages.page import HERE, fitted, words
from modeseek.files import replacing

PACKAGE = Path(__file__).parents[2]
DRAW = ("matplotlib", "numpy", "pillow", "jax")
"""Libraries whose other version may draw another picture."""
HEAD = 4096
"""Bytes of a page in which it says what it was made from."""


def write(
    folder: Path, *, home: str = "", progress: Callable[[Iterable[Any]], Iterable[Any]] = iter, again: bool = False
) -> list[Path]:
    """Write a page for every explorer, and `index.html`, which lists them.

    Each appears in one step, so that whoever stops it loses one page at most, and the next call goes on from there.

    Args:
        folder: is there.
        home: address of a page that every page leads back to; without, `index.html`.
        progress: wraps what a loop runs over.
        again: make those too that are there.

    Returns:
        the files, the list last.
    """
    goal = home or "index.html"
    made_from = fingerprint(goal)
    _save(folder / "index.html", listing(catalogue()))  # first, so that no page leads back to what is not there
    paths = []
    for shown in progress(catalogue()):
        path = folder / f"{shown.name}.html"
        if again or not _holds(path, made_from):
            _save(path, fitted(shown, list(films(shown)), made_from, goal))
        paths.append(path)
    return [*paths, folder / "index.html"]


def fingerprint(home: str = "") -> str:
    """A digest of everything that a page is made from: the bandit's code and data, and the libraries that draw."""
    digest = hashlib.sha256(repr((home, __version__, *(version(name) for name in DRAW))).encode())
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in (".py", ".nc", ".html", ".css", ".js"):
            digest.update(path.relative_to(PACKAGE).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def listing(rows: Iterable[Shown]) -> str:
    """The page that lists them."""
    items = "\n".join(
        f'<li><a href="{row.name}.html">{html.escape(said["title"])}</a>: '
        f"{html.escape(said['question'])} {html.escape(said['notebook'])}</li>"
        for row in rows
        for said in [words(row)]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>Explorers · modeseek</title>\n'
        f"<style>\n{(HERE / 'page.css').read_text(encoding='utf-8')}\n</style>\n</head>\n<body>\n<main>\n"
        "<h1>Explorers without a kernel</h1>\n<p>Each is one file, and works offline. Predict first, then choose a "
        f"preset and move through it.</p>\n<ul>\n{items}\n</ul>\n</main>\n</body>\n</html>\n"
    )


def _holds(path: Path, made_from: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return f'content="{made_from}"'.encode() in stream.read(HEAD)


def _save(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
