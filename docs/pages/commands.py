"""The reference of the command line, from what every command says with `--help`."""

import contextlib
import importlib
import io
import os
import re
import textwrap
from pathlib import Path
from unittest import mock

from pages import docstring

WIDE = "1000"
"""Columns of the terminal that the help is written for, so that no line of it is broken."""


def write(folder: Path) -> None:
    """Write the page of all commands."""
    (folder / "commands.md").write_text(page(), encoding="utf-8")


def page() -> str:
    """All commands, each with what it does and its options."""
    parts = ["# Command line", docstring.prose(_description(help_of([]))[1])]
    for command in commands([]):
        parts.append(section(command))
    return "\n\n".join(parts) + "\n"


def commands(group: list[str]) -> list[list[str]]:
    """All commands of a group and of the groups in it, by the list in braces of its usage."""
    usage = _description(help_of(group))[0]
    names = re.search(r"\{([\w,-]+)\}\s*$", usage)
    if not names:
        return [group]
    return [command for name in names[1].split(",") for command in commands([*group, name])]


def help_of(command: list[str]) -> str:
    """What `modeseek COMMAND --help` prints on a very wide terminal."""
    printed = io.StringIO()
    main = importlib.import_module("modeseek.cli").main
    with (
        mock.patch.dict(os.environ, {"COLUMNS": WIDE, "NO_COLOR": "1"}),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main([*command, "--help"])
    return printed.getvalue()


def _description(text: str) -> tuple[str, str]:
    """The usage line and the paragraphs before the first box."""
    usage, _, rest = text.partition("\n\n")
    return usage, rest.split("╭", 1)[0].strip()


def section(command: list[str]) -> str:
    """A command's chapter."""
    text = help_of(command)
    parts = [f"## modeseek {' '.join(command)}", docstring.prose(_description(text)[1])]
    for title, body in re.findall(r"╭─ (.+?) ─+╮\n(.*?)╰", text, re.DOTALL):
        lines = textwrap.dedent("\n".join(line.strip().strip("│").rstrip() for line in body.splitlines()))
        options = [option for option in re.split(r"\n(?=\S)", lines) if option.strip() and "--help" not in option]
        if options:
            name = title.capitalize() if title != "options" else "Options"
            parts.append(f"**{name}**\n\n" + "\n".join(map(_option, options)))
    return "\n\n".join(parts)


def _option(text: str) -> str:
    """One option: as it is written, and what it says."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    written, *said = re.split(r"\s{2,}", lines[0], maxsplit=1)
    return f"- `{written}`: {docstring.inline(' '.join([*said, *lines[1:]]))}"
