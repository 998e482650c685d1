"""Locks, temporary files of killed processes, file systems without locks, full disks."""

import errno
import fcntl
import os
import re
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from modeseek import locks
from modeseek.bandit.figures.kl_animation import PillowWriter
from modeseek.bandit.figures.style import save_figure
from modeseek.bandit.simulator import results
from modeseek.bandit.simulator.devices import use_compilation_cache
from modeseek.bandit.simulator.store import Store
from modeseek.files import NewFolder, expanded, replacing, temporary_beside, writable_folder
from modeseek.llm.checkpoints.safetensors import Pending, write_file
from modeseek.llm.training.run_folder import RunFolder
from modeseek.locks import alone_in, lock_folder, remove_abandoned

DATA = xarray.Dataset(
    {"expected_reward": (("method", "step"), np.linspace(0, 1, 2000).reshape(2, 1000)), "runs": 3},
    {"method": ["ppo", "on_policy_ipo"], "step": np.arange(1000)},
    {"modeseek_format": results.FORMAT, "configuration": "{…}", "seconds": 1.5},
)
WITHOUT = [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP]
DEAD = ".tokens.123-0a1b2c3d.png"

WRITER = """
import sys, time
from pathlib import Path
from modeseek.files import NewFolder, replacing
path = Path(sys.argv[1])
with replacing(path / "tokens.png") as temporary, NewFolder(path / "model") as folder:
    temporary.write_text("half")
    (folder / "half").touch()
    print("now", flush=True)
    time.sleep(10)
"""


def _names(folder):
    return {path.name for path in folder.iterdir()}


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    (tmp_path / ".tokens.1-nothex.png").touch()  # no name of ours
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        left = _names(tmp_path)
        assert len(left) == 3
        remove_abandoned(tmp_path)
        assert _names(tmp_path) == left
        os.kill(writer.pid, signal.SIGKILL)
    with replacing(tmp_path / "tokens.png") as temporary:
        temporary.write_text("whole")
    assert len([name for name in _names(tmp_path) if name.startswith(".model")]) == 1  # of another file
    with NewFolder(tmp_path / "model") as folder:
        (folder / "whole").touch()
    assert _names(tmp_path) == {".tokens.1-nothex.png", "tokens.png", "model"}
    assert _names(tmp_path / "model") == {"whole"}


def test_a_temporary_file_of_its_own_process_number_may_be_abandoned(tmp_path):
    """Numbers of processes are used again: the lock tells."""
    temporary_beside(tmp_path / "results.nc").touch()
    lock_folder(tmp_path).close()
    assert _names(tmp_path) == {".lock"}


def test_a_file_that_is_taken_for_abandoned_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    tries = []

    def take(number):
        tries.append(number)
        if len(tries) == 1:
            next(tmp_path.iterdir()).unlink()
        return len(tries) != 2  # then another process holds it for an instant

    monkeypatch.setattr("modeseek.files.take", take)
    with replacing(tmp_path / "file") as temporary:
        temporary.write_text("content")
    assert len(tries) == 3
    assert (tmp_path / "file").read_text() == "content"


def test_a_failed_folder_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="no tensor"), NewFolder(tmp_path / "model") as folder:
        (folder / "half").touch()
        raise ValueError("no tensor")
    assert _names(tmp_path) == set()


def test_a_folder_is_one_process_s_and_has_no_lock_in_it_afterwards(tmp_path):
    refused = pytest.raises(ValueError, match=f"another process is at work in {tmp_path}")
    with alone_in(tmp_path), refused, alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        assert _names(tmp_path) == {".lock"}
    assert _names(tmp_path) == set()


def test_a_lock_that_was_removed_while_it_was_opened_is_none(tmp_path, monkeypatch):
    real, tries = locks.take, []

    def take(number):
        tries.append(number)
        if len(tries) == 1:
            (tmp_path / ".lock").unlink()
        return real(number)

    monkeypatch.setattr(locks, "take", take)
    with lock_folder(tmp_path):
        assert (tmp_path / ".lock").exists()
    assert len(tries) == 2


@pytest.mark.parametrize("number", WITHOUT, ids=errno.errorcode.get)
def test_a_file_system_without_locks_is_no_other_process(number, tmp_path, monkeypatch, capsys):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    locks._say_without_locks.cache_clear()
    (tmp_path / DEAD).touch()
    os.utime(tmp_path / DEAD, (time.time() - 2 * locks.OLD,) * 2)
    (tmp_path / ".reward.123-0a1b2c3d.png").touch()  # who knows
    for _ in range(2):
        with Store(tmp_path, {}) as store:
            store.save_pretrained([np.ones(2)])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert os.strerror(number) in said
    assert {name for name in _names(tmp_path) if name.endswith(".png")} == {".reward.123-0a1b2c3d.png"}


def test_a_user_without_a_home_has_no_cache_and_no_error(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR", "MODESEEK_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as it is without a passwd entry
    monkeypatch.chdir(tmp_path)
    assert use_compilation_cache() is None
    assert str(expanded("~/data")) == "~/data"
    assert _names(tmp_path) == set()
    asked = []
    monkeypatch.setattr("jax.config.update", lambda *setting: asked.append(setting))
    monkeypatch.setenv("MODESEEK_CACHE", str(tmp_path / "cache"))
    assert use_compilation_cache() == tmp_path / "cache"
    assert ("jax_compilation_cache_dir", str(tmp_path / "cache")) in asked


@contextmanager
def _room_for(size):
    """Files may have that many bytes: what a full disk is to a writer (EFBIG in the place of ENOSPC)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _figure(path, formats=("png",)):
    figure = Figure()
    figure.add_subplot().plot([0, 1])
    return save_figure(figure, path, formats)


def _animation(path):
    figure = Figure()
    writer = PillowWriter()
    with replacing(path) as temporary, writer.saving(figure, str(temporary), dpi=50):
        writer.grab_frame()


def _model(path):
    with NewFolder(path) as folder:
        write_file(folder / "model.safetensors", [Pending("w", "F32", (1000,), lambda: np.ones(1000, np.float32))])


WRITERS = {
    "netcdf4": lambda path, data: results.save(data, path / "results.nc"),
    "netcdf3": lambda path, data: results.save(data, path / "results.nc", small=True),
    "png": lambda path, _: _figure(path / "reward"),
    "svg": lambda path, _: _figure(path / "reward", ("svg",)),
    "gif": lambda path, _: _animation(path / "kl.gif"),
    "safetensors": lambda path, _: _model(path / "model"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_an_error_that_leaves_what_was_there(writer, tmp_path):
    """Not a segmentation fault, which is what HDF5 makes of it (h5py#914)."""
    (tmp_path / "results.nc").write_text("earlier")
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.EFBIG))), _room_for(300):
        WRITERS[writer](tmp_path, DATA)
    assert _names(tmp_path) == {"results.nc"}
    assert (tmp_path / "results.nc").read_text() == "earlier"


def test_a_sweep_s_store_on_a_full_disk_keeps_what_it_had(tmp_path):
    with Store(tmp_path, {}) as store:
        store.save_finished(np.arange(2), [np.ones(2)])
        with pytest.raises(OSError, match=r"runs-000002\.npz"), _room_for(300):
            store.save_finished(np.arange(2, 4), [np.ones(1000)])
        assert len(store.load_finished()) == 1


def test_a_line_of_a_run_is_whole_or_an_error(tmp_path):
    """The disk fills in the middle of a line: it is cut off before the next one is written."""
    with RunFolder(tmp_path, {}) as run:
        run.append({"step": 1})
        with pytest.raises(OSError, match=r"."), _room_for(run.metrics.stat().st_size + 10):
            run.append({"step": 2, "text": "x" * 100})
    with RunFolder(tmp_path, {}) as run:
        run.append({"step": 2})
    assert [record["step"] for record in run.records()] == [1, 2]


def test_what_netcdf_holds_is_what_was_given(tmp_path):
    """By way of memory: the same dataset as xarray's own writer to a file gives."""
    encoding = {"expected_reward": {"zlib": True}}
    results.write_netcdf4(DATA, tmp_path / "ours.nc", encoding)
    DATA.to_netcdf(tmp_path / "theirs.nc", engine="h5netcdf", encoding=encoding)
    theirs = results.load(tmp_path / "theirs.nc")
    ours = results.load(tmp_path / "ours.nc")
    assert ours.identical(theirs)
    assert ours["expected_reward"].encoding["zlib"]


def test_a_probe_that_was_left_is_removed(tmp_path):
    (tmp_path / ".probe.12-0a1b2c3d").touch()
    with alone_in(writable_folder(tmp_path)):
        pass
    assert _names(tmp_path) == set()
