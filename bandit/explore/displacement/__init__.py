"""`DisplacementExplorer`: the loss says up. Why does log π(y_w) fall?"""

from modeseek.bandit.explore.displacement.model import DisplacementModel
from modeseek.bandit.explore.displacement.scene import DisplacementScene
from modeseek.bandit.explore.toolkit.explorer import Explorer


class DisplacementExplorer(Explorer):
    """Likelihood displacement in closed form: `DisplacementExplorer(preset="fig18-5-prompts")`."""

    Model = DisplacementModel
    Scene = DisplacementScene
