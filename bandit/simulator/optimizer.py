"""Adam, with the step size left to the caller: it is data, and may differ from run to run."""

from typing import Any

import jax
import optax


def adam() -> optax.GradientTransformation:
    """Optax's Adam (Kingma & Ba, 2017; β₁ = .9, β₂ = .999, ε = 1e-8) without its step size.

    Optax raises a float to its integer step count, which this project's strict promotion in tests forbids; standard
    promotion holds within the update alone.
    """
    inner = optax.scale_by_adam()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):
            steps, moments = inner.update(updates, state, params)
        return steps, moments

    return optax.GradientTransformation(inner.init, update)
