"""`DemoExplorer`: which method, when? The recorded run of `modeseek demo`, so that something is seen at once."""

from modeseek.bandit.explore.demo.model import DemoModel
from modeseek.bandit.explore.demo.scene import DemoScene
from modeseek.bandit.explore.toolkit.explorer import Explorer


class DemoExplorer(Explorer):
    """The recorded run of `modeseek demo`: `DemoExplorer(preset="R2")`."""

    Model = DemoModel
    Scene = DemoScene
