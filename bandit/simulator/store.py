"""What a sweep has done so far, on disk: finished runs, and the state of those in flight.

A folder beside the results file. Every file is written under a temporary name and renamed, so that a kill at any
moment leaves the last complete state; plain `.npz` without pickle.
"""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from bandit.files import replacing


class InFlight(NamedTuple):
    """Runs that were being trained: which, how many collections are done, their states and metrics so far."""

    runs: np.ndarray
    collections: int
    state: list[np.ndarray]
    metrics: list[np.ndarray]


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def _numbered(prefix: str, leaves: list[Any]) -> dict[str, np.ndarray]:
    return {f"{prefix}{i:03d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}


def _in_order(prefix: str, data: Any) -> list[np.ndarray]:
    return [data[name] for name in sorted(data.files) if name.startswith(prefix)]


class Store:
    """The folder of one sweep.

    Args:
        folder: where; made if it is not there.
        identity: JSON-able description of what is computed; a folder with another one is refused.

    Raises:
        ValueError: the folder belongs to another configuration or version; the message says what differs.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = Path(folder)
        path = self.folder / "identity.json"
        if path.exists():
            self._check(json.loads(path.read_text()), identity)
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(identity, indent=1))

    def _check(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        differing = sorted(_differences(found, wanted))
        if differing:
            shown = "; ".join(differing[:6]) + ("; …" if len(differing) > 6 else "")
            raise ValueError(
                f"{self.folder} holds an unfinished sweep with another configuration ({shown}). Finish it with its own "
                "configuration, choose another output folder, or delete it"
            )

    def save_pretrained(self, leaves: list[np.ndarray]) -> None:
        """Keep the policies at the reference, one per seed."""
        _write(self.folder / "pretrained.npz", _numbered("leaf", leaves))

    def load_pretrained(self) -> list[np.ndarray] | None:
        """What `save_pretrained` kept, or nothing."""
        path = self.folder / "pretrained.npz"
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as data:
            return _in_order("leaf", data)

    def save_finished(self, runs: np.ndarray, leaves: list[np.ndarray]) -> None:
        """Keep the results of runs that are done; their in-flight state is dropped."""
        _write(self.folder / f"runs-{int(runs[0]):06d}.npz", {"runs": runs, **_numbered("leaf", leaves)})
        (self.folder / "in-flight.npz").unlink(missing_ok=True)

    def load_finished(self) -> list[tuple[np.ndarray, list[np.ndarray]]]:
        """All finished runs: their indices and their results, a leading axis over the indices."""
        found = []
        for path in sorted(self.folder.glob("runs-*.npz")):
            with np.load(path, allow_pickle=False) as data:
                found.append((data["runs"], _in_order("leaf", data)))
        return found

    def save_in_flight(self, runs: np.ndarray, collections: int, state: Any, metrics: Any) -> None:
        """Keep the state of runs in the middle of training."""
        arrays = {"runs": runs, "collections": np.asarray(collections)}
        arrays |= _numbered("state", jax.tree.leaves(state)) | _numbered("metric", jax.tree.leaves(metrics))
        _write(self.folder / "in-flight.npz", arrays)

    def load_in_flight(self) -> InFlight | None:
        """What `save_in_flight` kept last, or nothing."""
        path = self.folder / "in-flight.npz"
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as data:
            return InFlight(data["runs"], int(data["collections"]), _in_order("state", data), _in_order("metric", data))

    def delete(self) -> None:
        """Remove the folder: everything is in the results file now."""
        shutil.rmtree(self.folder)


def _differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """Paths at which two JSON values differ, with both values."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = found.keys() | wanted.keys()
        return [d for k in keys for d in _differences(found.get(k), wanted.get(k), f"{name}.{k}".lstrip("."))]
    return [] if found == wanted else [f"{name}: there {found!r}, here {wanted!r}"]
