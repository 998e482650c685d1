"""The index of the paper: every equation, algorithm, figure and table → code → test → notebook.

`docs/paper.toml` lists the places. Who treats a place is whoever names it: a docstring, comment or string of the
packages ("paper eq. 20", "Lemma E.2", `"fig16"`), of a test, of a notebook. A test also counts if it calls code that
names the place. So nothing here knows where anything lies, and a name that is gone is missed at once.
"""

import ast
import functools
import importlib
import io
import re
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pages import docstring
from pages.tree import ROOT, assigned, modules, public

LIST = ROOT / "docs" / "paper.toml"
SHOWN = 8
"""Entries of a cell before the rest is only counted."""


@dataclass(frozen=True)
class Place:
    """A numbered place of the paper.

    Attributes:
        name: as this project writes it: `eq. 20`, `Lemma E.2`, `figure 16`.
        title: what is there.
        also: other addresses of the same.
        absent: why the project has nothing of it; empty where it has.
        no_notebook: why no notebook names it; empty where one does.
    """

    name: str
    title: str
    also: tuple[str, ...] = ()
    absent: str = ""
    no_notebook: str = ""


@dataclass(frozen=True)
class Entry:
    """Who treats a place.

    Attributes:
        place: the place.
        code: objects of the packages, by their full names.
        tests: test functions, as pytest names them.
        notebooks: notebooks, by their names.
    """

    place: Place
    code: tuple[str, ...]
    tests: tuple[str, ...]
    notebooks: tuple[str, ...]


def places() -> list[Place]:
    """The list of the paper's places."""
    rows = tomllib.loads(LIST.read_text(encoding="utf-8"))["place"]
    return [Place(**row | {"also": tuple(row.get("also", ()))}) for row in rows]


def index() -> list[Entry]:
    """Every place with who treats it."""
    return [_entry(place) for place in places()]


def _entry(place: Place) -> Entry:
    wanted = {place.name, *place.also}
    code = _ordered(
        {name: _nearness(said, place) for name, said in named_in_packages().items() if said.keys() & wanted}
    )
    rank = {name: i for i, name in enumerate(code)}
    callers = sorted(
        (min(rank[name] for name in called), test.name) for test in all_tests() if (called := test.calls & rank.keys())
    )
    tests = dict.fromkeys(test.name for test in all_tests() if test.places & wanted)
    tests |= dict.fromkeys(name for _, name in callers)
    notebooks = tuple(name for name, said in named_in_notebooks().items() if said & wanted)
    return Entry(place, code, tuple(tests), notebooks)


def _nearness(said: dict[str, bool], place: Place) -> tuple[bool, bool, int]:
    """Sorts who treats a place before who mentions it: by its own name, outright, and beside few others."""
    outright = any(said.get(name, False) for name in (place.name, *place.also))
    return place.name not in said, not outright, len(said)


def _ordered(found: dict[str, tuple[bool, bool, int]]) -> tuple[str, ...]:
    """Names by their nearness; a module is left out where something in it is listed."""
    inside = {name for name in found if name not in modules()}
    kept = [name for name in found if name in inside or not any(other.startswith(name + ".") for other in inside)]
    return tuple(sorted(kept, key=lambda name: (found[name], name)))


# What a text names.

_NUMBERS = r"\d+(?:(?:, | and | or | to |-|–)\d+)*"
_SERIES = (
    (re.compile(rf"\beqs?\. ({_NUMBERS})|\bEqs?\. ({_NUMBERS})|\bequations? \(?({_NUMBERS})"), "eq. "),
    (re.compile(rf"\b[Ff]igures? ({_NUMBERS})|\bfig(\d+)"), "figure "),
    (re.compile(rf"\bTables? ({_NUMBERS})|\btable(\d+)"), "Table "),
    (re.compile(r"\bAlgorithm (\d+)"), "Algorithm "),
)
_LETTERED = re.compile(r"\b([EFIJ])\.(\d)(?:\.(\d))?\b")
_STATEMENTS = {"E.1": "Lemma E.1", "E.2": "Lemma E.2", "E.3": "Lemma E.3", "E.4": "Lemma E.4", "E.5": "Theorem E.5"}
_LEMMAS = re.compile(r"\bLemmas E\.(\d) (?:to|and) E\.(\d)")
_OTHERS = re.compile(r"et al\.,? \d{4}, eqs?\. \d+")
"""An equation of another paper."""
_WORDS = re.compile(r"Bradley(?: and |-)Terry")


def named(text: str) -> set[str]:
    """The places that a text names."""
    text = _OTHERS.sub("", " ".join(text.split()))
    found = set(_WORDS.findall(text))
    for pattern, prefix in _SERIES:
        for match in pattern.finditer(text):
            found |= {f"{prefix}{n}" for n in _numbers(next(group for group in match.groups() if group))}
    for letter, first, second in _LETTERED.findall(text):
        address = f"{letter}.{first}" + (f".{second}" if second else "")
        found.add(_STATEMENTS.get(address, address))
    for first, last in _LEMMAS.findall(text):
        found |= {f"Lemma E.{n}" for n in range(int(first), int(last) + 1)}
    return found


def _numbers(text: str) -> list[int]:
    """`3, 20` and `9 and 10` are two each; `2-4` and `2 to 4` are three."""
    found: list[int] = []
    for part in re.split(r", | and | or ", text):
        ends = [int(n) for n in re.split(r"-|–| to ", part)]
        found += range(ends[0], ends[-1] + 1)
    return found


# Who names it.


def texts(source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every string and comment of a source, with the line on which it begins."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    block: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if block and token.start[0] != last + 1:
                yield first, " ".join(block)
                block = []
            first = first if block else token.start[0]
            last = token.start[0]
            block.append(token.string.lstrip("# "))
    if block:
        yield first, " ".join(block)


@functools.cache
def named_in_packages() -> dict[str, dict[str, bool]]:
    """Object → the places that it names, and whether outright: "paper eq. 20", or at the beginning of its docstring.

    What stands in something private counts for its module.
    """
    found: dict[str, dict[str, bool]] = {}
    for name, module in modules().items():
        if any(not public(part) for part in name.split(".")):
            continue
        for line, text in texts(module.text, module.tree):
            outright = named(text[:24]) | named("".join(re.findall(r"[Pp]aper ([^.]*\.? ?[^.]*)", text)))
            for place in named(text):
                said = found.setdefault(f"{name}.{top}" if (top := _top(module.tree, line)) else name, {})
                said[place] = said.get(place, False) or place in outright
    return found


def _top(tree: ast.Module, line: int) -> str | None:
    """The public function, class or value of a module in which a line stands, a value's docstring included."""
    before = None
    for node in tree.body:
        name = getattr(node, "name", None) or assigned(node)
        name = name if name and public(name) else None
        if node.lineno <= line <= (node.end_lineno or node.lineno):
            return before if isinstance(node, ast.Expr) else name
        before = name if isinstance(node, ast.Assign | ast.AnnAssign) else None
    return None


@dataclass(frozen=True)
class Test:
    """A test function.

    Attributes:
        name: `tests/test_x.py::test_y`.
        places: what it names.
        calls: names of the packages that it uses, in full.
    """

    __test__ = False  # for pytest, which would collect it by its name

    name: str
    places: frozenset[str]
    calls: frozenset[str]


@functools.cache
def all_tests() -> tuple[Test, ...]:
    """Every test function of the suite."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if path.name.startswith("test_docs"):
            continue
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        said = list(texts(source, tree))
        imported = _imports(ast.walk(tree))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                own = [text for line, text in said if first <= line <= (node.end_lineno or first)]
                places = frozenset().union(*map(named, own))
                found.append(Test(f"{path.relative_to(ROOT)}::{node.name}", places, frozenset(_uses(node, imported))))
    return tuple(found)


def _imports(nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Local name → full name of what a file imports."""
    found: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.asname or alias.name: alias.name for alias in node.names}
    return found


def _uses(node: ast.AST, imported: dict[str, str]) -> set[str]:
    """Full names of what a function uses: `preference.ipo`, `ipo`, and what stands before a dot."""
    found = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name | ast.Attribute):
            first, _, rest = ast.unparse(part).partition(".")
            if first in imported:
                found.add(imported[first] + (f".{rest}" if rest else ""))
    return found


@functools.cache
def named_in_notebooks() -> dict[str, set[str]]:
    """Notebook → the places that it names."""
    return {
        path.stem: named(re.sub(r"^# ?", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE))
        for path in sorted((ROOT / "notebooks" / "src").glob("*.py"))
    }


# Whether it is so.


def faults(entry: Entry) -> list[str]:
    """What is wrong with an entry: it points nowhere, or says that nothing is there where something is."""
    place, found = entry.place, []
    if place.absent:
        return [f"{place.name} is called absent, but {entry.code[0]} names it"] if entry.code else []
    if not entry.code:
        found.append(f"{place.name}: nothing in the packages names it")
    if not entry.tests:
        found.append(f"{place.name}: no test names it, or calls what names it")
    if not entry.notebooks and not place.no_notebook:
        found.append(f"{place.name}: no notebook names it, and no_notebook does not say why")
    if entry.notebooks and place.no_notebook:
        found.append(f"{place.name}: no_notebook gives a reason, but {entry.notebooks[0]} names it")
    return found + [f"{place.name}: {name} cannot be imported" for name in entry.code if resolve(name) is None]


def resolve(name: str) -> object:
    """The object of a full name; none where there is no such module or object."""
    holder, _, last = name.rpartition(".")
    try:
        return importlib.import_module(name) if name in modules() else getattr(importlib.import_module(holder), last)
    except (ImportError, AttributeError):
        return None


# The page.

HEAD = """# Index of the paper

Every equation, algorithm, figure and table of *Preference Fine-Tuning of LLMs Should Leverage Suboptimal, On-Policy
Data* (Tajwar et al., ICML 2024), and what this project has of it. The list is made from the code: who names a place
stands beside it, and a test that calls such code too. [Notes on the paper](../paper-notes.md) lists the slips."""


def write(folder: Path) -> None:
    """Write the page."""
    (folder / "paper.md").write_text(page(), encoding="utf-8")


def page() -> str:
    """The index as a page: a table of what is here, and a table of what is not."""
    here = [entry for entry in index() if not entry.place.absent]
    absent = [entry.place for entry in index() if entry.place.absent]
    parts = [HEAD, "## What is here"]
    for entry in here:
        parts.append(
            f"### {entry.place.name[0].upper()}{entry.place.name[1:]}\n\n{docstring.inline(entry.place.title)}\n\n"
            f"- **Code**: {_some([_link(name) for name in entry.code])}\n"
            f"- **Tests**: {_some([f'`{name}`' for name in entry.tests])}\n"
            f"- **Notebooks**: {', '.join(map(_notebook, entry.notebooks)) or entry.place.no_notebook}"
        )
    rows = "\n".join(f"| {place.name} | {docstring.inline(place.title)} | {place.absent} |" for place in absent)
    parts.append(f"## What is not here\n\n| place | what it is | why not |\n|---|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


def _some(items: list[str]) -> str:
    rest = len(items) - SHOWN
    return " · ".join(items[:SHOWN]) + (f" · and {rest} more" if rest > 0 else "")


def _link(name: str) -> str:
    """An object by the last two parts of its name, which say enough."""
    return f"{{py:obj}}`{'.'.join(name.split('.')[-2:])} <{name}>`"


def _notebook(name: str) -> str:
    return f"[{name}](notebooks/{name}.ipynb)"
