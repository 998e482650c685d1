"""The extension that makes one site of it: pages are written before Sphinx reads, names in code become links."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

from pages import api, commands, explorers, outside, paper, teaching

LOGGER = logging.getLogger(__name__)
HISTORY = ("decisions/", "generated/CHANGELOG")
"""Pages that tell what was, and may name what is gone."""


def write_pages(app: Any) -> None:
    """Write `docs/generated` anew; a page that has not changed keeps its date, so that it is not read again."""
    folder = outside.GENERATED
    earlier = {path: (path.read_bytes(), path.stat()) for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "api").mkdir(parents=True)
    outside.write()
    api.write(folder / "api")
    commands.write(folder)
    paper.write(folder)
    explorers.write(folder)
    teaching.write(folder)
    keep_dates(earlier)


def keep_dates(earlier: dict[Path, Any]) -> None:
    """Give files that are what they were their earlier dates."""
    for path, (content, status) in earlier.items():
        if path.exists() and path.read_bytes() == content:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def turn_links(app: Any, page: str, source: list[str]) -> None:
    """Let links of a page that lies in `docs` reach what the site has of the rest of the repository."""
    path = Path(app.env.doc2path(page))
    if path.suffix == ".md" and not path.is_relative_to(outside.GENERATED):
        source[0] = outside.turned(source[0], path, path)


class LinkNames(SphinxPostTransform):
    """`modeseek.run` in code, anywhere, is a link to its docstring; a name that is nowhere is a warning."""

    default_priority = 5
    formats = ("html",)

    def run(self, **_: Any) -> None:
        """Look up every piece of inline code of the page."""
        domain = self.env.domains["py"]
        for node in list(self.document.findall(nodes.literal)):
            name = node.astext().removesuffix("()")
            if not re.fullmatch(r"modeseek(\.\w+)+", name) or isinstance(node.parent, nodes.reference):
                continue
            found = domain.objects.get(name) or _class_of(domain, name)
            if found is None:
                if not self.env.docname.startswith(HISTORY):
                    LOGGER.warning("%s is no name of the packages", name, location=node)
                continue
            link = make_refnode(self.app.builder, self.env.docname, found.docname, found.node_id, [node.deepcopy()])
            node.replace_self(link)


def _class_of(domain: Any, name: str) -> Any:
    """A field is described with its class."""
    holder = domain.objects.get(name.rpartition(".")[0])
    return holder if holder is not None and holder.objtype == "class" else None


def setup(app: Any) -> dict[str, bool]:
    """Hook everything in."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", turn_links)
    app.add_post_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
