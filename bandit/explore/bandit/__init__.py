"""`BanditExplorer`: what does training look like, token by token?"""

from pathlib import Path

from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.bandit.scene import BanditScene
from modeseek.bandit.explore.toolkit.training import TrainingExplorer
from modeseek.bandit.simulator.knots import Knots, save_reward


class BanditExplorer(TrainingExplorer):
    """The bandit in training: `BanditExplorer(preset="R1-ppo")`; `train()` runs any other settings."""

    Model = BanditModel
    Scene = BanditScene

    def save_reward(self, name: str, *, replace: bool = False) -> Path:
        """Save the drawn reward under a name: `saved:NAME` on the command line, and `load_reward(NAME)`, are it.

        Raises:
            ValueError: as `modeseek.save_reward`.
        """
        with self.lock:
            return save_reward(name, Knots(self.model.values.knots).text, replace=replace)
