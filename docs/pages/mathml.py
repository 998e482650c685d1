"""Formulas as MathML, which browsers draw themselves: no script, no font, no network."""

import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

_PLAIN_BIG = re.compile(r"\\([Bb]igg?)(?![A-Za-z])")
"""`\\Big(`, which docutils knows as `\\Bigl(` alone."""


def written(tex: str, block: bool) -> str:
    """A formula as MathML; raises `ValueError` for one that cannot be written so."""
    try:
        return str(tex2mathml(_PLAIN_BIG.sub(r"\\\1l", tex), as_block=block))
    except Exception as error:  # docutils raises a class of its own, or whatever a parser trips over
        raise ValueError(f"this formula cannot be written as MathML: {tex!r} ({error})") from error


def _of_page(tex: str, block: bool) -> str:
    from sphinx.errors import ExtensionError

    try:
        return written(tex, block)
    except ValueError as error:
        raise ExtensionError(str(error)) from error


def inline(writer: Any, node: nodes.math) -> None:
    """Visit a formula within a line."""
    writer.body.append(_of_page(node.astext(), block=False))
    raise nodes.SkipNode


def display(writer: Any, node: nodes.math_block) -> None:
    """Visit a formula on a line of its own."""
    writer.body.append(f'<div class="math-block">{_of_page(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer and choose it."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
