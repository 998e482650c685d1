"""The paper's condition [C1] to the letter: how far the reward is from the reference.

How far its peak is, which separates R1 from R2 as this does not, is `frontier.nats_at`: the fewest nats for a reward.
"""

import numpy as np
from jaxtyping import Float

from modeseek.bandit.categorical.metrics import kl
from modeseek.bandit.categorical.simplex import policy


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
