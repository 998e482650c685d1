"""The packages as they lie on the disk, parsed and not imported."""

import ast
import functools
import itertools
import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "src"
Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Module:
    """One module.

    Attributes:
        name: as it is imported, `modeseek.bandit.objectives.preference`.
        path: where it is edited, from the root: `bandit/objectives/preference.py`.
        text: the source.
        tree: the source, parsed.
        is_package: whether it is an `__init__.py`.
    """

    name: str
    path: Path
    text: str
    tree: ast.Module
    is_package: bool

    @property
    def docstring(self) -> str:
        """What the module says of itself."""
        return ast.get_docstring(self.tree) or ""


@functools.cache
def modules() -> dict[str, Module]:
    """Every module under `src`, links followed, by name; packages come before what they hold."""
    found = {}
    for folder, _, files in os.walk(PACKAGES, followlinks=True):
        for file in files:
            path = Path(folder) / file
            if path.suffix == ".py" and "__pycache__" not in path.parts and file != "__main__.py":
                parts = path.relative_to(PACKAGES).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                text = path.read_text(encoding="utf-8")
                real = path.resolve().relative_to(ROOT)
                found[name] = Module(name, real, text, ast.parse(text), parts[-1] == "__init__")
    return dict(sorted(found.items()))


def public(name: str) -> bool:
    """Whether a name is meant for readers: no leading underscore."""
    return not name.startswith("_")


def documented_values(body: list[ast.stmt]) -> dict[str, tuple[ast.Assign | ast.AnnAssign, str]]:
    """Assignments of one public name that a string follows, which is their docstring."""
    found = {}
    for statement, after in itertools.pairwise(body):
        target = assigned(statement)
        if (
            target is not None
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            assert isinstance(statement, ast.Assign | ast.AnnAssign)
            found[target] = statement, after.value.value
    return found


def assigned(statement: ast.stmt) -> str | None:
    """The one public name that a statement assigns to, if it is such a statement."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if public(name):
            return name
    return None
