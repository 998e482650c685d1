"""`modeseek lab`: JupyterLab on the notebooks."""

import contextlib
import dataclasses
import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from modeseek.bandit.commands.common import say
from modeseek.bandit.explore.toolkit.environment import INSTALL
from modeseek.files import parse_json, replacing, writable_folder

CLONE = Path(__file__).resolve().parents[2] / "notebooks"
FIRST = "00_start_here.ipynb"
OLD_IMPORT = re.compile(r"(^|[\s\"])(from|import) (bandit|llm)\b", re.MULTILINE)
"""In a notebook's JSON: an import by the names from before `modeseek.bandit` and `modeseek.llm`."""
GATED = re.compile(r"\.after\(")
"""In a cell's source: what it shows waits for a prediction."""


def shipped() -> Path:
    """Where this installation's notebooks are: beside the package in a clone, else in the environment's data folder.

    Raises:
        ValueError: there are none.
    """
    installed = Path(sysconfig.get_path("data")) / "share" / "modeseek" / "notebooks"
    for folder in (CLONE, installed):
        if (folder / FIRST).is_file():
            return folder
    raise ValueError(f"no notebooks found in {CLONE} or {installed}: install modeseek again")


def unanswered(text: str) -> str:
    """A notebook without what its cells show that wait for a prediction: nobody who opens it reads the answer first.

    The notebooks as they are shipped have those pictures, for whoever reads them without a kernel.
    """
    notebook = parse_json(text, "a notebook")
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and GATED.search("".join(cell["source"])):
            cell["outputs"] = []
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def copy_notebooks(source: Path, folder: Path) -> list[str]:
    """Copy every notebook that the folder does not have, `unanswered`; what a reader changed is left alone.

    Returns:
        names of those left alone although they differ.

    Raises:
        ValueError: the folder is not writable.
    """
    writable_folder(folder)
    kept = []
    for path in sorted(source.glob("*.ipynb")):
        to, text = folder / path.name, unanswered(path.read_text(encoding="utf-8"))
        if not to.exists():
            with replacing(to) as temporary:
                temporary.write_text(text, encoding="utf-8")
        elif to.read_text(encoding="utf-8", errors="replace") != text:
            kept.append(path.name)
    return kept


@dataclasses.dataclass(frozen=True)
class Lab:
    """Start JupyterLab on the notebooks, copied to a folder of your own so that you can change them.

    Attributes:
        folder: where to; notebooks that are there already are left as they are.
        here: work on the notebooks of this clone itself, without a copy.
        port: of the server; another one if it is taken.
        browser: whether to open one.
        allow_root: run as root, which JupyterLab refuses otherwise: in a container.
    """

    folder: Path = Path("modeseek-notebooks")
    here: bool = False
    port: int = 8888
    browser: bool = True
    allow_root: bool = False

    def command(self, folder: Path) -> list[str]:
        """What is started."""
        options = [f"--ServerApp.root_dir={folder.resolve()}", f"--ServerApp.port={self.port}"]
        options += [f"--LabApp.default_url=/lab/tree/{FIRST}", *([] if self.browser else ["--no-browser"])]
        options += ["--allow-root"] * self.allow_root
        return [sys.executable, "-m", "jupyterlab", *options]

    def run(self) -> int:
        """Copy, say where, and start; ends with JupyterLab.

        Raises:
            ValueError: JupyterLab is not installed, there are no notebooks, or the folder or port is no good.
        """
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port must be from 1 to 65535, got {self.port}")
        for package in ("jupyterlab", "ipywidgets"):
            if importlib.util.find_spec(package) is None:
                raise ValueError(f"{package} is not installed: {INSTALL}")
        source = shipped()
        if self.here and source != CLONE:
            raise ValueError("--here needs a clone of the repository; this is an installation without one")
        folder = source if self.here else self.folder
        if not self.here:
            for name in copy_notebooks(source, folder):
                kept = folder / name
                if OLD_IMPORT.search(kept.read_text(encoding="utf-8", errors="replace")):
                    say(f"{kept} was made before the import names changed: move it away and run `modeseek lab` again")
                else:
                    say(f"{kept} differs from this version's: left as it is (rename it to get the new one)")
        say(f"JupyterLab on {folder.resolve()}; Ctrl-C stops it")
        with contextlib.suppress(KeyboardInterrupt):
            # Kernels choose how figures come to a notebook; the command's own choice is not for them.
            environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
            return subprocess.run(self.command(folder), check=False, env=environment).returncode
        return 0
