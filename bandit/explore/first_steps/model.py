"""The view-model of the first steps: five answers, and what a preference, KL and each method make of them."""

from typing import Any, NamedTuple

import numpy as np

from modeseek.bandit.categorical.methods import preference_probabilities
from modeseek.bandit.categorical.metrics import measure
from modeseek.bandit.categorical.problem import Knobs, Problem, from_rewards
from modeseek.bandit.explore.first_steps.lessons import LESSONS, Lesson, walk
from modeseek.bandit.explore.first_steps.mechanics import Shown, sampled_at
from modeseek.bandit.explore.first_steps.presets import ANSWERS, PRESETS, RATED, STEPS, FirstStepsValues
from modeseek.bandit.explore.toolkit.model import ViewModel, rows_of

LARGEST_GAP = 5.0
"""Ends of the axis of reward differences."""


class FirstStepsResult(NamedTuple):
    """Everything the views show; E = steps + 1, K = 5 answers.

    Attributes:
        problem: reference, rewards and the methods' numbers.
        log_probs: of the policies on the way, `[E, K]`.
        rest: where the policy comes to rest, `[K]`; None where none moves.
        pulls: w_j = -∂L/∂log π_j of each policy, `[E, K]`; None where nothing is descended.
        shown: what is looked at for every answer.
        curve: points of a line, `[2, L]`.
        points: where on it each policy is, `[2, E]`.
        reward: E[r], `[E]`.
        divergence: KL(policy ‖ reference), nats, `[E]`.
    """

    problem: Problem
    log_probs: np.ndarray
    rest: np.ndarray | None
    pulls: np.ndarray | None
    shown: Shown
    curve: np.ndarray
    points: np.ndarray
    reward: np.ndarray
    divergence: np.ndarray

    def push(self, step: int) -> np.ndarray | None:
        """-∂L/∂f of a softmax's logits, w_j - π_j Σ w: what is left of the pulls, as all mass is one."""
        if self.pulls is None:
            return None
        pulls = self.pulls[step]
        return np.asarray(pulls - np.exp(self.log_probs[step]) * pulls.sum())


class FirstStepsModel(ViewModel[FirstStepsValues, FirstStepsResult]):
    """Five answers to one question, and one idea at a time."""

    kind = "steps"
    title = "Five answers"
    defaults = FirstStepsValues()
    presets = PRESETS

    @property
    def lesson(self) -> Lesson | None:
        """What the policy does; None where a preference alone is looked at."""
        return LESSONS.get(self.values.preset)

    def settle(self, values: FirstStepsValues, changed: str, before: FirstStepsValues) -> FirstStepsValues:
        """A positive reference.

        Raises:
            ValueError: a probability is zero.
        """
        if min(values.reference) <= 0:
            raise ValueError("reference π_ref must be positive everywhere: a softmax has no zeros")
        return values

    def compute(self, values: FirstStepsValues) -> FirstStepsResult:
        """The lesson's policies, exact expectations throughout.

        Raises:
            ValueError: the learning rate is too large.
        """
        knobs = Knobs(beta=values.beta, tau=values.beta, draws=float(values.draws))
        problem = from_rewards(values.reference, (*RATED, values.reward), knobs)
        lesson = LESSONS.get(values.preset)
        if lesson is None:
            return _preference(problem, ANSWERS.index(_name(values.other)))
        log_probs = walk(lesson, problem, values.learning_rate)
        measured = measure(problem, log_probs)
        curve = np.stack([np.arange(STEPS + 1.0), lesson.maximised(problem, log_probs)])
        return FirstStepsResult(
            problem,
            log_probs,
            lesson.rest(problem),
            None if lesson.pull is None else lesson.pull(problem, log_probs),
            lesson.shown(problem, log_probs),
            curve,
            curve,
            np.asarray(measured.expected_reward),
            np.asarray(measured.reference_kl),
        )

    def best(self) -> float:
        """What is maximised, where the policy comes to rest.

        Raises:
            ValueError: no policy moves in this lesson.
        """
        lesson, rest = self.lesson, self.result.rest
        if lesson is None or rest is None:
            raise ValueError("nothing is maximised where a preference alone is looked at")
        return float(lesson.maximised(self.result.problem, np.log(rest)[None])[0])

    def caption(self) -> str:
        """The policy, what is maximised, and the lesson's own number for every answer."""
        values, result, lesson, step = self.values, self.result, self.lesson, self.values.step
        now = _listed(result.shown.values[step])
        if lesson is None:
            gap, probability = result.points[:, step]
            return (
                f"Rewards: {_listed(result.problem.rewards)}. y₅ against {_name(values.other)}: "
                f"r₅ − r = {gap:z.2f}, P(y₅ ≻ {_name(values.other)}) = σ({gap:z.2f}) = {probability:z.3f}. "
                f"Each answer preferred to {_name(values.other)}: {now}."
            )
        assert result.rest is not None
        samples = f" on samples of step {sampled_at(step)}" * (values.preset == "ppo")
        rests = "best for this β is" if lesson.pull is None else "it comes to rest at"
        return (
            f"{lesson.name}, step {step} of {STEPS}{samples}: the policy is {_listed(np.exp(result.log_probs[step]))}; "
            f"{rests} {_listed(result.rest)}. E[r] = {result.reward[step]:z.3f}, "
            f"KL(π ‖ π_ref) = {result.divergence[step]:z.3f} nats, {lesson.curve} = {result.points[1, step]:z.3f}; "
            f"{lesson.bars}: {now}."
        )

    def table(self) -> dict[str, Any]:
        """One row a step."""
        result = self.result
        masses = {f"p_{k + 1}": np.exp(result.log_probs[None, :, k]) for k in range(len(ANSWERS))}
        own = {f"shown_{k + 1}": result.shown.values[None, :, k] for k in range(len(ANSWERS))}
        curves = {"expected_reward": result.reward, "kl_to_reference": result.divergence, "objective": result.points[1]}
        each = masses | own | {name: values[None] for name, values in curves.items()}
        return rows_of("lesson", (self.values.preset,), np.arange(STEPS + 1), each)


def _preference(problem: Problem, other: int) -> FirstStepsResult:
    """No policy moves: P(y_j ≻ other) of every answer, and where y₅ is on the curve σ."""
    log_probs = np.repeat(problem.log_reference[None], STEPS + 1, 0)
    measured = measure(problem, log_probs)
    against = np.repeat(preference_probabilities(problem.rewards)[None, :, other], STEPS + 1, 0)
    gaps = np.linspace(-LARGEST_GAP, LARGEST_GAP, 101)
    curve = np.stack([gaps, preference_probabilities(np.stack([gaps, 0 * gaps], -1))[:, 0, 1]])
    gap = np.full(STEPS + 1, problem.rewards[-1] - problem.rewards[other])
    even = np.full((1, len(ANSWERS)), 0.5)
    return FirstStepsResult(
        problem,
        log_probs,
        None,
        None,
        Shown(against, even),
        curve,
        np.stack([gap, against[:, -1]]),
        np.asarray(measured.expected_reward),
        np.asarray(measured.reference_kl),
    )


def _name(other: str) -> str:
    """`y1` → `y₁`."""
    return ANSWERS[int(other[1:]) - 1]


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{name} {value:z.3g}" for name, value in zip(ANSWERS, values, strict=True))
