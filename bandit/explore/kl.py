"""`KLExplorer`: both divergences have the same optimum. Who gets there first, and through what?"""

from bandit.explore.explorer import Explorer
from bandit.explore.kl_model import KLModel
from bandit.explore.kl_scene import KLScene


class KLExplorer(Explorer):
    """Forward against reverse KL on a categorical distribution: `KLExplorer(preset="case1_fails")`."""

    Model = KLModel
    Scene = KLScene
