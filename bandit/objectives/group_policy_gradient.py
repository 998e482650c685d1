"""GRPO and its descendants: PPO's surrogate with advantages of a prompt's own group of responses, no value function.

They differ in what an advantage is divided by, in what a ratio is of, and in how tokens are averaged:

| method | advantage | ratio | losses of tokens |
|---|---|---|---|
| GRPO | (r - mean)/std | of tokens | mean over a response, then over responses |
| Dr. GRPO | r - mean | of tokens | sum over a response, then the mean over responses |
| DAPO | (r - mean)/std | of tokens, clipped at 1-ε and 1+ε_high | mean over a prompt's tokens, then unequal groups |
| GSPO | (r - mean)/std | of responses, its |y|-th root | one a response |
| RLOO | r - mean of the others | none | one a response |

These units are the methods themselves: `Options.ratio`, which is PPO's, changes none of them. N responses to a prompt
are a group; r is what the batch calls rewards. Where all of a group are equally good, none has an advantage, and
DAPO does not count it.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modeseek.bandit.objectives.advantages import center_per_prompt, leave_one_out, standardize_per_prompt
from modeseek.bandit.objectives.batch import Batch, HyperParameters, Losses, Options, per_prompt, per_response
from modeseek.bandit.objectives.divergences import bounded_sampled_kl
from modeseek.bandit.objectives.log_probs import kept
from modeseek.bandit.objectives.policy_gradient import LARGEST_LOG_RATIO, ppo, reinforce


def token_surrogates(
    batch: Batch,
    advantages: Float[Array, "P N"],
    clip_epsilon: Float[Array, ""] | float,
    clip_epsilon_high: Float[Array, ""] | float | None = None,
) -> Float[Array, "P N T"]:
    """PPO's loss of each token, with its response's advantage and its own ratio; 0 where no token is."""
    mask = batch.token_mask
    # Masked before the ratio: a pad's log-prob may be -inf under both.
    policy, behavior = (kept(a, mask) for a in (batch.token_log_probs, batch.required("behavior_token_log_probs")))
    spread = jnp.broadcast_to(advantages[..., None], policy.shape)
    return kept(ppo(policy, behavior, spread, clip_epsilon, clip_epsilon_high), mask)


def reference_penalty(batch: Batch, coefficient: Float[Array, ""] | float) -> Float[Array, "P N T"]:
    """β times the estimate of KL(policy ‖ reference) that GRPO adds to each token's loss.

    D = π_ref/π - log(π_ref/π) - 1                                             Shao et al., 2024, eq. 4

    Never negative, and of the right mean where the policy itself has sampled. Its gradient is not the KL's: on-policy
    E[∂D/∂θ] is that of KL(reference ‖ policy), since D is differentiated as a function and not as an expectation; both
    rest at the reference. From log π_ref/π = 40 on it follows its tangent, as `ppo` does. With β = 0 the reference is
    not asked; 0 where no token is.

    Args:
        batch: policy and reference.
        coefficient: β ≥ 0, reward a nat.
    """
    reference = batch.required("reference_token_log_probs")
    asked = jnp.broadcast_to(jnp.asarray(coefficient) != 0, reference.shape)
    log_ratios = kept(kept(jax.lax.stop_gradient(reference) - batch.token_log_probs, batch.token_mask), asked)
    return coefficient * bounded_sampled_kl(log_ratios, LARGEST_LOG_RATIO)


def _group_standardized(batch: Batch) -> Array:
    """(r - mean)/std over each prompt's responses, the std with divisor N; 0 where all are equal."""
    return standardize_per_prompt(batch.required("rewards"), batch.response_mask)


def grpo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """Group relative policy optimisation (Shao et al., 2024): PPO whose baseline and scale are the group's own.

    ℓ_i = 1/|y_i| Σ_t [-min(ρ_it Â_i, clip(ρ_it, 1-ε, 1+ε) Â_i) + β D_it],    Â_i = (r_i - mean r)/std r    eqs. 3, 4

    ρ_it = π(y_t | y_<t)/π_gen(y_t | y_<t) is of tokens, and D_it is `reference_penalty`: this β is `kl_coefficient`,
    and the loop leaves it out of rewards. A group's scale makes a nearly solved prompt count as much as an open one,
    and the mean over tokens makes a long bad response's tokens cheap: Dr. GRPO undoes both.

    `options` changes nothing.
    """
    surrogates = token_surrogates(batch, _group_standardized(batch), hyper.clip_epsilon)
    tokens = surrogates + reference_penalty(batch, hyper.kl_coefficient)
    return per_response(tokens.sum(axis=-1) / batch.lengths, batch)


def dr_grpo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """GRPO done right (Liu et al., 2025): without the division by std r, and without that by |y_i|.

    ℓ_i = Σ_t -min(ρ_it Â_i, clip(ρ_it, 1-ε, 1+ε) Â_i),    Â_i = r_i - mean r

    At ρ = 1 its gradient is REINFORCE's with the group's mean as the baseline: unbiased up to a factor (N-1)/N. The KL
    is left out, as in the paper; `kl_coefficient` is the loop's. Libraries divide by a constant, the tokens that a
    response may have; here that is the learning rate's business. `options` changes nothing.
    """
    advantages = center_per_prompt(batch.required("rewards"), batch.response_mask)
    return per_response(token_surrogates(batch, advantages, hyper.clip_epsilon).sum(axis=-1), batch)


def dapo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """Decoupled clip (Yu et al., 2025): GRPO with more room above than below, and every token of a prompt alike.

    ℓ = 1/Σ_i |y_i| Σ_i Σ_t -min(ρ_it Â_i, clip(ρ_it, 1-ε, 1+ε_high) Â_i)              eqs. 8, 9

    Clip-higher: an unlikely good token may gain more before it is clipped. Tokens of long responses count as much as
    those of short ones.

    Dynamic sampling: a group counts where its rewards differ, 0 < |{i : y_i is right}| < N for rights and wrongs (eq.
    11). All others have advantages 0: the gradient is that of GRPO's mean, times groups over groups that are left. The
    paper draws prompts until a batch is full again; here it is smaller instead, and of nothing where none is left.

    Rewards are the user's: so is the paper's penalty for overlong ones. `options` changes nothing.
    """
    advantages = _group_standardized(batch)
    tokens = token_surrogates(batch, advantages, hyper.clip_epsilon, hyper.clip_epsilon_high)
    count = kept(jnp.ones_like(tokens), batch.token_mask).sum(axis=(-2, -1))
    losses, weights = per_prompt(tokens.sum(axis=(-2, -1)) / jnp.maximum(count, 1.0), batch)
    return Losses(losses, kept(weights, (advantages != 0).any(axis=-1)))


def gspo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """Group sequence policy optimisation (Zheng et al., 2025): GRPO whose ratio is of whole responses, a token.

    ℓ_i = -min(s_i Â_i, clip(s_i, 1-ε, 1+ε) Â_i),    s_i = (π(y_i | x)/π_gen(y_i | x))^(1/|y_i|)        eqs. 5-7

    A response is clipped or not as a whole, as in the paper's PPO; its ratio is the geometric mean of its tokens', so
    that ε means the same at any length (theirs is .0003 to .0004). At one token it is GRPO. `options` changes nothing.
    """
    policy, behavior = batch.log_probs / batch.lengths, batch.behavior_log_probs / batch.lengths
    return per_response(ppo(policy, behavior, _group_standardized(batch), hyper.clip_epsilon), batch)


def rloo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """REINFORCE leave-one-out (Kool et al., 2019; Ahmadian et al., 2024): the baseline is the other responses' mean.

    ℓ_i = -[r_i - 1/(N-1) Σ_{j≠i} r_j] log π(y_i | x)

    Unbiased, as the baseline knows nothing of y_i; the advantage is N/(N-1) times the centred reward. No ratio and no
    clip: one gradient step a sample. Infinite where `reinforce` is. `options` changes nothing.
    """
    advantages = leave_one_out(batch.required("rewards"), batch.response_mask)
    return per_response(reinforce(batch.log_probs, advantages), batch)
