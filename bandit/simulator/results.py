"""Results as labelled arrays: an `xarray.Dataset` with named dimensions, and everything needed to repeat it."""

import datetime
import io
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import xarray

from modeseek import machine
from modeseek.bandit.objectives.own import digests
from modeseek.bandit.simulator.classic import read_classic
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.files import replacing, writable_folder

FORMAT = 1
"""Number of the results file's format; a file with another one is refused."""

UNITS = {
    "expected_reward": ("expected reward", "1"),
    "kl_to_reference": ("KL(policy ‖ reference)", "nats per response"),
    "kl_to_behavior": ("KL(policy ‖ behavior)", "nats per response"),
    "entropy": ("entropy of the policy", "nats per response"),
    "proxy_reward": ("expected learnt reward", "1"),
    "loss": ("loss of the last minibatch", "1"),
    "gradient_norm": ("gradient norm", "1"),
    "fraction_clipped": ("ratios outside 1 ± ε", "fraction"),
    "chosen_implicit_reward": ("log policy - log reference, preferred", "nats"),
    "rejected_implicit_reward": ("log policy - log reference, dispreferred", "nats"),
    "margin": ("implicit reward margin at β = 1", "nats"),
    "batch_reward": ("mean reward of the minibatch", "1"),
}
"""Variable → long name and unit, for attributes and axis labels."""


def versions() -> dict[str, str]:
    """Versions of everything that may change a number."""
    return machine.versions("jax", "jaxlib", "flax", "optax", "numpy", "xarray")


def settings() -> dict[str, Any]:
    """JAX's own settings that change a number: which random bits a key gives, and how products are rounded."""
    names = ("jax_default_prng_impl", "jax_threefry_partitionable", "jax_random_seed_offset")
    return {name: getattr(jax.config, name, None) for name in (*names, "jax_default_matmul_precision")}


def identity(experiment: Experiment) -> dict[str, Any]:
    """What two sweeps must share for one to go on from the other, to the same bits if the machine is the same."""
    kept = {k: v for k, v in versions().items() if k in ("modeseek", "jax", "jaxlib", "flax", "optax")}
    own = digests(experiment.methods)
    return {
        "format": FORMAT,
        "versions": kept,
        "settings": settings(),
        "platform": jax.default_backend(),
        "experiment": json.loads(experiment.to_json()),
        **({"own_methods": own} if own else {}),
    }


def provenance(configuration: str, seconds: float, machines: Sequence[str] = ()) -> dict[str, Any]:
    """A results file's attributes. NetCDF's hold strings and numbers alone: what is nested becomes a JSON string.

    Args:
        configuration: what was run, as JSON.
        seconds: that it took.
        machines: that it was computed on, one after the other; this one, if none is given.
    """
    return {
        "modeseek_format": FORMAT,
        "configuration": configuration,
        "versions": json.dumps(versions()),
        "settings": json.dumps(settings()),
        "machine": "; then ".join(machines or [machine.machine()]),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": float(seconds),
    }


def check_output(path: Path) -> None:
    """Prove that a results file can be written, and would overwrite nothing.

    Raises:
        ValueError: it exists, does not end in `.nc`, or its folder is not writable.
    """
    if path.suffix != ".nc":
        raise ValueError(f"a results file must end in .nc, got {path}")
    if path.exists():
        raise ValueError(f"{path} exists and is not overwritten: choose another output, or move it away")
    writable_folder(path.parent)


def save(dataset: xarray.Dataset, path: Path, *, small: bool = False) -> None:
    """Write netCDF in one step: netCDF 4, compressed, or for small datasets netCDF 3 (`docs/decisions/0007`)."""
    if small:
        with replacing(path) as temporary:
            dataset.to_netcdf(temporary, engine="scipy")
        return
    encoding = {str(name): {"zlib": True, "complevel": 4} for name, a in dataset.data_vars.items() if a.ndim > 1}
    write_netcdf4(dataset, path, encoding)


def write_netcdf4(dataset: xarray.Dataset, path: Path, encoding: Mapping[str, Any]) -> None:
    """Write netCDF 4 in one step. It is made in memory first: where HDF5 meets a full disk it ends the process with a
    segmentation fault (h5py#914), where Python does it is an `OSError`.

    Args:
        dataset: of any size that memory holds twice, the second time packed.
        path: of the file.
        encoding: variable → how it is packed, as `xarray.Dataset.to_netcdf` takes it.
    """
    import h5netcdf  # here, since few who read results write any

    held = io.BytesIO()
    with h5netcdf.File(held, "w") as file:
        dataset.dump_to_store(xarray.backends.H5NetCDFStore(file), encoding=encoding)
    with replacing(path) as temporary:
        temporary.write_bytes(held.getbuffer())


def load(path: Path) -> xarray.Dataset:
    """Read a results file into memory.

    Raises:
        ValueError: it is not there, is truncated or no netCDF, or was written in another format.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"there is no results file {path}")
    try:
        with path.open("rb") as stream:
            classic = stream.read(3) == b"CDF"
        if classic:
            dataset = read_classic(path.read_bytes())
        else:
            with xarray.open_dataset(path, engine="h5netcdf") as opened:
                dataset = opened.load()
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ValueError(f"{path} cannot be read: truncated, or not a netCDF file ({error})") from error
    found = dataset.attrs.get("modeseek_format")
    if found != FORMAT:
        raise ValueError(f"{path} is not a results file of this version: format {found}, this one reads {FORMAT}")
    return dataset


def experiment_of(dataset: xarray.Dataset) -> Experiment:
    """The experiment that a dataset holds, ready to be run again.

    Raises:
        ValueError: it holds none of this version.
    """
    return Experiment.from_json(dataset.attrs.get("configuration", ""))
