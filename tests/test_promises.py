"""The page of promises: each names a test that is there."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "explanation" / "promises.md"
NAME = re.compile(r"`(test_\w+)::(test_\w+)`")


def _tests_in(module: str) -> set[str]:
    path = TESTS / f"{module}.py"
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_names_a_test_that_is_there():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| [^|-]", line)]
    rows = [row for row in rows if not row.startswith("| what |")]
    assert len(rows) > 30
    assert [row for row in rows if len(NAME.findall(row.rsplit("|", 2)[1])) != 1] == []
    named = [NAME.findall(row)[0] for row in rows]
    assert [f"{module}::{test}" for module, test in named if test not in _tests_in(module)] == []
