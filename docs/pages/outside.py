"""Files of the repository that lie outside `docs` and are pages too, and links that reach them from either place.

A link in a Markdown file is written as it works in a clone. When the site reads it, a link to a copied file leads to
its copy, a link to a module to its page of the reference, a link to a folder to that folder's page.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from pages.tree import ROOT, modules

DOCS = ROOT / "docs"
GENERATED = DOCS / "generated"
COPIED = ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/*.md", "notebooks/*.ipynb")
FOLDERS = {"docs/decisions": "docs/decisions/index.md", "benchmarks": "benchmarks/README.md"}

_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")


def copies() -> dict[Path, Path]:
    """File of the repository → its copy among the pages."""
    return {path: GENERATED / path.relative_to(ROOT) for pattern in COPIED for path in sorted(ROOT.glob(pattern))}


def write() -> None:
    """Copy the files, their links turned."""
    for path, copy in copies().items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            notebook = json.loads(text)
            for cell in notebook["cells"]:
                if cell["cell_type"] == "markdown":
                    cell["source"] = turned("".join(cell["source"]), path, copy)
            text = json.dumps(notebook, ensure_ascii=False)
        else:
            text = turned(text, path, copy)
        copy.write_text(text, encoding="utf-8")


def turned(text: str, source: Path, page: Path) -> str:
    """The text of `source` with its relative links as they must be on `page`."""
    return _LINK.sub(lambda link: link[1] + target(link[2], source, page) + link[3], text)


def target(link: str, source: Path, page: Path) -> str:
    """Where a link of a file leads on its page; what is no file of the repository stays as it is.

    Raises:
        ValueError: the file is in the repository, but not in the site.
    """
    if ":" in link:
        return link
    path = Path(os.path.normpath(source.parent / link))
    path = (
        ROOT / FOLDERS.get(str(path.relative_to(ROOT)), str(path.relative_to(ROOT)))
        if path.is_relative_to(ROOT)
        else path
    )
    if path.suffix == ".py":
        names = [name for name, module in modules().items() if ROOT / module.path == path]
        if not names:
            raise ValueError(f"{source.relative_to(ROOT)} links to {link}, which is no module of the packages")
        path = GENERATED / "api" / f"{names[0]}.md"
    path = copies().get(path, path)
    if path.is_relative_to(ROOT) and not path.is_relative_to(DOCS):
        raise ValueError(f"{source.relative_to(ROOT)} links to {link}, which is not in the site")
    return os.path.relpath(path, page.parent)


def reader(source: Path) -> Callable[[str], str]:
    """What turns the links of a page that lies in `docs` itself."""
    return lambda text: turned(text, source, source)
