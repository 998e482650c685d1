"""`modeseek demo`: the paper's comparison on the bandit, sized for three minutes on two cores."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modeseek.bandit.commands.common import check_before, output_folder, run_to_file, save_all, say
from modeseek.bandit.simulator.config import AlgorithmConfig, EvaluationConfig
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEARNING_RATES = {"best_of_n": 1e-3, "rwr": 1e-3, "ppo": 1e-3, "ipo": 3e-3, "on_policy_ipo": 3e-3}
"""Method → learning rate: the best of a grid, as `docs/decisions/0004-demo-learning-rates.md` records."""


@dataclasses.dataclass(frozen=True)
class Demo:
    """Run the paper's comparison in about two minutes: five methods, two rewards; a table, figures and data.

    Best-of-N, RWR, PPO, offline IPO and on-policy IPO on R1 (peak far from the reference) and R2 (near it).

    Attributes:
        seeds: seeds per method; the paper has 5.
        collections: data collections of 10 gradient steps each; the paper has 100.
        out: output folder; without, the first free modeseek-results/demo-N.
    """

    seeds: int = 3
    collections: int = 40
    out: Path | None = None

    def experiment(self) -> Experiment:
        """What the demo runs."""
        return Experiment(
            methods=tuple(LEARNING_RATES),
            method_learning_rates=tuple(LEARNING_RATES.values()),
            rewards=("R1", "R2"),
            seeds=self.seeds,
            algorithm=AlgorithmConfig(collections=self.collections),
            evaluation=EvaluationConfig(interval=2),
        )

    def run(self) -> int:
        """Run, print, save."""
        experiment = self.experiment()
        check_before(experiment)
        folder = output_folder(self.out, "demo")
        say(
            f"five methods x two rewards x {self.seeds} seeds, {self.collections} collections of 10 gradient steps.\n"
            "Sized down from the paper (I.3: 5 seeds, 100 collections, 10 learning rates each): one learning rate per\n"
            "method, chosen beforehand. `modeseek sweep` runs the full protocol."
        )
        dataset = run_to_file(experiment, folder)
        if dataset is None:
            return 130
        from modeseek.bandit.simulator.summary import table

        report = Report()
        errors = "mean ± standard error" if self.seeds > 1 else "one seed"
        with report.part("the table"):
            print(f"the end of training (last tenth of the steps; {errors}):\n{table(dataset)}")
        figures: dict[str, Callable[[], Figure]] = {}
        with report.part("every figure"):
            from modeseek.bandit.figures.curves import reward_figure
            from modeseek.bandit.figures.problem import problem_figure
            from modeseek.bandit.figures.tokens import token_figure

            drawn = {"problem": problem_figure, "reward": reward_figure, "tokens": token_figure}
            figures = {name: partial(draw, dataset) for name, draw in drawn.items()}
        save_all(folder, report, figures)
        return report.code
