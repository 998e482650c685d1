"""A prediction and exercises of notebook 11; every answer is computed, or read off a recorded run."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modeseek.bandit.categorical.frontier import Responses, point_mass_nats
from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.bandit.presets import PLACES
from modeseek.bandit.explore.toolkit.checks import Wrong, check, model_of
from modeseek.bandit.explore.toolkit.prediction import Prediction, Truth
from modeseek.bandit.objectives.batch import Batch, HyperParameters, Options
from modeseek.bandit.objectives.method import Method
from modeseek.bandit.objectives.own import own_names
from modeseek.bandit.objectives.registry import METHODS
from modeseek.bandit.objectives.trials import small_batch

LOW, HIGH = slice(10, 50), slice(60, 99)
"""Tokens of the two hills of the drawn reward."""


def predict_hills() -> Prediction:
    """Two hills: a low one where the reference is, a high one far from it. Which one does PPO climb?"""

    def truth() -> Truth:
        model = BanditModel("drawn-ppo")
        mass = model.run.token_distribution.astype(np.float64).mean(axis=1)
        low, high = (mass[:, hill].sum(axis=1) for hill in (LOW, HIGH))
        fullest, best = int(low.argmax()), int(model.result.token_rewards.argmax())
        up = int((pushed(model, HIGH) > 0).sum())
        last = model.run.responses[-1].reshape(-1, model.run.responses.shape[-1])
        alike = int((last == last[0]).all(axis=1).sum())
        return Truth(
            0 if high[-1] < 0.5 else 2 if low.max() > 0.5 else 1,
            "Of the first seed's mass (only of that one token distributions were kept) the low hill (tokens "
            f"{LOW.start} to {LOW.stop - 1}) has {low[0]:.0%} before training, {low[fullest]:.0%} after {fullest} "
            f"collections and {low[-1]:.0%} at the end; the high one ({HIGH.start} to {HIGH.stop - 1}) has "
            f"{high[0]:.0%}, {high[fullest]:.0%} and {high[-1]:.0%}. The high hill never loses: in {up} of "
            f"{len(model.run.responses)} collections the pushes on its tokens add up to more than zero. The mean of "
            f"five seeds ends at {model.run.mean('expected_reward')[-1]:z.2f} and not at "
            f"{model.result.token_rewards.max():z.2f}, token {best}'s reward. Of the first seed's last {len(last)} "
            f"responses {alike} are the same, {' '.join(map(str, last[0]))}: where no sample shows token {best} any "
            "more, nothing pushes it up.",
        )

    return Prediction(
        "A drawn reward has two hills: one of height .6 at token 30, where the reference is, and one of height 1 at "
        "token 79, where it hardly ever is. PPO, on-policy, 40 collections. Where is most of its mass at the end?",
        (
            "On the low hill.",
            "On the high hill; the low one never has most of it.",
            "On the high hill, after the low one had most of it.",
        ),
        truth,
    )


def pushed(model: BanditModel, tokens: slice) -> np.ndarray:
    """For each collection of the first seed: the weights of its responses, each counted for every such token in it."""
    responses, weights = model.run.responses.astype(int), model.run.weights.astype(np.float64)
    of_them = ((responses >= tokens.start) & (responses < tokens.stop)).sum(axis=-1)
    total: np.ndarray = (weights * of_them).sum(axis=(1, 2))
    return total


@check
def check_farthest(answer: Any) -> str:
    """Exercise 1: a drawn reward whose best response is as far from the reference as a knot can put it."""
    model = model_of(answer, BanditModel)
    if model.values.reward != "drawn":
        raise Wrong("this explorer has a peak: choose your own, drawn reward.")
    rewards, reference = model.result.token_rewards, model.result.reference
    if np.ptp(rewards) == 0:
        raise Wrong("every token earns the same, so that every response is a best one.")
    tops = np.flatnonzero(np.isclose(rewards, rewards.max()))
    nats = point_mass_nats(Responses(reference, rewards, 10))
    if len(tops) > 1:
        raise Wrong(f"{len(tops)} tokens earn most, and all of them together are only {nats:z.1f} nats away.")
    farthest = max(-10 * np.log(reference[int(place)]) for place in PLACES)
    if nats < farthest - 1e-6:
        raise Wrong(f"its best response, token {tops[0]} ten times, is {nats:z.1f} nats away; another knot is farther.")
    return f"token {tops[0]} ten times is {nats:z.1f} nats away, -10 log π_ref: no knot's token is farther."


@check
def check_offset(name: Any) -> str:
    """Exercise 2: a method of one's own that is DPO with an offset, -log σ(β m - δ), δ the target margin."""
    name = name.name if isinstance(name, Method) else name
    if name not in own_names():
        raise Wrong(f"{name!r} is no method of yours: give the name that you gave to own_method.")
    with jax.enable_x64(True):
        batch = small_batch((2, 3, 4), seed=3)
        hyper = HyperParameters(beta=0.7, target_margin=0.4)
        losses, weights = METHODS[name].objective(batch, hyper, Options())
        if losses.shape != (2, 3, 3):
            raise Wrong(f"its losses have the shape {losses.shape}; a loss for each pair is [P, N, N].")
        if not np.array_equal(np.asarray(weights), _preferred(batch)):
            raise Wrong("it has weights of its own; return the losses alone, and the rewards say which pairs count.")
        found = np.asarray(losses)[_preferred(batch) > 0]
        of = functools.partial(_offset, batch)
    if np.allclose(found, of(0.7, 0.4), rtol=1e-9):
        return "where β m = δ the loss is log 2 and its slope -β/2, as DPO's where m = 0: it fades δ/β nats later."
    wrong = {
        "the offset has the other sign": of(0.7, -0.4),
        "this is DPO, without the offset": of(0.7, 0.0),
        "the margin is that of the rejected response over the chosen one": of(-0.7, 0.4),
        "β is missing, or a number that does not change with hyper.beta": of(1.0, 0.4),
        "β is missing, or a number that does not change with hyper.beta ": of(0.1, 0.4),
        "β multiplies the offset too": of(0.7, 0.28),
        "δ is a number that does not change with hyper.target_margin": of(0.7, 1.0),
    }
    for says, values in wrong.items():
        if np.allclose(found, values, rtol=1e-9):
            raise Wrong(f"nearly: {says.strip()}.")
    raise Wrong(
        f"with β = .7 and δ = .4 the first pair's loss should be {of(0.7, 0.4)[0]:z.4f}; yours is {found[0]:z.4f}."
    )


def _preferred(batch: Batch) -> np.ndarray:
    rewards = np.asarray(batch.rewards)
    return (rewards[:, :, None] > rewards[:, None, :]).astype(float)


def _offset(batch: Batch, beta: float, delta: float) -> np.ndarray:
    """-log σ(β m - δ) of the pairs that are compared."""
    ratios = np.asarray(batch.token_log_probs - jnp.asarray(batch.reference_token_log_probs)).sum(axis=-1)
    margins = ratios[:, :, None] - ratios[:, None, :]
    return np.asarray(np.logaddexp(0.0, delta - beta * margins)[_preferred(batch) > 0])
