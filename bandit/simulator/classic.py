"""Classic netCDF (netCDF 3) read in one pass over its bytes, into memory.

Small results are such files, and what looks at many of them waits for nothing else: xarray's machinery of backends
takes five times as long. What is written is left to it (`results.save`).

The format is https://docs.unidata.ucar.edu/nug/current/file_format_specifications.html: big-endian, a header that lists
dimensions, attributes and variables, then each variable's numbers in a row.
"""

import struct
from typing import Any

import numpy as np
import xarray
from xarray.indexes import PandasIndex

TYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8"}
"""Number of a type in the header → NumPy's; the second is text."""
OFFSETS = {1: ">i", 2: ">q"}
"""Version of the format → how it says where a variable begins."""
TIMES = ("days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds")
"""Units that xarray makes durations of."""


class Header:
    """A place in the header, and what stands there."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 4  # behind the name and the version of the format

    def number(self, kind: str = ">i") -> int:
        """One number."""
        (value,) = struct.unpack_from(kind, self.data, self.at)
        self.at += struct.calcsize(kind)
        return int(value)

    def count(self) -> int:
        """How long the list is that begins here."""
        self.number()  # what it is a list of; 0 if it is empty
        return self.number()

    def taken(self, size: int) -> bytes:
        """So many bytes, which are filled up to a multiple of four."""
        start, self.at = self.at, self.at + size + -size % 4
        if size < 0 or start + size > len(self.data):
            raise ValueError("it ends within its header")
        return self.data[start : start + size]

    def name(self) -> str:
        """A name."""
        return self.taken(self.number()).decode()

    def attributes(self) -> dict[str, Any]:
        """Name → text, number, or several numbers."""
        found: dict[str, Any] = {}
        for _ in range(self.count()):
            name, kind = self.name(), np.dtype(TYPES[self.number()])
            data = self.taken(self.number() * kind.itemsize)
            if kind.kind == "S":
                found[name] = data.rstrip(b"\x00").decode("utf-8", "replace")
            else:
                values = np.frombuffer(data, kind)
                found[name] = values[0] if values.shape == (1,) else values
        return found


def read_classic(data: bytes) -> xarray.Dataset:
    """The dataset that these bytes of a file hold.

    Raises:
        ValueError, struct.error, KeyError, IndexError: they are no such file, or not all of one.
    """
    header = Header(data)
    offset = OFFSETS[data[3]]
    header.number()  # of records
    dimensions = [(header.name(), header.number()) for _ in range(header.count())]
    if any(size == 0 for _, size in dimensions):
        raise ValueError("a dimension of it may grow, which is not read")
    attributes = header.attributes()
    variables: dict[str, xarray.Variable] = {}
    for _ in range(header.count()):
        name = header.name()
        own = [dimensions[header.number()] for _ in range(header.number())]
        about, kind = header.attributes(), np.dtype(TYPES[header.number()])
        header.number()  # bytes, which follow from its shape
        shape = [size for _, size in own]
        values = np.frombuffer(data, kind, int(np.prod(shape)), header.number(offset)).reshape(shape)
        named = tuple(dim for dim, _ in own)
        variables[name] = xarray.Variable(named, values.astype(kind.newbyteorder("=")), about, fastpath=True)
    if "coordinates" in attributes or not all(map(_plain, variables.values())):
        return xarray.decode_cf(xarray.Dataset(variables, attrs=attributes))
    for variable in variables.values():
        variable.attrs.pop("_FillValue", None)
    coords = {name: variable for name, variable in variables.items() if variable.dims == (name,)}
    indexes = {name: PandasIndex(variable.values, name) for name, variable in coords.items()}
    others = {name: variable for name, variable in variables.items() if name not in coords}
    return xarray.Dataset(others, xarray.Coordinates(coords, indexes), attributes)


def _plain(variable: xarray.Variable) -> bool:
    """Whether a variable's numbers are what is meant: neither text nor truth values, and without gaps but NaN."""
    fill = variable.attrs.get("_FillValue", np.nan)
    marks = {"missing_value", "scale_factor", "add_offset", "coordinates", "dtype", "_Unsigned"}
    time = "since" in str(variable.attrs.get("units", "")) or variable.attrs.get("units") in TIMES
    return variable.dtype.kind in "if" and bool(np.isnan(fill)) and not time and not marks & variable.attrs.keys()
