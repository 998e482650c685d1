"""The view-model of forward against reverse KL: both trajectories, from one start to one target, by closed forms."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from modeseek.bandit.categorical.criteria import inspect_pair
from modeseek.bandit.categorical.dynamics import kept, simulate
from modeseek.bandit.categorical.metrics import Metrics
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.presets import PRESETS, named_problem
from modeseek.bandit.categorical.problem import Knobs, Problem, from_target
from modeseek.bandit.categorical.study import region_map, steps_to
from modeseek.bandit.explore.toolkit.controls import rounded, with_bar
from modeseek.bandit.explore.toolkit.model import ViewModel
from modeseek.bandit.explore.toolkit.values import SteppedValues, choice, distribution, number

OPEN = {
    "R1": ("R1", "the bandit, its reward's peak far from the reference"),
    "R2": ("R2", "the bandit, its reward's peak near the reference"),
    "bimodal": ("bimodal", "two equal peaks, the start close to one"),
    "random": ("dirichlet:1", "a random start and a random target"),
}
"""Presets made for any number of categories: name → name of the problem, what it shows."""

OPTIMIZERS = {"gd": "gradient descent", "adam": "Adam", "natural": "natural gradient", "flow": "continuous time"}
STEP_SIZES = {"gd": 1.0, "adam": 0.05, "natural": 0.05, "flow": 0.5}

RUNS = ("forward_kl", "reverse_kl")


class KLResult(NamedTuple):
    """Everything the views show.

    Attributes:
        log_probs: `[2, steps + 1, K]`, of forward KL's run and of reverse KL's.
        metrics: each `[2, steps + 1]`.
        progress: share of the way from the start's expected reward to the target's, `[2, steps + 1]`.
        push: log p[t+1]/p[t] over the step size, `[2, steps, K]`; eqs. 12 and 13 with their constants Z and Z'.
        steps_to: first step with 10, 50 and 90 % of the way, `[2, 3]`; -1 if never.
        regions: the pairs of equally likely categories, as `study.region_map` has them.
    """

    log_probs: np.ndarray
    metrics: Metrics
    progress: np.ndarray
    push: np.ndarray
    steps_to: np.ndarray
    regions: xr.Dataset


NEUTRAL = {"ten-alike": "case-1-fails"}
"""Second names, for who has not yet said what will happen."""


@dataclass(frozen=True)
class KLValues(SteppedValues):
    """What the explorer is set to; every preset says start and target, so that their number is asked for or 0."""

    preset: str = choice(
        "preset",
        {
            **{name: f"{name}: {preset.shows}" for name, preset in PRESETS.items()},
            **{name: f"{name}: {shows}" for name, (_, shows) in OPEN.items()},
        },
        "case-1-fails",
        also=NEUTRAL,
        help="A start and a target, chosen for what they show.",
    )
    categories: int = number(
        "categories K",
        3,
        100,
        0,
        whole=True,
        help="How many categories there are; start and target are cut or extended.",
    )
    seed: int = number("seed", 0, 9999, 0, whole=True, help="Which random start and target the preset random draws.")
    beta: float = number(
        "β of the reward",
        0.02,
        2.0,
        0.1,
        log=True,
        help="What a nat of KL costs, for R1 and R2: a larger β keeps their target nearer to the start.",
    )
    target: tuple[float, ...] = distribution(
        "target q", least=3, help="The distribution that both divergences are minimised at."
    )
    start: tuple[float, ...] = distribution("start p₀", least=3, help="The distribution that both policies begin with.")
    optimizer: str = choice(
        "optimizer", OPTIMIZERS, "gd", help="How a gradient becomes a step: all four follow the same two gradients."
    )
    step_size: float = number(
        "step size η", 0.001, 20.0, 1.0, log=True, help="How far one step goes along the gradient."
    )
    steps: int = number("steps", 10, 1000, 200, whole=True, help="How many steps are computed; the player ends there.")
    first: int = number(
        "category i",
        0,
        99,
        0,
        whole=True,
        view=True,
        help="First category of the pair that Theorem E.5 is held against.",
    )
    second: int = number("category j", 0, 99, 1, whole=True, view=True, help="Second category of that pair.")
    target_bar: float = number(
        "target of i",
        1e-4,
        0.999,
        0.5,
        log=True,
        derived=True,
        help="The target's probability of category i; the others keep their proportions.",
    )
    start_bar: float = number(
        "start of i",
        1e-4,
        0.999,
        0.5,
        log=True,
        derived=True,
        help="The start's probability of category i; the others keep their proportions.",
    )
    step: int = number(
        "step",
        0,
        1000,
        0,
        whole=True,
        view=True,
        until="steps",
        help="After how many steps both policies are looked at.",
    )


class KLModel(ViewModel[KLValues, KLResult]):
    """Which divergence gets there first, and through what?"""

    kind = "kl"
    title = "Forward against reverse KL"
    recipe = ("categories", "seed", "beta")
    near = ("target", "start", "step_size", "optimizer")
    defaults = KLValues()

    def limits(self, name: str) -> tuple[float, float]:
        """Categories end where this problem's do."""
        return (0.0, self.values.categories - 1.0) if name in ("first", "second") else super().limits(name)

    def preset(self, values: KLValues) -> KLValues:
        """Start and target of a named problem, made (or cut) for the number of categories asked for."""
        name = values.preset
        size = values.categories or (100 if name in OPEN else len(PRESETS[name].start))
        if name in OPEN:
            knobs = Knobs(beta=values.beta)
            problem, start, _ = named_problem(OPEN[name][0], categories=size, seed=values.seed, knobs=knobs)
            target = np.exp(problem.log_target)
        else:
            start, target = (_resized(each, size) for each in (PRESETS[name].start, PRESETS[name].target))
        first, second = (int(np.argmax(target)), int(np.argmax(start))) if size > 20 else (0, 1)
        second = second if second != first else (first + 1) % size
        return replace(values, categories=size, target=_tuple(target), start=_tuple(start), first=first, second=second)

    def settle(self, values: KLValues, changed: str, before: KLValues) -> KLValues:
        """Vectors of one length that sum to one, and a pair of two categories."""
        if changed in self.recipe:
            values = self._make_again(values, changed)
        elif changed == "target":
            values = replace(values, start=self._fitted("start", values.start, len(values.target)))
            values = replace(values, categories=len(values.target))
        elif changed == "start":
            values = replace(values, target=self._fitted("target", values.target, len(values.start)))
            values = replace(values, categories=len(values.start))
        elif changed == "target_bar":
            values = replace(values, target=with_bar(values.target, values.first, values.target_bar))
        elif changed == "start_bar":
            values = replace(values, start=with_bar(values.start, values.first, values.start_bar))
        elif changed == "optimizer":
            values = replace(values, step_size=STEP_SIZES[values.optimizer])
            self.notes.append(f"step size set to {values.step_size:g}, usual for {OPTIMIZERS[values.optimizer]}")
        size = len(values.target)
        if not len(values.start) == values.categories == size:
            counts = f"{size}, {len(values.start)} and {values.categories}"
            raise ValueError(f"target, start and categories must agree in their number, got {counts}")
        first, second = self._pair(values, size)
        values = replace(values, first=first, second=second)
        return replace(values, target_bar=values.target[first], start_bar=values.start[first])

    def _make_again(self, values: KLValues, changed: str) -> KLValues:
        """A new size, seed or β: the preset made anew, if it depends on that; otherwise the vectors cut or extended."""
        name, size = values.preset, values.categories
        depends = {"categories": set(OPEN), "seed": {"random"}, "beta": {"R1", "R2"}}[changed]
        if name in depends:
            self.notes.append("start and target were made anew")
            return self.preset(values)
        if changed == "categories":
            self.notes.append("start and target were cut or extended, and divided by their sums")
            return replace(values, target=_refitted(values.target, size), start=_refitted(values.start, size))
        self.notes.append(f"{name} does not depend on it; {' and '.join(sorted(depends))} would")
        return values

    def _fitted(self, name: str, vector: tuple[float, ...], size: int) -> tuple[float, ...]:
        """Start or target, as long as the other one."""
        if len(vector) == size:
            return vector
        self.notes.append(f"the {name} was cut or extended to {size} categories, and divided by its sum")
        return _refitted(vector, size)

    def _pair(self, values: KLValues, size: int) -> tuple[int, int]:
        first, second = min(values.first, size - 1), min(values.second, size - 1)
        if first == second:
            second = first + 1 if first + 1 < size else first - 1
        if (first, second) != (values.first, values.second):
            self.notes.append(f"a pair is two of the {size} categories: i = {first} and j = {second}")
        return first, second

    def compute(self, values: KLValues) -> KLResult:
        """Both runs of `dynamics.simulate`, in NumPy.

        Raises:
            ValueError: as `simulate`.
        """
        start, target = np.asarray(values.start), np.asarray(values.target)
        problem, settings = _problem(values), Settings(step_size=np.float64(values.step_size))
        log_probs, metrics = simulate(
            problem,
            start,
            objectives=RUNS,
            optimizer=values.optimizer,
            settings=settings,
            steps=values.steps,
            begin=kept,
        )
        rewards = metrics.expected_reward
        achievable = float(target @ problem.rewards)
        way = achievable - rewards[:, :1]
        with np.errstate(invalid="ignore", divide="ignore"):
            progress = np.where(np.abs(way) > 1e-12, (rewards - rewards[:, :1]) / way, 1.0)
            push = np.diff(log_probs, axis=1) / values.step_size
        return KLResult(
            log_probs,
            metrics,
            progress,
            np.nan_to_num(push, nan=0.0, neginf=-1e6),
            np.stack([steps_to(each, achievable) for each in rewards]),
            region_map(start, target),
        )

    def probs(self) -> np.ndarray:
        """Both policies at the chosen step, `[2, K]`."""
        return np.asarray(np.exp(self.result.log_probs[:, self.values.step]))

    def pushes(self) -> np.ndarray:
        """Where one more step pushes both of them, per unit of step size, `[2, K]`; at the end, the last step's."""
        return np.asarray(self.result.push[:, min(self.values.step, self.values.steps - 1)])

    def pair_sentence(self) -> str:
        """What Theorem E.5 and its exact criterion say about the chosen pair, at the start."""
        i, j = self.values.first, self.values.second
        start, target = np.asarray(self.values.start), np.asarray(self.values.target)
        if not ((start > 0).all() and (target > 0).all()):
            return f"Categories {i} and {j}: the theorem needs positive probabilities everywhere."
        verdict = inspect_pair(start, target, i, j)
        sign = ">" if verdict.reverse_larger else "<"
        if abs(verdict.reverse - verdict.forward) < 1e-12:
            sign = "="
        one, other = verdict.pair
        text = (
            f"Categories {one} and {other} at the start (eq. 16, per unit of step size): Δr = {verdict.reverse:.3g} "
            f"{sign} Δf = {verdict.forward:.3g}"
        )
        sizes = abs(verdict.reverse), abs(verdict.forward)
        if min(verdict.reverse, verdict.forward) < 0 and abs(sizes[0] - sizes[1]) > 1e-12:
            which = "reverse" if sizes[0] > sizes[1] else "forward"
            text += f" ({which} KL moves log(p₁/p₂) further)"
        p, q = start[i], target[i]
        reason = {
            "case 1": f"case 1: p = {p:.3g} {sign} L(q₁, q₂) = {verdict.threshold:.4g}",
            "cases 2 and 3": f"cases 2, 3: q = {q:.3g} {sign} I(p₁, p₂) exp(-KL) = {verdict.threshold:.4g}",
            "equal gap": "equal gap: Δf = 0, and reverse KL favours the likelier of the two",
            "none": "none of the theorem's cases",
        }[verdict.case]
        return f"{text}; {reason}."

    def caption(self) -> str:
        """Both runs at the chosen step in numbers, and the pair."""
        values, result = self.values, self.result
        step = values.step
        parts = []
        for run, name in enumerate(("forward KL", "reverse KL")):
            half = result.steps_to[run, 1]
            parts.append(
                f"{name} has done {result.progress[run, step]:.0%} of the way in expected reward "
                f"(half {'at step ' + str(half) if half >= 0 else 'never'}), "
                f"KL(q ‖ p) = {result.metrics.forward_kl[run, step]:.3g}, "
                f"KL(p ‖ q) = {result.metrics.reverse_kl[run, step]:.3g} nats"
            )
        return (
            f"{values.preset}, {OPTIMIZERS[values.optimizer]}, η = {values.step_size:.3g}, step {step} of "
            f"{values.steps}: {'; '.join(parts)}. {self.pair_sentence()}"
        )

    def table(self) -> dict[str, Any]:
        """One row a run and step."""
        result = self.result
        steps = self.values.steps + 1
        columns: dict[str, Any] = {"run": np.repeat(RUNS, steps), "step": np.tile(np.arange(steps), 2)}
        columns |= {name: values.ravel() for name, values in result.metrics._asdict().items()}
        probs = np.exp(result.log_probs).reshape(2 * steps, -1)
        return columns | {f"p_{k}": probs[:, k] for k in range(probs.shape[1])}


def _problem(values: KLValues) -> Problem:
    """The target with the rewards that it implies, β log(q/p₀): R1 and R2 get their own rewards, less a constant."""
    start = np.maximum(np.asarray(values.start), 1e-12)
    return from_target(values.target, start / start.sum(), knobs=Knobs(beta=values.beta))


def _resized(given: Sequence[float], size: int) -> np.ndarray:
    """Cut, or extended by its smallest entry, and divided by its sum."""
    vector = np.asarray(given)
    extended = np.concatenate([vector[:size], np.full(max(0, size - vector.size), max(vector.min(), 1e-3))])
    return np.asarray(extended / extended.sum())


def _refitted(given: Sequence[float], size: int) -> tuple[float, ...]:
    """Start or target in another size, in numbers as short as those that are typed."""
    return rounded(_resized(given, size))


def _tuple(vector: np.ndarray) -> tuple[float, ...]:
    return tuple(np.asarray(vector, np.float64).tolist())
