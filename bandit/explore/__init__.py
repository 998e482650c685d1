"""Explorers: what the notebooks show and what the reader moves. `from modeseek.bandit.explore import KLExplorer`.

A view-model (NumPy, tested without a browser) computes; a scene draws it on one persistent figure; a shell of widgets
shows both. ipywidgets is needed by the shell alone: without it an explorer is a picture with a caption.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modeseek.bandit.explore.toolkit.explorer import Explorer

_WHERE = {
    "KLExplorer": "modeseek.bandit.explore.kl",
    "DemoExplorer": "modeseek.bandit.explore.demo",
    "FirstStepsExplorer": "modeseek.bandit.explore.first_steps",
    "PhaseExplorer": "modeseek.bandit.explore.phase",
    "ReproduceExplorer": "modeseek.bandit.explore.reproduce",
    "BanditExplorer": "modeseek.bandit.explore.bandit",
    "OnPolicyExplorer": "modeseek.bandit.explore.on_policy",
    "BudgetExplorer": "modeseek.bandit.explore.budget",
    "NegativeGradientExplorer": "modeseek.bandit.explore.negative",
    "FourMethodsExplorer": "modeseek.bandit.explore.four_methods",
    "DisplacementExplorer": "modeseek.bandit.explore.displacement",
    "Figure18Explorer": "modeseek.bandit.explore.figure18",
    "OutOfDistributionExplorer": "modeseek.bandit.explore.out_of_distribution",
    "Prediction": "modeseek.bandit.explore.toolkit.prediction",
    "check_environment": "modeseek.bandit.explore.toolkit.environment",
}
"""Public name → module. Each notebook pays for the import of what it uses."""

EXPLORERS = tuple(name for name in _WHERE if name.endswith("Explorer"))
"""Names of the explorers' classes."""
__all__ = list(_WHERE)


def explorer_classes() -> "tuple[type[Explorer], ...]":
    """Every explorer's class, in the order of `EXPLORERS`; this imports them all."""
    return tuple(map(__getattr__, EXPLORERS))


def explorer_class(word: str) -> "type[Explorer]":
    """The class whose states begin with this word."""
    return next(kind for kind in explorer_classes() if kind.Model.kind == word)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"modeseek.bandit.explore has no {name!r}; there are {', '.join(_WHERE)}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(_WHERE)
