"""Record the bandit explorer's presets: `python -m modeseek.bandit.explore.bandit.bake [PRESET …]`."""

import sys
import time
from dataclasses import replace

from modeseek.bandit.explore.bandit.model import training
from modeseek.bandit.explore.bandit.presets import PRESETS, experiment
from modeseek.bandit.explore.toolkit.recording import save
from modeseek.bandit.explore.toolkit.stored import DATA

KEPT = ("token_distribution", "responses", "rewards", "weights")


def main(names: list[str]) -> None:
    """Train with the values of each preset (all, if none is named), and write its file."""
    for name in names or list(PRESETS):
        began, values = time.monotonic(), replace(PRESETS[name].values, preset=name)
        *_, last = training(values)
        command = f"python -m modeseek.bandit.explore.bandit.bake {name}"
        save({"run": last.run}, DATA / f"bandit-{name}.nc", experiment(values), values.method, command, KEPT)
        print(f"{time.monotonic() - began:z.0f} s, reward {last.run.mean('expected_reward')[-1]:z.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
