"""`KLExplorer`: both divergences have the same optimum. Who gets there first, and through what?"""

from modeseek.bandit.explore.kl.model import KLModel
from modeseek.bandit.explore.kl.scene import KLScene
from modeseek.bandit.explore.toolkit.explorer import Explorer


class KLExplorer(Explorer):
    """Forward against reverse KL on a categorical distribution: `KLExplorer(preset="case-1-fails")`."""

    Model = KLModel
    Scene = KLScene
