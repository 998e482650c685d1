"""The house's shape: arrows point one way, networks stay in one place, and nothing is imported by an old name."""

import ast
import graphlib
import itertools
import re
import tomllib
from pathlib import Path

import pytest
from conftest import WHOLE

ROOT = Path(__file__).parents[1]
FILES = [
    *(ROOT / "src" / "modeseek").glob("*.py"),
    *sorted((ROOT / "bandit").rglob("*.py")),
    *sorted((ROOT / "llm").rglob("*.py")),
]

EVERYWHERE = [
    *FILES,
    *(path for room in ("tests", "benchmarks", "notebooks", "docs") for path in sorted((ROOT / room).rglob("*.py"))),
]

BASE = {
    f"modeseek.{name}"
    for name in (
        "checks",
        "cluster",
        "files",
        "foreign",
        "locks",
        "machine",
        "markdown",
        "memory",
        "processes",
        "progress",
        "report",
        "streams",
    )
}
"""What every room stands on, beside `modeseek.__version__`; they import nothing of ours but each other."""

ALLOWED = {
    **dict.fromkeys(sorted(BASE), BASE),
    "modeseek.bandit.objectives": {"modeseek.bandit.objectives"},
    "modeseek.bandit.simulator": {"modeseek.bandit.objectives", "modeseek.bandit.simulator"},
    # Two sideways looks: at the bandit's references and rewards (R1 and R2 are defined once), and at its devices.
    "modeseek.bandit.categorical": {
        "modeseek.bandit.objectives",
        "modeseek.bandit.categorical",
        "modeseek.bandit.simulator.problem",
        "modeseek.bandit.simulator.devices",
    },
    "modeseek.bandit.figures": {
        "modeseek.bandit.objectives",
        "modeseek.bandit.simulator",
        "modeseek.bandit.categorical",
        "modeseek.bandit.figures",
    },
    "modeseek.bandit.studies": {
        "modeseek.bandit.objectives",
        "modeseek.bandit.simulator",
        "modeseek.bandit.categorical",
        "modeseek.bandit.figures",
        "modeseek.bandit.studies",
    },
    "modeseek.bandit.explore": {
        "modeseek.bandit.objectives",
        "modeseek.bandit.simulator",
        "modeseek.bandit.categorical",
        "modeseek.bandit.figures",
        "modeseek.bandit.studies",
        "modeseek.bandit.explore",
    },
    "modeseek.llm.models": {"modeseek.llm.models"},
    "modeseek.llm.data": {"modeseek.llm.data"},
    "modeseek.llm.parallel": {"modeseek.llm.models", "modeseek.llm.parallel"},
    "modeseek.llm.checkpoints": {"modeseek.llm.models", "modeseek.llm.parallel", "modeseek.llm.checkpoints"},
    "modeseek.llm.inference": {
        "modeseek.bandit.objectives",
        "modeseek.llm.models",
        "modeseek.llm.data",
        "modeseek.llm.parallel",
        "modeseek.llm.checkpoints",
        "modeseek.llm.inference",
    },
    "modeseek.llm.training": {
        "modeseek.bandit.objectives",
        "modeseek.llm.models",
        "modeseek.llm.data",
        "modeseek.llm.parallel",
        "modeseek.llm.inference",
        "modeseek.llm.training",
    },
    "modeseek.llm.rewards": {
        "modeseek.bandit.objectives",
        "modeseek.llm.models",
        "modeseek.llm.data",
        "modeseek.llm.checkpoints",
        "modeseek.llm.inference",
        "modeseek.llm.training",
        "modeseek.llm.rewards",
    },
    "modeseek.llm.evaluation": {
        "modeseek.llm.models",
        "modeseek.llm.data",
        "modeseek.llm.inference",
        "modeseek.llm.rewards",
        "modeseek.llm.evaluation",
    },
    "modeseek.llm.runs": {
        "modeseek.bandit.objectives",
        "modeseek.llm.models",
        "modeseek.llm.data",
        "modeseek.llm.parallel",
        "modeseek.llm.checkpoints",
        "modeseek.llm.inference",
        "modeseek.llm.training",
        "modeseek.llm.rewards",
        "modeseek.llm.evaluation",
        "modeseek.llm.runs",
    },
    # What the bandit's study is made of, once for both: verdicts, files, figures, the choice of a learning rate.
    "modeseek.llm.studies": {
        "modeseek.bandit.objectives",
        "modeseek.bandit.figures",
        "modeseek.bandit.studies",
        "modeseek.bandit.simulator.results",
        "modeseek.bandit.simulator.summary",
        "modeseek.llm.models",
        "modeseek.llm.data",
        "modeseek.llm.parallel",
        "modeseek.llm.inference",
        "modeseek.llm.training",
        "modeseek.llm.rewards",
        "modeseek.llm.evaluation",
        "modeseek.llm.runs",
        "modeseek.llm.studies",
    },
    # What notebook 10 shows: predictions, checks and pictures are the bandit's toolkit; one live run besides.
    "modeseek.llm.explore": {
        "modeseek.bandit.objectives",
        "modeseek.bandit.figures",
        "modeseek.bandit.studies",
        "modeseek.bandit.explore.toolkit",
        "modeseek.llm.data",
        "modeseek.llm.inference",
        "modeseek.llm.rewards",
        "modeseek.llm.runs",
        "modeseek.llm.training",
        "modeseek.llm.studies",
        "modeseek.llm.explore",
    },
    # The look of pictures is one thing: colours, markers and dashes are the bandit's; its figures are not used.
    "modeseek.llm.figures": {
        "modeseek.bandit.objectives",
        "modeseek.bandit.figures.style",
        "modeseek.bandit.figures.methods",
        "modeseek.llm.data",
        "modeseek.llm.runs",
        "modeseek.llm.figures",
    },
}
"""Room → rooms it may import from beside `BASE` (commands and the front door may import from all)."""


def _imports(path: Path) -> set[str]:
    """Modules, and what is taken from them; of the front door itself only the latter."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} - {"modeseek"} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _file(module: str) -> Path | None:
    """The file of a module of ours, if it is there; nothing is imported."""
    stem = ROOT / "src" / Path(*module.split("."))
    return next((path for path in (stem / "__init__.py", stem.with_suffix(".py")) if path.is_file()), None)


def _binds(module: ast.Module) -> set[str]:
    """Names that a module has: what its own statements bind, and, with a `__getattr__`, all that it spells out."""
    found = {node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    pending = list(module.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue  # what is bound inside is not the module's
        if isinstance(node, ast.alias):
            found.add(node.asname or node.name.split(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        pending += ast.iter_child_nodes(node)
    if "__getattr__" in found:
        found |= {node.value for node in ast.walk(module) if isinstance(node, ast.Constant)}
    return found


def _exists(name: str) -> bool:
    """A module of ours, or a name in one."""
    module, _, attribute = name.rpartition(".")
    if _file(name):
        return True
    path = _file(module)
    return path is not None and attribute in _binds(ast.parse(path.read_text()))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "src" else ("modeseek", *parts))


def _within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


@pytest.mark.parametrize("room", ALLOWED)
def test_arrows_point_one_way(room):
    wrong = []
    for path in FILES:
        if not _within(_module(path), room):
            continue
        if room == "modeseek.llm" and _within(_module(path), "modeseek.llm.studies"):
            continue  # a room of its own, on top of the others
        for name in _imports(path):
            ours = name.split(".")[0] == "modeseek"
            ok = any(_within(name, other) for other in ALLOWED[room] | BASE)
            if ours and not ok and name != "modeseek.__version__":
                wrong.append(f"{_module(path)} imports {name}")
    assert wrong == [], f"{room} may import from {sorted(ALLOWED[room])}"


def test_figures_of_language_models_are_drawn_for_commands_and_studies_alone():
    users = {_module(p) for p in FILES if any(_within(n, "modeseek.llm.figures") for n in _imports(p))}
    inside = ("modeseek.llm.figures", "modeseek.llm.commands", "modeseek.llm.studies")
    assert [user for user in users if not any(_within(user, room) for room in inside)] == []


def test_every_room_has_a_row_and_no_arrow_comes_back():
    """All but the commands' rooms; and nothing that a room imports from imports from that room."""
    rooms = {
        f"modeseek.{top}.{path.parent.name}" for top in ("bandit", "llm") for path in (ROOT / top).glob("*/__init__.py")
    }
    assert {room for room in rooms if not room.endswith(".commands")} <= set(ALLOWED)
    of = lambda name: ".".join(name.split(".")[:3])
    arrows = {room: {of(name) for name in allowed} - {room} for room, allowed in ALLOWED.items() if room not in BASE}
    graphlib.TopologicalSorter(arrows).prepare()


def test_what_studies_share_knows_no_study():
    """No simulator, no objective, no study of its own: one chart of intervals is all that they import of the rest."""
    paths = sorted((ROOT / "bandit" / "studies").glob("*.py"))
    shared = {_module(path) for path in paths} | BASE | {"modeseek.bandit.figures.intervals"}
    wrong = [
        f"{_module(path)} imports {name}"
        for path in paths
        for name in _imports(path)
        if _within(name, "modeseek.bandit") and name not in shared and name.rpartition(".")[0] not in shared
    ]
    assert wrong == []


def test_objectives_and_loops_never_import_flax():
    users = {_module(p) for p in FILES if any(n.split(".")[0] == "flax" for n in _imports(p))}
    assert {u for u in users if u.startswith("modeseek.bandit.")} == {
        "modeseek.bandit.simulator.gpt",
        "modeseek.bandit.simulator.mlp",
    }


def test_the_token_shift_stands_in_one_place():
    """`[..., 1:]` against `[..., :-1]` on token arrays: in `log_probs.shift`, and nowhere else in the loss's path."""
    for name in ("collect", "objective", "train", "sampling"):
        text = (ROOT / "bandit" / "simulator" / f"{name}.py").read_text()
        assert "[..., :-1]" not in text
        assert "[:, :-1]" not in text


def test_nobody_uses_pyplot():
    users = [_module(p) for p in FILES if any(n.startswith("matplotlib.pyplot") for n in _imports(p))]
    assert users == []


def test_every_figure_is_made_in_our_style():
    """`Figure(…)`, which a user's settings change, is called by nobody: `StyledFigure` is, beside the style."""
    calls = {
        _module(path)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Figure"
    }
    assert calls == set()


def test_nobody_imports_the_folders_by_their_bare_names():
    """`bandit` and `llm` are other people's packages; ours are `modeseek.bandit` and `modeseek.llm`."""
    users = [str(path) for path in EVERYWHERE if {n.split(".")[0] for n in _imports(path)} & {"bandit", "llm"}]
    assert users == []


def test_everything_imported_is_there():
    """Blocks under `TYPE_CHECKING` too: nothing runs those."""
    names = {name for path in EVERYWHERE for name in _imports(path) if name.split(".")[0] == "modeseek"}
    gone = {name for name in names if not _exists(name)}
    wrong = [f"{path.relative_to(ROOT)} imports {name}" for path in EVERYWHERE for name in _imports(path) & gone]
    assert wrong == []


def _call(node: ast.AST | None) -> str:
    """The last name of what a node calls; empty for anything but a call."""
    return getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""


def test_json_is_read_in_one_place():
    """What comes from outside goes through `modeseek.files.parse_json`; only what was just written is read plainly."""
    wrong = [
        f"{_module(path)}, line {node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(getattr(node.func, "value", None), "id", "") == "json"
        and _call(node) in ("load", "loads")
        and _call(node.args[0]) not in ("dumps", "to_json", "to_str")
        and _module(path) != "modeseek.files"
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ["bandit", "llm", "src"])
def test_no_docstring_begins_with_of(room):
    """A docstring is a sentence of its own, not the end of one that its name began."""
    wrong = []
    for path in (path for path in FILES if path.relative_to(ROOT).parts[0] == room):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                wrong += [f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"] if text.startswith("Of ") else []
    assert wrong == []


def test_ci_runs_every_test_in_one_part_or_another():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    whole_suite = [line for line in script.splitlines() if line.startswith("python -m pytest") and "tests/" not in line]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    options = project["tool"]["pytest"]["ini_options"]["addopts"]
    chosen = [re.search("-m '(.+?)'", f"{line.removeprefix('python -m')} {options}") for line in whole_suite]
    parts = [found[1] for found in chosen if found]
    for whole, slow in itertools.product((False, True), repeat=2):
        marks = {"whole": whole, "slow": slow, "search": False, "release": False}
        assert [eval(part, {}, marks) for part in parts].count(True) == 1, marks


def test_every_name_of_what_is_whole_is_a_files():
    stems = {path.stem.removeprefix("test_").removeprefix("llm_") for path in (ROOT / "tests").glob("test_*.py")}
    assert [name for name in WHOLE if not any(stem.startswith(name) for stem in stems)] == []
