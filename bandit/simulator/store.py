"""What a sweep has done so far, on disk: finished runs, and the state of those in flight.

A folder beside the results file. Every file is written under a temporary name and renamed, so that a kill at any
moment leaves the last complete state. Arrays are sealed with the identity of their sweep (`sealed`): a file that was
damaged, or is another sweep's, is refused.
"""

import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import jax
import numpy as np

from modeseek.bandit.simulator.sealed import load_arrays, save_arrays
from modeseek.checks import finite
from modeseek.files import differences, parse_json, replacing, writable_folder
from modeseek.locks import lock_folder

POLL_SECONDS = 0.2
"""Between two looks at whether other processes are done."""


class InFlight(NamedTuple):
    """Runs that were being trained: which, how many collections are done, their states and metrics so far."""

    runs: np.ndarray
    collections: int
    state: list[np.ndarray]
    metrics: list[np.ndarray]


def _numbered(prefix: str, leaves: list[Any]) -> dict[str, np.ndarray]:
    return {f"{prefix}{i:06d}": np.asarray(leaf) for i, leaf in enumerate(leaves)}


def _in_order(prefix: str, data: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [data[name] for name in sorted(data) if name.startswith(prefix)]


def _read_json(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete the folder {path.parent}") from error


class Store:
    """The folder of one sweep.

    Several processes may work on it: the first makes it, keeps others out and says what it is of; each keeps its own
    runs. What they tell each other are files too: that one is at its end, and that all shall stop.

    Args:
        folder: where; made if it is not there.
        identity: JSON-able description of what is computed; a folder with another one is refused.
        machine: what computes it. Bits differ from one machine to another, so that all are kept: `machines`.
        process: which of the processes that share it this is; all but the first open it when the first has.

    Attributes:
        machines: those that have worked on the sweep, this one last.
        moved: whether another one has worked on it before this.

    Raises:
        ValueError: the folder belongs to another configuration or version; the message says what differs. Or another
            process is at work in it, or the first one's is not the one that is here.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], machine: str = "", process: int = 0) -> None:
        self._process, self._seal = process, json.dumps(identity, sort_keys=True)
        self._lock: IO[str] | None = None
        if process:
            if not (folder / "identity.json").exists():
                raise ValueError(
                    f"process {process} does not find {folder}, which process 0 has made: they need a folder that all "
                    "of them see"
                )
            self.folder = writable_folder(folder)
        else:
            self.folder = writable_folder(folder)
            self._lock = lock_folder(self.folder)
        try:
            if not process:
                for left in (*self.folder.glob("ended-*"), self.folder / "stop"):
                    left.unlink(missing_ok=True)
            self.machines = self._identify(identity, machine)
            self._earlier = self._earlier_seconds()
        except BaseException:
            self.__exit__()
            raise
        self._opened = time.monotonic()

    @property
    def _in_flight(self) -> Path:
        return self.folder / (f"in-flight-{self._process}.npz" if self._process else "in-flight.npz")

    @property
    def seconds(self) -> float:
        """Time at work on the sweep, with that of earlier processes up to what they saved last."""
        return self._earlier + time.monotonic() - self._opened

    def _earlier_seconds(self) -> float:
        path = self.folder / "seconds.json"
        seconds = _read_json(path) if path.exists() else 0.0
        if not (finite(seconds) and seconds >= 0):
            raise ValueError(f"{path} is damaged (it holds no seconds): delete it, and their count begins anew")
        return float(seconds)

    def _load(self, path: Path) -> dict[str, np.ndarray]:
        """A file of arrays; a damaged one is a `ValueError` that says what to do."""
        try:
            return load_arrays(path, self._seal)
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is damaged ({error}): delete it, and its runs are made again") from error

    def _save(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        save_arrays(self.folder / name, arrays, self._seal)
        if self._process:
            return
        with replacing(self.folder / "seconds.json") as temporary:
            temporary.write_text(json.dumps(self.seconds))

    def _identify(self, identity: dict[str, Any], machine: str) -> list[str]:
        path = self.folder / "identity.json"
        machines: list[str] = []
        self.moved = False
        if path.exists():
            found = _read_json(path)
            if not (isinstance(found, dict) and isinstance(before := found.pop("machines", []), list)):
                raise ValueError(f"{path} is damaged (it says of no sweep): delete the folder {self.folder}")
            self._check(found, identity)
            machines = [str(each) for each in before]
            if self._process:
                return machines
            self.moved = machines[-1:] not in ([], [machine])
        elif any(self.folder.glob("*.npz")):
            raise ValueError(f"{self.folder} holds runs and does not say of which sweep: delete it")
        if not path.exists() or machines[-1:] != [machine]:
            machines = [*machines, machine]
            with replacing(path) as temporary:
                temporary.write_text(json.dumps({**identity, "machines": machines}, indent=1))
        return machines

    def _check(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        differing = sorted(differences(found, wanted))
        if differing:
            shown = "; ".join(differing[:6]) + ("; …" if len(differing) > 6 else "")
            raise ValueError(
                f"{self.folder} holds an unfinished sweep with another configuration ({shown}). Finish it with its own "
                "configuration, choose another output folder, or delete it"
            )

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        """Let other processes in."""
        if self._lock is not None:
            self._lock.close()

    def save_pretrained(self, leaves: list[np.ndarray]) -> None:
        """Keep the policies at the reference, one per seed."""
        self._save("pretrained.npz", _numbered("leaf", leaves))

    def load_pretrained(self) -> list[np.ndarray] | None:
        """What `save_pretrained` kept, or nothing."""
        path = self.folder / "pretrained.npz"
        if not path.exists():
            return None
        return _in_order("leaf", self._load(path))

    def save_pretrained_part(self, rows: np.ndarray, leaves: list[np.ndarray]) -> None:
        """Keep the policies of some seeds: this process's share."""
        self._save(f"pretrained-{self._process}.npz", {"rows": rows, **_numbered("leaf", leaves)})

    def joined_pretrained(self, processes: int) -> list[np.ndarray]:
        """The policies of all seeds, from what each of so many processes kept of its share."""
        parts = [self._load(self.folder / f"pretrained-{i}.npz") for i in range(processes)]
        order = np.argsort(np.concatenate([part["rows"] for part in parts]))
        leaves = zip(*(_in_order("leaf", part) for part in parts), strict=True)
        return [np.concatenate(each)[order] for each in leaves]

    def note_machine(self, machine: str) -> None:
        """Keep that another machine has worked on the sweep, if it is the first time."""
        if machine not in self.machines and not self._process:
            self.machines.append(machine)
            path = self.folder / "identity.json"
            identity = _read_json(path) | {"machines": self.machines}
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(identity, indent=1))

    @property
    def told_to_stop(self) -> bool:
        """Whether one of the processes was stopped, or failed."""
        return (self.folder / "stop").exists()

    def end(self, *, stop: bool) -> None:
        """This process has done its share, or tells the others to stop as well."""
        if stop:
            (self.folder / "stop").touch()
        (self.folder / f"ended-{self._process}").touch()

    def wait_for(self, processes: int) -> None:
        """Wait until every process has come to its end."""
        while not all((self.folder / f"ended-{i}").exists() for i in range(processes)):
            time.sleep(POLL_SECONDS)

    def save_finished(self, runs: np.ndarray, leaves: list[np.ndarray]) -> None:
        """Keep the results of runs that are done; their in-flight state is dropped."""
        self._save(f"runs-{int(runs[0]):06d}.npz", {"runs": runs, **_numbered("leaf", leaves)})
        self._in_flight.unlink(missing_ok=True)

    def load_finished(self) -> list[tuple[np.ndarray, list[np.ndarray]]]:
        """All finished runs: their indices and their results, a leading axis over the indices."""
        found = []
        for path in sorted(self.folder.glob("runs-*.npz")):
            data = self._load(path)
            found.append((data["runs"], _in_order("leaf", data)))
        return found

    def save_in_flight(self, runs: np.ndarray, collections: int, state: Any, metrics: Any) -> None:
        """Keep the state of runs in the middle of training."""
        arrays = {"runs": runs, "collections": np.asarray(collections)}
        arrays |= _numbered("state", jax.tree.leaves(state)) | _numbered("metric", jax.tree.leaves(metrics))
        self._save(self._in_flight.name, arrays)

    def load_in_flight(self) -> InFlight | None:
        """What `save_in_flight` kept last, or nothing."""
        if not self._in_flight.exists():
            return None
        data = self._load(self._in_flight)
        return InFlight(data["runs"], int(data["collections"]), _in_order("state", data), _in_order("metric", data))

    def delete(self) -> None:
        """Remove the folder: everything is in the results file now. First in one step by renaming, since a folder
        that was half removed could be taken for another sweep's."""
        trash = self.folder.with_name(f".{self.folder.name}.{os.getpid()}-{secrets.token_hex(4)}")
        self.folder.rename(trash)
        self.__exit__()
        shutil.rmtree(trash, ignore_errors=True)  # what is left, the next run in the folder removes
