"""How far the peak of a reward lies from a reference: the paper's condition [C1] as a number of nats.

Tokens of a response are drawn independently and its reward is their mean, so of all policies that earn as much the
nearest draws its tokens independently too, each from the same tilted distribution; nats add up over tokens.
"""

import numpy as np
from jaxtyping import Float

from modeseek.bandit.categorical.metrics import kl
from modeseek.bandit.categorical.simplex import policy
from modeseek.checks import require


def nats_to_reward(
    reference: Float[np.ndarray, "V"], rewards: Float[np.ndarray, "V"], level: float, length: int = 1
) -> float:
    """The least KL(policy ‖ reference) of a response, nats, with an expected reward of at least `level`.

    min KL(π ‖ π_ref) with E_π r ≥ level:   π ∝ π_ref exp(λ r),  λ ≥ 0 where E_π r = level       Csiszár, 1975

    0 where the reference earns as much itself; at the ceiling, level = max r, it is -log of the mass that the reference
    has on the best tokens; +inf above. It grows with the level, and its slope is λ: nats for a little more reward.

    Args:
        reference: of a token, positive, sums to 1.
        rewards: of a token.
        level: reward.
        length: tokens of a response.

    Raises:
        ValueError: the reference gives no mass to some token.
    """
    require(bool((reference > 0).all()), "every token needs reference mass: a distance to it would be infinite")
    log_reference, ceiling = np.log(reference), rewards.max()
    if level > ceiling:
        return float("inf")
    if level == ceiling:
        return float(-length * np.log(reference[rewards == ceiling].sum()))
    if reference @ rewards >= level:
        return 0.0
    tilted = lambda tilt: policy(log_reference + tilt * (rewards - ceiling))
    low, high = 0.0, 1.0
    while tilted(high).probs @ rewards < level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tilted(middle).probs @ rewards < level else (low, middle)
    nearest = tilted(high)
    return float(length * kl(*nearest, log_reference))


def divergence_from_reward(
    reference: Float[np.ndarray, "V"], rewards: Float[np.ndarray, "V"], length: int = 1
) -> float:
    """[C1] to the letter: D(π_ref, exp(r*)) of a response, nats, D = KL(π_ref ‖ exp(r*)/Z).

    Of a response exp(r*) is a product too, of exp(r/length) for each token. Rewards between 0 and 1 make it all but
    uniform: it is then the log of the number of responses less the reference's entropy, whatever the reward.

    Args:
        reference: of a token, positive, sums to 1.
        rewards: of a token.
        length: tokens of a response.
    """
    log_reference = np.log(reference)
    return float(length * kl(log_reference, reference, policy(rewards / length).log_probs))
