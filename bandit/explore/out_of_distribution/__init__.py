"""`OutOfDistributionExplorer`: three answers, one comparison. What happens to the one never seen?"""

from modeseek.bandit.explore.out_of_distribution.model import OutOfDistributionModel
from modeseek.bandit.explore.out_of_distribution.scene import OutOfDistributionScene
from modeseek.bandit.explore.toolkit.explorer import Explorer


class OutOfDistributionExplorer(Explorer):
    """DPO, IPO and RL on three answers: `OutOfDistributionExplorer(preset="y1-very-rare")`."""

    Model = OutOfDistributionModel
    Scene = OutOfDistributionScene
