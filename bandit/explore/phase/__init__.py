"""`PhaseExplorer`: slide the reward's peak away from the reference. When does the winner change?"""

from modeseek.bandit.explore.phase.model import PhaseModel
from modeseek.bandit.explore.phase.scene import PhaseScene
from modeseek.bandit.explore.toolkit.explorer import Explorer


class PhaseExplorer(Explorer):
    """Six methods, six places of the peak, recorded: `PhaseExplorer(center=40, step=5)`."""

    Model = PhaseModel
    Scene = PhaseScene
