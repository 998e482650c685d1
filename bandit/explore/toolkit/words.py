"""Lines of text beside a picture, in the theme's own colour, light or dark: a bar at their left says of which kind.

No text has a colour of ours: there is none that can be read on white and on black. The bars have 3 to 1 on both.
"""

import html
from typing import Literal

Kind = Literal["plain", "note", "right", "wrong"]

BARS: dict[Kind, str] = {"note": "#A87000", "right": "#1F8A5B", "wrong": "#C04A2B"}
"""Colours of the bars; what they say, a word says too."""
FOCUS = "#0072B2"
"""Of the outline around what has the keyboard."""


def line(text: str, kind: Kind = "plain") -> str:
    """A paragraph that a screen reader speaks when it changes; at once if something is wrong."""
    role = "alert" if kind == "wrong" else "status"
    bar = f"border-left:5px solid {BARS[kind]};padding-left:8px" if kind in BARS else ""
    weight = ";font-weight:bold" if kind in ("right", "wrong") else ""
    return f"<p role='{role}' style='margin:2px 0;{bar}{weight}'>{html.escape(text)}</p>"
