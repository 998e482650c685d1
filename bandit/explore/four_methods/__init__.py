"""`FourMethodsExplorer`: figure 16 on one token. Two offline methods with a negative gradient, two without."""

from modeseek.bandit.explore.four_methods.model import FourMethodsModel
from modeseek.bandit.explore.four_methods.scene import FourMethodsScene
from modeseek.bandit.explore.toolkit.explorer import Explorer


class FourMethodsExplorer(Explorer):
    """Figure 16's methods as exact flows on one token: `FourMethodsExplorer(preset="fig16-R2")`."""

    Model = FourMethodsModel
    Scene = FourMethodsScene
