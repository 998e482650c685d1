"""The phase diagrams that are asked for by a flag: the full one, which comes with the package, and a coarse one."""

from modeseek.bandit.studies.phase_diagram.grid import SLICES, Budget, Grid

METHODS = ("best_of_n", "rwr", "reinforce", "ppo", "dpo", "on_policy_dpo", "ipo", "on_policy_ipo")
"""Those of `modeseek demo`, and REINFORCE and DPO on either side."""

CENTERS_OF = {"full": (20, 30, 40, 50, 60, 70), "coarse": (20, 40, 70)}
"""Places of the peak."""


def full(methods: tuple[str, ...] = METHODS, slices: tuple[str, ...] = tuple(SLICES)) -> Grid:
    """Every value of every slice: about a hundred runs a cell, two hours on one core."""
    return Grid(Budget(methods=methods), CENTERS_OF["full"], slices)


def coarse(methods: tuple[str, ...] = METHODS, slices: tuple[str, ...] = tuple(SLICES)) -> Grid:
    """The ends of every slice, three places of the peak, five seeds: ten minutes on two cores."""
    return Grid(Budget(methods=methods, tuning_seeds=1, looks=(4,)), CENTERS_OF["coarse"], slices, thin=True)
