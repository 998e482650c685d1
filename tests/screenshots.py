"""Pictures of the running explorers for the guide: `python tests/screenshots.py`, with Chromium, in a minute or two.

Look at them before you commit them.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from lab_page import Notebook, Shown, opening
from PIL import Image

FOLDER = Path(__file__).parents[1] / "docs" / "screenshots"
LARGEST = 400_000
"""Bytes of a picture."""


def bars_dragged(shown: Shown) -> None:
    """The KL explorer with a target of the reader's own, half way."""
    shown.drag(shown.bar("target q", 2), down=-30)
    shown.type("step", "6")


def scrubbed(shown: Shown) -> None:
    """The bandit in the middle of its training."""
    shown.type("collection", "20")


def left_alone(shown: Shown) -> None:
    """As it was made."""


TAKEN: dict[str, Callable[[Shown], None]] = {
    "07_kl_explorer": bars_dragged,
    "05_bandit_explorer": scrubbed,
    "09_reproduce_paper": left_alone,
}
"""Notebook → what is done to its first explorer before the picture."""


def take(notebook: Notebook, path: Path) -> None:
    """The first explorer of a notebook, whole, in few colours.

    Raises:
        ValueError: the picture is too large for the repository.
    """
    notebook.explorer().root.screenshot(path=path)
    few = Image.open(path).convert("RGB").quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, {LARGEST} are allowed")


def main() -> None:
    """Take all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as root, opening(Path(root), height=1700) as open_notebook:
        for name, prepare in TAKEN.items():
            notebook = open_notebook(name)
            notebook.explorer().settle()
            prepare(notebook.explorer())
            notebook.explorer().settle()
            path = FOLDER / f"{name}.png"
            take(notebook, path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")
            notebook.close()


if __name__ == "__main__":
    main()
