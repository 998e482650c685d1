"""`notebooks/build.py` for tests: a script, and one of two of that name, so that it is loaded from its file."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("build", Path(__file__).parents[1] / "notebooks" / "build.py")
assert _spec is not None
assert _spec.loader is not None
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)
