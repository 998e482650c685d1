"""`ReproduceExplorer`: what the paper claimed of the bandit, what comes out, and how sure that is."""

from modeseek.bandit.explore.reproduce.model import ReproduceModel
from modeseek.bandit.explore.reproduce.scene import ReproduceScene
from modeseek.bandit.explore.toolkit.explorer import Explorer


class ReproduceExplorer(Explorer):
    """Stored results of `modeseek reproduce`, figure by figure: `ReproduceExplorer(preset="fig16")`."""

    Model = ReproduceModel
    Scene = ReproduceScene
