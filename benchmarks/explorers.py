"""How long the notebooks' explorers take: first picture, change of preset, redraw; wall time in the kernel alone.

    python benchmarks/explorers.py            # all of them, each in a process of its own
    python benchmarks/explorers.py KLExplorer

The browser's share, input to decoded picture, is measured by `python -m pytest -s tests/test_browser.py`.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

GOALS = {"first picture": 3000, "preset": 300, "redraw": 50}
"""Milliseconds."""


def explorers() -> list[str]:
    import modeseek.bandit.explore

    return [name for name in modeseek.bandit.explore.__all__ if name.endswith("Explorer")]


def timed(action: Callable[..., Any], **arguments: Any) -> float:
    start = time.perf_counter()
    action(**arguments)
    return 1000 * (time.perf_counter() - start)


def first_picture(name: str) -> tuple[float, Any]:
    """From nothing imported to the picture's bytes, milliseconds; and the explorer."""
    start = time.perf_counter()
    import modeseek.bandit.explore

    explorer = getattr(modeseek.bandit.explore, name)()
    assert explorer.widget is not None  # made when it is asked for
    explorer.png()
    return 1000 * (time.perf_counter() - start), explorer


def presets(explorer: Any) -> list[float]:
    """Every preset after every one before it in the list, twice around: the second time nothing is new."""
    times = [timed(explorer.set, preset=name) for name in [*explorer.presets()] * 2]
    return times[len(explorer.presets()) :]


def redraws(explorer: Any, moves: int = 10) -> dict[str, list[float]]:
    """Each number moved along its range: what a slider does, the computation and all widgets included."""
    from modeseek.bandit.explore.toolkit.controls import Number

    found = {}
    for control in explorer.model.controls:
        if not isinstance(control, Number):
            continue
        explorer.reset()
        low, high = explorer.model.limits(control.name)
        places = [low + (high - low) * (i + 1) / (moves + 1) for i in range(moves)]
        values = [round(x) if control.whole else x for x in places]
        # What is out of range by then is mended by the view-model, as it is under a slider.
        found[control.name] = [timed(explorer.set, **{control.name: value}) for value in values]
    return found


def measure(name: str) -> None:
    first, explorer = first_picture(name)
    switches = presets(explorer)
    moved = redraws(explorer)
    every = [t for times in moved.values() for t in times]
    worst = max(moved, key=lambda control: median(moved[control])) if moved else ""
    slowest = f"{worst} {median(moved[worst]):.0f}" if moved else ""
    print(
        f"| {name} | {first:.0f} | {median(switches):.0f} | {max(switches):.0f} | "
        f"{f'{median(every):.0f}' if every else ''} | {slowest} |",
        flush=True,
    )


def main() -> None:
    if sys.argv[1:]:
        measure(sys.argv[1])
        return
    goals = ", ".join(f"{what} under {ms} ms" for what, ms in GOALS.items())
    print(f"goals: {goals}\n")
    print("| explorer | first picture, ms | preset, median | preset, slowest | redraw, median | slowest control |")
    print("|---|---:|---:|---:|---:|---|")
    for name in explorers():
        subprocess.run([sys.executable, __file__, name], check=True)


if __name__ == "__main__":
    main()
