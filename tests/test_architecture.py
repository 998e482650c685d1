"""The house's shape: arrows point one way, networks stay in one place, and nothing is imported by an old name."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [
    *(ROOT / "src" / "modeseek").glob("*.py"),
    *sorted((ROOT / "bandit").rglob("*.py")),
    *sorted((ROOT / "llm").rglob("*.py")),
]

BASE = {"modeseek", "modeseek.checks", "modeseek.files", "modeseek.markdown", "modeseek.progress"}
"""What every room stands on; they import nothing of ours but each other."""

ALLOWED = {
    **dict.fromkeys(sorted(BASE - {"modeseek"}), BASE),
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
    "modeseek.llm": {"modeseek.llm", "modeseek.bandit.objectives"},
}
"""Room → rooms it may import from beside `BASE` (commands and the front door may import from all)."""


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "src" else ("modeseek", *parts))


def _within(name: str, room: str) -> bool:
    return name == room or (room != "modeseek" and name.startswith(room + "."))


@pytest.mark.parametrize("room", ALLOWED)
def test_arrows_point_one_way(room):
    wrong = []
    for path in FILES:
        if not _within(_module(path), room) or _within(_module(path), "modeseek.llm.commands"):
            continue
        for name in _imports(path):
            ours = name.split(".")[0] == "modeseek"
            ok = any(_within(name, other) for other in ALLOWED[room] | BASE)
            if ours and not ok and name != "modeseek.__version__":
                wrong.append(f"{_module(path)} imports {name}")
    assert wrong == [], f"{room} may import from {sorted(ALLOWED[room])}"


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
    assert {u for u in users if u.startswith("modeseek.bandit.")} == {"modeseek.bandit.simulator.gpt"}


def test_the_token_shift_stands_in_one_place():
    """`[..., 1:]` against `[..., :-1]` on token arrays: in `log_probs.shift`, and nowhere else in the loss's path."""
    for name in ("collect", "objective", "train", "sampling"):
        text = (ROOT / "bandit" / "simulator" / f"{name}.py").read_text()
        assert "[..., :-1]" not in text
        assert "[:, :-1]" not in text


def test_nobody_uses_pyplot():
    users = [_module(p) for p in FILES if any(n.startswith("matplotlib.pyplot") for n in _imports(p))]
    assert users == []


def test_nobody_imports_the_folders_by_their_bare_names():
    """`bandit` and `llm` are other people's packages; ours are `modeseek.bandit` and `modeseek.llm`."""
    everywhere = [
        *FILES,
        *(path for room in ("tests", "benchmarks", "notebooks") for path in (ROOT / room).rglob("*.py")),
    ]
    users = [str(path) for path in everywhere if {n.split(".")[0] for n in _imports(path)} & {"bandit", "llm"}]
    assert users == []
