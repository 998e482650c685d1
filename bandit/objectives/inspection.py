"""What can be said of a loss before anything is trained with it: its gradient against finite differences, and which
numbers it looks at, on small random batches in float64."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from modeseek.bandit.objectives.batch import Batch, HyperParameters, Losses, Options
from modeseek.bandit.objectives.method import Objective
from modeseek.bandit.objectives.trials import SHAPES, STEP, Look, before_training, far_away, looking_at, small_batch

Kind = Literal["shapes", "finite", "learns", "gradient", "kinks", "prompts", "future", "mask"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MEANT: tuple[Kind, ...] = ("learns", "gradient", "kinks", "prompts", "future", "mask")
"""What may be done on purpose; with the others nothing can be computed."""

CLOSE = 1e-6
"""Error that a gradient may have, as a share of its largest part."""
KINK = 1e-2
"""Difference of the slopes on both sides that does harm, as a share of the largest slope."""
ROUNDING = 1e-7
"""Difference of slopes that may be rounding's, of a value about 1."""


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
        look = looking_at(objective, hyper or HyperParameters())
        for part in (_finite, _learns, _gradient, _kinks, _prompts, _future, _mask):
            if not findings[-1].passed and findings[-1].kind in ("shapes", "finite"):
                break  # nothing more can be computed
            findings.append(part(look))
        return tuple(findings)


def _shapes(objective: Objective, hyper: HyperParameters) -> Finding:
    said = "It takes any numbers of prompts, responses and tokens."
    for i, (prompts, responses, tokens) in enumerate(SHAPES):
        batch = small_batch((prompts, responses, tokens))._replace(mask=None, response_mask=None)  # as in the bandit
        what = f"{prompts} prompt{'s' * (prompts > 1)}, {responses} responses and {tokens} token{'s' * (tokens > 1)}"
        try:
            found = jax.eval_shape(lambda batch, hyper: objective(batch, hyper, Options()), batch, hyper)
            if found.losses.shape != found.weights.shape or found.losses.shape[:1] != (prompts,):
                return Finding(
                    "shapes",
                    False,
                    f"With {what} its losses have the shape {found.losses.shape} and their weights "
                    f"{found.weights.shape}: both must be alike, and begin with the prompts.",
                )
        except Exception as error:
            before = "It cannot be computed" if i == 0 else "It depends on the batch's shape: it cannot be computed"
            traced = isinstance(error, jax.errors.JAXTypeError)
            hint = " Batch and hyper-parameters are traced: use jnp.where and jnp.sqrt, not if and math." * traced
            return Finding("shapes", False, f"{before} with {what} ({_short(error)}).{hint}")
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
    if any(look(make(SHAPES[0], seed)).gradient.any() for make in (small_batch, far_away) for seed in range(3)):
        return Finding("learns", True, "Its gradient is not zero.")
    return Finding(
        "learns",
        False,
        "Its gradient is zero on six random batches, near the reference and far from it: where it does not depend on "
        "the policy (batch.log_probs), or only through a comparison or stop_gradient, nothing can be learnt from it. "
        "If it learns elsewhere, say allow={'learns'}.",
    )


def _gradient(look: Look) -> Finding:
    worst = 0.0
    for batch in (small_batch(SHAPES[0]), small_batch(SHAPES[0], 1), far_away(SHAPES[0])):
        _, gradient, forward, backward, _ = look(batch)
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
    """A kink keeps its two slopes however small the step is; those of a curve come together with it."""
    batch = before_training(SHAPES[0])
    value, gradient, forward, backward, _ = look(batch)
    wide, apart = (np.abs(each.forward - each.backward) for each in (look(batch, 10 * STEP), look(batch)))
    harm = max(KINK * float(np.abs(gradient).max()), ROUNDING * max(abs(value), 1.0))
    apart = np.where(apart > 0.5 * wide, apart, 0.0)
    if float(apart.max()) > harm:
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
    before = look(batch)

    def unchanged(scale: float) -> bool:
        kept = {
            name: jnp.where(real if array.ndim == 3 else present, array, scale * array - 2.0)
            for name, array in _arrays(batch)
        }
        after = look(batch._replace(**kept))
        pairs = ((before.value, after.value), (before.gradient, after.gradient))
        return all(np.allclose(*pair, rtol=1e-9, atol=1e-12) for pair in pairs)

    if unchanged(1.5) and unchanged(np.nan) and not before.gradient[~real].any():
        return Finding("mask", True, "What a mask leaves out enters nothing.")
    return Finding(
        "mask",
        False,
        "It ignores the mask: tokens or responses that are not real, which may be NaN, change it. batch.log_probs and "
        "batch.log_ratios leave them out; of single tokens, take jnp.where(batch.token_mask, …, 0). The bandit has "
        "none, so that "
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
