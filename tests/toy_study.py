"""A study of made-up language models: its cells, measures and claims, from files to a document.

`python tests/toy_study.py FOLDER` writes results there, judges them, and prints the document. It is a process of its
own, so that a test can see what it imports: nothing of the paper's study, no simulator.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from modeseek.bandit.studies.cells import Cell
from modeseek.bandit.studies.chart import verdict_figure
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import difference, difference_of_differences, level
from modeseek.bandit.studies.document import document, note_of, numbers_table
from modeseek.bandit.studies.effects import Change
from modeseek.bandit.studies.measures import Measure, Unit
from modeseek.bandit.studies.protocol import Protocol
from modeseek.bandit.studies.store import Store, Stored, cell_path, difference_in_identity
from modeseek.bandit.studies.study import Study, Target


@dataclasses.dataclass(frozen=True)
class ModelCell(Cell):
    """One method on one data set."""

    method: str
    data: str


WHOLE = Protocol("whole", (1e-5, 1e-6), tuning_seeds=5, fresh_seeds=100)
BRIEF = Protocol("brief", (1e-5, 1e-6), tuning_seeds=5, fresh_seeds=2, most_steps=50)
BOTH = frozenset({WHOLE, BRIEF})

WIN_RATE = Unit("win rate", 0.01)
BITS = Unit("bits", 0.5)
WINS = Measure("wins", lambda curves: curves["win_rate"].isel(step=-1), "win rate at the end", WIN_RATE)
LENGTH = Measure("length", lambda curves: curves["description"].max("step", skipna=False), "longest", BITS)

CELLS = {
    (method, data): ModelCell(f"{method}-{data}", method, data, protocols=BOTH if data == "chat" else BOTH - {BRIEF})
    for method in ("dpo", "ppo")
    for data in ("chat", "code")
}
BETTER = Target(
    "better",
    "Who wins more.",
    tuple(CELLS.values()),
    protocols=(WHOLE, BRIEF),
    default=WHOLE,
    claims=(
        Claim("ppo-wins", "PPO wins more on chat.", "us", difference(WINS, CELLS["ppo", "chat"], CELLS["dpo", "chat"])),
        Claim("dpo-wins", "DPO wins more on chat.", "us", difference(WINS, CELLS["dpo", "chat"], CELLS["ppo", "chat"])),
        Claim(
            "harder",
            "PPO's lead is larger on chat.",
            "us",
            difference_of_differences(
                WINS, (CELLS["ppo", "chat"], CELLS["dpo", "chat"]), (CELLS["ppo", "code"], CELLS["dpo", "code"])
            ),
        ),
        Claim("long", "PPO's answers take 30 bits.", "us", level(LENGTH, CELLS["ppo", "chat"], constant=30.0), "equal"),
    ),
    deviations="The models are made up.",
)
SMALL = Target(
    "small",
    "What PPO changes.",
    (CELLS["ppo", "chat"], CELLS["dpo", "chat"]),
    protocols=(WHOLE, BRIEF),
    default=WHOLE,
    changes=(Change("PPO instead", WINS, CELLS["ppo", "chat"], CELLS["dpo", "chat"]),),
    only="70m",
)
STUDY = Study((BETTER, SMALL), {"70m": "70 m", "160m": "160 m"}, condition="Model", provisional=frozenset({BRIEF}))
ENDS = {"ppo-chat": 0.7, "dpo-chat": 0.5, "ppo-code": 0.6, "dpo-code": 0.5}


def identity(cell: ModelCell, protocol: Protocol, model: str) -> dict[str, Any]:
    """What a file is of."""
    run = {"method": cell.method, "data": cell.data, "model": model}
    return json.loads(json.dumps({"run": run, "protocol": protocol.as_dict()}))


def read(cell: ModelCell, protocol: Protocol, model: str, folder: Path) -> xarray.Dataset:
    """A stored cell, unless it is of something else."""
    dataset = xarray.load_dataset(cell_path(folder, cell), engine="scipy")
    if another := difference_in_identity(json.loads(dataset.attrs["identity"]), identity(cell, protocol, model)):
        raise ValueError(f"{cell.name} is of {another}")
    return dataset


def made_up(cell: ModelCell, protocol: Protocol, model: str, seed: int) -> xarray.Dataset:
    """Runs whose win rate rises to `ENDS`, with a spread of a hundredth over seeds."""
    rng = np.random.default_rng(seed)
    steps, seeds = np.arange(0, 51, 10), protocol.tuning_seeds + protocol.fresh_seeds
    ends = ENDS[cell.name] + 0.01 * rng.standard_normal(seeds)
    wins = ends[:, None] * steps / steps[-1]
    curves = {"win_rate": (("seed", "step"), wins), "description": (("seed", "step"), 30 * wins / ends[:, None])}
    runs = xarray.Dataset(curves, {"seed": np.arange(seeds), "step": steps})
    tuning = runs.isel(seed=slice(protocol.tuning_seeds)).rename(seed="tuning_seed")
    grids = {m.grid: m(tuning).expand_dims(learning_rate=list(protocol.learning_rates)) for m in (WINS, LENGTH)}
    attrs = {"learning_rate": 1e-6, "tuning_seeds": protocol.tuning_seeds, "seconds": 60.0, "machine": "none"}
    stored = runs.assign(
        {name: values.drop_vars(("tuning_seed", "step"), errors="ignore") for name, values in grids.items()}
    )
    return stored.assign_attrs(attrs | {"identity": json.dumps(identity(cell, protocol, model))})


def main(root: Path) -> str:
    """Store everything of the small model and a part of the larger one; the document."""
    store: Store[ModelCell] = Store(root, read)
    for model, protocol in (("70m", WHOLE), ("160m", BRIEF)):
        folder = store.folder(protocol, model)
        folder.mkdir(parents=True)
        for seed, cell in enumerate(BETTER.cells_under(protocol)):
            made_up(cell, protocol, model, seed).to_netcdf(cell_path(folder, cell), engine="scipy")

    def picture(target: Target[ModelCell], model: str, there: Stored) -> str:
        figure = verdict_figure(STUDY.assess(target, there.results), note_of(there.protocol, model, there.results))
        return f"![{len(figure.axes)} axes]({target.name}.png)\n\n{numbers_table(there.results, WINS, WINS.meaning)}"

    return document(
        STUDY, store, "# Toy\n", picture=picture, command=lambda target, model: f"make {target.name} {model}"
    )


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
    print("imported:", *sorted(name for name in sys.modules if name.startswith("modeseek")))
