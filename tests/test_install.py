"""Installed beside the packages whose names our folders have: PyCQA's `bandit` and Willison's `llm`."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS, OTHERS = "modeseek", ("bandit", "llm")
SHOWN = {"modeseek": ("methods", "on-policy"), "bandit": ("--version", "bandit"), "llm": ("--version", "llm")}
"""Command → an argument, and a word of what it then prints."""

pytestmark = pytest.mark.slow


def _run(*command: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=clean, cwd=folder, check=False)


def _environment(folder: Path) -> Path:
    """A new virtual environment; its folder of commands."""
    assert _run(sys.executable, "-m", "venv", folder).returncode == 0
    return folder / "bin"


def _install(commands: Path, *what: object) -> None:
    done = _run(commands / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", *what)
    if "No matching distribution" in done.stderr or "Failed to establish" in done.stderr:
        pytest.skip(f"no registry answers here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def _works(commands: Path, name: str, folder: Path) -> bool:
    argument, word = SHOWN[name]
    done = _run(commands / name, argument, folder=folder)
    return done.returncode == 0 and word in done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel that an ordinary installation makes."""
    folder = tmp_path_factory.mktemp("wheel")
    commands = _environment(folder / "builder")
    done = _run(commands / "python", "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)
    if "No matching distribution" in done.stderr or "Failed to establish" in done.stderr:
        pytest.skip("no registry answers here, so there is no setuptools to build with")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_one_package_and_all_of_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".d" not in name.split("/")[0]} == {"modeseek"}
    kept = subprocess.run(
        ["git", "ls-files", "bandit", "llm", "src"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    files = [line.removeprefix("src/modeseek/") for line in kept.stdout.splitlines()]
    wanted = {f"modeseek/{name}" for name in files if Path(name).suffix in (".py", ".nc", ".typed")}
    assert wanted - set(names) == set()


@pytest.mark.parametrize(
    "order",
    [
        pytest.param((OURS, *OTHERS), id="ours-first"),
        pytest.param((*OTHERS, OURS), id="ours-last", marks=pytest.mark.release),
    ],
)
def test_three_packages_live_together_and_leave_apart(order, wheel, tmp_path):
    """Whichever comes second overwrites nothing; each command runs; removing one leaves the others."""
    commands = _environment(tmp_path / "environment")
    for name in order:
        _install(commands, wheel if name == OURS else name)
    assert [name for name in order if not _works(commands, name, tmp_path)] == []
    assert _run(commands / "python", "-m", "pip", "check").stdout.startswith("No broken")
    left = list(order)
    for gone in order[:2]:
        assert _run(commands / "python", "-m", "pip", "uninstall", "--quiet", "--yes", gone).returncode == 0
        left.remove(gone)
        assert [name for name in left if not _works(commands, name, tmp_path)] == []
        assert not (commands / gone).exists()


@pytest.mark.release
def test_an_editable_installation_is_a_path_that_type_checkers_follow(tmp_path):
    """No import hook: editors and mypy find the packages, and a change in the clone is seen at once."""
    commands = _environment(tmp_path / "environment")
    _install(commands, "--editable", ROOT, "mypy")
    where = _run(commands / "python", "-c", "import modeseek.llm as m; print(m.__file__)", folder=tmp_path)
    assert where.stdout.strip() == str(ROOT / "src" / "modeseek" / "llm" / "__init__.py")
    program = tmp_path / "mine.py"
    program.write_text(
        "import modeseek\nfrom modeseek.bandit.objectives.preference import dpo\nreveal_type(modeseek.table)\n"
    )
    seen = _run(commands / "mypy", "--ignore-missing-imports", program, folder=tmp_path)
    assert 'Revealed type is "def (results: xarray' in seen.stdout
    assert "Success" in seen.stdout
