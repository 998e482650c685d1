"""`OnPolicyExplorer`: a thousand samples, how often do you refresh the policy that draws them?"""

from modeseek.bandit.explore.on_policy.model import OnPolicyModel
from modeseek.bandit.explore.on_policy.scene import OnPolicyScene
from modeseek.bandit.explore.toolkit.training import TrainingExplorer


class OnPolicyExplorer(TrainingExplorer):
    """Curves by B: `OnPolicyExplorer(preset="R1-best-of-n")`; `train()` runs all B of a T with other settings."""

    Model = OnPolicyModel
    Scene = OnPolicyScene
