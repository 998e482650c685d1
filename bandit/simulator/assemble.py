"""Curves of a sweep as they come in, and the results that they become. What reads results needs no network for it."""

import json
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import xarray

from modeseek.bandit.objectives.own import digests
from modeseek.bandit.simulator.behavior import REFERENCE, behavior_log_probs
from modeseek.bandit.simulator.evaluate import Evaluation
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.objective import StepMetrics
from modeseek.bandit.simulator.plan import Plan
from modeseek.bandit.simulator.problem import reference_probs, token_rewards
from modeseek.bandit.simulator.results import UNITS, provenance
from modeseek.bandit.simulator.train import Metrics


class Curves:
    """Metrics of a group as they come in, one collection after the other (host arrays, first axis: runs)."""

    def __init__(self, initial: Evaluation, initial_tokens: Any) -> None:
        self.initial, self.initial_tokens = initial, initial_tokens
        self.scalars: list[np.ndarray] = []
        self.tokens: list[np.ndarray] = []

    def append(self, metrics: Metrics, keep_tokens: bool) -> None:
        """Add one collection; without `keep_tokens` only the last token distribution stays."""
        self.scalars.append(
            np.stack([np.asarray(m) for m in jax.tree.leaves((metrics.evaluation, metrics.training))], axis=1)
        )  # [R, fields, E]
        tokens = np.asarray(metrics.token_distribution)
        self.tokens = [*self.tokens, tokens] if keep_tokens else [tokens]

    def arrays(self) -> list[np.ndarray]:
        """For `restore`."""
        return [np.stack(self.scalars), np.stack(self.tokens)]

    def restore(self, arrays: Sequence[np.ndarray], collections: int) -> None:
        """Go on from what `arrays` returned after so many collections."""
        scalars, tokens = arrays
        assert len(scalars) == collections, "an in-flight file that is not whole"
        self.scalars, self.tokens = list(scalars), list(tokens)

    def leaves(self, diverged_at: np.ndarray, runs: int) -> list[np.ndarray]:
        """The finished group, without padding: curves `[R, fields, steps]`, tokens `[R, L, T, V]`, divergence."""
        start = np.stack(jax.tree.leaves(self.initial), axis=1)[..., None]  # [R, fields of an evaluation, 1]
        untrained = np.full((len(start), len(StepMetrics._fields), 1), np.nan, np.float32)
        curves = np.concatenate([np.concatenate([start, untrained], axis=1), *self.scalars], axis=-1)
        tokens = np.stack([self.initial_tokens, *self.tokens], axis=1)
        return [curves[:runs], tokens[:runs], diverged_at[:runs]]


def assemble(
    experiment: Experiment,
    plan: Plan,
    finished: dict[int, list[Any]],
    pretraining_kl: Any,
    seconds: float,
    machines: Sequence[str] = (),
) -> xarray.Dataset:
    """Finished runs as one dataset over the plan's axes; runs that are missing are NaN."""
    without = {"proxy_reward"} if experiment.reward_model.kind == "none" else set()
    names = [name for name in (*Evaluation._fields, *StepMetrics._fields) if name not in without]
    interval = experiment.static.evaluation_interval
    steps = np.arange(0, experiment.algorithm.gradient_steps + 1, interval)
    axes = [axis.name for axis in plan.axes]
    positions, vocab = experiment.static.new_tokens, experiment.vocab_size
    per_collection = experiment.algorithm.collections if experiment.evaluation.snapshots else 1
    curves = np.full((plan.total, len(names), len(steps)), np.nan, np.float32)
    tokens = np.full((plan.total, 1 + per_collection, positions, vocab), np.nan, np.float32)
    diverged = np.full(plan.total, -1, np.int32)
    for run, (curve, token, divergence) in finished.items():
        curves[run], tokens[run], diverged[run] = curve, token, divergence

    def grid(values: np.ndarray) -> np.ndarray:
        return values.reshape(*plan.shape, *values.shape[1:])

    data: dict[str, Any] = {
        name: ([*axes, "step"], grid(curves[:, i]), {"long_name": UNITS[name][0], "units": UNITS[name][1]})
        for i, name in enumerate(names)
    }
    data["token_distribution"] = (
        [*axes, "snapshot", "position", "token"],
        grid(tokens),
        {"long_name": "probability of a token, averaged over prefixes"},
    )
    data["diverged_at"] = (axes, grid(diverged), {"long_name": "gradient step of the first non-finite loss, or -1"})
    data["finished"] = (axes, grid(np.isin(np.arange(plan.total), list(finished)).astype(np.int8)))
    data["pretraining_kl"] = ("seed", np.asarray(pretraining_kl, np.float32))
    reference = reference_probs(experiment.reference, experiment.conventions.reference_recipe, vocab)
    data["reference_probs"] = ("token", reference)
    if experiment.behaviors != (REFERENCE,):
        log_probs = np.stack([behavior_log_probs(text, reference) for text in experiment.behaviors])
        several = len(experiment.behaviors) > 1
        of_behavior = (["behavior", "token"], log_probs) if several else ("token", log_probs[0])
        data["behavior_log_probs"] = (*of_behavior, {"long_name": "log-probability of a token", "units": "nats"})
    data["token_rewards"] = (["reward", "token"], np.stack([token_rewards(r, vocab) for r in experiment.rewards]))
    coords: dict[str, Any] = {axis.name: list(axis.labels) for axis in plan.axes}
    coords["step"] = steps
    ends = np.linspace(0, steps[-1], 1 + per_collection).astype(int)
    coords["snapshot"] = ("snapshot", ends, {"long_name": "gradient step"})
    if "learning_rate" not in coords:
        rates = np.asarray([h.learning_rate for h in plan.hyper])
        coords["learning_rate"] = ("algorithm", grid(rates).reshape(plan.shape[0], -1)[:, 0])
    attributes = provenance(experiment.to_json(), seconds, machines)
    if own := digests(experiment.methods):
        attributes["own_methods"] = json.dumps(own)
    return xarray.Dataset(data, coords=coords, attrs=attributes)
