"""Classic netCDF (netCDF 3) as a dataset in memory, by SciPy's reader of the format.

Small results are such files, and what looks at many of them waits for nothing else: xarray's backends, which are built
for files larger than the memory, take three times as long. What is written is left to them (`results.save`).
"""

import io
from typing import Any

import numpy as np
import xarray
from scipy.io import netcdf_file
from xarray.indexes import PandasIndex

TIMES = ("days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds")
"""Units that xarray makes durations of."""


def read_classic(data: bytes) -> xarray.Dataset:
    """The dataset that these bytes of a file hold.

    Raises:
        ValueError, TypeError, KeyError, IndexError: they are no such file, or not all of one.
    """
    with netcdf_file(io.BytesIO(data), mmap=False) as file:
        if None in file.dimensions.values():
            raise ValueError("a dimension of it may grow, which is not read")
        attributes = _decoded(file)
        variables = {
            name: xarray.Variable(each.dimensions, each.data.astype(each.data.dtype.newbyteorder("=")), _decoded(each))
            for name, each in file.variables.items()
        }
    if "coordinates" in attributes or not all(map(_plain, variables.values())):
        return xarray.decode_cf(xarray.Dataset(variables, attrs=attributes))
    for variable in variables.values():
        variable.attrs.pop("_FillValue", None)
    coords = {name: variable for name, variable in variables.items() if variable.dims == (name,)}
    indexes = {name: PandasIndex(variable.values, name) for name, variable in coords.items()}
    others = {name: variable for name, variable in variables.items() if name not in coords}
    return xarray.Dataset(others, xarray.Coordinates(coords, indexes), attributes)


def _decoded(holder: Any) -> dict[str, Any]:
    """Attributes of a file or a variable, text as text."""
    found = holder._attributes  # as xarray takes them: there is no public list
    return {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value for name, value in found.items()
    }


def _plain(variable: xarray.Variable) -> bool:
    """Whether a variable's numbers are what is meant: neither text nor truth values, and without gaps but NaN."""
    fill = variable.attrs.get("_FillValue", np.nan)
    marks = {"missing_value", "scale_factor", "add_offset", "coordinates", "dtype", "_Unsigned"}
    time = "since" in str(variable.attrs.get("units", "")) or variable.attrs.get("units") in TIMES
    return variable.dtype.kind in "if" and bool(np.isnan(fill)) and not time and not marks & variable.attrs.keys()
