"""Cells that were not run, with curves that are known."""

import json

import numpy as np
import xarray

from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.studies.reproduce.measures import CURVES, MEASURES


def fake_cell(level: float, spread: float = 0.01, fresh: int = 20, seed: int = 0) -> xarray.Dataset:
    """What `run_cell` leaves of a cell, with made-up curves that rise to `level`."""
    rng = np.random.default_rng(seed)
    steps = np.arange(0, 101, 10)
    seeds = 5 + fresh
    ends = level + spread * rng.standard_normal(seeds)
    rise = (1 - np.exp(-steps / 20))[None] * ends[:, None]
    data = {name: (("seed", "step"), rise.astype(np.float32)) for name in CURVES}
    data |= {"kl_to_reference": (("seed", "step"), (20 * rise).astype(np.float32))}
    rates = [0.1, 0.01, 0.001]
    grid = {m.grid: (("learning_rate", "tuning_seed"), np.tile(ends[None, :5], (3, 1))) for m in MEASURES}
    return xarray.Dataset(
        data | grid,
        coords={"seed": np.arange(seeds), "step": steps, "learning_rate": rates},
        attrs={"learning_rate": 0.01, "tuning_seeds": 5, "seconds": 60.0, "created": "", "machine": "test"}
        | {"versions": "{}", "identity": json.dumps({"experiment": json.loads(Experiment().to_json())})},
    )
