"""Classic netCDF read in one pass: what xarray reads, whatever is in the file."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from modeseek.bandit.explore.toolkit.stored import DATA
from modeseek.bandit.simulator.classic import read_classic
from modeseek.bandit.simulator.results import FORMAT, load
from modeseek.bandit.studies.reproduce.store import STORE

STORED = [*sorted(STORE.root.rglob("*.nc"))[::20], *sorted(DATA.glob("*.nc"))]


def as_xarray_reads(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="scipy") as opened:
        return opened.load()


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    xr.testing.assert_identical(one, other)
    for name in one.variables:
        assert one[name].dtype == other[name].dtype, name
    assert one.indexes.keys() == other.indexes.keys()
    for name, index in one.indexes.items():
        assert index.dtype == other.indexes[name].dtype, name
    assert {name: type(value) for name, value in one.attrs.items()} == {
        name: type(value) for name, value in other.attrs.items()
    }


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_results_are_read_as_xarray_reads_them(path: Path):
    data = path.read_bytes()
    if data[:3] == b"CDF":
        same(read_classic(data), as_xarray_reads(path))


EVERYTHING = xr.Dataset(
    {
        "curve": (("seed", "step"), np.array([[0.5, np.nan, 1.5], [np.inf, 0.0, -1.0]], np.float32), {"units": "nats"}),
        "double": ("step", [0.1, 0.2, 0.3]),
        "short": ("step", np.array([1, -2, 3], np.int16)),
        "byte": ("step", np.array([1, -2, 3], np.int8)),
        "number": ((), 7.5),
        "true": ("step", [True, False, True]),
        "text": ("seed", ["one", "zwölf"]),
        "word": ((), "alone"),
        "took": ("step", np.array([1, 2, 3], "timedelta64[s]")),
        "gaps": ("step", [1.0, np.nan, 3.0], {}, {"_FillValue": -9.0, "dtype": "float32"}),
        "scaled": ("step", [1.0, 1.5, 2.0], {}, {"scale_factor": 0.5, "dtype": "int16", "_FillValue": -1}),
    },
    coords={
        "seed": [3, 4],
        "step": np.array([0, 1, 2], np.int32),
        "name": ("seed", ["a", "bc"]),
        "rate": ("step", [1.0, 2.0, 3.0]),
    },
    attrs={"modeseek_format": FORMAT, "several": [1.5, 2.5], "said": "naïve", "empty": ""},
)


@pytest.mark.parametrize("name", list(EVERYTHING.data_vars))
@pytest.mark.parametrize("version", ["NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_anything_else_is_read_as_xarray_reads_it(name: str, version, tmp_path: Path):
    path = tmp_path / "one.nc"
    EVERYTHING[[name]].to_netcdf(path, engine="scipy", format=version)
    same(read_classic(path.read_bytes()), as_xarray_reads(path))


def test_a_coordinate_that_no_variable_has_stays_one(tmp_path: Path):
    path = tmp_path / "one.nc"
    EVERYTHING[["double"]].drop_vars("rate").assign_coords(other=("far", [1.0, 2.0])).to_netcdf(path, engine="scipy")
    assert "other" in read_classic(path.read_bytes()).coords
    same(read_classic(path.read_bytes()), as_xarray_reads(path))


def test_a_file_that_grows_is_refused(tmp_path: Path):
    """Its records would be taken for none: we write no such file."""
    path = tmp_path / "grows.nc"
    EVERYTHING[["double"]].to_netcdf(path, engine="scipy", unlimited_dims=["step"])
    with pytest.raises(ValueError, match="grow"):
        read_classic(path.read_bytes())


def test_a_file_that_is_cut_short_anywhere_is_refused(tmp_path: Path):
    whole = next(path for path in STORED if path.read_bytes()[:3] == b"CDF").read_bytes()
    path = tmp_path / "cut.nc"
    for size in [*range(4, 400, 7), *range(400, len(whole), 1009), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="cannot be read: truncated, or not a netCDF file"):
            load(path)
    path.write_bytes(whole)
    load(path)
