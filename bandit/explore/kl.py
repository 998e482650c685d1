"""`KLExplorer`: both divergences have the same optimum. Who gets there first, and through what?"""

from modeseek.bandit.explore.explorer import Explorer
from modeseek.bandit.explore.kl_model import KLModel
from modeseek.bandit.explore.kl_scene import KLScene


class KLExplorer(Explorer):
    """Forward against reverse KL on a categorical distribution: `KLExplorer(preset="case1_fails")`."""

    Model = KLModel
    Scene = KLScene
