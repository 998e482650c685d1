"""Cells of language models that were not run, with curves that are known."""

import json

import numpy as np
import xarray

from modeseek.llm.studies.measures import CURVES, MEASURES


def fake_cell(level: float, spread: float = 0.01, fresh: int = 10, seed: int = 0) -> xarray.Dataset:
    """What `run_cell` leaves of a cell, with made-up curves that rise to `level`."""
    rng = np.random.default_rng(seed)
    steps, seeds = np.arange(0, 25, 4), 2 + fresh
    ends = level + spread * rng.standard_normal(seeds)
    rise = (1 - np.exp(-steps / 8))[None] * ends[:, None]
    data = {name: (("seed", "step"), rise.astype(np.float32)) for name in CURVES}
    grid = {m.grid: (("learning_rate", "tuning_seed"), np.tile(ends[None, :2], (3, 1))) for m in MEASURES}
    return xarray.Dataset(
        data | grid,
        coords={"seed": np.arange(seeds), "step": steps, "learning_rate": [0.01, 0.003, 0.001]},
        attrs={"learning_rate": 0.003, "tuning_seeds": 2, "seconds": 60.0, "created": "", "machine": "test"}
        | {"versions": "{}", "configuration": "{}", "identity": json.dumps({})},
    )
