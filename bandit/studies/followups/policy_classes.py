"""Which policies PPO on a learnt reward can end at, and which DPO can: three answers, comparisons of two, exact.

A comparison says y₁ ≻ y₂ with probability c. The rewards of greatest likelihood have R₁ - R₂ = ln c/(1 - c) and any R₃;
PPO's optimum on one of them is π_ref e^(R/β)/Z. DPO's optima are the policies whose margin β ln(π₁/π₂ · ref₂/ref₁) is
that same number, whatever mass they give to y₃.
"""

import dataclasses

import numpy as np
import xarray
from jaxtyping import Float
from scipy.special import logsumexp

from modeseek.bandit.studies.protocol import Protocol

REFERENCES = {"gives every answer": (0.5, 0.3, 0.2), "never gives y₃": (0.6, 0.4, 0.0)}


@dataclasses.dataclass(frozen=True)
class Classes:
    """What is enumerated.

    Attributes:
        preferred: c, the share of comparisons that prefer y₁.
        beta: of DPO and PPO, per nat.
        widest: |R₃| at most, in steps of a half.
    """

    preferred: float = 0.8
    beta: float = 0.5
    widest: float = 10.0


def ppo_optimum(log_reference: Float[np.ndarray, "3"], unseen: float, setup: Classes) -> Float[np.ndarray, "3"]:
    """Log of π_ref e^(R/β)/Z at the rewards of greatest likelihood with R₃ = `unseen` and R₁ + R₂ = 0."""
    half = np.log(setup.preferred / (1 - setup.preferred)) / 2
    logits = log_reference + np.array([half, -half, unseen]) / setup.beta
    found: Float[np.ndarray, "3"] = logits - logsumexp(logits)
    return found


def dpo_excess(log_policy: Float[np.ndarray, "3"], log_reference: Float[np.ndarray, "3"], setup: Classes) -> float:
    """DPO's mean loss of a comparison less the least that any policy has, nats; 0 at its optima alone."""
    chosen, rejected = log_policy[:2] - log_reference[:2]
    margin = setup.beta * float(chosen - rejected)
    c = setup.preferred
    loss = c * np.logaddexp(0.0, -margin) + (1 - c) * np.logaddexp(0.0, margin)
    return float(loss + c * np.log(c) + (1 - c) * np.log(1 - c))


def distance_to_ppo(log_policy: Float[np.ndarray, "3"], log_reference: Float[np.ndarray, "3"], setup: Classes) -> float:
    """Least total variation from a policy to an optimum of PPO.

    All these share one ratio π₁/π₂. Where the reference gives y₃, the nearest to a policy of that ratio is the one with
    its π₃, which R₃ = β ln(π₃/ref₃) + const. reaches; where it does not, there is one optimum alone.
    """
    unseen = 0.0
    if np.isfinite(log_reference[2]):
        free = ppo_optimum(log_reference, 0.0, setup)
        unseen = setup.beta * float((log_policy[2] - np.log1p(-np.exp(log_policy[2]))) - _log_odds(free))
    nearest = ppo_optimum(log_reference, unseen, setup)
    return float(np.abs(np.exp(log_policy) - np.exp(nearest)).sum() / 2)


def _log_odds(log_policy: Float[np.ndarray, "3"]) -> float:
    return float(log_policy[2] - np.logaddexp(log_policy[0], log_policy[1]))


def enumerated(setup: Classes, protocol: Protocol) -> xarray.Dataset:
    """Both classes; no seed has part in it.

    Returns:
        `excess` of PPO's optima in DPO's loss, nats, `[reference, unseen_reward]`; and of DPO's optima, which give the
        mass `unseen_mass` to y₃, their own excess `dpo_excess` and the `distance` to the nearest optimum of PPO.
    """
    unseen_rewards = np.arange(-setup.widest, setup.widest + 0.25, 0.5)
    masses = np.linspace(0.05, 0.95, 19)
    with np.errstate(divide="ignore"):
        references = [np.log(np.array(reference)) for reference in REFERENCES.values()]
    excess = [[dpo_excess(ppo_optimum(ref, r, setup), ref, setup) for r in unseen_rewards] for ref in references]
    optima = [[_dpo_optimum(ref, mass, setup) for mass in masses] for ref in references]
    over = ("reference", "unseen_mass")
    return xarray.Dataset(
        {
            "excess": (("reference", "unseen_reward"), excess),
            "dpo_excess": (
                over,
                [[dpo_excess(p, ref, setup) for p in row] for row, ref in zip(optima, references, strict=True)],
            ),
            "distance": (
                over,
                [[distance_to_ppo(p, ref, setup) for p in row] for row, ref in zip(optima, references, strict=True)],
            ),
        },
        {"reference": list(REFERENCES), "unseen_reward": unseen_rewards, "unseen_mass": masses},
    )


def _dpo_optimum(log_reference: Float[np.ndarray, "3"], mass: float, setup: Classes) -> Float[np.ndarray, "3"]:
    """Log of the optimum of DPO that gives so much mass to y₃."""
    margin = np.log(setup.preferred / (1 - setup.preferred)) / setup.beta
    seen = log_reference[:2] + np.array([margin, 0.0])
    return np.append(seen - logsumexp(seen) + np.log1p(-mass), np.log(mass))
