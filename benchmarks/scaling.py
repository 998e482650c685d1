"""Runs a second against number of runs, devices and size of the network, beside PyTorch: one program of a run after
the other, one by `torch.func.vmap` over runs, and that one compiled.

    python -m pip install torch==2.13.0 && python benchmarks/scaling.py --out benchmarks/scaling

A process a setting, one after the other, since a process has one number of devices; nothing else may run. The unit is
that of `torch_bandit.py`; modeseek's has its share of a collection in it besides. Writes OUT.json and OUT.png. Settings
that OUT.json holds of this machine and these versions are not measured again; `torch.compile`, two minutes a setting,
comes last.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RUNS = (1, 2, 4, 8, 16, 32)
WIDTHS = (24, 48, 96, 192)
PROGRAMS = ("modeseek", "torch", "torch_vmap", "torch_compile")
TITLES = {
    "modeseek": "modeseek",
    "torch": "PyTorch, a run after the other",
    "torch_vmap": "PyTorch, vmap over runs",
    "torch_compile": "PyTorch, vmap, compiled",
}
TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def seconds_of(call: Any, repeats: int) -> tuple[float, float]:
    """Median seconds of a call, and of its first one, which compiles."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]), times[0]


def modeseek_unit(runs: int, devices: int, width: int, repeats: int) -> dict[str, float]:
    """Milliseconds of a step and run where so many runs are trained, group by group, and the floor."""
    from modeseek.bandit.simulator.devices import use_host_devices

    use_host_devices(max(2, devices))
    import jax
    import numpy as np
    from jax.sharding import Mesh

    from modeseek.bandit.commands.bench import forward_gflop, matmul_gflops
    from modeseek.bandit.simulator.config import EvaluationConfig, PolicyConfig
    from modeseek.bandit.simulator.experiment import Experiment
    from modeseek.bandit.simulator.groups import GroupPrograms
    from modeseek.bandit.simulator.plan import make_plan

    unit = Experiment(
        methods=("on_policy_ipo",), policy=PolicyConfig(width=width), evaluation=EvaluationConfig(behavior_kl=False)
    )
    programs = GroupPrograms(unit.static, devices, Mesh(np.asarray(jax.local_devices()[:devices]), ("runs",)))
    plan = make_plan(unit)
    programs.compile_for(plan.runs)
    of_runs = programs.put(plan.runs, np.zeros(devices, int))
    pretrained = programs("pretrain", of_runs.problem, of_runs.seed)
    states = [programs("start", pretrained.params, of_runs)[0] for _ in range(-(-runs // devices))]

    def turn() -> None:
        for i, state in enumerate(states):
            states[i], metrics = programs("collection", state, of_runs)
            jax.tree.map(np.asarray, metrics)

    steps = unit.algorithm.steps_per_collection
    median, _ = seconds_of(turn, repeats)
    gflop = (4 + 2 / steps) * forward_gflop(unit.static, 100)
    return {"ms": median * 1e3 / (steps * runs), "gflop": gflop, "gflops": devices * matmul_gflops(repeats)}


def torch_unit(program: str, runs: int, threads: int, width: int, repeats: int) -> dict[str, float]:
    """The same of a PyTorch program."""
    import torch
    from torch_bandit import many_runs, one_run

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if program == "torch":
        programs = [one_run(width) for _ in range(runs)]

        def turn() -> None:
            for step, evaluate in programs:
                step()
                evaluate()

    else:
        turn = many_runs(runs, width, compiled=program == "torch_compile")
    median, first = seconds_of(turn, repeats)
    return {"ms": median * 1e3 / runs, "first_s": first}


def settings(widest: int, most: int, cores: int) -> list[tuple[str, int, int, int]]:
    """Program, runs, devices (threads), width: each axis through the base point of 8 runs of width 48 on all cores."""
    widths = [w for w in WIDTHS if w <= widest]
    counts = [r for r in RUNS if r <= most]
    base = min(8, most)
    found = [("modeseek", runs, devices, 48) for devices in range(1, cores) for runs in counts if runs >= devices]
    for program in PROGRAMS:
        found += [(program, runs, cores, 48) for runs in counts if program != "modeseek" or runs >= cores]
        found += [(program, base, cores, width) for width in widths if width != 48]
    return found


def measure_all(out: Path, repeats: int, widest: int, most: int) -> None:
    """Every setting in a process of its own; the file is written after each."""
    from modeseek.machine import processor

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    path = out.with_suffix(".json")
    before = json.loads(path.read_text()) if path.exists() else {}
    machine = {"machine": processor(), "cores": cores, "python": platform.python_version(), "versions": versions()}
    rows: list[dict[str, Any]] = before["rows"] if machine.items() <= before.items() else []
    known = {(row["program"], row["runs"], row["devices"], row["width"]) for row in rows if "ms" in row}
    for program, runs, devices, width in settings(widest, most, cores):
        if (program, runs, devices, width) in known:
            continue
        asked = [program, str(runs), str(devices), str(width), str(repeats)]
        done = subprocess.run([sys.executable, __file__, "--one", *asked], capture_output=True, text=True)
        row: dict[str, Any] = {"program": program, "runs": runs, "devices": devices, "width": width}
        row |= json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"error": done.stderr[-400:]}
        rows.append(row)
        print(row, flush=True)
        path.write_text(json.dumps({**machine, "date": time.strftime("%F"), "rows": rows}, indent=1))


def versions() -> dict[str, str]:
    """Of what is compared."""
    from importlib.metadata import version

    return {name: version(name) for name in ("jax", "jaxlib", "torch")}


def draw(out: Path) -> None:
    """Milliseconds of a step and run against runs, and against width."""
    from modeseek.bandit.figures.style import ladder, new_figure, save_figure

    rows = [row for row in json.loads(out.with_suffix(".json").read_text())["rows"] if "ms" in row]
    cores = max(row["devices"] for row in rows)
    figure, axes = new_figure(1, 2, panel=(4.6, 3.4))
    curves = [(program, cores, TITLES[program]) for program in PROGRAMS] + [("modeseek", 1, "modeseek, one device")]
    for (program, devices, title), style in zip(curves, ladder(len(curves)), strict=True):
        own = [row for row in rows if row["program"] == program and row["devices"] == devices]
        for panel, axis, fixed in ((axes[0, 0], "runs", ("width", 48)), (axes[0, 1], "width", ("runs", 8))):
            line = sorted((row[axis], row["ms"]) for row in own if row[fixed[0]] == fixed[1])
            if len(line) > 1:
                panel.plot(*zip(*line, strict=True), **style.line(), label=title)
    base = [row for row in rows if "gflop" in row and row["runs"] == 8 and row["devices"] == cores]
    floors = sorted((row["width"], 1e3 * row["gflop"] / row["gflops"]) for row in base)
    axes[0, 1].plot(*zip(*floors, strict=True), color="#6E6E6E", linestyle=":", label="the arithmetic alone")
    titles = {"runs": "runs, width 48", "width": "width of the network, 8 runs"}
    for panel, (axis, title) in zip(axes[0], titles.items(), strict=True):
        panel.set(xscale="log", yscale="log", xlabel=title, ylabel="ms a step and run")
        for ticks, values in (
            (panel.set_xticks, sorted({row[axis] for row in rows})),
            (panel.set_yticks, [tick for tick in TICKS if panel.get_ylim()[0] <= tick <= panel.get_ylim()[1]]),
        ):
            ticks(values, [f"{value:g}" for value in values])
        panel.minorticks_off()
    known = {text: line for panel in axes[0] for line, text in zip(*panel.get_legend_handles_labels(), strict=True)}
    figure.legend(known.values(), known, loc="outside lower center", ncols=3, handlelength=3.2)
    save_figure(figure, out, ("png",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/scaling"), help="stem of the files")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--widest", type=int, default=max(WIDTHS))
    parser.add_argument("--most", type=int, default=max(RUNS), help="runs")
    parser.add_argument("--draw", action="store_true", help="draw what OUT.json holds, measure nothing")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        program, *numbers = asked.one
        runs, devices, width, repeats = map(int, numbers)
        measured = (
            modeseek_unit(runs, devices, width, repeats)
            if program == "modeseek"
            else torch_unit(program, runs, devices, width, repeats)
        )
        print(json.dumps(measured))
        return
    if not asked.draw:
        measure_all(asked.out, asked.repeats, asked.widest, asked.most)
    draw(asked.out)


if __name__ == "__main__":
    main()
