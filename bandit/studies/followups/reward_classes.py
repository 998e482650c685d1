"""Preferences learnt in two classes of rewards and policies, offline and in two stages, each to its optimum.

One token of the bandit's hundred; pairs drawn from the reference, labelled by Bradley and Terry from the true reward.
Two classes for rewards, and the classes of policies that are their optima, π_ref exp(r/β)/Z:

- `table`: a number for each token, with a normal prior whose width is tuned on other seeds;
- `peak`: a bump of known width at an unknown position.

Offline is DPO in a policy class, most likely log-ratios u = log π/π_ref with labels' probabilities σ(sharpness β (u_i
- u_j)). Online is the most likely reward, then the policy of the policy class that is best for it: maximal E[r̂] - β
KL(policy ‖ reference), which samples without number would find. What is measured is the true E[r] - β KL(policy ‖
reference).
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import xarray
from jaxtyping import Float, Int

from modeseek.bandit.categorical.simplex import policy
from modeseek.bandit.simulator.problem import ReferenceRecipe, gaussian_bump, reference_probs
from modeseek.bandit.studies.followups.followup import seeds_of
from modeseek.bandit.studies.protocol import Protocol

TOKENS = 100
WIDTH = 10.0
"""Of the true reward's bump, and of the class `peak`."""
CENTERS = np.linspace(0.0, 99.0, 397)
"""Positions that the class `peak` holds."""


class World(NamedTuple):
    """What is to be learnt.

    Attributes:
        log_reference: log π_ref.
        rewards: true r.
        peaks: the rewards of the class `peak`, a row a position.
        beta: weight of KL(policy ‖ reference).
        sharpness: labels prefer i to j with probability σ(sharpness (r_i - r_j)).
    """

    log_reference: Float[np.ndarray, "V"]
    rewards: Float[np.ndarray, "V"]
    peaks: Float[np.ndarray, "c V"]
    beta: float
    sharpness: float


class Pairs(NamedTuple):
    """Comparisons of S seeds: which token won, and which lost."""

    chosen: Int[np.ndarray, "S n"]
    rejected: Int[np.ndarray, "S n"]


def world(center: float, *, shuffled: bool = False, beta: float = 0.1, sharpness: float = 5.0) -> World:
    """The bandit's reference with a reward of one peak; `shuffled` gives its values to tokens in another order.

    A shuffled reward is no simpler than a table, and no member of `peak` is near it.
    """
    rewards = gaussian_bump(center, WIDTH, TOKENS)
    if shuffled:
        rewards = np.random.default_rng(2503_01067).permutation(rewards)
    peaks = np.stack([gaussian_bump(each, WIDTH, TOKENS) for each in CENTERS])
    return World(np.log(reference_probs(ReferenceRecipe(), "clip", TOKENS)), rewards, peaks, beta, sharpness)


def compare(of: World, count: int, seeds: range) -> Pairs:
    """Labelled pairs of different tokens from the reference; each seed has a generator of its own."""
    chosen, rejected = [], []
    for seed in seeds:
        rng = np.random.default_rng((seed, 2503_01067))
        # The first two of tokens in a random order without replacement: the largest of log π_ref plus Gumbel noise.
        noisy = of.log_reference + rng.gumbel(size=(count, TOKENS))
        first, second = np.argsort(-noisy, axis=-1)[:, :2].T
        won = rng.random(count) < _sigmoid(of.sharpness * (of.rewards[first] - of.rewards[second]))
        chosen.append(np.where(won, first, second))
        rejected.append(np.where(won, second, first))
    return Pairs(np.stack(chosen), np.stack(rejected))


def wins(pairs: Pairs) -> Float[np.ndarray, "S V V"]:
    """How often token i was preferred to j: all that a likelihood knows of the pairs."""
    counts = np.zeros((len(pairs.chosen), TOKENS, TOKENS))
    np.add.at(counts, (np.arange(len(counts))[:, None], pairs.chosen, pairs.rejected), 1.0)
    return counts


def most_likely(counts: Float[np.ndarray, "S V V"], scale: float, prior: float) -> Float[np.ndarray, "S V"]:
    """Numbers u of the tokens that are most likely if i is preferred to j with probability σ(scale (u_i - u_j)).

    The maximum of Σ_ij counts_ij log σ(scale (u_i - u_j)) - |u|²/(2 prior²), which is strictly concave, by Newton's
    method. u sums to zero.
    """
    v = np.zeros(counts.shape[:2])  # scale · u
    both = counts + counts.swapaxes(-1, -2)
    ridge = 1.0 / (prior * scale) ** 2
    identity = np.eye(counts.shape[-1])
    for _ in range(100):
        lost = _sigmoid(v[:, None, :] - v[:, :, None])  # 1 - P(i ≻ j)
        pull = counts * lost
        gradient = pull.sum(-1) - pull.sum(-2) - ridge * v
        curvature = both * lost * (1.0 - lost)
        hessian = identity * (curvature.sum(-1)[:, None, :] + ridge) - curvature
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        v = v + step * np.minimum(1.0, 3.0 / np.abs(step).max(axis=-1, keepdims=True, initial=1e-300))
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(v / scale)


def peak_reward(of: World, counts: Float[np.ndarray, "S V V"]) -> Float[np.ndarray, "S V"]:
    """Most likely reward of the class `peak`."""
    margins = of.sharpness * (of.peaks[:, :, None] - of.peaks[:, None, :])
    likelihood = np.einsum("sij,cij->sc", counts, -np.logaddexp(0.0, -margins))
    return np.asarray(of.peaks[likelihood.argmax(axis=-1)])


def optimal(of: World, rewards: Float[np.ndarray, "*B V"]) -> Float[np.ndarray, "*B V"]:
    """log π_ref exp(r/β)/Z: the best table for a reward."""
    return np.asarray(policy(of.log_reference + rewards / of.beta).log_probs)


def objective(
    of: World, log_probs: Float[np.ndarray, "*#B V"], rewards: Float[np.ndarray, "*#B V"]
) -> Float[np.ndarray, "*B"]:
    """E[r] - β KL(policy ‖ reference)."""
    gain = rewards - of.beta * (log_probs - of.log_reference)
    return np.asarray((np.exp(log_probs) * gain).sum(axis=-1))


def optimal_peak(of: World, rewards: Float[np.ndarray, "S V"]) -> Float[np.ndarray, "S V"]:
    """The best of the policies that are optimal for a peak."""
    class_of_policies = optimal(of, of.peaks)
    values = objective(of, class_of_policies[None], rewards[:, None])
    return np.asarray(class_of_policies[values.argmax(axis=-1)])


def likeliest_peak_policy(of: World, counts: Float[np.ndarray, "S V V"]) -> Float[np.ndarray, "S V"]:
    """DPO in the class of policies that are optimal for a peak: the one whose log-ratios are most likely."""
    policies = optimal(of, of.peaks)
    log_ratios = policies - of.log_reference
    margins = of.sharpness * of.beta * (log_ratios[:, :, None] - log_ratios[:, None, :])
    likelihood = np.einsum("sij,cij->sc", counts, -np.logaddexp(0.0, -margins))
    return np.asarray(policies[likelihood.argmax(axis=-1)])


def share(of: World, log_probs: Float[np.ndarray, "*B V"]) -> Float[np.ndarray, "*B"]:
    """True objective as a share of what the optimum gains on the reference: 1 is best, 0 has learnt nothing."""
    nothing, most = (objective(of, each, of.rewards) for each in (of.log_reference, optimal(of, of.rewards)))
    return np.asarray((objective(of, log_probs, of.rewards) - nothing) / (most - nothing))


@dataclasses.dataclass(frozen=True)
class Roads:
    """Every road to a policy, on the same preferences.

    Attributes:
        center: of the true reward's bump.
        shuffled: whether tokens have the bump's values in another order.
        counts: numbers of pairs.
        priors: widths of the table's prior, in units of reward, of which the best for each number of pairs is chosen.
        tuning_seeds: 0, 1, …, for that choice.
        beta: of KL(policy ‖ reference), reward a nat.
        sharpness: of the labels.
    """

    center: float
    shuffled: bool = False
    counts: tuple[int, ...] = (30, 100, 300, 1000, 3000)
    priors: tuple[float, ...] = (0.1, 0.3, 1.0)
    tuning_seeds: int = 20
    beta: float = 0.1
    sharpness: float = 5.0


ROADS = (
    "offline_table",
    "offline_peak",
    "online_table_to_table",
    "online_peak_to_table",
    "online_table_to_peak",
    "online_peak_to_peak",
)
"""Offline: the class of policies. Online: the class of rewards, and that of policies."""


def roads(setup: Roads, protocol: Protocol) -> xarray.Dataset:
    """All roads for every number of pairs.

    Returns:
        `[seed, pairs, road]`: `share`, true E[r] - β KL as a share of what the optimum gains on the reference.
        `[pairs]`: `prior`, the width that was chosen.
    """
    of = world(setup.center, shuffled=setup.shuffled, beta=setup.beta, sharpness=setup.sharpness)
    seeds = seeds_of(protocol)
    found, chosen = [], []
    for count in setup.counts:
        tuning = wins(compare(of, count, range(setup.tuning_seeds)))
        ends = [share(of, optimal(of, most_likely(tuning, of.sharpness, prior))).mean() for prior in setup.priors]
        chosen.append(setup.priors[int(np.argmax(ends))])
        counts = wins(compare(of, count, seeds))
        # DPO's own unknown is the log-ratio, β of which is the reward: the same prior is 1/β as wide.
        log_ratios = most_likely(counts, of.sharpness * of.beta, chosen[-1] / of.beta)
        table, peak = most_likely(counts, of.sharpness, chosen[-1]), peak_reward(of, counts)
        ways = {
            "offline_table": np.asarray(policy(of.log_reference + log_ratios).log_probs),
            "offline_peak": likeliest_peak_policy(of, counts),
            "online_table_to_table": optimal(of, table),
            "online_peak_to_table": optimal(of, peak),
            "online_table_to_peak": optimal_peak(of, table),
            "online_peak_to_peak": optimal_peak(of, peak),
        }
        found.append(np.stack([share(of, ways[road]) for road in ROADS], axis=-1))
    return xarray.Dataset(
        {"share": (("seed", "pairs", "road"), np.stack(found, axis=1)), "prior": ("pairs", np.array(chosen))},
        {"seed": list(seeds), "pairs": list(setup.counts), "road": list(ROADS)},
    )


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x))
