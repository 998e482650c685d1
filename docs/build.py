"""Build the site: `python docs/build.py`, then open `docs/_build/html/index.html`.

Sphinx's warnings are errors. Then every link between the built pages is followed, anchors included, and a page that
would fetch a script, a style, a font or a picture from the network is refused: the site opens from a file, offline.
The explorers' pages are drawn beside the site and copied into it: they are drawn again only where the bandit's code or
data have changed.
"""

import argparse
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).resolve().parent
BUILT = HERE / "_build" / "html"
FETCHED = {"script": "src", "img": "src", "iframe": "src", "video": "src", "source": "src", "link": "href"}
"""Element → the attribute whose address a browser fetches by itself."""
NOT_FETCHED = {"canonical", "next", "prev", "search", "index", "genindex", "author", "copyright"}
"""Relations of `<link>` that are only pointed at."""


class Page(HTMLParser):
    """What one built page points to, and where it can be pointed at.

    Attributes:
        anchors: its ids.
        links: addresses of its links.
        fetched: addresses of what the browser loads with it.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids, links and what is fetched."""
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(given["id"] or "")
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        address = given.get(FETCHED.get(tag, ""))
        if address and not (tag == "link" and (given.get("rel") or "") in NOT_FETCHED):
            self.fetched.append(address)


def faults(folder: Path) -> list[str]:
    """What is wrong with the built pages: links that lead nowhere, and what would come from the network."""
    # What lies in _static are the theme's files, its templates among them.
    pages = {
        path: Page(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.html"))
        if "_static" not in path.parts
    }
    found = []
    for path, page in pages.items():
        for address in dict.fromkeys(page.links + page.fetched):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in page.fetched and parts.scheme != "data":
                    found.append(f"{path.relative_to(folder)} fetches {address} from the network")
                continue
            goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            goal = goal / "index.html" if goal.is_dir() else goal
            if not goal.exists():
                found.append(f"{path.relative_to(folder)} links to {address}, which is not there")
            elif parts.fragment and goal in pages and unquote(parts.fragment) not in pages[goal].anchors:
                found.append(f"{path.relative_to(folder)} links to {address}: no such place on that page")
    for path in folder.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        if "url(http" in text or "url(//" in text or '@import "http' in text or "@import url(http" in text:
            found.append(f"{path.relative_to(folder)} fetches from the network")
    return found


def remove_built(folder: Path) -> None:
    """Remove what an earlier build left, pages of modules that are gone among them; nothing but a built site."""
    if (folder / ".buildinfo").exists():
        shutil.rmtree(folder)


def add_explorers(folder: Path, drawn: Path) -> None:
    """Put the explorers' pages into a built site.

    Args:
        folder: of the site.
        drawn: where the pages are kept from one build to the next.
    """
    from modeseek.bandit.explore.pages.write import write
    from modeseek.progress import progress

    drawn.mkdir(parents=True, exist_ok=True)
    (folder / "explorers").mkdir()
    for path in write(drawn, home="../generated/explorers.html", progress=progress("explorers' pages")):
        shutil.copy(path, folder / "explorers" / path.name)


def main() -> int:
    """Build, then check; the number of the first step that failed, or zero."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=BUILT, help="where the site goes")
    parser.add_argument("--fresh", action="store_true", help="read every page anew")
    options = parser.parse_args()
    from sphinx.cmd.build import main as sphinx

    cache = options.out.parent / "doctrees"
    remove_built(options.out)
    how = ["-q", "-a", "-j", "auto", "-W", "--keep-going", "-b", "html"]
    given = [*how, "-d", str(cache), str(HERE), str(options.out)]
    code = sphinx(["-E", *given] if options.fresh else given)
    if code:
        return code
    add_explorers(options.out, options.out.parent / "explorers")
    found = faults(options.out)
    print(*found, f"{options.out / 'index.html'}: {len(list(options.out.rglob('*.html')))} pages", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
