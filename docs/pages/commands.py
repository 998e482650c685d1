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

COLUMNS = "110"
"""Columns of the terminal that the help is written for: too few for boxes side by side."""


class Terminal(io.StringIO):
    """Takes what is printed, and can show the lines of a box."""

    encoding = "utf-8"


def write(folder: Path) -> None:
    """Write the page of all commands."""
    (folder / "commands.md").write_text(page(), encoding="utf-8")


def page() -> str:
    """All commands under what they are for, each with what it does and its options."""
    overview = help_of([])
    parts = ["# Command line", "What every command says of itself with `--help`, and every option with its default."]
    for title, body in re.findall(r"^(\S[^\n]*):\n((?: +\S[^\n]*\n)+)", overview, re.MULTILINE):
        parts.append(f"## {title[0].upper()}{title[1:]}")
        parts += [
            section(command) for name in re.findall(r"^ +(\S+)", body, re.MULTILINE) for command in commands([name])
        ]
    return "\n\n".join(parts) + "\n"


def commands(command: list[str]) -> list[list[str]]:
    """A command, or those that it is a group of: their names stand in braces at the end of its usage."""
    names = re.search(r"\{([\w,-]+)\}\s*$", _description(help_of(command))[0])
    return [inner for name in names[1].split(",") for inner in commands([*command, name])] if names else [command]


def help_of(command: list[str]) -> str:
    """What `modeseek COMMAND --help` prints."""
    printed = Terminal()
    main = importlib.import_module("modeseek.cli").main
    with (
        mock.patch.dict(os.environ, {"COLUMNS": COLUMNS, "NO_COLOR": "1"}),
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
    parts = [f"### modeseek {' '.join(command)}", docstring.prose(_description(text)[1])]
    for title, body in re.findall(r"╭─ (.+?) ─+╮\n(.*?)╰", text, re.DOTALL):
        lines = textwrap.dedent("\n".join(line.strip().strip("│").rstrip() for line in body.splitlines()))
        about, rule, rest = lines.rpartition("─" * 10)
        options = [o for o in re.split(r"\n(?=\S)", rest.strip("\n")) if o.strip() and not o.startswith("-h, ")]
        if options:
            parts.append(f"**{title[0].upper()}{title[1:]}**")
            parts += [docstring.inline(about.split("\n")[0])] if rule else []
            parts.append("\n".join(map(_option, options)))
    return "\n\n".join(parts)


def _option(text: str) -> str:
    """One option: as it is written, and what it says."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    written, *said = re.split(r"\s{2,}", lines[0], maxsplit=1)
    return f"- `{written}`: {docstring.inline(' '.join([*said, *lines[1:]])).removesuffix(' (default: )')}"
