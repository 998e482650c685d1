"""What a run and step of cells of `modeseek reproduce` takes on one device: `python benchmarks/cells.py [CELL ...]`.

A cell is CONVENTIONS/FIGURE/NAME; without any, those of `CELLS`. Pin the process to one core (`taskset -c 0`) and leave
the others alone. Prints the least and the median milliseconds a gradient step, collection and evaluation included.
"""

import sys
import time

import numpy as np

from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.simulator.devices import use_host_devices
from modeseek.bandit.simulator.groups import GroupPrograms
from modeseek.bandit.simulator.plan import make_plan
from modeseek.bandit.studies.reproduce.protocols import FULL
from modeseek.bandit.studies.reproduce.targets import TARGETS

CELLS = (
    "paper/fig19/rwr-R1",
    "paper/fig4/best_of_n-B1000-R1",
    "released_code/fig19/rwr-R1",
    "released_code/fig19/on_policy_ipo-R1",
    "released_code/fig19/ppo-R1",
    "released_code/fig4/best_of_n-B100-R1",
    "released_code/fig4/best_of_n-B1000-R1",
)
REPEATS = 12


def milliseconds(cell: str) -> list[float]:
    """What a gradient step takes, measured `REPEATS` times and ordered; each is the mean of at least 20 steps."""
    conventions, figure, name = cell.split("/")
    cells = {each.name: each for each in TARGETS[figure].cells_under(FULL)}
    experiment = cells[name].experiment(PRESETS[conventions], FULL)
    runs = make_plan(experiment).runs
    programs = GroupPrograms(experiment.static, 1)
    programs.compile_for(runs)
    run = programs.put(runs, np.zeros(1, int))
    pretrained = programs("pretrain", run.problem, run.seed)
    state, *_ = programs("start", pretrained.params, run)
    state, _ = programs("collection", state, run)
    steps = experiment.algorithm.steps_per_collection
    collections = max(1, 20 // steps)
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for _ in range(collections):
            state, _ = programs("collection", state, run)
        times.append((time.perf_counter() - begun) / (collections * steps) * 1e3)
    return sorted(times)


if __name__ == "__main__":
    use_host_devices(1)
    print(f"{'cell':45s}{'least ms':>9s}{'median':>8s}")
    for wanted in sys.argv[1:] or CELLS:
        ordered = milliseconds(wanted)
        print(f"{wanted:45s}{ordered[0]:9.1f}{ordered[len(ordered) // 2]:8.1f}", flush=True)
