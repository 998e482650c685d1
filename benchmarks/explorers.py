"""How long the notebooks' explorers take: first picture, another preset, a player's step, a slider; the kernel alone.

    python benchmarks/explorers.py                        # all of them, each in a process of its own
    python benchmarks/explorers.py KLExplorer PhaseExplorer
    python benchmarks/explorers.py --before CHECKOUT/src  # each in turn with another checkout's, row by row

Processor time of the process, so that other work on the machine counts little; the first picture in wall time too. The
browser's share, input to decoded picture, is measured by `python -m pytest -s tests/test_browser.py`. What notebook 10
shows has no controls: its pictures of recorded runs, and its table, stand in rows with a first picture and one again.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any

GOALS = {"first picture": 3000, "preset": 300, "player, p95": 100, "slider": 50}
"""Milliseconds."""
HEADS = (
    "explorer",
    "first picture: wall · processor",
    "preset, first time: median · most",
    "preset, again: median · most",
    "player: median · p95",
    "sliders: median",
    "slowest slider",
)


RECORDED = ("fig10", "fig20", "fig6", "eos")
"""What notebook 10 draws."""
CARRIES_OVER = "carries_over"
"""Its table."""


def explorers() -> list[str]:
    import modeseek.bandit.explore

    names = [name for name in modeseek.bandit.explore.__all__ if name.endswith("Explorer")]
    return [*names, *RECORDED, CARRIES_OVER]


def timed(action: Callable[..., Any], **arguments: Any) -> float:
    start = time.process_time()
    action(**arguments)
    return 1000 * (time.process_time() - start)


def explorer_of(name: str) -> Any:
    """An explorer whose picture has been seen."""
    import modeseek.bandit.explore

    explorer = getattr(modeseek.bandit.explore, name)()
    assert explorer.widget is not None  # made when it is asked for
    explorer.png()
    return explorer


def recorded(name: str) -> Any:
    """What notebook 10 shows under this name, seen."""
    if name == CARRIES_OVER:
        from modeseek.llm.explore.lessons import carries_over

        return carries_over()
    from modeseek.llm.explore.recorded import Recorded

    return Recorded(name).picture.png()


def first(make: Callable[[str], Any], name: str) -> tuple[str, Any]:
    """From nothing imported to what is seen: milliseconds of the clock and of the processor; and what was made."""
    wall, processor = time.perf_counter(), time.process_time()
    made = make(name)
    return f"{1000 * (time.perf_counter() - wall):.0f} · {1000 * (time.process_time() - processor):.0f}", made


def presets(explorer: Any) -> list[float]:
    """Every preset after every one before it in the list."""
    return [timed(explorer.set, preset=name) for name in explorer.presets()]


def places(explorer: Any, control: Any, count: int) -> list[float]:
    """So many values along a number's range."""
    low, high = explorer.model.limits(control.name)
    values = [low + (high - low) * (i + 1) / (count + 1) for i in range(count)]
    return [round(x) if control.whole else x for x in values]


def played(explorer: Any) -> list[float]:
    """What the player does, or a reader who goes through the rows: twenty of its steps."""
    explorer.reset()
    control = next(c for c in explorer.model.controls if c.name in ("step", "row"))
    return [timed(explorer.set, **{control.name: value}) for value in places(explorer, control, 20)]


def sliders(explorer: Any, moves: int = 8) -> dict[str, list[float]]:
    """Each number moved along its range: what a slider does, the computation and all widgets included."""
    from modeseek.bandit.explore.toolkit.controls import Number

    found = {}
    for control in explorer.model.controls:
        if isinstance(control, Number):
            explorer.reset()
            # What is out of range by then is mended by the view-model, as it is under a slider.
            values = places(explorer, control, moves)
            found[control.name] = [timed(explorer.set, **{control.name: value}) for value in values]
    return found


def measure(name: str, label: str) -> None:
    print(f"| `{name}`{label} | {' | '.join(shown(name) if name.endswith('Explorer') else again(name))} |", flush=True)


def again(name: str) -> tuple[str, ...]:
    """What was measured of what has no controls."""
    seen, _ = first(recorded, name)
    times = [timed(recorded, name=name) for _ in range(5)]
    return seen, "—", f"{median(times):.0f} · {max(times):.0f}", "—", "—", "—"


def shown(name: str) -> tuple[str, ...]:
    """What was measured of an explorer."""
    seen, explorer = first(explorer_of, name)
    new, again, steps, moved = presets(explorer), presets(explorer), played(explorer), sliders(explorer)
    every = [t for times in moved.values() for t in times]
    worst = max(moved, key=lambda control: median(moved[control]))
    return (
        seen,
        f"{median(new):.0f} · {max(new):.0f}",
        f"{median(again):.0f} · {max(again):.0f}",
        f"{median(steps):.0f} · {quantiles(steps, n=20)[-1]:.0f}",
        f"{median(every):.0f}",
        f"{worst} {median(moved[worst]):.0f}",
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("names", nargs="*", help="explorers; all, if none is named")
    asked.add_argument("--before", help="the src folder of another checkout, measured in turn")
    asked.add_argument("--alone", help=argparse.SUPPRESS)
    options = asked.parse_args()
    if options.alone is not None:
        measure(options.names[0], options.alone)
        return
    print(f"goals, ms: {', '.join(f'{what} under {ms}' for what, ms in GOALS.items())}\n")
    print(f"| {' | '.join(HEADS)} |\n|---|{'---:|' * (len(HEADS) - 2)}---|", flush=True)
    versions = {"": {}, ", before": {"PYTHONPATH": options.before}} if options.before else {"": {}}
    for name in options.names or explorers():
        for label, settings in reversed(versions.items()):
            command = [sys.executable, __file__, name, "--alone", label]
            subprocess.run(command, check=True, env={**os.environ, **settings})


if __name__ == "__main__":
    main()
