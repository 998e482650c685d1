"""The recorded runs that come with the package: where they lie, how they are read and written."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import xarray as xr

from modeseek.bandit.simulator.results import write_netcdf4

DATA = Path(__file__).parents[1] / "data"


@lru_cache(maxsize=16)
def stored(name: str) -> xr.Dataset:
    """The recorded runs of this name; their attribute `command` says how they were made."""
    return xr.load_dataset(DATA / f"{name}.nc", engine="h5netcdf")


def store(dataset: xr.Dataset, path: Path, types: Mapping[str, str] | None = None) -> None:
    """Write recorded runs, compressed as far as it goes, and print how large the file is.

    Args:
        dataset: with the attributes `configuration`, `versions` and `command`.
        path: of the file.
        types: variable → type in the file; the other variables keep theirs.
    """
    packed = {"zlib": True, "complevel": 9, "shuffle": True}
    typed = {name: {"dtype": kind} for name, kind in (types or {}).items()}
    coding = {name: packed | typed.get(name, {}) for name in map(str, dataset.data_vars)}
    write_netcdf4(dataset, path, coding)
    print(f"{path.name}: {path.stat().st_size / 1000:z.0f} kB")


def curves_and_ends(results: xr.Dataset, over: tuple[str, ...], command: str) -> xr.Dataset:
    """What is kept of a sweep: its curves, and its token distributions at the end averaged over these dimensions."""
    kept = results[["expected_reward", "kl_to_reference", "reference_probs", "token_rewards"]]
    tokens = results["token_distribution"].isel(snapshot=-1).mean(over)
    small = kept.assign(final_tokens=tokens).drop_vars("snapshot").astype("float32", keep_attrs=True)
    return small.assign_attrs(results.attrs, command=command)
