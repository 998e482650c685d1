"""`Figure18Explorer`: offline IPO on 5, 20 and 100 prompts, recorded. Do y_w and y_l part, or fall together?"""

from modeseek.bandit.explore.figure18.model import Figure18Model
from modeseek.bandit.explore.figure18.scene import Figure18Scene
from modeseek.bandit.explore.toolkit.explorer import Explorer


class Figure18Explorer(Explorer):
    """Recorded offline IPO: `Figure18Explorer(preset="gpt", reward="R1")`."""

    Model = Figure18Model
    Scene = Figure18Scene
