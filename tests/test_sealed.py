"""Partial files are what was written, or are refused: whatever was done to them."""

import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeseek.bandit.simulator import results
from modeseek.bandit.simulator.sealed import load_arrays, save_arrays
from modeseek.bandit.simulator.store import Store

ARRAYS = {
    "runs": np.arange(2),
    "collections": np.asarray(3),
    "state000000": np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
    "metric000000": np.zeros((3, 2, 0), np.float32),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "in-flight.npz"
    save_arrays(path, ARRAYS, "sweep")
    return path, path.read_bytes()


def _with(**changes):
    """An honest `.npz` of other arrays, as a damaged or edited file may be; NumPy reads it without a word."""
    buffer = io.BytesIO()
    np.savez(buffer, **{**ARRAYS, **changes})
    return buffer.getvalue()


def test_what_was_written_is_read_and_numpy_reads_it_too(written):
    path, _ = written
    found = load_arrays(path, "sweep")
    with np.load(path) as plain:
        assert set(plain.files) == found.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)
            np.testing.assert_array_equal(plain[name], array)
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)


def test_another_sweeps_and_a_renamed_file_are_refused(written):
    path, content = written
    with pytest.raises(ValueError, match="not as it was written"):
        load_arrays(path, "another sweep")
    other = path.with_name("runs-000000.npz")
    other.write_bytes(content)
    with pytest.raises(ValueError, match="not as it was written"):
        load_arrays(other, "sweep")


@pytest.mark.parametrize(
    "content",
    [
        _with(state000000=np.full((2, 3), np.nan, np.float32)),
        _with(state000000=np.zeros((5,), np.float32)),
        _with(runs=np.asarray([7, 8])),
        _with(runs=np.asarray([-1, 0])),
        _with(collections=np.asarray(-1)),
        b"",
        b"PK",
        b"[" * 100_000,
    ],
)
def test_edited_files_are_refused(written, content):
    path, whole = written
    for damaged in (content, content + whole[-32:]):  # without a sum, and with that of the file before
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="not as it was written"):
            load_arrays(path, "sweep")
    path.write_bytes(whole)


def _damaged(content: bytes, cut: int, at: int, flip: int, more: bytes) -> bytes:
    kept = bytearray(content[: len(content) - cut] + more)
    if kept:
        kept[at % len(kept)] ^= flip
    return bytes(kept)


DAMAGE = st.tuples(st.integers(0, 2000), st.integers(0, 5000), st.integers(0, 255), st.binary(max_size=40))


def _check_damage(written, damage):
    path, whole = written
    content = _damaged(whole, *damage)
    path.write_bytes(content)
    try:
        if content == whole:
            load_arrays(path, "sweep")
            return
        with pytest.raises(ValueError, match="not as it was written"):
            load_arrays(path, "sweep")
    finally:
        path.write_bytes(whole)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(damage=DAMAGE)
def test_any_damage_is_found(written, damage):
    _check_damage(written, damage)


@pytest.mark.search
@settings(derandomize=False, max_examples=5000, deadline=None)
@given(damage=DAMAGE)
def test_any_damage_is_found_in_a_longer_search(written, damage):
    _check_damage(written, damage)


IDENTITY = {"format": 1, "experiment": {"seeds": 2}}


def _begun(folder):
    with Store(folder, IDENTITY, "a machine") as store:
        store.save_in_flight(np.arange(2), 1, [np.zeros(3)], [np.ones(2)])
    return folder


@pytest.mark.parametrize("content", ["null", "-1", "NaN", '"7"', "[]", "true", "1e999", "", "[" * 100_000])
def test_seconds_that_are_none_are_refused(tmp_path, content):
    (_begun(tmp_path) / "seconds.json").write_text(content)
    with pytest.raises(ValueError, match=r"seconds\.json is damaged"):
        Store(tmp_path, IDENTITY)


@pytest.mark.parametrize("content", ["null", "[]", "3", "", '{"machines": 3}', "[" * 100_000, "\xff"])
def test_an_identity_that_is_none_is_refused(tmp_path, content):
    (_begun(tmp_path) / "identity.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"identity\.json is damaged"):
        Store(tmp_path, IDENTITY)
    with Store(_begun(tmp_path / "again"), IDENTITY):  # the lock of the refused one was given back
        pass


def test_a_store_of_another_sweep_reads_nothing_of_this_one(tmp_path):
    """Its file is whole and says nothing of where it is from: the seal does."""
    _begun(tmp_path / "one")
    other = {"format": 1, "experiment": {"seeds": 3}}
    with Store(tmp_path / "two", other) as store:
        (tmp_path / "two" / "in-flight.npz").write_bytes((tmp_path / "one" / "in-flight.npz").read_bytes())
        with pytest.raises(ValueError, match=r"in-flight\.npz is damaged .*delete it, and its runs are made again"):
            store.load_in_flight()


def test_machines_are_kept_in_order_and_a_move_is_told(tmp_path):
    told = []
    for name in ("one core", "one core", "two cores", "two cores", "one core"):
        with Store(tmp_path, IDENTITY, name) as store:
            told.append(store.moved)
    assert store.machines == ["one core", "two cores", "one core"]
    assert told == [False, False, True, False, True]


def test_settings_of_jax_that_change_numbers_are_part_of_what_a_sweep_is(tiny, tmp_path):
    import jax

    with Store(tmp_path, results.identity(tiny)):
        pass
    with (
        jax.threefry_partitionable(not jax.config.jax_threefry_partitionable),
        jax.default_matmul_precision("bfloat16"),
        pytest.raises(ValueError, match=r"jax_default_matmul_precision: there None, here 'bfloat16'; .*threefry_part"),
    ):
        Store(tmp_path, results.identity(tiny))
    assert json.loads(results.provenance("", 0.0)["settings"])["jax_default_prng_impl"] == "threefry2x32"
