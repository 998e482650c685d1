"""Paths that go on: with more steps asked for only those that are new are taken, with fewer it is cut."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np
from jaxtyping import Float

from modeseek.bandit.categorical.optimizers import Settings, State
from modeseek.bandit.categorical.problem import Problem

Progress = Callable[[Iterable[int]], Iterable[int]]

MOST_PATHS = 16
"""That are kept; one of a thousand steps over a hundred categories is .8 MB."""


class Path:
    """The policies that a run has visited, and the state that it goes on from."""

    def __init__(self, first: np.ndarray, state: State, step: Callable[[State], State]) -> None:
        """A run that has taken no step.

        Args:
            first: log-probabilities of the start, `[K]`.
            state: from which the first step is taken.
            step: from one state to the next.
        """
        self._visited, self._state, self._step = [first], state, step
        self._lock = threading.Lock()  # explorers in several threads may ask for the same

    def until(self, steps: int, progress: Progress = iter) -> Float[np.ndarray, "E K"]:
        """Log-probabilities of the start and after each of so many steps, E = steps + 1."""
        with self._lock:
            for _ in progress(range(len(self._visited) - 1, steps)):
                self._state = self._step(self._state)
                self._visited.append(self._state.policy.log_probs)
            return np.stack(self._visited[: steps + 1])


class KeptPaths:
    """Begins paths, and gives the same one again where everything but the number of steps is as it was."""

    def __init__(self, begin: Callable[..., Path]) -> None:
        """None yet; `begin` makes one from the arguments of a call."""
        self._begin = begin
        self._kept: OrderedDict[Hashable, Path] = OrderedDict()

    def __call__(
        self, problem: Problem, log_start: np.ndarray, settings: Settings, *, objective: str, optimizer: str
    ) -> Path:
        """The path of such a run."""
        key = (*map(_bits, (*problem, log_start, *settings)), objective, optimizer)
        path = self._kept.pop(key, None)
        if path is None:
            path = self._begin(problem, log_start, settings, objective=objective, optimizer=optimizer)
        self._kept[key] = path
        if len(self._kept) > MOST_PATHS:
            self._kept.popitem(last=False)
        return path


def _bits(value: Any) -> tuple[str, bytes]:
    array = np.asarray(value)
    return array.dtype.str, array.tobytes()
