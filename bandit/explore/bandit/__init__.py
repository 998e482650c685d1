"""`BanditExplorer`: what does training look like, token by token?"""

from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.bandit.scene import BanditScene
from modeseek.bandit.explore.toolkit.training import TrainingExplorer


class BanditExplorer(TrainingExplorer):
    """The bandit in training: `BanditExplorer(preset="R1-ppo")`; `train()` runs any other settings."""

    Model = BanditModel
    Scene = BanditScene
