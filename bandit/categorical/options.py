"""The options of a study of forward against reverse KL. The command line reads them: nothing heavy is imported."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class KLOptions:
    """What is simulated.

    Attributes:
        problem: R1, R2, bump:CENTER:WIDTH, bimodal, dirichlet:CONCENTRATION, case-1-holds, case-1-fails, case-2,
            case-3, case-3-fails or equal-gap.
        target: the target's probabilities, `[K]`, instead of the problem's (with a start, or from the uniform one).
        start: the start's probabilities, `[K]`, instead of the problem's.
        categories: K, where the problem leaves it open.
        reference_recipe: how R1, R2 and bumps bring the Cauchy reference into (-1, 1).
        beta: β, weight of KL(policy ‖ reference) against the reward; makes the target, π_ref exp(r/β)/Z.
        tau: τ of IPO.
        alpha: order of the α-divergence.
        draws: N of Best-of-N.
        optimizer: gd (gradient descent, Lemma E.4), adam, natural (gradient) or flow (continuous time, Runge-Kutta).
        step_size: η; for the flow, the time of one recorded step.
        damping: λ of the natural gradient.
        steps: how many.
        also: further objectives beside the two: jensen_shannon, alpha, and on_policy_ or offline_ with reinforce, ppo,
            rwr, best_of_n, dpo, ipo.
        seed: for a random problem.
    """

    problem: str = "R1"
    target: tuple[float, ...] = ()
    start: tuple[float, ...] = ()
    categories: int = 100
    reference_recipe: Literal["clip", "tanh"] = "clip"
    beta: float = 0.1
    tau: float = 0.1
    alpha: float = 0.5
    draws: float = 4.0
    optimizer: Literal["gd", "adam", "natural", "flow"] = "gd"
    step_size: float = 1.0
    damping: float = 1e-3
    steps: int = 2000
    also: tuple[str, ...] = ()
    seed: int = 0
