"""Build the notebooks from their sources: `python notebooks/build.py [NAME ...]`; `--check` sees if they are current.

A source is a jupytext `py:percent` file in `notebooks/src`. Building executes it on a fresh kernel, in the fast mode
(`MODESEEK_FAST=1`), with the solutions of its exercises, and writes `notebooks/NAME.ipynb` without them: PNG and text
outputs, no widget state. It fails on an error, on anything on standard error, on a stub that passes its check, and on a
solution that does not. A source defines no function, loop or plot, but in a cell with the tag `own`: there the reader
writes a method. The code of a cell is folded, for it only makes the view below it; the tags `exercise`, `own` and
`code` keep it open.
"""

import argparse
import base64
import html
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from modeseek.bandit.explore import course
from modeseek.bandit.explore.toolkit.canvas import LARGEST_PICTURE

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "src"
LARGEST = 400_000
"""Bytes of a committed notebook."""
SOLUTION = re.compile(r"<details><summary>A solution</summary>.*?```python\n(.*?)```.*?</details>", re.DOTALL)
KEPT = ("image/png", "text/markdown", "text/html", "text/plain")
WIDGETS = "application/vnd.jupyter.widget-view+json"
SAVED = re.compile(r'<style>[^<]*</style><div class="modeseek-saved[^"]*">(.*)</div>', re.DOTALL)
"""What stands in the place of widgets, as `toolkit/display.py` writes it."""
FIGURE = re.compile(
    r'(?:<figure[^>]*>)?<img alt="(?P<alt>[^"]*)" src="data:image/png;base64,(?P<png>[^"]*)"[^>]*>'
    r"(?:<figcaption[^>]*>(?P<caption>.*)</figcaption>)?(?:</figure>)?",
    re.DOTALL,
)
"""A picture in HTML, as `toolkit/display.py` and `figures/style.py` write it."""
OWN = "own"
"""Tag of a cell that may define a function: where the subject is a method of the reader's."""
OPEN = {"exercise", OWN, "code"}
"""Tags of cells whose code is there to be read."""
FORBIDDEN = re.compile(r"^\s*(def|class|for|while|lambda|import matplotlib|from matplotlib)\b", re.MULTILINE)


FOLDED = {"source_hidden": True}
"""JupyterLab's and VS Code's word for a folded cell."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def names() -> list[str]:
    """The names of all notebooks, in order."""
    return sorted(path.stem for path in SOURCES.glob("*.py"))


def source(name: str) -> Any:
    """The notebook without outputs, framed by its place in the course, with cell ids that stay from build to build.

    Raises:
        ValueError: a cell that is not tagged `own` defines a function, a loop or a plot; or it has no place in the
            course.
    """
    import jupytext

    notebook = jupytext.read(SOURCES / f"{name}.py")
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i:02d}"
        own = OWN in cell.metadata.get("tags", ())
        if cell.cell_type == "code" and not own and FORBIDDEN.search(cell.source):
            raise ValueError(f"{name}, cell {i}: notebooks import everything and define no function, loop or plot")
        if cell.cell_type == "code" and not OPEN & {*cell.metadata.get("tags", ())}:
            cell.metadata["jupyter"] = FOLDED
    _frame(name, notebook)
    notebook.metadata = METADATA
    return notebook


def _frame(name: str, notebook: Any) -> None:
    """Put the course's lines below the title and into a last cell."""
    import nbformat

    title, mark, rest = notebook.cells[0].source.partition("\n\n")
    here = [stop for stop in course.COURSE if stop.name == name]
    if not here or title != f"# {here[0].title}":
        raise ValueError(f"{name} begins with {title!r}: expected a title that modeseek.bandit.explore.course has")
    notebook.cells[0].source = f"{title}\n\n{course.head(name)}{mark}{rest}"
    notebook.cells.append(nbformat.v4.new_markdown_cell(course.way(name), id="course"))


def with_solutions(notebook: Any) -> tuple[Any, list[int]]:
    """The notebook with a code cell after each collapsed solution, and where those cells are."""
    import nbformat

    cells, places = [], []
    for cell in notebook.cells:
        cells.append(cell)
        found = SOLUTION.search(cell.source) if cell.cell_type == "markdown" else None
        if found:
            places.append(len(cells))
            cells.append(nbformat.v4.new_code_cell(found.group(1), id=f"solution-{len(places):02d}"))
    return nbformat.v4.new_notebook(cells=cells, metadata=dict(METADATA)), places


def execute(name: str) -> Any:
    """The notebook with outputs, from a fresh kernel that also ran every solution.

    Raises:
        ValueError: a cell failed or wrote to standard error, a stub passed, or a solution did not.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = source(name)
    whole, places = with_solutions(notebook)
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"MODESEEK_FAST": "1", "IPYTHONDIR": folder, "JAX_PLATFORMS": "cpu"}
        try:
            NotebookClient(
                whole, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}
            ).execute()
        except CellExecutionError as error:
            raise ValueError(f"{name}: {error}") from error
        finally:
            os.environ.clear()
            os.environ.update(before)
    _check_exercises(name, whole, places)
    for i, cell in enumerate(whole.cells):
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and output.name == "stderr":
                raise ValueError(f"{name}, cell {i} wrote to standard error: {output.text}")
    notebook.cells = [cell for i, cell in enumerate(whole.cells) if i not in places]
    return notebook


def _check_exercises(name: str, whole: Any, places: list[int]) -> None:
    stubs = [i for i, cell in enumerate(whole.cells) if "exercise" in cell.metadata.get("tags", ())]
    if len(stubs) != len(places):
        raise ValueError(f"{name} has {len(stubs)} exercises and {len(places)} solutions")
    for i in (*stubs, *places):
        said = "".join(output.get("data", {}).get("text/plain", "") for output in whole.cells[i].outputs)
        expected = "✗ Not yet" if i in stubs else "✓ Right"
        if not said.startswith(expected):
            raise ValueError(f"{name}, cell {i}: expected {expected!r}, and the check says {said!r}")


def normalised(notebook: Any) -> Any:
    """Without times, counters of the machine and widgets: what is left is what a reader sees."""
    count = 0
    notebook.metadata = dict(METADATA)  # nbclient has put the widgets' state there
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in ("jupyter", "tags") if cell.metadata.get(key)}
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = [made for output in joined(cell.outputs) for made in standing(output)]
        for output in cell.outputs:
            if "data" in output:
                output.data = {kind: output.data[kind] for kind in KEPT if kind in output.data}
                output.metadata = {k: v for k, v in output.get("metadata", {}).items() if k in KEPT}
            if "execution_count" in output:
                output.execution_count = count
    return notebook


def standing(output: Any) -> list[Any]:
    """What is committed of an output: no widgets, and of what stands in their place no tie to them.

    A picture becomes PNG, which GitHub shows in any case, and pictures inside HTML perhaps not. What draws PNG passes
    over its alt text (nbviewer, JupyterLab), so an output of its own says in words what is drawn: the caption, or the
    alt text where there is none.
    """
    import nbformat

    data = output.get("data", {})
    if WIDGETS in data:
        return []
    shown = data.get("text/html", "")
    saved = SAVED.fullmatch(shown)
    drawn = FIGURE.fullmatch(saved.group(1) if saved else shown)
    if drawn is None:
        return [nbformat.v4.new_output("display_data", {**data, "text/html": saved.group(1)}) if saved else output]
    picture = {"image/png": drawn["png"], "text/plain": data["text/plain"]}
    alt = {"image/png": {"alt": html.unescape(drawn["alt"])}}
    words = f'<pre style="white-space:pre-wrap"><code>{drawn["alt"]}</code></pre>'
    if drawn["caption"]:
        words = f'<p style="line-height:1.4;max-width:1100px">{drawn["caption"]}</p>'
    return [
        nbformat.v4.new_output("display_data", picture, metadata=alt),
        nbformat.v4.new_output("display_data", {"text/html": words, "text/plain": ""}),
    ]


def joined(outputs: list[Any]) -> list[Any]:
    """Neighbouring pieces of one stream as one: where a kernel cuts it depends on how long a line took."""
    whole: list[Any] = []
    for output in outputs:
        last = whole[-1] if whole else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
        else:
            whole.append(output)
    return whole


def written(notebook: Any) -> str:
    """As it is committed."""
    import nbformat

    nbformat.validate(notebook)
    return str(nbformat.writes(notebook)) + "\n"


def texts(notebook: Any) -> list[Any]:
    """Sources, and all outputs that are the same on every machine: pictures are not, to the last bit."""
    kept = []
    for cell in notebook["cells"]:
        outputs = []
        if "varies" not in cell.get("metadata", {}).get("tags", ()):
            for output in cell.get("outputs", ()):
                data = {k: "".join(v) for k, v in output.get("data", {}).items() if k != "image/png"}
                outputs.append((output["output_type"], "".join(output.get("text", "")), data))
        folded = cell.get("metadata", {}).get("jupyter")
        kept.append((cell["cell_type"], ("".join(cell["source"]), folded), outputs))
    return kept


def problems(name: str, *, run: bool = True) -> list[str]:
    """What is wrong with the committed notebook; nothing, if it is current.

    Args:
        name: of the notebook.
        run: whether to execute its source and compare the outputs too.
    """
    path = HERE / f"{name}.ipynb"
    if not path.exists():
        return [f"{path.name} has not been built"]
    committed = json.loads(path.read_text())
    found = []
    if path.stat().st_size > LARGEST:
        found.append(f"{path.name} has {path.stat().st_size} bytes, {LARGEST} are allowed")
    if "widget-view+json" in path.read_text() or "widgets" in committed["metadata"]:
        found.append(f"{path.name} holds widgets or their state")
    for cell in committed["cells"]:
        for output in cell.get("outputs", ()):
            picture = output.get("data", {}).get("image/png")
            if picture and len(base64.b64decode(picture)) > LARGEST_PICTURE:
                found.append(f"{path.name}, {cell['id']}: a picture of more than {LARGEST_PICTURE} bytes")
            if output["output_type"] == "error" or output.get("name") == "stderr":
                found.append(f"{path.name}, {cell['id']}: an error or standard error among the outputs")
    fresh = json.loads(written(normalised(execute(name)))) if run else json.loads(written(source(name)))
    if run and texts(fresh) != texts(committed):
        differing = [i for i, (a, b) in enumerate(zip(texts(fresh), texts(committed), strict=False)) if a != b]
        found.append(f"{path.name} is not what its source gives (cells {differing}): run notebooks/build.py")
    if [c[:2] for c in texts(fresh)] != [c[:2] for c in texts(committed)]:
        found.append(f"{path.name} has other cells than its source: run notebooks/build.py")
    return found


def main() -> int:
    """Build or check; 0 if all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as 07_kl_explorer; all of them if none is given")
    parser.add_argument("--check", action="store_true", help="compare with what is committed, and write nothing")
    given = parser.parse_args()
    failed = False
    for name in given.names or names():
        if given.check:
            found = problems(name)
            failed |= bool(found)
            print("\n".join(found) or f"{name} is current")
            continue
        text = written(normalised(execute(name)))
        temporary = HERE / f".{name}.ipynb"
        temporary.write_text(text)
        temporary.replace(HERE / f"{name}.ipynb")
        print(f"{name}: {len(text.encode()) / 1000:.0f} kB")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
