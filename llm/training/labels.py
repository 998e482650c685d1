"""What a collection teaches: its rewards with the KL in them, and the advantages of responses or of tokens."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from modeseek.bandit.objectives import advantages
from modeseek.bandit.objectives.kl_control import adapted_coefficient
from modeseek.bandit.objectives.token_advantages import Estimate, generalized_advantages, token_rewards, whiten
from modeseek.llm.training.tune_config import TuneConfig


class TokenScores(NamedTuple):
    """What is known of a collection's tokens before anything is learnt from them; log-probs in nats.

    Attributes:
        mask: which tokens are real tokens of real responses.
        log_probs: under the policy that is trained; 0 elsewhere.
        reference_log_probs: under the reference; 0 elsewhere.
        values: of the policy's value head; None where it has none.
    """

    mask: Bool[Array, "P N T"]
    log_probs: Float[Array, "P N T"]
    reference_log_probs: Float[Array, "P N T"]
    values: Float[Array, "P N T"] | None = None


class Labels(NamedTuple):
    """Rewards and advantages of a collection.

    Attributes:
        rewards: with the KL of eq. 2 in them, of whole responses.
        advantages: of responses; of tokens, where there is a value function.
        returns: what the value function is drawn towards; None without one.
    """

    rewards: Float[Array, "P N"]
    advantages: Float[Array, "P N"] | Float[Array, "P N T"]
    returns: Float[Array, "P N T"] | None


class Carried(NamedTuple):
    """What is known after a collection, and the next one is labelled with.

    Attributes:
        moments: of all rewards so far, for running standardisation.
        kl_coefficient: β of eq. 2, which may follow the KL.
        kl: KL(policy ‖ reference) as eq. 2's reward has it: the mean of log π/π_ref over the policy's own responses,
            nats; NaN where there are none.
    """

    moments: advantages.RunningMoments
    kl_coefficient: Float[Array, ""]
    kl: Float[Array, ""]


def label(
    config: TuneConfig,
    rewards: Float[Array, "P N"],
    real: Bool[Array, "P N"],
    sampled: Bool[np.ndarray, "P"],
    scores: TokenScores,
    moments: advantages.RunningMoments,
    kl_coefficient: Float[Array, ""],
) -> tuple[Labels, Carried]:
    """Rewards become advantages, and the KL coefficient follows the KL, if it is to.

    Without a value function: the KL goes into a response's reward, and these rewards are standardised. With one:
    rewards are standardised, the KL is taken off token by token (so β is in units of the standardised reward, as
    Ziegler et al., 2019, have it), and the advantages of tokens are estimated, and whitened over the collection.

    Args:
        config: how.
        rewards: of responses.
        real: which responses are real.
        sampled: which prompts the policy itself answered.
        scores: of their tokens. Eq. 2 is of the policy that is trained, whoever answered.
        moments: of all rewards before.
        kl_coefficient: β.
    """
    policy, prior = scores.log_probs.sum(axis=-1), scores.reference_log_probs.sum(axis=-1)
    shaped = rewards
    if config.hyper.kl_coefficient and not config.variant.method.has_kl_in_its_loss:
        shaped = advantages.kl_shaped_rewards(rewards, policy, prior, kl_coefficient)
    index = jnp.asarray(advantages.STANDARDIZATIONS.index(config.standardization))
    judged = shaped if scores.values is None else rewards
    of_responses, moments = _standardize(index, judged, moments, real)
    kl, following = (policy - prior)[np.flatnonzero(sampled)].mean(), kl_coefficient
    if config.kl.target is not None:
        count = config.sampled_prompts * config.responses_per_prompt
        following = adapted_coefficient(kl_coefficient, kl, config.kl.target, count, config.kl.horizon)
    carried = Carried(moments, following, kl)
    if scores.values is None:
        return Labels(shaped, of_responses, None), carried
    gamma, lam = jnp.float32(config.value.gamma), jnp.float32(config.value.lam)
    found = _of_tokens(config.value.whiten, of_responses, scores, scores.values, kl_coefficient, gamma, lam)
    return Labels(shaped, found.advantages, found.returns), carried


_standardize = jax.jit(advantages.standardize_by)
"""One program for all collections: by itself, its branches would be compiled at every call."""


@functools.partial(jax.jit, static_argnums=0)
def _of_tokens(
    whitening: str,
    rewards: Array,
    scores: TokenScores,
    values: Array,
    kl_coefficient: Array,
    gamma: Array,
    lam: Array,
) -> Estimate:
    log_ratios = scores.log_probs - scores.reference_log_probs
    of_tokens = token_rewards(rewards, log_ratios, kl_coefficient, scores.mask)
    found = generalized_advantages(of_tokens, values, gamma, lam, scores.mask)
    if whitening == "none":
        return found
    return found._replace(advantages=whiten(found.advantages, scores.mask, shift=whitening == "both"))
