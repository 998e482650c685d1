"""A program of its own: a sweep on so many devices, alone or as one of two processes; it says each file that it saves.

python sweep_cases.py EXPERIMENT OUT DEVICES CACHE [ADDRESS INDEX]

EXPERIMENT is a file of an experiment's JSON, CACHE a folder of compiled programs, or "off".
"""

import os
import sys
from pathlib import Path


def main(experiment, out, devices, cache, address=None, index="0"):
    os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": devices}
    import jax
    import numpy as np

    from modeseek.bandit.simulator import runner, store
    from modeseek.bandit.simulator.devices import use_host_devices
    from modeseek.bandit.simulator.experiment import Experiment
    from modeseek.bandit.simulator.sweep import run_sweep
    from modeseek.processes import initialize

    if cache != "off":
        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    use_host_devices()
    if address is not None:
        assert initialize(address, 2, int(index), timeout=300)
    assert jax.local_device_count() == int(devices)
    runner.CHECKPOINT_SECONDS, runner.SAVING_SHARE = 0.0, np.inf  # after every collection
    real = store.save_arrays

    def save(path, arrays, seal):
        real(path, arrays, seal)
        print("saved", path.name, flush=True)

    store.save_arrays = save
    sweep = run_sweep(Experiment.from_json(Path(experiment).read_text()), Path(out), progress=False)
    print("complete" if sweep.complete else "stopped", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
