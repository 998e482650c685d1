"""The list of the explorers' pages, which `docs/build.py` lays beside the site's."""

import html
from pathlib import Path

HEAD = """# Explorers without a kernel

Each is one page that works offline, on a phone too: predict, then choose a preset and move through it with the mouse or
the arrow keys. What a page shows has a line that opens the same in a notebook, where every control can be moved.
`modeseek pages` makes them.
"""


def write(folder: Path) -> None:
    """Write the list."""
    from modeseek.bandit.explore.pages.catalogue import catalogue
    from modeseek.bandit.explore.pages.page import words

    items = [
        f'- <a href="../explorers/{row.name}.html">{said["title"]}</a>: {said["question"]} {said["notebook"]}'
        for row in catalogue()
        for said in [{name: html.escape(text) for name, text in words(row).items()}]
    ]
    (folder / "explorers.md").write_text("\n".join([HEAD, *items, ""]), encoding="utf-8")
