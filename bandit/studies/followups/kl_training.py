"""Training with an estimate of KL(policy ‖ reference): a tabular policy, verifiable rewards, plain gradient ascent."""

import dataclasses
from collections import deque

import numpy as np
import xarray
from jaxtyping import Float
from scipy.special import log_softmax, logsumexp

from modeseek.bandit.studies.followups.followup import seeds_of
from modeseek.bandit.studies.followups.kl_gradients import estimate, slope
from modeseek.bandit.studies.followups.tabular import Space, draw, less_the_others, space, token_log_probs
from modeseek.bandit.studies.protocol import Protocol


@dataclasses.dataclass(frozen=True)
class Training:
    """A run.

    Attributes:
        estimate: k1, k2, k3.
        place: `reward`, `loss` or `both`; `none` leaves KL out.
        delay: updates between the policy that samples and the one that is trained; 0 is on-policy.
        beta: of the penalty, reward per nat.
        vocab: V.
        length: T.
        correct: sequences of reward 1; all others have 0.
        steps: updates.
        batch: sequences an update.
        rate: of plain gradient ascent on the logits.
        interval: updates between evaluations.
    """

    estimate: str
    place: str
    delay: int = 0
    beta: float = 0.1
    vocab: int = 10
    length: int = 2
    correct: int = 10
    steps: int = 1000
    batch: int = 32
    rate: float = 3.0
    interval: int = 40


def train(setup: Training, protocol: Protocol) -> xarray.Dataset:
    """Runs of every seed, which draws the reference (standard normal logits), the correct sequences and the samples.

    Returns:
        `[seed, step]`: expected `reward`, `kl` to the reference in nats, and `share`: how much of what can be gained of
        E[r] - β KL, from the reference to the optimum π ∝ π_ref e^(r/β), the policy has. All exact.
    """
    sequences, seeds = space(setup.vocab, setup.length), seeds_of(protocol)
    total = len(sequences.tokens)
    generators = [np.random.default_rng(seed) for seed in seeds]
    logits = np.stack([rng.standard_normal((sequences.prefixes, setup.vocab)) for rng in generators])
    rewards = np.stack([(rng.permutation(total) < setup.correct).astype(float) for rng in generators])
    reference = token_log_probs(sequences, logits)
    past = deque([logits], maxlen=setup.delay + 1)  # its first is the policy that samples
    steps = range(0, setup.steps + 1, setup.interval)
    found = np.zeros((len(seeds), len(steps), 3))
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is NaN from there on
        for step in range(setup.steps + 1):
            if step % setup.interval == 0:
                log_probs = token_log_probs(sequences, logits)
                found[:, step // setup.interval] = evaluate(log_probs, reference, rewards, setup)
            uniform = np.stack([rng.random(setup.batch) for rng in generators])
            sampled = draw(np.exp(token_log_probs(sequences, past[0]).sum(-1)), uniform)
            logits = logits + setup.rate * ascent(sequences, logits, reference, rewards, sampled, setup)
            past.append(logits)
    names = ("reward", "kl", "share")
    curves = {name: (("seed", "step"), found[..., i].astype(np.float32)) for i, name in enumerate(names)}
    return xarray.Dataset(curves, {"seed": list(seeds), "step": list(steps)})


def ascent(
    sequences: Space,
    logits: Float[np.ndarray, "S rows V"],
    reference: Float[np.ndarray, "S Y T"],
    rewards: Float[np.ndarray, "S Y"],
    sampled: np.ndarray,
    setup: Training,
) -> Float[np.ndarray, "S rows V"]:
    """The direction Σ_t c_t ∇log π(y_t | y_<t), a mean over the batch, of every seed.

    c_t is the advantage, reward (less β k if k is in the reward) less the mean of the others in the batch, less
    β dk_t/dℓ_t if k is in the loss. Samples of another policy count as if they were the policy's own.
    """
    count, (rows, vocab) = len(logits), logits.shape[1:]
    seed = np.arange(count)[:, None]
    log_ratios = token_log_probs(sequences, logits)[seed, sampled] - reference[seed, sampled]
    returns = rewards[seed, sampled]
    if setup.place in ("reward", "both"):
        returns = returns - setup.beta * estimate(setup.estimate, log_ratios).sum(-1)
    each = np.repeat(less_the_others(returns)[..., None], setup.length, -1)
    if setup.place in ("loss", "both"):
        each = each - setup.beta * slope(setup.estimate, log_ratios)
    row = seed[..., None] * rows + sequences.rows[sampled]
    cell = row * vocab + sequences.tokens[sampled]
    pushed = np.bincount(cell.ravel(), each.ravel(), count * rows * vocab).reshape(logits.shape)
    return np.asarray((pushed - np.exp(log_softmax(logits, -1)) * pushed.sum(-1, keepdims=True)) / setup.batch)


def evaluate(
    log_probs: Float[np.ndarray, "S Y T"],
    reference: Float[np.ndarray, "S Y T"],
    rewards: Float[np.ndarray, "S Y"],
    setup: Training,
) -> Float[np.ndarray, "S 3"]:
    """Expected reward, KL(policy ‖ reference) and the share of `train`, of every seed."""
    of_policy, of_reference = log_probs.sum(-1), reference.sum(-1)
    reward = (np.exp(of_policy) * rewards).sum(-1)
    kl = (np.exp(of_policy) * (of_policy - of_reference)).sum(-1)
    least = (np.exp(of_reference) * rewards).sum(-1)
    most = setup.beta * logsumexp(of_reference + rewards / setup.beta, axis=-1)
    return np.stack([reward, kl, (reward - setup.beta * kl - least) / (most - least)], -1)
