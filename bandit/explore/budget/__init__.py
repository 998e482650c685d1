"""`BudgetExplorer`: A budget of samples to spend; which plan earns most?"""

from modeseek.bandit.explore.budget.model import BudgetModel
from modeseek.bandit.explore.budget.scene import BudgetScene
from modeseek.bandit.explore.toolkit.training import TrainingExplorer


class BudgetExplorer(TrainingExplorer):
    """A plan and its score: `BudgetExplorer("far-peak", method="ppo", collections=8)`; `train()` runs others."""

    Model = BudgetModel
    Scene = BudgetScene
