"""What `modeseek kl` computes: one labelled dataset with trajectories, speeds, the region map and the simplex."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from modeseek import __version__
from modeseek.bandit.categorical.closed_forms import logarithmic_mean
from modeseek.bandit.categorical.dynamics import PAIR, simulate
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.paths import Progress
from modeseek.bandit.categorical.problem import Problem, from_target

FRACTIONS = (0.1, 0.5, 0.9)
PAIR_TOLERANCE = 0.02
"""Two categories count as equally likely, for the region map, if they differ by at most 2 %."""
MOST_CATEGORIES = 5_000
"""All pairs of them are looked at: some 300 MB."""
MOST_ENTRIES = 40_000_000
"""Largest objectives × steps × categories: 320 MB of log-probabilities."""


def steps_to(rewards: np.ndarray, achievable: float) -> np.ndarray:
    """First step at which 10, 50 and 90 % of the way from the start's reward to the target's is done; -1 if never.

    Args:
        rewards: E_p[r] along the way, `[E]`.
        achievable: E_q[r] of the target.
    """
    levels = rewards[0] + np.asarray(FRACTIONS) * (achievable - rewards[0])
    reached = rewards[None, :] >= levels[:, None]
    return np.where(reached.any(-1), reached.argmax(-1), -1)


def check_size(objectives: int, steps: int, categories: int) -> None:
    """Whether the trajectories fit into memory.

    Raises:
        ValueError: they would not fit `MOST_ENTRIES`.
    """
    if objectives * steps * categories > MOST_ENTRIES:
        raise ValueError(
            f"objectives × steps × categories must be at most {MOST_ENTRIES:,}, "
            f"got {objectives} × {steps} × {categories}"
        )


def kl_study(
    problem: Problem,
    start: np.ndarray,
    *,
    objectives: tuple[str, ...] = PAIR,
    optimizer: str = "gd",
    settings: Settings | None = None,
    steps: int = 2000,
    configuration: dict[str, Any] | None = None,
    progress: Progress = iter,
) -> xr.Dataset:
    """Trajectories and everything that the figures show, as one dataset.

    Raises:
        ValueError: as `dynamics.simulate`; or the trajectories would not fit `MOST_ENTRIES`.
    """
    settings = settings or Settings()
    check_size(len(objectives), steps, problem.categories)
    log_probs, metrics = simulate(
        problem, start, objectives=objectives, optimizer=optimizer, settings=settings, steps=steps, progress=progress
    )
    with np.errstate(invalid="ignore"):  # -inf - -inf: a category that has no mass has no change of it either
        push = np.nan_to_num(np.diff(log_probs, axis=1), nan=0.0, neginf=-np.inf)
    achievable = float(np.exp(problem.log_target) @ problem.rewards)
    data = xr.Dataset(
        {
            "log_prob": (("objective", "step", "category"), log_probs, {"units": "nats"}),
            "push": (
                ("objective", "update", "category"),
                push,
                {"units": "nats", "long_name": "log p[t+1]/p[t], eqs. 12 and 13"},
            ),
            "steps_to": (
                ("objective", "fraction"),
                np.stack([steps_to(rewards, achievable) for rewards in metrics.expected_reward]),
                {"long_name": "first step with this share of the achievable reward; -1: not reached"},
            ),
            "target": ("category", np.exp(problem.log_target)),
            "reference": ("category", np.exp(problem.log_reference)),
            "start": ("category", np.asarray(start, np.float64)),
            "reward": ("category", problem.rewards),
            "achievable_reward": achievable,
            **{name: (("objective", "step"), values) for name, values in metrics._asdict().items()},
        },
        coords={"objective": list(objectives), "fraction": list(FRACTIONS)},
        attrs={
            "configuration": json.dumps(configuration or {}, sort_keys=True, default=str),
            "modeseek_version": __version__,
            "optimizer": optimizer,
        },
    )
    data = data.merge(region_map(np.asarray(start, np.float64), np.exp(problem.log_target)))
    if problem.categories >= 3:
        data = data.merge(simplex_flows(np.asarray(start, np.float64), np.exp(problem.log_target)))
    return data.assign_attrs({f"description_{name}": text(data) for name, text in DESCRIPTIONS.items()})


def region_map(start: np.ndarray, target: np.ndarray, points: int = 121) -> xr.Dataset:
    """Case 1 in two numbers: with u = q₁/p and v = q₂/p, Δr > Δf ⇔ L(u, v) < 1, since L is homogeneous.

    Also the problem's own pairs of (nearly) equally likely categories with different targets, at most 400 of them.
    """
    grid = np.logspace(-2, 2, points)
    mean = logarithmic_mean(grid[:, None], grid[None, :])
    first, second = np.triu_indices(start.size, 1)
    equal = np.abs(start[first] - start[second]) <= PAIR_TOLERANCE * np.maximum(start[first], start[second])
    keep = np.flatnonzero(equal & (target[first] != target[second]) & (start[first] > 0))
    keep = keep[:: max(1, -(-keep.size // 400))]
    first, second = first[keep], second[keep]
    p = 0.5 * (start[first] + start[second])
    high, low = np.maximum(target[first], target[second]) / p, np.minimum(target[first], target[second]) / p
    return xr.Dataset(
        {
            "region_mean": (("ratio_high", "ratio_low"), mean, {"long_name": "L(q1/p, q2/p); below 1 case 1 holds"}),
            "pair_high": ("pair", high),
            "pair_low": ("pair", low),
            "pair_holds": ("pair", (logarithmic_mean(high, low) < 1).astype(np.int8)),
            "pair_first": ("pair", first),
            "pair_second": ("pair", second),
        },
        coords={"ratio_high": grid, "ratio_low": grid},
    )


def simplex_flows(start: np.ndarray, target: np.ndarray, steps: int = 400, step_size: float = 0.1) -> xr.Dataset:
    """Continuous-time paths of both divergences over three categories, from the problem's start and 12 others.

    A problem with more categories is lumped into three contiguous blocks, whose masses are its sums.
    """
    blocks = np.array_split(np.arange(start.size), 3)
    lumped_start = _floored(np.array([start[block].sum() for block in blocks]))
    lumped_target = _floored(np.array([target[block].sum() for block in blocks]))
    starts = np.concatenate([lumped_start[None], _lattice()])
    problem = from_target(lumped_target)
    paths = [
        simulate(problem, p, optimizer="flow", settings=Settings(step_size=step_size), steps=steps)[0] for p in starts
    ]
    # Equal times are far apart early and close late: keep a geometric selection.
    kept = np.unique(np.concatenate([[0], np.geomspace(1, steps, 60).astype(int)]))
    return xr.Dataset(
        {
            "simplex_prob": (
                ("divergence", "simplex_start", "time", "corner"),
                np.exp(np.stack(paths, axis=1))[:, :, kept],
            ),
            "simplex_target": ("corner", lumped_target),
        },
        coords={
            "divergence": list(PAIR),
            "time": kept * step_size,
            "corner": [f"{block[0]}" if block.size == 1 else f"{block[0]}–{block[-1]}" for block in blocks],
        },
    )


def _floored(masses: np.ndarray) -> np.ndarray:
    """Masses of at least 1e-4, so that a path can leave the edge and be drawn."""
    raised = np.maximum(masses, 1e-4)
    return np.asarray(raised / raised.sum())


def _lattice() -> np.ndarray:
    """Twelve starts around the edge of the triangle."""
    side = np.linspace(0.08, 0.86, 4)
    edges = (
        [(a, 0.94 - a, 0.06) for a in side] + [(0.06, a, 0.94 - a) for a in side] + [(0.94 - a, 0.06, a) for a in side]
    )
    return np.asarray(edges)


def _label(name: str) -> str:
    return {"forward_kl": "forward KL(target ‖ policy)", "reverse_kl": "reverse KL(policy ‖ target)"}.get(
        name, name.replace("_", " ")
    )


def _count(step: float, steps: int) -> str:
    if step < 0:
        return f"more than {steps} steps"
    return f"{int(step)} step{'' if step == 1 else 's'}"


def _describe_curves(data: xr.Dataset) -> str:
    steps = data.sizes["step"] - 1
    needed = data["steps_to"].sel(fraction=0.5)
    parts = [
        f"{_label(str(name))} needs {_count(float(needed.sel(objective=name)), steps)}"
        for name in data.objective.values
    ]
    return f"To half of the achievable reward ({float(data.achievable_reward):.3f}), " + ", ".join(parts) + "."


def _describe_bars(data: xr.Dataset) -> str:
    parts = []
    for name in data.objective.values[:2]:
        push = data["push"].sel(objective=name).isel(update=0)
        category = int(push.argmax("category"))
        parts.append(f"{_label(str(name))} raises category {category} most, by {float(push[category]):.3g} nats")
    return "In its first step " + " and ".join(parts) + "."


def _describe_regions(data: xr.Dataset) -> str:
    count = data.sizes["pair"]
    if not count:
        return "Above the curve p = L(q₁, q₂) reverse KL separates two equally likely categories more than forward KL."
    share = float(data["pair_holds"].mean())
    if share in (0.0, 1.0):
        how = "more" if share else "less"
        return f"Reverse KL separates all {count} pairs that the start makes equally likely {how} than forward KL does."
    return (
        f"Of {count} pairs of categories that the start makes equally likely, {share:.0%} lie where reverse KL "
        "separates them more than forward KL does (p > L(q₁, q₂)), the others where it separates them less."
    )


def _describe_simplex(data: xr.Dataset) -> str:
    if "simplex_prob" not in data:
        return "Two categories: a simplex of one dimension, not drawn."
    paths = data["simplex_prob"].isel(simplex_start=0)
    detour = []
    for name in PAIR:
        path = paths.sel(divergence=name).values
        walked = np.linalg.norm(np.diff(path, axis=0), axis=-1).sum()
        detour.append(walked / np.linalg.norm(path[-1] - path[0]))
    return (
        f"From the problem's start to the target the forward flow walks {detour[0]:.2f} times the straight line, the "
        f"reverse flow {detour[1]:.2f} times."
    )


def _describe_animation(data: xr.Dataset) -> str:
    last = data.sizes["step"] - 1
    middle = int(np.sqrt(last))
    target = data["target"].values
    start_distance = np.abs(data["start"].values - target).sum()
    if start_distance == 0:
        return "The start is the target: nothing moves."
    parts = []
    for name in PAIR:
        policies = np.exp(data["log_prob"].sel(objective=name).values[[middle, last]])
        left = np.abs(policies - target).sum(-1) / start_distance
        parts.append(f"{_label(name)} {1 - left[0]:.0%} and {1 - left[1]:.0%}")
    when = f"by step {middle} (halfway on the clock) and by step {last}"
    return f"Of the misplaced mass, moved {when}: {', '.join(parts)}."


DESCRIPTIONS: dict[str, Callable[[xr.Dataset], str]] = {
    "curves": _describe_curves,
    "bars": _describe_bars,
    "regions": _describe_regions,
    "simplex": _describe_simplex,
    "animation": _describe_animation,
}
"""One computed sentence a figure, for its caption and its alt text."""
