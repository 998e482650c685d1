"""How a field is descended: gradient descent, Adam, natural gradient, and the continuous-time flow.

A step takes and returns a `State`; logits are renormalised after each, which changes no distribution (softmax ignores
a common shift, and no gradient here depends on it) and keeps them from drifting over 1e5 steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from modeseek.bandit.categorical.divergences import Field
from modeseek.bandit.categorical.simplex import CategoricalPolicy, Vector, namespace, policy


class Settings(NamedTuple):
    """Numbers of the optimizers; all data, so none recompiles.

    Attributes:
        step_size: η > 0; of the flow, the time of one recorded step.
        decay_1: Adam's β₁.
        decay_2: Adam's β₂.
        epsilon: Adam's ε.
        damping: λ ≥ 0 of the natural gradient, added to the Fisher matrix.
    """

    step_size: Any = 1.0
    decay_1: Any = 0.9
    decay_2: Any = 0.999
    epsilon: Any = 1e-8
    damping: Any = 1e-3


class State(NamedTuple):
    """What a trajectory carries; only Adam reads the last three.

    Attributes:
        policy: the distribution.
        mean: running mean of gradients, `[K]`.
        square: running mean of their squares, `[K]`.
        step: steps taken, as a floating number.
    """

    policy: CategoricalPolicy
    mean: Vector
    square: Vector
    step: Vector


Step = Callable[[Field, Settings, State], State]


def initial(log_probs: Vector) -> State:
    """The state at a start, `[*B, K]`."""
    xp = namespace(log_probs)
    zeros = xp.zeros_like(log_probs)
    return State(policy(log_probs), zeros, zeros, zeros[..., :1])


def gradient_descent(field: Field, settings: Settings, state: State) -> State:
    """f ← f - η ∂L/∂f: eqs. 12 to 15."""
    logits = state.policy.log_probs - settings.step_size * field.gradient(state.policy)
    return State(policy(logits), state.mean, state.square, state.step)


def adam(field: Field, settings: Settings, state: State) -> State:
    """f ← f - η m̂/(√v̂ + ε) (Kingma and Ba, 2015): every logit moves by about η, however small its gradient."""
    xp = namespace(state.mean)
    gradient = field.gradient(state.policy)
    step = state.step + 1.0
    mean = settings.decay_1 * state.mean + (1.0 - settings.decay_1) * gradient
    square = settings.decay_2 * state.square + (1.0 - settings.decay_2) * gradient * gradient
    unbiased_mean = mean / (1.0 - settings.decay_1**step)
    unbiased_square = square / (1.0 - settings.decay_2**step)
    change = unbiased_mean / (xp.sqrt(unbiased_square) + settings.epsilon)
    return State(policy(state.policy.log_probs - settings.step_size * change), mean, square, step)


def natural_gradient(field: Field, settings: Settings, state: State) -> State:
    """f ← f - η (F + λ)⁻¹ ∂L/∂f, F = diag(p) - p pᵀ (Amari, 1998), by Sherman and Morrison in O(K).

    F cancels the factor p_j of eq. 13: at λ = 0 reverse KL's step is p ← p^(1-η) q^η, the geometric path, and forward
    KL's is f ← f + η q/p, which is unbounded where p is tiny; hence the damping.
    """
    xp = namespace(state.mean)
    probs = state.policy.probs
    diagonal = xp.maximum(probs + settings.damping, 1e-37)  # an underflowed p without damping: 0/1e-37, not 0/0
    gradient = field.gradient(state.policy)
    # pᵀD⁻¹g = -λ Σ g/D and 1 - pᵀD⁻¹p = λ Σ p/D, as Σ g = 0 and Σ p = 1: their ratio needs no division by λ.
    shift = -(gradient / diagonal).sum(-1, keepdims=True) / (probs / diagonal).sum(-1, keepdims=True)
    direction = (gradient + probs * shift) / diagonal
    return state._replace(policy=policy(state.policy.log_probs - settings.step_size * direction))


def flow(field: Field, settings: Settings, state: State) -> State:
    """df/dt = -∂L/∂f over a time η, by the classical Runge-Kutta method: error O(η⁴) over a fixed time.

    The field is smooth and its Jacobian of order one, so nothing is stiff at η ≤ 1; `dynamics.flow_error` states the
    accuracy of a given trajectory.
    """
    eta, start = settings.step_size, state.policy.log_probs

    def slope(after: Any, k: Vector) -> Vector:
        return -field.gradient(policy(start + after * eta * k))

    k1 = -field.gradient(state.policy)
    k2 = slope(0.5, k1)
    k3 = slope(0.5, k2)
    k4 = slope(1.0, k3)
    return state._replace(policy=policy(start + eta / 6.0 * (k1 + 2.0 * (k2 + k3) + k4)))


OPTIMIZERS: dict[str, Step] = {"gd": gradient_descent, "adam": adam, "natural": natural_gradient, "flow": flow}
"""Name → step."""
