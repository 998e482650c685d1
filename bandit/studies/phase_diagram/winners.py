"""Who wins each cell of a phase diagram, read off its rewards alone."""

from typing import Literal, NamedTuple

import numpy as np
import xarray
from jaxtyping import Bool, Float, Int

from modeseek.bandit.studies.phase_diagram.stored import grid_of
from modeseek.bandit.studies.phase_diagram.ties import contest

Criterion = Literal["reward", "reward_within_kl"]
"""What is won: the reward at the end of the steps, or the most at any measurement within the KL budget."""


class Winners(NamedTuple):
    """Who may be the best in each of C cells, of M methods.

    Attributes:
        methods: their names.
        among: whether a method may be the best of a cell: one alone has won it, several are tied.
        leader: of those the one with the highest mean, an index.
        mean: over the seeds of the last look that a method took part in.
        gap: what a method is short of the leader, over the seeds that both have; 0 for the leader.
        equal: whether those that are tied differ by no more than the margin: more seeds would not tell them apart.
        seeds: of the last look.
    """

    methods: tuple[str, ...]
    among: Bool[np.ndarray, "C M"]
    leader: Int[np.ndarray, "C"]
    mean: Float[np.ndarray, "C M"]
    gap: Float[np.ndarray, "C M"]
    equal: Bool[np.ndarray, "C"]
    seeds: Int[np.ndarray, "C"]

    @property
    def tied(self) -> Bool[np.ndarray, "C"]:
        """Whether nobody wins a cell alone."""
        return np.asarray(self.among.sum(axis=1) > 1)

    @property
    def shares(self) -> Float[np.ndarray, "C M"]:
        """A cell's one win, shared equally among those that are tied."""
        return np.asarray(self.among / self.among.sum(axis=1, keepdims=True))


def winners(diagram: xarray.Dataset, criterion: Criterion = "reward") -> Winners:
    """The winners of all cells of a diagram.

    Args:
        diagram: as `stored.assemble` makes it.
        criterion: which of its rewards is compared. More seeds were drawn for those that may win by the reward at the
            end; by the other one, methods are compared on the seeds of the first look, which all have.
    """
    budget = grid_of(diagram).budget
    rewards = diagram[criterion].transpose("cell", "algorithm", "seed").values.astype(np.float64)
    looks = budget.looks if criterion == "reward" else budget.looks[:1]
    found = [contest(cell, looks, budget.margin, budget.miss) for cell in rewards]
    among = np.stack([each.among for each in found])
    seeds = np.asarray([each.seeds for each in found])
    used = np.arange(rewards.shape[-1])[None] < seeds[:, None]
    counted = np.isfinite(rewards) & used[:, None]
    mean = np.where(counted, rewards, 0).sum(-1) / np.maximum(counted.sum(-1), 1)
    leader = np.where(among, mean, -np.inf).argmax(axis=1)
    of_leader = rewards[np.arange(len(rewards)), leader][:, None]
    gap = np.where(counted, of_leader - rewards, 0).sum(-1) / np.maximum(counted.sum(-1), 1)
    return Winners(
        methods=tuple(diagram["algorithm"].values.astype(str).tolist()),
        among=among,
        leader=leader,
        mean=mean,
        gap=gap,
        equal=np.asarray([each.equal for each in found]),
        seeds=seeds,
    )
