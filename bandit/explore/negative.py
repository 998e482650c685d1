"""`NegativeGradientExplorer`: push this answer down. Who gets the mass?"""

from modeseek.bandit.explore.explorer import Explorer
from modeseek.bandit.explore.negative_model import NegativeModel
from modeseek.bandit.explore.negative_scene import NegativeScene


class NegativeGradientExplorer(Explorer):
    """Eq. 7 on a softmax, with and without its second term: `NegativeGradientExplorer(preset="E2_not_aligned")`."""

    Model = NegativeModel
    Scene = NegativeScene
