"""The recorded run that notebook 00 opens with: `python -m modeseek.bandit.explore.bake FOLDER/results.nc` after
`modeseek demo --out FOLDER`. Kept small: curves, and token distributions at the end averaged over positions."""

import sys
from pathlib import Path

import xarray as xr

from modeseek.bandit.simulator.results import load
from modeseek.files import replacing

BAKED = Path(__file__).with_name("data") / "demo.nc"
KEPT = ("expected_reward", "kl_to_reference", "reference_probs", "token_rewards")


def bake(results: xr.Dataset) -> xr.Dataset:
    """The part of a demo's results that the tour shows."""
    last = results["token_distribution"].isel(snapshot=-1).mean("position")
    small = results[list(KEPT)].assign(final_tokens=last).drop_vars("snapshot").astype("float32", keep_attrs=True)
    return small.assign_attrs(
        configuration=results.attrs["configuration"],
        versions=results.attrs["versions"],
        command="modeseek demo --out FOLDER && python -m modeseek.bandit.explore.bake FOLDER/results.nc",
    )


def main(path: Path, to: Path = BAKED) -> None:
    """Write the baked file."""
    small = bake(load(path))
    coded = {name: {"zlib": True, "complevel": 9} for name in small.data_vars}
    with replacing(to) as temporary:
        small.to_netcdf(temporary, engine="h5netcdf", encoding=coded)
    print(f"{to.name}: {to.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
