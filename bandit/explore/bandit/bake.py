"""Record the bandit explorer's presets: `python -m modeseek.bandit.explore.bandit.bake [PRESET …]`."""

import json
import sys
import time

from modeseek.bandit.explore.bandit.model import BanditModel, chosen, training
from modeseek.bandit.explore.bandit.presets import PRESETS, experiment
from modeseek.bandit.explore.toolkit.recording import save
from modeseek.bandit.explore.toolkit.stored import DATA
from modeseek.bandit.simulator.results import versions

KEPT = ("token_distribution", "responses", "rewards", "weights")


def main(names: list[str]) -> None:
    """Train with the values of each preset (all, if none is named), and write its file."""
    defaults = {control.name: getattr(control, "default", None) for control in BanditModel.controls}
    for name in names or list(PRESETS):
        began = time.monotonic()
        values = defaults | {"preset": name} | chosen(name)
        *_, last = training(values)
        attributes = {
            "configuration": experiment(values).to_json(),
            "method": PRESETS[name].method,
            "versions": json.dumps(versions()),
            "command": f"python -m modeseek.bandit.explore.bandit.bake {name}",
        }
        path = DATA / f"bandit-{name}.nc"
        save({"run": last.run}, path, attributes, KEPT)
        end = last.run.mean("expected_reward")[-1]
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {time.monotonic() - began:.0f} s, reward {end:.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
