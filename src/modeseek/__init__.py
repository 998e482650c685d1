"""See and measure how preference fine-tuning works.

The names of everyday use; each has a docstring that shows it:

    run, sweep       train methods on the bandit; one run, or a grid of learning rates
    Experiment       all that `run` can be told, checked before any work starts
    open_results     read a results file that `run`, `sweep` or the command line wrote
    table, plot      the numbers and the figures of results
    methods          every method, with what it reads and where it is from
    save_reward, load_reward   a reward of your own, by name
    own_method       a method of your own: a function of the batch, seen beside the others
    kl               forward against reverse KL on a categorical distribution, exactly
    explorer         an interactive picture for a notebook
    load_model       a language model from the hub or a folder, which generates and scores

Importing this package imports nothing else: each name loads what it needs when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from modeseek.bandit.objectives.own import own_method
    from modeseek.bandit.simulator.experiment import Experiment
    from modeseek.bandit.simulator.knots import load_reward, save_reward
    from modeseek.experiments import methods, open_results, plot, run, sweep, table
    from modeseek.exploration import explorer, kl
    from modeseek.llm.inference.language_model import load_model

_WHERE = {
    "Experiment": "modeseek.bandit.simulator.experiment",
    "run": "modeseek.experiments",
    "sweep": "modeseek.experiments",
    "open_results": "modeseek.experiments",
    "table": "modeseek.experiments",
    "plot": "modeseek.experiments",
    "methods": "modeseek.experiments",
    "own_method": "modeseek.bandit.objectives.own",
    "save_reward": "modeseek.bandit.simulator.knots",
    "load_reward": "modeseek.bandit.simulator.knots",
    "kl": "modeseek.exploration",
    "explorer": "modeseek.exploration",
    "load_model": "modeseek.llm.inference.language_model",
}
_ROOMS = ("bandit", "llm")

__all__ = [
    "Experiment",
    "explorer",
    "kl",
    "load_model",
    "load_reward",
    "methods",
    "open_results",
    "own_method",
    "plot",
    "run",
    "save_reward",
    "sweep",
    "table",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
        globals()[name] = value  # looked up once
        return value
    if name in _ROOMS:
        return importlib.import_module(f"modeseek.{name}")
    if name.startswith("__"):  # what Python and its tools look for
        raise AttributeError(f"module 'modeseek' has no attribute {name!r}")
    from modeseek.checks import nearest

    near = nearest(name, __all__)
    hint = f"did you mean modeseek.{near}?" if near else f"there are {', '.join(__all__)}"
    raise AttributeError(f"modeseek has no {name!r}: {hint}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS, "__version__"])
