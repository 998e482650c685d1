"""Record the on-policy explorer's grids: `python -m modeseek.bandit.explore.on_policy.bake [PRESET …]`."""

import json
import sys
import time

from modeseek.bandit.explore.on_policy.model import OnPolicyModel, chosen, training
from modeseek.bandit.explore.on_policy.presets import BUDGET, PASSES, PRESETS, experiment
from modeseek.bandit.explore.toolkit.recording import Recording, save
from modeseek.bandit.explore.toolkit.stored import DATA
from modeseek.bandit.simulator.results import versions

KEPT = ("log_ratios",)


def main(names: list[str]) -> None:
    """Train every cell of each preset's grid (all, if none is named), and write its file."""
    defaults = {control.name: getattr(control, "default", None) for control in OnPolicyModel.controls}
    for name in names or list(PRESETS):
        began = time.monotonic()
        grid: dict[str, Recording] = {}
        values = defaults | {"preset": name} | chosen(name)
        for passes in PASSES:
            *_, last = training(values | {"inner_steps": str(passes)})
            grid |= {f"B{samples}T{passes}": run for samples, run in last.run.items()}
        attributes = {
            "configuration": experiment(values, BUDGET).to_json(),
            "method": PRESETS[name].method,
            "versions": json.dumps(versions()),
            "command": f"python -m modeseek.bandit.explore.on_policy.bake {name}",
        }
        path = DATA / f"on-policy-{name}.nc"
        save(grid, path, attributes, KEPT)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
