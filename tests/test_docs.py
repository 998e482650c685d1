"""The site's pages: what is made from the tree, the Python and the commands that they show, and the check of links."""

import ast
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from pages import api, commands, docstring, outside, tree

import modeseek
from modeseek import cli
from modeseek.bandit.simulator.config import EvaluationConfig, PolicyConfig, PretrainingConfig

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(p for p in sorted((ROOT / "docs").rglob("*.md")) if not {"generated", "_build"} & {*p.parts}),
]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

TINY = {
    "response_length": 1,
    "seeds": 1,
    "policy": PolicyConfig(kind="tabular"),
    "pretraining": PretrainingConfig(steps=10, tolerance=10.0),
    "evaluation": EvaluationConfig(prompts=4),
    "samples_per_collection": 16,
    "responses_per_prompt": 4,
    "minibatch_size": 8,
    "inner_steps": 2,
    "collections": 4,
    "progress": False,
}
"""Makes any experiment one of seconds: a table in place of a network, which need not come near the reference."""


def blocks(path: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(path.read_text(encoding="utf-8")) if kind == language]


def having(language: str) -> list:
    return [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES if blocks(p, language)]


def run_always_or_with_the_slow_tests(pages: list) -> list:
    """What a newcomer reads first is always run."""
    first = {"README.md", "docs/tutorial.md"}
    return [pytest.param(*p.values, id=p.id, marks=() if p.id in first else pytest.mark.slow) for p in pages]


@pytest.mark.parametrize("path", run_always_or_with_the_slow_tests(having("python")))
def test_python_on_a_page_runs(path, tmp_path, monkeypatch):
    """Blocks of a page one after the other, as a reader copies them, in an empty folder with the tutorial's results."""
    run, sweep = modeseek.run, modeseek.sweep
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(modeseek, "run", lambda *given, **options: run(*given, **options | TINY))
    monkeypatch.setattr(modeseek, "sweep", lambda *given, **options: sweep(*given, **options | TINY))
    code = "\n".join(blocks(path, "python"))
    if "load_model" in code:
        pytest.importorskip("transformers")
        load, folder = modeseek.load_model, language_model(tmp_path / "model")
        monkeypatch.setattr(modeseek, "load_model", lambda name, **how: load(folder, **how))
        fresh_adapter(tmp_path / "dpo" / "adapter")
    if "demo-1" in code:
        modeseek.run(methods=["ppo", "ipo"], rewards=["R1", "R2"], out="modeseek-results/demo-1")
    exec(compile(code, str(path), "exec"), {})


def fresh_adapter(folder: Path) -> None:
    """What a run with --lora-rank leaves, for that model."""
    import jax.numpy as jnp
    from test_llm_adapters import config_of

    from modeseek.llm.checkpoints.adapters import save_adapter
    from modeseek.llm.models.low_rank import Adapter

    config = config_of("pythia")
    pair = {"lora_a": jnp.ones((config.layers, config.width, 2)), "lora_b": jnp.zeros((config.layers, 2, config.width))}
    save_adapter(folder, config, Adapter({"attention_out": pair}, 2.0))


def language_model(folder: Path) -> Path:
    """A tiny model that can read the words of the page."""
    from llm_cases import copied, write_word_tokenizer

    folder.mkdir()
    made = copied("pythia", folder)
    write_word_tokenizer(made, ["?", "Once", "upon", "a", "time", "there", "was"], "?")
    return made


@pytest.mark.parametrize("path", having("python"))
def test_pages_use_the_front_door_alone(path):
    for block in blocks(path, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("modeseek"), f"{path}: from {node.module}"


@pytest.mark.parametrize("path", having("bash"))
def test_commands_on_a_page_are_commands(path):
    for block in blocks(path, "bash"):
        for part in re.split(r"\n|&&", block.replace("\\\n", " ")):
            # What the page's own code makes is not here.
            words = shlex.split(part.replace("my_method", "dpo").replace("saved:two-hills", "R1"), comments=True)
            if words[:1] == ["modeseek"] and len(words) > 1 and "COMMAND" not in words and "--help" not in words:
                cli._parse(words[1:])


def test_the_readme_has_its_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "python -m pip install -c constraints.txt . && modeseek demo " in text
    assert "python -m pip install -c constraints.txt '.[test,llm]' && python -m pytest -n 2" in text
    assert len(text.splitlines()) <= 90


def test_every_module_has_a_page():
    names = set(tree.modules())
    assert {"modeseek", "modeseek.cli", "modeseek.bandit", "modeseek.llm"} <= names
    for name in names:
        parent = name.rpartition(".")[0]
        assert f"{{py:module}} {name}\n" in api.page(tree.modules()[name])
        if parent and not name.rpartition(".")[2].startswith("_"):
            assert f"\n{name}\n" in api.page(tree.modules()[parent]), f"{name} is in no table of contents"


def test_the_front_door_is_described_name_by_name():
    page = api.page(tree.modules()["modeseek"])
    for name in modeseek.__all__:
        assert re.search(rf"{{py:(function|class)}} {name}\b", page), name


def test_a_module_becomes_directives():
    source = '''
"""Things."""

LIMIT = 3
"""As many as there may be."""

@dataclasses.dataclass(frozen=True)
class Thing:
    """A thing.

    Attributes:
        size: how large,
            in metres.
    """

    size: float = 1.0

    def grown(self, by: float) -> "Thing":
        """Larger."""

    def _hidden(self):
        """Private."""

def _private(): ...

def measure(thing: Thing, *, key=None) -> float:
    """The size of a thing: $ and < mean themselves.

    Args:
        thing: the thing.

    Raises:
        ValueError: it has none.
    """
'''
    page = api.page(tree.Module("things", Path("things.py"), source, ast.parse(source), False))
    assert '{py:data} LIMIT\n:value: "3"\n\nAs many as there may be.' in page
    assert "*A frozen dataclass.*\n\nA thing.\n\n**Fields**\n\n- `size: float = 1.0`: how large,\n  in metres." in page
    assert "{py:method} grown(by: float) -> 'Thing'\n\nLarger." in page
    assert "{py:function} measure(thing: Thing, *, key=None) -> float\n\nThe size of a thing: \\$ and \\< mean" in page
    assert "**Arguments**\n\n- `thing`: the thing.\n\n**Raises**\n\n- `ValueError`: it has none." in page
    assert "_hidden" not in page
    assert "_private" not in page


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ℓ = -log σ(β m)     paper eq. 4", "```text\nℓ = -log σ(β m)     paper eq. 4\n```"),
        (">>> 1 + 1\n2", "```pycon\n>>> 1 + 1\n2\n```"),
        ("    x = 1", "```python\nx = 1\n```"),
        ("| a     | b |\n|---|---|", "| a     | b |\n|---|---|"),
        ("p < q, `p < q`, {x}", "p \\< q, `p < q`, \\{x}"),
    ],
)
def test_prose_keeps_what_is_laid_out(text, expected):
    assert docstring.prose(text) == expected


def test_the_command_line_page_has_every_command_and_its_options():
    page = commands.page()
    for name in cli.COMMANDS:
        assert f"### modeseek {name}" in page
    assert "### modeseek llm generate" in page
    assert "- `--seeds INT`: seeds per method; the paper has 5. (default: 3)" in page
    assert "╭" not in page
    assert "──" not in page


def test_links_lead_to_what_the_site_has():
    docs = ROOT / "docs"
    page = docs / "tutorial.md"
    assert outside.target("../notebooks/07_kl_explorer.ipynb", page, page) == "generated/notebooks/07_kl_explorer.ipynb"
    assert outside.target("words.md", page, page) == "words.md"
    assert outside.target("https://example.org", page, page) == "https://example.org"
    readme = ROOT / "benchmarks" / "README.md"
    copy = outside.copies()[readme]
    assert outside.target("../docs/words.md", readme, copy) == "../../words.md"
    assert outside.target("../src/modeseek/checks.py", readme, copy) == "../api/modeseek.checks.md"
    with pytest.raises(ValueError, match="LICENSE, which is not in the site"):
        outside.target("../LICENSE", page, page)
    with pytest.raises(ValueError, match="which is no module of the packages"):
        outside.target("../tests/conftest.py", page, page)


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build_docs", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="other.html#there">', None),
        ('<a href="https://example.org">', None),
        ('<a href="folder/">', None),
        ('<img src="data:image/png;base64,xx">', None),
        ('<a href="absent.html">', "links to absent.html, which is not there"),
        ('<a href="other.html#gone">', "links to other.html#gone: no such place on that page"),
        ('<a href="#gone">', "links to #gone: no such place on that page"),
        ('<script src="https://example.org/x.js">', "fetches https://example.org/x.js from the network"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "fetches //example.org/x.css from the network"),
        ('<img src="absent.png">', "links to absent.png, which is not there"),
    ],
)
def test_a_built_page_is_checked(build, tmp_path, body, fault):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "index.html").write_text("")
    (tmp_path / "other.html").write_text('<p id="there">')
    (tmp_path / "page.html").write_text(body)
    assert build.faults(tmp_path) == ([f"page.html {fault}"] if fault else [])


def test_a_style_that_fetches_is_noticed(build, tmp_path):
    (tmp_path / "a.css").write_text("@font-face { src: url(https://example.org/font.woff) }")
    assert build.faults(tmp_path) == ["a.css fetches from the network"]


def test_only_a_built_site_is_removed(build, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "gone.html").touch()
    build.remove_built(tmp_path / "site")
    assert (tmp_path / "site").exists()
    (tmp_path / "site" / ".buildinfo").touch()
    build.remove_built(tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_formulas_are_mathml():
    from pages import mathml

    assert "<mfrac>" in mathml.written(r"\frac{1}{2\tau}", block=False)
    assert "display=" in mathml.written(r"\Big(x\Big)", block=True)
    with pytest.raises(ValueError, match="cannot be written as MathML"):
        mathml.written(r"\nonsense{x}", block=True)
    assert "mathjax" not in sys.modules


def test_formulas_of_pages_and_notebooks_are_mathml():
    from pages import mathml

    formula = re.compile(r"(?<![\\$\w])(\$\$?)(?!\s)([^$]+?)(?<!\s)\1(?!\w)")
    found = 0
    for path in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]:
        if path.suffix == ".ipynb":
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        else:
            text = path.read_text(encoding="utf-8")
        prose = re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", "", text)
        for dollars, tex in formula.findall(prose):
            found += 1
            mathml.written(tex, block=dollars == "$$")
    assert found > 30
