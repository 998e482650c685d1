"""Real text that every Python brings: signatures of its standard library as prompts, their docstrings as responses.

Files are parsed and never imported. What is found depends on the version of Python, and on nothing else: packages that
distributions leave out (tests, IDLE, 2to3, distutils, Tk) are left out everywhere.
"""

import ast
import itertools
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modeseek.checks import require, whole
from modeseek.llm.data.records import Completion

LEFT_OUT = frozenset(
    {
        *("site-packages", "dist-packages", "lib-dynload", "__pycache__"),
        *("test", "tests", "idle_test", "idlelib", "lib2to3", "distutils", "tkinter", "turtledemo", "turtle.py"),
        *("ensurepip", "pydoc_data", "encodings", "this.py", "antigravity.py"),
    }
)
"""Parts of paths: not Python's own, not everywhere there, or tables rather than text."""


@dataclass(frozen=True)
class DocstringLimits:
    """Which docstrings are taken, in characters.

    Attributes:
        least: of a docstring; shorter ones are mostly "See above".
        most: of a docstring; None for no limit.
        most_signature: of a signature.
    """

    least: int = 20
    most: int | None = 1000
    most_signature: int = 300

    def __post_init__(self) -> None:
        whole("least", self.least, 1)
        whole("most_signature", self.most_signature, 1)
        if self.most is not None:
            whole("most", self.most, self.least)


def python_docstrings(
    limits: DocstringLimits | None = None, root: Path | None = None, first: int | None = None
) -> list[Completion]:
    """A completion for each documented function, method and class, in the order of paths and lines.

    The prompt is `module.Class.name(arguments)` with `def` or `class` before it and a line's end behind it; the
    response is the docstring without its indentation. A docstring that came before is left out, whoever has it.

    Args:
        limits: which lengths are taken.
        root: a folder of Python files; the standard library's if not given.
        first: so many of them; no more files are read then. All, if not given.

    Raises:
        ValueError: the folder has no documented Python (a library in a zip file, say).
    """
    limits = limits or DocstringLimits()
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    found = list(itertools.islice(_completions(limits, root), first))
    require(bool(found), f"{root} has no documented Python files")
    return found


def _completions(limits: DocstringLimits, root: Path) -> Iterator[Completion]:
    seen: set[str] = set()
    for path in _files(root):
        tree = _parsed(path)
        if tree is None:
            continue
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for signature, docstring in _documented(tree, module):
            fits = limits.least <= len(docstring) and (limits.most is None or len(docstring) <= limits.most)
            fits = fits and len(signature) <= limits.most_signature and _is_text(docstring + signature)
            if fits and docstring not in seen:
                seen.add(docstring)
                yield Completion(signature + "\n", docstring)


def _files(root: Path) -> list[Path]:
    paths = [path for path in root.rglob("*.py") if not LEFT_OUT.intersection(path.relative_to(root).parts)]
    return sorted(paths, key=lambda path: path.relative_to(root).parts)


def _parsed(path: Path) -> ast.Module | None:
    """The file's syntax; None for a template of a file, or bytes that are no text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes: as errors they would leave a file out
        try:
            with tokenize.open(path) as file:  # in the encoding that it declares
                return ast.parse(file.read())
        except (SyntaxError, ValueError):
            return None


def _documented(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """Signature and docstring of everything within a node, named from the module down, in the order of lines."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}"
            docstring = (ast.get_docstring(child) or "").strip()
            if docstring:
                yield _signature(child, inner), docstring
            yield from _documented(child, inner)
        elif isinstance(child, ast.If | ast.Try | ast.With):
            yield from _documented(child, name)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, name: str) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {name}({bases})" if bases else f"class {name}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    return f"{kind} {name}({ast.unparse(node.args)}){returns}"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
