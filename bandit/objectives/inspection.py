"""What can be said of a loss before anything is trained with it: its gradient against finite differences, and which
numbers it looks at, on small random batches in float64."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from modeseek.bandit.objectives import reduce
from modeseek.bandit.objectives.batch import HYPER_RANGES, Batch, HyperParameters, Losses, Options
from modeseek.bandit.objectives.method import Objective

Kind = Literal["shapes", "finite", "learns", "gradient", "kinks", "prompts", "future", "mask"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MEANT: tuple[Kind, ...] = ("gradient", "kinks", "prompts", "future", "mask")
"""What may be done on purpose; the others cannot be trained with, or teach nothing."""

SHAPES = ((2, 3, 4), (3, 4, 2), (1, 2, 1))
"""P, N, T of the batches; in the first two no number is another one, so that none is taken for it."""

STEP = 1e-5
"""Nats of a finite difference: the error of a central one is some 1e-10 times the third derivative, and rounding's."""
CLOSE = 1e-6
"""Error that a gradient may have, as a share of its largest part."""
KINK = 1e-2
"""Difference of the slopes on both sides that is no curvature: that would have to be a thousand times the slope."""


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes:
        kind: what.
        passed: whether all is well.
        says: in a sentence.
    """

    kind: Kind
    passed: bool
    says: str


def examine(objective: Objective, hyper: HyperParameters | None = None) -> tuple[Finding, ...]:
    """Everything that is looked at, in the order in which it is worth mending; what fails first may hide the rest.

    Args:
        objective: `(batch, hyper, options) → Losses`.
        hyper: at which values; the defaults, if not given.
    """
    with jax.enable_x64(True):
        findings = [_shapes(objective, hyper or HyperParameters())]
        look = _looking_at(objective, hyper or HyperParameters())
        for part in (_finite, _learns, _gradient, _kinks, _prompts, _future, _mask):
            if not findings[-1].passed and findings[-1].kind in ("shapes", "finite"):
                break  # nothing more can be computed
            findings.append(part(look))
        return tuple(findings)


def small_batch(shape: tuple[int, int, int], seed: int = 0) -> Batch:
    """Random log-probs of three policies that are near each other, rewards without ties, and standardised rewards."""
    rng = np.random.default_rng(seed)
    policy = -rng.uniform(0.2, 1.5, shape)
    behavior, reference = (np.minimum(policy + 0.25 * rng.normal(size=shape), -0.01) for _ in range(2))
    rewards = rng.uniform(0, 1, shape[:2])
    advantages = (rewards - rewards.mean()) / rewards.std()
    return Batch(
        *(jnp.asarray(each) for each in (policy, behavior, reference, rewards, advantages)),
        mask=jnp.ones(shape, bool),
        response_mask=jnp.ones(shape[:2], bool),
    )


def before_training(shape: tuple[int, int, int]) -> Batch:
    """A batch as the first gradient step sees it: the policy is the reference, and has sampled itself."""
    batch = small_batch(shape, seed=1)
    same = batch.token_log_probs
    return batch._replace(behavior_token_log_probs=same, reference_token_log_probs=same)


def losses_shape(loss: Callable[[Batch, HyperParameters], Any]) -> str:
    """What a loss returns a number for: `pairs`, or something else that is not told apart."""
    found = jax.eval_shape(loss, small_batch(SHAPES[0]), HyperParameters())
    prompts, responses, _ = SHAPES[0]
    plain = not isinstance(found, Losses)
    return "pairs" if plain and found.shape == (prompts, responses, responses) else "other"


def reads(loss: Callable[[Batch, HyperParameters], Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which arrays of a batch, and which hyper-parameters, what a loss returns depends on."""
    batch = small_batch(SHAPES[0])
    arrays = [name for name, array in batch._asdict().items() if array is not None]
    program = jax.make_jaxpr(loss)(batch, HyperParameters()).jaxpr
    wanted = {v for v in program.outvars if not hasattr(v, "val")}
    for equation in reversed(program.eqns):
        if wanted & set(equation.outvars):
            wanted |= {v for v in equation.invars if not hasattr(v, "val")}
    read = [v in wanted for v in program.invars]
    return (
        tuple(name for name, yes in zip(arrays, read, strict=False) if yes),
        tuple(name for name, yes in zip(HYPER_RANGES, read[len(arrays) :], strict=True) if yes),
    )


def pushes_down(objective: Objective) -> bool:
    """Whether the gradient lowers the probability of some response."""
    with jax.enable_x64(True):
        look = _looking_at(objective, HyperParameters())
        return any(
            bool((look(batch).gradient.sum(axis=-1) > 0).any())
            for batch in (small_batch(SHAPES[0]), before_training(SHAPES[0]))
        )


class _Seen(NamedTuple):
    """What an objective says of a batch.

    Attributes:
        value: L.
        gradient: in the policy's log-probs, by differentiation.
        forward: by finite differences to one side.
        backward: to the other.
        found: the losses and their weights, before they are reduced.
    """

    value: float
    gradient: np.ndarray
    forward: np.ndarray
    backward: np.ndarray
    found: Losses


Look = Callable[[Batch], _Seen]


@functools.lru_cache(maxsize=1)
def _looking_at(objective: Objective, hyper: HyperParameters) -> Look:
    """One program, compiled once: every batch has one shape, and masks, if only such that leave nothing out."""

    def reduced(log_probs: jax.Array, batch: Batch) -> tuple[jax.Array, Losses]:
        found = objective(batch._replace(token_log_probs=log_probs), hyper, Options())
        return reduce.weighted_mean(*found), found

    program = jax.jit(jax.vmap(jax.value_and_grad(reduced, has_aux=True), in_axes=(0, None)))

    def look(batch: Batch) -> _Seen:
        at = batch.token_log_probs
        moves = jnp.eye(at.size).reshape(at.size, *at.shape) * STEP
        rows = at[None] + jnp.concatenate([0 * moves[:1], moves, -moves])
        (values, losses), gradients = jax.tree.map(np.asarray, program(rows, batch))
        value, ahead, behind = values[0], values[1 : 1 + at.size], values[1 + at.size :]
        forward, backward = (ahead - value) / STEP, (value - behind) / STEP
        found = Losses(*(each[0] for each in losses))
        return _Seen(float(value), gradients[0], forward.reshape(at.shape), backward.reshape(at.shape), found)

    return look


def _shapes(objective: Objective, hyper: HyperParameters) -> Finding:
    said = "It takes any numbers of prompts, responses and tokens."
    for i, (prompts, responses, tokens) in enumerate(SHAPES):
        batch = small_batch((prompts, responses, tokens))._replace(mask=None, response_mask=None)  # as in the bandit
        what = f"{prompts} prompt{'s' * (prompts > 1)}, {responses} responses and {tokens} token{'s' * (tokens > 1)}"
        try:
            found = jax.eval_shape(lambda batch: objective(batch, hyper, Options()), batch)
            if found.losses.shape != found.weights.shape or found.losses.shape[:1] != (prompts,):
                return Finding(
                    "shapes",
                    False,
                    f"With {what} its losses have the shape {found.losses.shape} and their weights "
                    f"{found.weights.shape}: both must be alike, and begin with the prompts.",
                )
        except Exception as error:
            before = "It cannot be computed" if i == 0 else "It depends on the batch's shape: it cannot be computed"
            return Finding("shapes", False, f"{before} with {what} ({_short(error)}).")
    return Finding("shapes", True, said)


def _finite(look: Look) -> Finding:
    places = {"random": small_batch(SHAPES[0]), "where the policy is the reference": before_training(SHAPES[0])}
    equal = small_batch(SHAPES[0])
    places["where all rewards are equal"] = equal._replace(
        rewards=jnp.full(SHAPES[0][:2], 0.5), advantages=jnp.zeros(SHAPES[0][:2])
    )
    for where, batch in places.items():
        try:
            value, gradient, *_ = look(batch)
        except Exception as error:
            return Finding("finite", False, f"It has no gradient ({_short(error)}).")
        for what, number in (("loss", value), ("gradient", gradient)):
            if not np.isfinite(number).all():
                kind = "NaN" if np.isnan(number).any() else "infinite"
                at = "" if where == "random" else f", {where}"
                return Finding("finite", False, f"Its {what} is {kind}{at}: a logarithm or a root of 0, or 0/0.")
    return Finding(
        "finite", True, "Its loss and gradient are finite, also at the start and where all rewards are equal."
    )


def _learns(look: Look) -> Finding:
    if look(small_batch(SHAPES[0])).gradient.any():
        return Finding("learns", True, "Its gradient is not zero.")
    return Finding(
        "learns",
        False,
        "Its gradient is zero everywhere: it does not depend on the policy (batch.log_probs), or only through a "
        "comparison or stop_gradient, so that nothing can be learnt from it.",
    )


def _gradient(look: Look) -> Finding:
    worst = 0.0
    for seed in range(2):
        _, gradient, forward, backward, _ = look(small_batch(SHAPES[0], seed))
        central = (forward + backward) / 2
        error = np.abs(gradient - central)
        scale = max(float(np.abs(gradient).max()), float(np.abs(central).max()), 1e-3)
        worst = max(worst, float(error.max()) / scale)
        if worst > CLOSE:
            at = np.unravel_index(int(error.argmax()), error.shape)
            where = "prompt {}, response {}, token {}".format(*(int(i) + 1 for i in at))
            return Finding(
                "gradient",
                False,
                f"Its gradient is not that of its value: {gradient[at]:.4g} by differentiation and {central[at]:.4g} "
                f"by finite differences ({where}). A stop_gradient on what depends on the policy does that, or "
                "rounding; where a surrogate is meant, say allow={'gradient'}.",
            )
    return Finding("gradient", True, f"Its gradient is that of its value, to {max(worst, 1e-12):.0e} of it.")


def _kinks(look: Look) -> Finding:
    _, gradient, forward, backward, _ = look(before_training(SHAPES[0]))
    apart = np.abs(forward - backward)
    if float(apart.max()) > KINK * max(float(np.abs(gradient).max()), float(apart.max()), 1e-3):
        at = np.unravel_index(int(apart.argmax()), apart.shape)
        return Finding(
            "kinks",
            False,
            "It is not differentiable where training begins, at the reference: its slope there is "
            f"{backward[at]:.4g} to one side and {forward[at]:.4g} to the other. If that does no harm, say "
            "allow={'kinks'}.",
        )
    return Finding("kinks", True, "It has no kink where training begins.")


def _prompts(look: Look) -> Finding:
    batch, other = small_batch(SHAPES[0]), small_batch(SHAPES[0], seed=7)
    swapped = batch._replace(**{name: array.at[0].set(getattr(other, name)[0]) for name, array in _arrays(batch)})
    if _same(look(batch).found, look(swapped).found, np.s_[1:]):
        return Finding("prompts", True, "A prompt's losses depend on its own responses alone.")
    return Finding(
        "prompts",
        False,
        "A prompt's losses change with the responses to another prompt: it reads over the whole batch (a mean or a "
        "maximum without axis=1?). Where that is meant, say allow={'prompts'}.",
    )


def _future(look: Look) -> Finding:
    batch = small_batch(SHAPES[0])
    found = look(batch).found
    if found.losses.shape == SHAPES[0]:
        later = batch._replace(token_log_probs=batch.token_log_probs.at[..., -1].add(-0.7))
        if not _same(found, look(later).found, np.s_[..., :-1]):
            return Finding(
                "future",
                False,
                "A token's loss reads the future: it changes with the log-probs of later tokens. Where that is meant, "
                "say allow={'future'}.",
            )
    return Finding("future", True, "No token's loss reads the future.")


def _mask(look: Look) -> Finding:
    batch = small_batch(SHAPES[0])
    present = jnp.ones(SHAPES[0][:2], bool).at[0, -1].set(False)
    mask = jnp.ones(SHAPES[0], bool).at[1, 0, -1].set(False)
    batch = batch._replace(mask=mask, response_mask=present)
    real = np.asarray(batch.token_mask)
    spoilt = batch._replace(
        **{
            name: jnp.where(real if array.ndim == 3 else present, array, 1.5 * array - 2.0)
            for name, array in _arrays(batch)
        }
    )
    before, after = look(batch), look(spoilt)
    alike = np.isclose(before.value, after.value, rtol=1e-9, atol=1e-12)
    if (
        alike
        and np.allclose(before.gradient, after.gradient, rtol=1e-9, atol=1e-12)
        and not before.gradient[~real].any()
    ):
        return Finding("mask", True, "What a mask leaves out enters nothing.")
    return Finding(
        "mask",
        False,
        "It ignores the mask: tokens or responses that are not real change it. batch.log_probs and batch.log_ratios "
        "leave them out; of single tokens, take those where batch.token_mask is true. The bandit has none, so that "
        "allow={'mask'} is enough there.",
    )


def _arrays(batch: Batch) -> Iterator[tuple[str, jax.Array]]:
    for name in ("token_log_probs", "behavior_token_log_probs", "reference_token_log_probs", "rewards", "advantages"):
        yield name, batch.required(name)


def _same(first: Losses, second: Losses, where: Any) -> bool:
    return all(
        np.allclose(np.asarray(a)[where], np.asarray(b)[where], rtol=1e-9, atol=1e-12)
        for a, b in zip(first, second, strict=True)
    )


def _short(error: Exception) -> str:
    """The first line of an error, with its kind: JAX's go on for a page."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:400]}"
