"""`BanditExplorer`: what does training look like, token by token?"""

from modeseek.bandit.explore.bandit_model import BanditModel
from modeseek.bandit.explore.bandit_scene import BanditScene
from modeseek.bandit.explore.training import TrainingExplorer


class BanditExplorer(TrainingExplorer):
    """The bandit in training: `BanditExplorer(preset="R1-ppo")`; `train()` runs any other settings."""

    Model = BanditModel
    Scene = BanditScene
