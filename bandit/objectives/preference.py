"""DPO and IPO: losses on the margin between a preferred and a dispreferred response."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Losses, Options, pair_weights
from modeseek.bandit.objectives.log_probs import kept


def implicit_reward(log_ratios: Float[Array, "*B"], beta: Float[Array, ""] | float) -> Float[Array, "*B"]:
    """r_θ(x, y) = β [log π(y | x) - log π_ref(y | x)]. Paper eq. 4."""
    return beta * log_ratios


def dpo(margins: Float[Array, "*B"], beta: Float[Array, ""] | float) -> Float[Array, "*B"]:
    """Direct preference optimisation (Rafailov et al., 2023): logistic loss on the implicit reward margin.

    ℓ = -log σ(β m),    m = log π(y_w)/π_ref(y_w) - log π(y_l)/π_ref(y_l)      paper eqs. 3, 4

    log 2 where policy = reference; falls for ever as m grows, so nothing but β and the steps taken holds it. At
    m = +inf, where y_l is impossible, loss and gradient are 0; at m = -inf the loss is +inf and the gradient -β.

    Args:
        margins: m, of summed log-probs or of their means a token, nats.
        beta: β > 0.

    Returns:
        The loss of each pair, shaped as `margins`.
    """
    return -jax.nn.log_sigmoid(beta * margins)


def ipo(margins: Float[Array, "*B"], tau: Float[Array, ""] | float) -> Float[Array, "*B"]:
    """Identity preference optimisation (Gheshlaghi Azar et al., 2023): DPO's margin pulled to a finite target.

    ℓ = (m - 1/(2τ))²                                                           paper eq. 20

    Convention: m of *summed* log-probs, target 1/(2τ): 10 nats at τ = .05. (The released code takes the target 10
    itself as a parameter; some libraries average log-probs over tokens, which is another loss: `margin="token"`.)

    An impossible response, m = ±inf, is infinitely far from the target: loss and gradient are infinite.

    Args:
        margins: m as in `dpo`.
        tau: τ > 0.

    Returns:
        The loss of each pair, shaped as `margins`.
    """
    return jnp.square(margins - 0.5 / tau)


def margins(log_ratios: Float[Array, "*B N"]) -> Float[Array, "*B N N"]:
    """m_ij = log-ratio of response i minus that of response j, for all pairs of a prompt's responses.

    ±inf where one of the two is impossible under the policy; NaN, and with it the step that would learn from the pair,
    where both are: nothing then says which is likelier.
    """
    return log_ratios[..., :, None] - log_ratios[..., None, :]


def implicit_log_ratios(batch: Batch, options: Options) -> Float[Array, "P N"]:
    """What margins are differences of: each response's log-ratio, summed over its tokens or their mean."""
    return batch.log_ratios / batch.lengths if options.margin == "token" else batch.log_ratios


def sides(values: Float[Array, "P N"], weights: Float[Array, "P N N"]) -> tuple[Array, Array]:
    """A number of the chosen and of the rejected response of each pair that is compared, `[P, N, N]`, 0 elsewhere."""
    chosen, rejected = jnp.broadcast_arrays(values[..., :, None], values[..., None, :])
    return kept(chosen, weights > 0), kept(rejected, weights > 0)


def compared(batch: Batch, hyper: HyperParameters, options: Options) -> tuple[Array, Array]:
    """Margins of the pairs that are compared, 0 elsewhere (what is impossible has none with itself), and weights."""
    weights = pair_weights(batch, hyper, options)
    return kept(margins(implicit_log_ratios(batch, options)), weights > 0), weights


def dpo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """DPO: the mean over pairs."""
    of_pairs, weights = compared(batch, hyper, options)
    return Losses(dpo(of_pairs, hyper.beta), weights)


def ipo_losses(batch: Batch, hyper: HyperParameters, options: Options) -> Losses:
    """IPO: the mean over pairs."""
    of_pairs, weights = compared(batch, hyper, options)
    return Losses(ipo(of_pairs, hyper.tau), weights)
