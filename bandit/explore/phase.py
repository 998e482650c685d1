"""`PhaseExplorer`: slide the reward's peak away from the reference. When does the winner change?"""

from modeseek.bandit.explore.explorer import Explorer
from modeseek.bandit.explore.phase_model import PhaseModel
from modeseek.bandit.explore.phase_scene import PhaseScene


class PhaseExplorer(Explorer):
    """Six methods, six places of the peak, recorded: `PhaseExplorer(center=40, step=5)`."""

    Model = PhaseModel
    Scene = PhaseScene
