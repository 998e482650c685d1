"""Forgetting: a policy learns a new task by the exact gradient of any method, and an old task shares its parameters.

Ten answers, and two kinds of policy that read random features x and the task's sign: a linear one, and one with a
hidden layer, f(x) = W₂ᵀ tanh(W₁ᵀ x). Of a new prompt five answers are right (those of its parity); of an old prompt
one. The start is trained on both tasks: on the old answers, and on a random distribution over all ten for each new
prompt. Then the policy learns on the new prompts alone, by each method's exact gradient at every prompt, so that only
the problem itself is random:

| method | what it descends at each prompt |
|---|---|
| sft_one | forward KL to one right answer, the same for all prompts of a parity |
| sft_uniform | forward KL to all right answers alike |
| sft_oracle | forward KL to the start, conditioned on being right: of all solutions the nearest to the start in KL |
| on_policy_reinforce, on_policy_best_of_n, on_policy_dpo | the flows of `categorical.methods`, data from the policy |
| offline_best_of_n, offline_dpo | the same, data from the start |

Reward is the probability of a right answer, forgetting the fall of an old prompt's right answer's probability, both
means over prompts.
"""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
import xarray
from jaxtyping import Bool, Float

from modeseek.bandit.categorical.divergences import Field, forward_kl
from modeseek.bandit.categorical.methods import METHODS as FLOWS
from modeseek.bandit.categorical.problem import Problem
from modeseek.bandit.categorical.simplex import LOG_ZERO, CategoricalPolicy, policy
from modeseek.bandit.studies.followups.followup import seeds_of
from modeseek.bandit.studies.protocol import Protocol

ANSWERS, PROMPTS = 10, 20
PRETRAINING_RATE = 0.02
BETA = 0.1
"""Of DPO."""


class Network(NamedTuple):
    """The parameters of S policies, and directions in their space.

    Attributes:
        layers: matrices `[S, in, out]`, tanh between them; one alone is a linear policy.
    """

    layers: tuple[Float[np.ndarray, "S i o"], ...]

    def hidden(self, features: Float[np.ndarray, "S P d"]) -> list[Float[np.ndarray, "S P w"]]:
        """What each layer reads."""
        reads = [features]
        for layer in self.layers[:-1]:
            reads.append(np.tanh(reads[-1] @ layer))
        return reads

    def __call__(self, features: Float[np.ndarray, "S P d"]) -> CategoricalPolicy:
        """The distribution over answers to each prompt."""
        return policy(self.hidden(features)[-1] @ self.layers[-1])

    def gradient(self, features: Float[np.ndarray, "S P d"], logits: Float[np.ndarray, "S P K"]) -> "Network":
        """The gradient of a sum over prompts of losses, from the gradient with respect to each prompt's logits."""
        slopes: list[np.ndarray] = []
        slope = logits
        for read, layer in zip(self.hidden(features)[::-1], self.layers[::-1], strict=True):
            slopes.append(read.swapaxes(-1, -2) @ slope)
            slope = (slope @ layer.swapaxes(-1, -2)) * (1.0 - read**2)
        return Network(tuple(slopes[::-1]))

    def moved(self, by: "Network", step: float) -> "Network":
        """A step along a direction."""
        return Network(tuple(layer + step * each for layer, each in zip(self.layers, by.layers, strict=True)))


class Tasks(NamedTuple):
    """S random problems, with P prompts of each task.

    Attributes:
        new: features of new prompts.
        old: features of old prompts.
        right: which answers to a new prompt are right.
        known: which answer to an old prompt is right, as 0 and 1.
        first: one right answer of each new prompt, as 0 and 1.
        start: the policies at the start.
    """

    new: Float[np.ndarray, "S P d"]
    old: Float[np.ndarray, "S P d"]
    right: Bool[np.ndarray, "S P K"]
    known: Float[np.ndarray, "S P K"]
    first: Float[np.ndarray, "S P K"]
    start: Network


class Curves(NamedTuple):
    """What is measured on the way, `[S, E]`.

    Attributes:
        reward: probability of a right answer to new prompts.
        known: probability of the right answer to old prompts.
        kl_from_start: KL(start ‖ policy) on new prompts, nats.
        kl_to_start: KL(policy ‖ start) on new prompts, nats.
        distance: Euclidean distance of the parameters from the start.
    """

    reward: Float[np.ndarray, "S E"]
    known: Float[np.ndarray, "S E"]
    kl_from_start: Float[np.ndarray, "S E"]
    kl_to_start: Float[np.ndarray, "S E"]
    distance: Float[np.ndarray, "S E"]


def make_tasks(seeds: range, *, features: int, hidden: int, pretraining: int = 2000) -> Tasks:
    """Random problems, one a seed, and their starts: steps of forward KL to both tasks from a random network.

    Args:
        seeds: a problem each.
        features: d, the last of which is the task's sign.
        hidden: width of the hidden layer; 0 makes the policy linear.
        pretraining: steps.
    """
    sizes = (features, hidden, ANSWERS) if hidden else (features, ANSWERS)
    names = ("new", "old", "odd", "known", "prior", *(f"layer{i}" for i in range(len(sizes) - 1)))
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for seed in seeds:
        rng = np.random.default_rng((seed, 2509_04259))
        for name, sign in (("new", 1.0), ("old", -1.0)):
            random = rng.standard_normal((PROMPTS, features - 1))
            drawn[name].append(np.concatenate([random, np.full((PROMPTS, 1), sign)], axis=1))
        drawn["odd"].append(rng.integers(0, 2, PROMPTS))
        drawn["known"].append(np.eye(ANSWERS)[rng.integers(0, ANSWERS, PROMPTS)])
        drawn["prior"].append(rng.dirichlet(np.ones(ANSWERS), PROMPTS))
        for i, shape in enumerate(itertools.pairwise(sizes)):
            drawn[f"layer{i}"].append(rng.standard_normal(shape) / np.sqrt(shape[0]))
    of = {name: np.stack(each) for name, each in drawn.items()}
    both = np.concatenate([of["new"], of["old"]], axis=1)
    wanted = np.concatenate([of["prior"], of["known"]], axis=1)
    network = Network(tuple(of[f"layer{i}"] for i in range(len(sizes) - 1)))
    for _ in range(pretraining):
        network = network.moved(network.gradient(both, network(both).probs - wanted), -PRETRAINING_RATE)
    right = np.arange(ANSWERS) % 2 == of["odd"][..., None]
    return Tasks(of["new"], of["old"], right, of["known"], np.eye(ANSWERS)[of["odd"]], network)


SUPERVISED = ("sft_one", "sft_uniform", "sft_oracle")
METHODS = (
    *SUPERVISED,
    "on_policy_reinforce",
    "on_policy_best_of_n",
    "on_policy_dpo",
    "offline_best_of_n",
    "offline_dpo",
)


def field_of(method: str, tasks: Tasks, log_start: Float[np.ndarray, "S P K"]) -> Field:
    """What a method does to the logits of every new prompt.

    The policy gradient has no KL of its own, β = 0: what is near is near for another reason.
    """
    targets = {
        "sft_one": tasks.first,
        "sft_uniform": tasks.right / tasks.right.sum(axis=-1, keepdims=True),
        "sft_oracle": policy(np.where(tasks.right, log_start, LOG_ZERO)).probs,
    }
    log_target = np.log(np.maximum(targets[method], 1e-300)) if method in targets else log_start
    one = Problem(
        log_target=np.where(log_target > -600, log_target, LOG_ZERO),
        log_reference=log_start,
        log_behavior=log_start,
        rewards=tasks.right.astype(np.float64),
        beta=np.float64(0.0 if method == "on_policy_reinforce" else BETA),
        tau=np.float64(0.1),
        alpha=np.float64(0.5),
        draws=np.float64(16.0),
    )
    return forward_kl(one) if method in targets else FLOWS[method](one)


def train(method: str, tasks: Tasks, rate: float, *, level: float, steps: int, every: int = 5) -> Curves:
    """Gradient descent on the new prompts, measured at the start and behind every few steps.

    Args:
        method: one of `METHODS`.
        tasks: the problems and their starts.
        rate: learning rate.
        level: of the reward, at which nothing more need be known.
        steps: at most so many.
        every: steps between measurements.
    """
    log_start = tasks.start(tasks.new).log_probs
    field = field_of(method, tasks, log_start)
    rate = rate / BETA if method.endswith("dpo") else rate  # β, which its gradient carries, would only slow it down
    network = tasks.start
    visited = [_measure(tasks, log_start, network)]
    for step in range(1, steps + 1):
        network = network.moved(network.gradient(tasks.new, field.gradient(network(tasks.new))), -rate)
        if step % every == 0:
            visited.append(_measure(tasks, log_start, network))
            if (visited[-1][0] >= level).all():
                break
    return Curves(*(np.stack(each, axis=-1) for each in zip(*visited, strict=True)))


def _measure(tasks: Tasks, log_start: np.ndarray, network: Network) -> tuple[np.ndarray, ...]:
    """The fields of `Curves` at one step, `[S]` each."""
    now, start = network(tasks.new), np.exp(log_start)
    moved = network.moved(tasks.start, -1.0)
    return (
        np.where(tasks.right, now.probs, 0.0).sum(-1).mean(-1),
        (tasks.known * network(tasks.old).probs).sum(-1).mean(-1),
        (start * (log_start - now.log_probs)).sum(-1).mean(-1),
        (now.probs * (now.log_probs - log_start)).sum(-1).mean(-1),
        np.sqrt(sum((layer**2).sum((-2, -1)) for layer in moved.layers)),
    )


def at_reward(curves: Curves, levels: Float[np.ndarray, "L"]) -> Curves:
    """Curves `[S, L]` where the reward first reaches each level, between measurements along a line; NaN beyond.

    Levels at or below the start's reward are the start.
    """
    runs, last = curves.reward.shape[0], curves.reward.shape[1] - 1
    out = [np.full((runs, len(levels)), np.nan) for _ in curves]
    for i, level in enumerate(levels):
        there = curves.reward >= level
        reached, first = there.any(axis=-1), np.clip(there.argmax(axis=-1), 0, last)
        before = np.maximum(first - 1, 0)
        low, high = (curves.reward[np.arange(runs), at] for at in (before, first))
        span = np.where(high > low, high - low, 1.0)
        part = np.clip(np.where(high > low, (level - low) / span, 0.0), 0.0, 1.0)
        for kept, curve in zip(out, curves, strict=True):
            left, right = (curve[np.arange(runs), at] for at in (before, first))
            kept[:, i] = np.where(reached, left + part * (right - left), np.nan)
    return Curves(*out)


def explained(predictor: Float[np.ndarray, "n"], outcome: Float[np.ndarray, "n"]) -> float:
    """R² of the least-squares parabola through the points: the share of the outcome's variance on one curve.

    Points that are not finite are left out.
    """
    there = np.isfinite(predictor) & np.isfinite(outcome)
    predictor, outcome = predictor[there], outcome[there]
    design = np.stack([np.ones_like(predictor), predictor, predictor**2], axis=-1)
    rest = outcome - design @ np.linalg.lstsq(design, outcome, rcond=None)[0]
    return float(1 - (rest**2).sum() / ((outcome - outcome.mean()) ** 2).sum())


@dataclasses.dataclass(frozen=True)
class Forgetting:
    """All methods on the same problems.

    Attributes:
        features: d of a prompt, with the task's sign.
        hidden: width of the hidden layer; 0 makes the policy linear.
        levels: of the reward, at which all is compared; the last ends a run.
        rates: learning rates of gradient descent. Chosen is that which forgets least at the last level where all tuning
            seeds reach it.
        tuning_seeds: 0, 1, …, for that choice.
        steps: at most so many.
    """

    features: int
    hidden: int
    levels: tuple[float, ...] = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
    rates: tuple[float, ...] = (0.01, 0.03)
    tuning_seeds: int = 20
    steps: int = 1500


def forgetting(setup: Forgetting, protocol: Protocol) -> xarray.Dataset:
    """All methods on the problems of the fresh seeds, each at the rate chosen on others.

    Returns:
        `[seed, algorithm, level]`: `forgotten`, the fall of the old answers' probability, and the predictors
        `kl_from_start`, `kl_to_start` (nats) and `distance`, at each level of the reward. `[seed, predictor]`:
        `explained`, R² of one parabola through all methods and levels of a seed. `[algorithm]`: `rate`, as chosen.
    """
    levels = np.array(setup.levels)
    size = {"features": setup.features, "hidden": setup.hidden}

    def compared(method: str, tasks: Tasks, rate: float) -> Curves:
        curves = train(method, tasks, rate, level=setup.levels[-1], steps=setup.steps)
        return at_reward(curves, levels)._replace(known=curves.known[:, :1] - at_reward(curves, levels).known)

    tuning, tasks = make_tasks(range(setup.tuning_seeds), **size), make_tasks(seeds_of(protocol), **size)
    chosen, found = [], []
    for method in METHODS:
        ends = np.array([compared(method, tuning, rate).known[:, -1].mean() for rate in setup.rates])
        chosen.append(setup.rates[int(np.nanargmin(ends))] if np.isfinite(ends).any() else setup.rates[-1])
        found.append(compared(method, tasks, chosen[-1]))
    stacked = {name: np.stack([getattr(each, name) for each in found], axis=1) for name in Curves._fields}
    forgotten = stacked.pop("known")
    del stacked["reward"]
    shares = [
        [explained(predictor[i].ravel(), forgotten[i].ravel()) for predictor in stacked.values()]
        for i in range(len(forgotten))
    ]
    dims = ("seed", "algorithm", "level")
    return xarray.Dataset(
        {
            "forgotten": (dims, forgotten),
            **{name: (dims, values) for name, values in stacked.items()},
            "explained": (("seed", "predictor"), np.array(shares)),
            "rate": ("algorithm", np.array(chosen)),
        },
        {
            "seed": list(seeds_of(protocol)),
            "algorithm": list(METHODS),
            "level": list(setup.levels),
            "predictor": list(stacked),
        },
    )
