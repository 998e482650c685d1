"""Explorers: what the notebooks show and what the reader moves. `from bandit.explore import KLExplorer`.

A view-model (NumPy, tested without a browser) computes; a scene draws it on one persistent figure; a shell of widgets
shows both. ipywidgets is needed by the shell alone: without it an explorer is a picture with a caption.
"""

import importlib
from typing import Any

_WHERE = {
    "KLExplorer": "bandit.explore.kl",
    "DemoExplorer": "bandit.explore.demo",
    "PhaseExplorer": "bandit.explore.phase",
    "ReproduceExplorer": "bandit.explore.reproduce",
    "BanditExplorer": "bandit.explore.bandit",
    "OnPolicyExplorer": "bandit.explore.on_policy",
    "NegativeGradientExplorer": "bandit.explore.negative",
    "FourMethodsExplorer": "bandit.explore.four_methods",
    "DisplacementExplorer": "bandit.explore.displacement",
    "Figure18Explorer": "bandit.explore.figure18",
    "OutOfDistributionExplorer": "bandit.explore.unseen",
    "Prediction": "bandit.explore.prediction",
    "check_environment": "bandit.explore.environment",
}
"""Public name → module. Each notebook pays for the import of what it uses."""

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"bandit.explore has no {name!r}; there are {', '.join(_WHERE)}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(_WHERE)
