"""`OnPolicyExplorer`: a thousand samples, how often do you refresh the policy that draws them?"""

from bandit.explore.on_policy_model import OnPolicyModel
from bandit.explore.on_policy_scene import OnPolicyScene
from bandit.explore.training import TrainingExplorer


class OnPolicyExplorer(TrainingExplorer):
    """Curves by B: `OnPolicyExplorer(preset="R1-best-of-n")`; `train()` runs all B of a T with other settings."""

    Model = OnPolicyModel
    Scene = OnPolicyScene
