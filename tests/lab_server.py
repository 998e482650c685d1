"""A JupyterLab of our own for a browser test: free port, its own configuration, nothing of the person's touched."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

TOKEN = "modeseek-test"
FOLDERS = {
    "HOME": "home",
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
    "MPLCONFIGDIR": "matplotlib",
}
QUIET = {
    "apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "defer"},
}


@contextlib.contextmanager
def lab(root: Path, notebooks: list[Path]) -> Iterator[str]:
    """The address of a running server whose root holds copies of the notebooks; stopped at the end."""
    environment = dict(os.environ)
    for name, folder in FOLDERS.items():
        (root / folder).mkdir()
        environment[name] = str(root / folder)
    for name, settings in QUIET.items():
        path = root / "settings" / "@jupyterlab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    work = root / "work"
    work.mkdir()
    for notebook in notebooks:
        shutil.copy(notebook, work)
    options = [f"--ServerApp.root_dir={work}", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--no-browser"]
    options += [f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True", "--allow-root"]
    with (root / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, cwd=work, stdout=log, stderr=log
        )
        try:
            yield _address(root, server)
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait(5)


def _address(root: Path, server: subprocess.Popen[bytes]) -> str:
    announced = root / "runtime" / f"jpserver-{server.pid}.json"
    for _ in range(600):
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError, ValueError):
            address = json.loads(announced.read_text())["url"].rstrip("/")
            with urllib.request.urlopen(f"{address}/api/status?token={TOKEN}", timeout=2):
                return str(address)
        time.sleep(0.1)
    raise RuntimeError("JupyterLab did not start:\n" + (root / "server.log").read_text()[-3000:])
