"""Whose responses offline data are: the reference's, or those of another policy that draws each token for itself.

The paper's second condition on a problem, [C2], is how well the data cover what the policy shall learn. Here it is a
number of the experiment: any behavior policy whose next token depends on no earlier one, as the reference's does not.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from modeseek.bandit.simulator.problem import NARROWEST
from modeseek.checks import read_float, require

REFERENCE = "reference"
"""The policy before training: what offline data are sampled from if nothing else is asked for."""

COLDEST = 0.01
"""The least temperature of a reference: below, one token has all mass to the last bit."""


class Behavior(NamedTuple):
    """The behavior policy of offline data as arrays.

    Attributes:
        log_probs: log μ(token) at every position and for every prompt; -inf where it draws none.
        is_table: whether collections are sampled from these; otherwise from the policy's network, whose log-probs come
            near the reference's: offline data of the reference, and every collection of an on-policy run.
    """

    log_probs: Float[Array, "V"]
    is_table: Bool[Array, ""]


def _mix(reference: np.ndarray, share: float) -> np.ndarray:
    mixed: np.ndarray = np.log((1 - share) * reference + share / reference.size)
    return mixed


def _tempered(reference: np.ndarray, temperature: float) -> np.ndarray:
    return np.asarray(np.log(reference) / temperature)


def _bump(reference: np.ndarray, center: float, width: float) -> np.ndarray:
    return np.asarray(-(((np.arange(reference.size) - center) / width) ** 2))


def _between(reference: np.ndarray, low: float, high: float) -> np.ndarray:
    tokens = np.arange(reference.size)
    return np.where((low <= tokens) & (tokens <= high), np.log(reference), -np.inf)


class _Kind(NamedTuple):
    """One kind of recipe: its numbers' names, and log μ up to a constant from the reference and the numbers."""

    numbers: tuple[str, ...]
    unnormalized: Callable[..., np.ndarray]


_KINDS = {
    REFERENCE: _Kind((), np.log),
    "uniform": _Kind((), np.zeros_like),
    "mix": _Kind(("SHARE",), _mix),
    "tempered": _Kind(("TEMPERATURE",), _tempered),
    "bump": _Kind(("CENTER", "WIDTH"), _bump),
    "between": _Kind(("LOW", "HIGH"), _between),
}


class Recipe(NamedTuple):
    """A behavior policy by its kind and its numbers; two recipes of the same policy are equal."""

    kind: str
    numbers: tuple[float, ...]


def parse_behavior(text: str) -> Recipe:
    """Read a behavior policy.

    `reference` is the policy before training. `uniform` draws all tokens alike. `mix:SHARE` is the reference with so
    much of the uniform policy. `tempered:TEMPERATURE` is μ ∝ π_ref^(1/TEMPERATURE): flatter above 1, sharper below.
    `bump:CENTER:WIDTH` is μ ∝ exp(-((token - CENTER)/WIDTH)²), whatever the reference. `between:LOW:HIGH` is the
    reference on the tokens from LOW to HIGH and nothing elsewhere.

    Raises:
        ValueError: it is none of these, or a number means nothing there.
    """
    kind, *texts = text.split(":")
    try:
        numbers = tuple(map(read_float, texts))
        if kind not in _KINDS or len(numbers) != len(_KINDS[kind].numbers):
            raise ValueError
    except ValueError:
        known = [":".join((name, *kind.numbers)) for name, kind in _KINDS.items()]
        raise ValueError(f"a behavior must be one of {', '.join(known)}, got {text!r}") from None
    require(all(math.isfinite(n) for n in numbers), f"the numbers of a behavior must be finite, got {text!r}")
    if kind == "mix":
        require(0 < numbers[0] <= 1, f"the share of 'mix' must be above 0 and at most 1, got {text!r}")
    elif kind == "tempered":
        require(numbers[0] >= COLDEST, f"the temperature of 'tempered' must be at least {COLDEST}, got {text!r}")
    elif kind == "bump":
        require(numbers[1] >= NARROWEST, f"the width of 'bump' must be at least {NARROWEST} tokens, got {text!r}")
    elif kind == "between":
        require(
            numbers[0] <= numbers[1] and all(n == int(n) for n in numbers),
            f"'between' takes two whole numbers of which the first is not larger, got {text!r}",
        )
    return Recipe(kind, numbers)


def behavior_log_probs(text: str, reference: Float[np.ndarray, "V"]) -> Float[np.ndarray, "V"]:
    """log μ(token) in float64, nats; -inf where the behavior policy draws none.

    Args:
        text: as `parse_behavior` reads it.
        reference: π_ref(token).

    Raises:
        ValueError: it is no behavior policy of this vocabulary.
    """
    kind, numbers = parse_behavior(text)
    if kind in ("bump", "between"):
        within = numbers[:1] if kind == "bump" else numbers
        require(
            all(0 <= n <= reference.size - 1 for n in within),
            f"the behavior {text!r} must lie within the vocabulary, tokens 0 to {reference.size - 1}",
        )
    unnormalized = _KINDS[kind].unnormalized(np.asarray(reference, np.float64), *numbers)
    peak = unnormalized.max()
    log_probs: Float[np.ndarray, "V"] = unnormalized - peak - np.log(np.exp(unnormalized - peak).sum())
    return log_probs


def make_behavior(text: str, reference: Float[np.ndarray, "V"], *, on_policy: bool = False) -> Behavior:
    """A behavior policy for one run.

    Args:
        text: as `parse_behavior` reads it.
        reference: π_ref(token).
        on_policy: whether the run samples from its own policy at every collection.

    Raises:
        ValueError: as `behavior_log_probs`.
    """
    return Behavior(
        log_probs=jnp.asarray(behavior_log_probs(text, reference), jnp.float32),
        is_table=jnp.asarray(parse_behavior(text).kind != REFERENCE and not on_policy),
    )
