"""Style sheet and script of an explorer in a notebook: HTML that stands before its first widget."""

import html
from pathlib import Path

from modeseek.bandit.explore.toolkit.words import BARS, FOCUS


def head() -> str:
    """A style element; the script runs when it comes onto the page, since a script element in a widget would not."""
    css, script = (Path(__file__).with_name(f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    colors = f".modeseek {{ --modeseek-wrong: {BARS['wrong']}; --modeseek-focus: {FOCUS} }}"
    return f'<style onload="{html.escape(script)}">{colors}\n{css}</style>'
