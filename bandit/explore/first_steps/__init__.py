"""`FirstStepsExplorer`: five answers to one question, and one idea at a time. What does each word mean?"""

from modeseek.bandit.explore.first_steps.model import FirstStepsModel
from modeseek.bandit.explore.first_steps.scene import FirstStepsScene
from modeseek.bandit.explore.toolkit.explorer import Explorer


class FirstStepsExplorer(Explorer):
    """A preference, KL, or one method, on five answers: `FirstStepsExplorer(preset="dpo", beta=0.3)`."""

    Model = FirstStepsModel
    Scene = FirstStepsScene
