"""What axe-core (`tests/vendor/axe-core`) finds against WCAG 2.2 AA in a part of a page."""

from pathlib import Path
from typing import Any

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
VIOLATIONS = """
async ([scope, rules]) => {
  const found = await axe.run({include: [[scope]]}, {runOnly: rules});
  return [...found.violations, ...found.incomplete].flatMap(
    rule => rule.nodes.map(node => `${rule.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`));
}
"""


def violations(page: Any, scope: str) -> list[str]:
    """Each broken rule, and each that axe cannot tell, with its place; `scope` is a CSS selector."""
    if not page.evaluate("() => 'axe' in window"):
        page.add_script_tag(path=AXE)
    return list(page.evaluate(VIOLATIONS, [scope, RULES]))


def show_theme(page: Any, theme: str) -> None:
    """JupyterLab's theme of this name."""
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
