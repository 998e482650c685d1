"""The work unit of `modeseek bench` beside a vectorised PyTorch program for the same step, in one run.

    python -m pip install torch==2.13.0 && python benchmarks/against_torch.py

The unit, and PyTorch's program for it, are in `torch_bandit.py`. Each side is measured alone, one after the other.
`scaling.py` has many runs, devices and networks.
"""

import statistics
import time

import torch
from torch_bandit import one_run

from modeseek.bandit.commands.bench import measure
from modeseek.bandit.simulator.devices import use_host_devices


def torch_unit(threads, repeats=30):
    """Median milliseconds of the gradient step, and of step and evaluation."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    step, evaluate = one_run()
    steps, units = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        steps.append(time.perf_counter() - start)
        evaluate()
        units.append(time.perf_counter() - start)
    return statistics.median(steps[5:]) * 1e3, statistics.median(units[5:]) * 1e3


def main():
    print(f"torch {torch.__version__}")
    for threads in (1, 2):
        step, unit = torch_unit(threads)
        print(f"PyTorch, {threads} thread(s): gradient step {step:6.1f} ms, with evaluation {unit:6.1f} ms")
    use_host_devices()
    rows, _ = measure(20)
    for row in rows:
        print(f"modeseek: {row.name:60s} {row.median:6.1f} ms")


if __name__ == "__main__":
    main()
