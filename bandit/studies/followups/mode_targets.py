"""What KL-regularised RL asks for: the optimum, with KL(π ‖ π_ref) and with KL(π_ref ‖ π), and with adjusted rewards.

    reverse:  max E_π[r] - β KL(π ‖ π_ref)  at  π ∝ π_ref e^(r/β),
    forward:  max E_π[r] - β KL(π_ref ‖ π)  at  π = β π_ref/(Λ - r),  with Λ > max r such that it sums to one.

Mode-anchored rewards (the paper's equation 11): with z the response that the reference likes best among those of reward
τ or more, each of those has r(z) + β (log π_ref(z) - log π_ref(y)); then π_ref e^(r/β) is the same for all of them. Its
algorithm 2 gives them r(z) and, in the regulariser, π_ref(z); with reverse KL that is the same.
"""

import dataclasses

import numpy as np
import xarray
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import softmax

from modeseek.bandit.categorical.dynamics import PAIR, simulate
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.problem import bump, from_target
from modeseek.bandit.studies.protocol import Protocol

KINDS = ("reverse", "forward")
MODES = (25, 75)
"""Where rewards peak; the reference likes the first better."""
ADJUSTMENTS = ("none", "rewards", "rewards and reference")
WINDOW = 10
"""Tokens on either side of a peak that belong to its mode."""
CATEGORIES = 100
HEIGHTS = {"unequal": (0.75, 1.0), "equal": (1.0, 1.0)}
"""Rewards at the peaks; 0.75 and 1 are those of the paper's figure 2."""


def reference_of(log_gap: float) -> Float[np.ndarray, "K"]:
    """A reference whose log-probability falls evenly, by `log_gap` nats from the first peak to the second."""
    logits = -log_gap * np.arange(CATEGORIES) / (MODES[1] - MODES[0])
    return np.asarray(np.exp(logits) / np.exp(logits).sum())


def rewards_of(heights: tuple[float, float], width: float) -> Float[np.ndarray, "K"]:
    """Two Gaussian peaks, cut to the better of them."""
    peaks = [bump(CATEGORIES, float(mode), width) for mode in MODES]
    return np.asarray(np.max([height * peak / peak.max() for height, peak in zip(heights, peaks, strict=True)], axis=0))


def optimum(
    kind: str, reference: Float[np.ndarray, "K"], rewards: Float[np.ndarray, "K"], beta: float
) -> Float[np.ndarray, "K"]:
    """The policy that is best, with reverse or forward regularisation.

    Forward, Λ lies between max r + β π_ref(argmax) and max r + β Σ π_ref, where the sum passes one.

    Args:
        kind: `reverse` or `forward`.
        reference: positive; it need not sum to one, see `levelled`.
        rewards: r.
        beta: β.
    """
    if kind == "reverse":
        return np.asarray(softmax(np.log(reference) + rewards / beta))
    best = int(rewards.argmax())
    excess = lambda gap: (beta * reference / (rewards[best] + gap - rewards)).sum() - 1
    ends = beta * reference[best] * (1 - 1e-9), beta * reference.sum() * (1 + 1e-9)
    gap = brentq(excess, *ends, xtol=1e-15, rtol=1e-14)
    found = beta * reference / (rewards[best] + gap - rewards)
    return np.asarray(found / found.sum())


def anchored(
    log_reference: Float[np.ndarray, "*B K"], rewards: Float[np.ndarray, "*B K"], beta: float, threshold: float
) -> Float[np.ndarray, "*B K"]:
    """Mode-anchored rewards of responses: all there are, or those of a batch, along the last axis.

    Where none reaches the threshold they stay as they are.
    """
    good = rewards >= threshold
    anchor = np.where(good, log_reference, -np.inf).argmax(-1)[..., None]
    of_anchor, log_of_anchor = (np.take_along_axis(each, anchor, -1) for each in (rewards, log_reference))
    return np.where(good, of_anchor + beta * (log_of_anchor - log_reference), rewards)


def levelled(
    reference: Float[np.ndarray, "K"], rewards: Float[np.ndarray, "K"], threshold: float
) -> tuple[Float[np.ndarray, "K"], Float[np.ndarray, "K"]]:
    """Reference and rewards as algorithm 2 has them: the anchor's for all that reach the threshold."""
    good = rewards >= threshold
    anchor = int(np.where(good, reference, 0).argmax())
    return np.where(good, reference[anchor], reference), np.where(good, rewards[anchor], rewards)


def second_share(probs: xarray.DataArray) -> xarray.DataArray:
    """The second mode's part of the mass of both."""
    first, second = (probs.sel(category=slice(mode - WINDOW, mode + WINDOW)).sum("category") for mode in MODES)
    return second / (first + second)


@dataclasses.dataclass(frozen=True)
class Targets:
    """The problems.

    Attributes:
        log_gap: nats between the reference's log-probabilities at the two peaks; the paper's figure 2 has 1.9.
        width: of the peaks, tokens.
        betas: strengths of regularisation.
        threshold: of mode-anchored rewards.
        steps: of gradient descent on each divergence to the same target.
        step_size: of it.
    """

    log_gap: float = 1.9
    width: float = 5.0
    betas: tuple[float, ...] = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.13, 0.16, 0.2, 0.3, 0.5, 0.7, 1.0)
    threshold: float = 0.95
    steps: int = 20_000
    step_size: float = 2.0


def enumerated(setup: Targets, protocol: Protocol) -> xarray.Dataset:
    """Every optimum, what descending either divergence to the reverse optimum ends at, and the best single bump."""
    reference = reference_of(setup.log_gap)
    rewards = {name: rewards_of(heights, setup.width) for name, heights in HEIGHTS.items()}
    probs = np.zeros((len(HEIGHTS), len(ADJUSTMENTS), 2, len(setup.betas), CATEGORIES))
    for i, given in enumerate(rewards.values()):
        for k, beta in enumerate(setup.betas):
            adjusted = anchored(np.log(reference), given, beta, setup.threshold)
            asked = ((reference, given), (reference, adjusted), levelled(reference, given, setup.threshold))
            for j, kind in enumerate(KINDS):
                probs[i, :, j, k] = [optimum(kind, of, earned, beta) for of, earned in asked]
    settings = Settings(step_size=setup.step_size)
    descended = np.zeros((2, len(setup.betas), CATEGORIES))
    for k in range(len(setup.betas)):
        problem = from_target(probs[0, 0, 0, k], reference)
        paths, _ = simulate(problem, reference, objectives=PAIR, settings=settings, steps=setup.steps)
        descended[:, k] = np.exp(paths[:, -1])
    bimodal = np.mean([bump(CATEGORIES, float(mode), setup.width) for mode in MODES], axis=0)
    single = np.stack([best_bump(bimodal, divergence) for divergence in PAIR])
    return xarray.Dataset(
        {
            "target": (("rewards", "adjusted", "kind", "beta", "category"), probs.astype(np.float32)),
            "descended": (("divergence", "beta", "category"), descended.astype(np.float32)),
            "single": (("divergence", "category"), single.astype(np.float32)),
            "bimodal": ("category", bimodal.astype(np.float32)),
            "reference": ("category", reference.astype(np.float32)),
            "reward": (("rewards", "category"), np.stack(list(rewards.values())).astype(np.float32)),
        },
        {
            "rewards": list(HEIGHTS),
            "adjusted": list(ADJUSTMENTS),
            "kind": list(KINDS),
            "beta": list(setup.betas),
            "divergence": list(PAIR),
            "category": np.arange(CATEGORIES),
        },
    )


def best_bump(target: Float[np.ndarray, "K"], divergence: str) -> Float[np.ndarray, "K"]:
    """The single bump (every centre, forty widths) that is nearest to a target, by one of the divergences."""
    floor = 1e-12  # a bump may miss all of a mode: the divergence is then large, not infinite
    candidates = [bump(CATEGORIES, float(c), float(w)) for c in range(CATEGORIES) for w in np.geomspace(1, 60, 40)]
    policies = np.maximum(candidates, floor)
    aim = np.maximum(target, floor)
    if divergence == "forward_kl":
        distances = (aim * np.log(aim / policies)).sum(-1)
    else:
        distances = (policies * np.log(policies / aim)).sum(-1)
    return np.asarray(candidates[int(distances.argmin())])
