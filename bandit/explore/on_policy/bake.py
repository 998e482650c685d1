"""Record the on-policy explorer's grids: `python -m modeseek.bandit.explore.on_policy.bake [PRESET …]`."""

import sys
import time
from dataclasses import replace

from modeseek.bandit.explore.on_policy.model import training
from modeseek.bandit.explore.on_policy.presets import BUDGET, PASSES, PRESETS, experiment
from modeseek.bandit.explore.toolkit.recording import Recording, save
from modeseek.bandit.explore.toolkit.stored import DATA

KEPT = ("log_ratios",)


def main(names: list[str]) -> None:
    """Train every cell of each preset's grid (all, if none is named), and write its file."""
    for name in names or list(PRESETS):
        began, values = time.monotonic(), replace(PRESETS[name].values, preset=name)
        grid: dict[str, Recording] = {}
        for passes in PASSES:
            *_, last = training(replace(values, inner_steps=str(passes)))
            grid |= {f"B{samples}T{passes}": run for samples, run in last.run.items()}
        command = f"python -m modeseek.bandit.explore.on_policy.bake {name}"
        save(grid, DATA / f"on-policy-{name}.nc", experiment(values, BUDGET), values.method, command, KEPT)
        print(f"{time.monotonic() - began:z.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
