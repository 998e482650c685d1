"""How each method's line looks, wherever it is drawn."""

from typing import Any

from modeseek.bandit.figures.style import LineStyle, method_style
from modeseek.bandit.objectives.registry import variant


def styles_of(names: list[str]) -> dict[str, LineStyle]:
    """Each method's style; where both sides of a method are drawn, the offline one has an open marker and dots."""
    styles = {}
    for name in names:
        chosen = variant(name)
        both = sum(variant(n).method == chosen.method for n in names) > 1
        base = method_style(chosen.method.name)
        styles[name] = base._replace(dash=(0, (1.2, 1.4))) if both and not chosen.on_policy else base
    return styles


def method_line(name: str, line: LineStyle) -> dict[str, Any]:
    """Keyword arguments for a method's curve; an offline method has open markers."""
    keywords = {**line.line(every=(0.06, 0.16)), "label": variant(name).title}
    if not variant(name).on_policy:
        keywords |= {"markerfacecolor": "white", "markeredgecolor": line.color, "markeredgewidth": 1.2}
    return keywords
