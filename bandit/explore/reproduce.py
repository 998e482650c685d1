"""`ReproduceExplorer`: what the paper claimed of the bandit, what comes out, and how sure that is."""

from modeseek.bandit.explore.explorer import Explorer
from modeseek.bandit.explore.reproduce_model import ReproduceModel
from modeseek.bandit.explore.reproduce_scene import ReproduceScene


class ReproduceExplorer(Explorer):
    """Stored results of `modeseek reproduce`, figure by figure: `ReproduceExplorer(preset="fig16")`."""

    Model = ReproduceModel
    Scene = ReproduceScene
