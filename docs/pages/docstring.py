"""A docstring of this project as Markdown: sections become lists, formulas and sessions keep their columns."""

import ast
import inspect
import re
import textwrap

TITLES = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Raises": "Raises",
    "Returns": "Returns",
    "Yields": "Yields",
}
ENTRIES = ("Args", "Attributes", "Raises")
"""Sections whose lines begin with a name and a colon."""

_HEADER = re.compile(rf"^({'|'.join(TITLES)}):$")
_ENTRY = re.compile(r"^(\*{0,2}[\w.]+(?:, \*{0,2}[\w.]+)*): (.*)$", re.DOTALL)


def sections(docstring: str) -> tuple[str, dict[str, str]]:
    """The text before any section, and each section's body with its indentation taken off."""
    text: list[str] = []
    found: dict[str, list[str]] = {}
    current = None
    for line in inspect.cleandoc(docstring).splitlines():
        header = _HEADER.match(line)
        if header:
            current = found.setdefault(header[1], [])
        elif current is not None and line and not line.startswith(" "):
            current = None
            text += ["", line]
        else:
            (text if current is None else current).append(line)
    bodies = {name: textwrap.dedent("\n".join(lines)).strip() for name, lines in found.items()}
    return "\n".join(text).strip(), bodies


def entries(body: str) -> list[tuple[str, str]]:
    """`name: text` of each entry; a line that is indented goes on with the one before."""
    chunks: list[str] = []
    for line in body.splitlines():
        if chunks and (line.startswith(" ") or not line):
            chunks[-1] += "\n" + line
        else:
            chunks.append(line)
    found = []
    for chunk in chunks:
        entry = _ENTRY.match(chunk)
        name, text = (entry[1], entry[2]) if entry else ("", chunk)
        first, _, rest = text.partition("\n")
        found.append((name, (first + "\n" + textwrap.dedent(rest)).strip()))
    return found


def markdown(docstring: str) -> str:
    """The whole docstring."""
    text, bodies = sections(docstring)
    return "\n\n".join([prose(text), *(section(name, body) for name, body in bodies.items())])


def section(name: str, body: str) -> str:
    """One section under its title."""
    if name not in ENTRIES:
        return f"**{TITLES[name]}**\n\n{prose(body)}"
    lines = [item(f"`{entry}`", text) if entry else f"- {inline(text)}" for entry, text in entries(body)]
    return f"**{TITLES[name]}**\n\n" + "\n".join(lines)


def item(title: str, text: str) -> str:
    """A list item whose text may have several paragraphs."""
    return f"- {title}: {textwrap.indent(prose(text), '  ').strip()}"


def prose(text: str) -> str:
    """Paragraphs; those that are laid out in columns, or indented, are set as they are."""
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.splitlines()
        if not block.strip():
            continue
        if lines[0].lstrip().startswith(">>>"):
            blocks.append(f"```pycon\n{textwrap.dedent(block)}\n```")
        elif lines[0].startswith("    ") or (lines[0][0] != "|" and any(re.search(r"\S {3,}\S", s) for s in lines)):
            blocks.append(f"```{_language(block)}\n{textwrap.dedent(block)}\n```")
        else:
            blocks.append(inline(block))
    return "\n\n".join(blocks)


def _language(block: str) -> str:
    """Python where it is some; formulas are not."""
    try:
        ast.parse(textwrap.dedent(block))
    except SyntaxError:
        return "text"
    return "python"


def inline(text: str) -> str:
    """Text whose `<`, `$` and `{` mean themselves, but in code."""
    parts = re.split(r"(``.+?``|`[^`]+`)", text, flags=re.DOTALL)
    return "".join(part if i % 2 else re.sub(r"([<${])", r"\\\1", part) for i, part in enumerate(parts))


def summary(docstring: str) -> str:
    """The first sentence or, where it runs over a blank line, the first paragraph, on one line."""
    paragraph = " ".join(sections(docstring)[0].split("\n\n")[0].split())
    return inline(re.split(r"(?<=[^.][.:])\s(?=[A-Z`])", paragraph)[0].rstrip(":"))
