"""The house's shape: arrows point one way, files stay short, networks stay in one place."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "bandit").rglob("*.py")) + sorted((ROOT / "llm").rglob("*.py"))

ALLOWED = {
    "modeseek.bandit.objectives": {"modeseek.bandit.objectives"},
    "modeseek.bandit.simulator": {
        "modeseek",
        "modeseek.bandit.files",
        "modeseek.bandit.objectives",
        "modeseek.bandit.simulator",
    },
    # Two sideways looks: at the bandit's references and rewards (R1 and R2 are defined once), and at its devices.
    "modeseek.bandit.categorical": {
        "modeseek",
        "modeseek.bandit.files",
        "modeseek.bandit.objectives",
        "modeseek.bandit.categorical",
        "modeseek.bandit.simulator.problem",
        "modeseek.bandit.simulator.devices",
    },
    "modeseek.bandit.figures": {
        "modeseek.bandit.files",
        "modeseek.bandit.objectives",
        "modeseek.bandit.simulator",
        "modeseek.bandit.categorical",
        "modeseek.bandit.figures",
    },
    "modeseek.bandit.reproduce": {
        "modeseek.bandit.files",
        "modeseek.bandit.objectives",
        "modeseek.bandit.simulator",
        "modeseek.bandit.figures",
        "modeseek.bandit.reproduce",
    },
    "modeseek.bandit.explore": {
        "modeseek",
        "modeseek.bandit.files",
        "modeseek.bandit.objectives",
        "modeseek.bandit.simulator",
        "modeseek.bandit.categorical",
        "modeseek.bandit.figures",
        "modeseek.bandit.reproduce",
        "modeseek.bandit.explore",
    },
    "modeseek.llm": {"modeseek.llm", "modeseek.bandit.objectives"},
}
# `modeseek.llm.commands` is of the command line: it may import from all, as `modeseek.bandit.commands` may.
"""Room → rooms it may import from (commands and the command line may import from all)."""


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _module(path: Path) -> str:
    return ".".join(("modeseek", *path.relative_to(ROOT).with_suffix("").parts))


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
            ok = any(_within(name, other) for other in ALLOWED[room])
            # `from bandit import x` names the package and then its attribute.
            if ours and not ok and name != "modeseek.__version__":
                wrong.append(f"{_module(path)} imports {name}")
    assert wrong == [], f"{room} may import from {sorted(ALLOWED[room])}"


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


@pytest.mark.parametrize("path", FILES, ids=_module)
def test_files_hold_one_idea(path):
    assert len(path.read_text().splitlines()) <= 330
