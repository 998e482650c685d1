"""How far the good responses lie, from samples and their rewards.

Of n samples of a prompt, the reference's, the least KL of a policy that earns a target is estimated by tilting the
samples as the reference would be tilted: weights q_i ∝ exp(λ r_i) with Σ q_i r_i = target cost Σ q_i log(n q_i) nats.
That sees what the samples hold and no more: it never exceeds log n, and where few samples carry the weight it is
noise. Where the target lies beyond the `SEEN` largest rewards, the tail is taken to be exponential instead, with the
mean excess over the 90 % quantile u (Davison and Smith, 1990, "Models for exceedances over high thresholds", ξ = 0):

    -log P(r ≥ target) ≈ -log .1 + (target - u) / mean excess,

the nats of a policy that draws from that tail alone, which is at least what the cheapest policy needs. A tail heavier
than that lies nearer, a lighter one farther, and nothing in the samples says which.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from modeseek.checks import finite, require
from modeseek.files import parse_json

SEEN = 5
"""Samples at or above the target that the tilted samples need."""

TAIL = 0.1
"""Share of the samples that the exponential tail is fitted to."""


class Estimate(NamedTuple):
    """What one set of samples says.

    Attributes:
        halfway: nats to half of what there is to earn, the mean over prompts.
        prompts: how many were used.
        left_out: prompts with a single sample or equal rewards, which say nothing of a spread.
        samples: of those used, in all.
        extrapolated: prompts whose target no five samples reach, so that the tail is a guess.
        best: the reward taken as the best there is: given, or the largest seen.
        best_of_n: KL of the best of a prompt's samples from the reference, log n - (n - 1)/n, the mean over prompts:
            what sampling alone can reach.
    """

    halfway: float
    prompts: int
    left_out: int
    samples: int
    extrapolated: int
    best: float
    best_of_n: float

    def in_words(self) -> str:
        """What was found, and what cannot be seen."""
        lines = [
            f"{self.samples} samples of {self.prompts} prompts: half of what there is to earn (up to {self.best:g}) "
            f"lies {self.halfway:.1f} nats away; the best of a prompt's samples lies {self.best_of_n:.1f} nats away",
        ]
        if self.extrapolated:
            lines.append(
                f"note: for {self.extrapolated} of {self.prompts} prompts fewer than {SEEN} samples earn that much: "
                "the distance is extrapolated from the tail, within a factor of two if all is well"
            )
        if self.left_out:
            lines.append(f"note: {self.left_out} prompts with one sample, or with equal rewards, say nothing")
        return "\n".join(lines)


def read_samples(path: Path) -> dict[str, list[float]]:
    """Rewards of each prompt from a file with one JSON object a line: `prompt`, `response`, `reward`.

    Raises:
        ValueError: the file cannot be read; a line is no such object; a reward is missing, or is no finite number. The
            message has the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    rewards: dict[str, list[float]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"line {number} of {path}"
        record = parse_json(line, where)
        require(isinstance(record, dict), f"{where} must be an object with prompt, response and reward")
        prompt, reward = record.get("prompt"), record.get("reward")
        require(prompt is not None, f"{where} has no prompt")
        require(reward is not None, f"{where} has no reward: samples are of use with their rewards alone")
        require(finite(reward), f"{where}: a reward must be a finite number, got {reward!r}")
        key = prompt if isinstance(prompt, str) else repr(prompt)
        rewards.setdefault(key, []).append(float(reward))
    require(len(rewards) > 0, f"{path} has no samples")
    return rewards


def estimate(rewards: Mapping[str, list[float]], best: float | None = None) -> Estimate:
    """How far half of what there is to earn lies from the policy that wrote the samples.

    Args:
        rewards: of each prompt's samples.
        best: what the best response earns; the largest reward of all samples, if it is not known: then what no sample
            has earned is not seen, and the estimate is too near.

    Raises:
        ValueError: no prompt has two samples; a prompt's rewards are all equal, or all rewards are; `best` is below a
            reward that was seen.
    """
    used = {prompt: np.asarray(values) for prompt, values in rewards.items() if len(values) >= 2}
    require(len(used) > 0, "no prompt has two samples: one says nothing of the spread of rewards")
    every = np.concatenate(list(used.values()))
    require(bool(np.isfinite(every).all()), "rewards must be finite, got NaN or infinity")
    require(
        bool(every.min() < every.max()), f"all rewards are equal, {every[0]:g}: nothing is better than anything else"
    )
    most = float(every.max())
    require(
        best is None or (finite(best) and best >= most),
        f"the best reward must be at least what a sample has earned, {most:g}, got {best}",
    )
    top = most if best is None else float(best)
    varied = {prompt: values for prompt, values in used.items() if values.min() < values.max()}
    each = [nats_to(values, (values.mean() + top) / 2) for values in varied.values()]
    sizes = np.asarray([len(values) for values in varied.values()], float)
    return Estimate(
        halfway=float(np.mean([nats for nats, _ in each])),
        prompts=len(varied),
        left_out=len(rewards) - len(varied),
        samples=int(sizes.sum()),
        extrapolated=sum(beyond for _, beyond in each),
        best=top,
        best_of_n=float(np.mean(np.log(sizes) - (sizes - 1) / sizes)),
    )


def nats_to(rewards: Float[np.ndarray, "n"], target: float) -> tuple[float, bool]:
    """Least KL of a policy with that expected reward, and whether it was extrapolated.

    Args:
        rewards: of samples, two different ones at least.
        target: above their mean.
    """
    if int((rewards >= target).sum()) >= SEEN:
        return _tilted_nats(rewards, target), False
    threshold = float(np.quantile(rewards, 1 - TAIL))
    above = rewards[rewards > threshold]
    if not above.size:  # the tenth largest and the largest are equal
        threshold, above = float(rewards.mean()), rewards[rewards > rewards.mean()]
    share, excess = above.size / rewards.size, float((above - threshold).mean())
    return -math.log(share) + max(0.0, target - threshold) / excess, True


def _tilted_nats(rewards: Float[np.ndarray, "n"], target: float) -> float:
    """Σ q log(n q) of q ∝ exp(λ r) that earns the target, by bisection of log λ."""
    spread = rewards.max() - rewards.min()
    low, high = math.log(1e-6 / spread), math.log(1e6 / spread)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _weights(rewards, middle) @ rewards < target else (low, middle)
    q = _weights(rewards, low)
    positive = q[q > 0]
    return float((positive * np.log(rewards.size * positive)).sum())


def _weights(rewards: Float[np.ndarray, "n"], log_tilt: float) -> Float[np.ndarray, "n"]:
    logits = math.exp(log_tilt) * (rewards - rewards.max())
    weights: Float[np.ndarray, "n"] = np.exp(logits) / np.exp(logits).sum()
    return weights
