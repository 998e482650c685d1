"""`NegativeGradientExplorer`: push this answer down. Who gets the mass?"""

from modeseek.bandit.explore.negative.model import NegativeModel
from modeseek.bandit.explore.negative.scene import NegativeScene
from modeseek.bandit.explore.toolkit.explorer import Explorer


class NegativeGradientExplorer(Explorer):
    """Eq. 7 on a softmax, with and without its second term: `NegativeGradientExplorer(preset="E2_not_aligned")`."""

    Model = NegativeModel
    Scene = NegativeScene
