"""How much memory an experiment needs, from its configuration alone: before anything is compiled or written.

Counted by hand, and measured: docs/decisions/0075-memory-of-the-bandit.md.
"""

import math
from typing import NamedTuple

from jax.sharding import Mesh

from modeseek.bandit.simulator.devices import run_mesh
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.bandit.simulator.mlp import CONTEXT_SIZE, FEATURES
from modeseek.memory import free_bytes, readable

MiB = 1024**2
SAID = 1024 * MiB
"""From this estimate on, a run says it at its start."""


USED = 0.5
"""Of an accelerator's memory, what runs shall take by the estimate, which is right within a factor of two."""
UNKNOWN = 64
"""Runs at once on an accelerator that does not say how much memory it has."""


class Sizes(NamedTuple):
    """The numbers of an experiment that memory grows with, each under the name that a person changes it by."""

    kind: str
    vocab_size: int
    response_length: int
    layers: int
    heads: int
    width: int
    pretraining_rows: int
    samples_per_collection: int
    responses_per_prompt: int
    minibatch_size: int
    inner_steps: int
    collections: int
    prompts: int
    evaluation_prompts: int
    samples_per_prompt: int
    evaluation_interval: int
    snapshots: int
    comparisons: int
    comparisons_at_once: int
    fitting_steps: int
    seeds: int
    cells: int

    @property
    def runs(self) -> int:
        """All runs of the grid."""
        return self.seeds * self.cells

    @property
    def steps(self) -> int:
        """Gradient steps of a collection."""
        return self.inner_steps * max(1, self.samples_per_collection // self.minibatch_size)

    @property
    def parameters(self) -> int:
        """Numbers in the policy."""
        vocab, width, layers = self.vocab_size, self.width, self.layers
        if self.kind == "tabular":
            return self.response_length * vocab
        if self.kind == "mlp":
            inside = FEATURES * width + width + (layers - 1) * (width + 1) * width
            return (CONTEXT_SIZE + 1) * FEATURES + 2 * FEATURES + inside + (width + 1) * vocab
        return (2 * vocab + max(self.response_length, 2) + 2) * width + layers * (12 * width + 13) * width


NAMES = {
    "layers": "policy.layers",
    "width": "policy.width",
    "pretraining_rows": "pretraining.rows",
    "evaluation_prompts": "evaluation.prompts",
    "samples_per_prompt": "evaluation.samples_per_prompt",
    "snapshots": "evaluation.snapshots",
    "comparisons": "reward_model.comparisons",
    "comparisons_at_once": "reward_model.minibatch_size",
    "fitting_steps": "reward_model.steps",
    "cells": "the number of methods, rewards, behaviors, learning rates and varied values",
}
"""Fields of `Sizes` that a configuration has under another name."""


def sizes_of(experiment: Experiment) -> Sizes:
    """The sizes of an experiment."""
    static, algorithm, evaluation = experiment.static, experiment.algorithm, experiment.evaluation
    learnt = experiment.reward_model
    fitted = int(learnt.kind != "none")
    varied = math.prod(len(values) for _, values in experiment.vary) * max(1, len(experiment.learning_rates))
    return Sizes(
        kind=static.policy.kind,
        vocab_size=experiment.vocab_size,
        response_length=static.input_length,
        layers=static.policy.layers,
        heads=static.policy.heads,
        width=static.policy.width,
        pretraining_rows=static.pretraining.rows,
        samples_per_collection=algorithm.samples_per_collection,
        responses_per_prompt=algorithm.responses_per_prompt,
        minibatch_size=algorithm.minibatch_size,
        inner_steps=algorithm.inner_steps,
        collections=algorithm.collections,
        prompts=algorithm.prompt_set_size,
        evaluation_prompts=evaluation.prompts,
        samples_per_prompt=evaluation.samples_per_prompt,
        evaluation_interval=static.evaluation_interval,
        snapshots=int(evaluation.snapshots),
        comparisons=fitted * learnt.comparisons,
        comparisons_at_once=fitted * min(learnt.minibatch_size, learnt.comparisons),
        fitting_steps=fitted * learnt.steps,
        seeds=experiment.seeds,
        cells=len(experiment.methods) * len(experiment.rewards) * len(experiment.behaviors) * varied,
    )


def of_a_run(sizes: Sizes) -> dict[str, int]:
    """Bytes that a run takes on its device while it is trained, by what they are for; each kind of work gives back
    what it took before the next begins, so that the largest of them counts."""
    vocab, length = sizes.vocab_size, sizes.response_length
    stored = 4 * length * vocab
    evaluated = sizes.evaluation_prompts * sizes.samples_per_prompt
    per_prompt = sizes.responses_per_prompt
    pairs = 4 * (sizes.minibatch_size // per_prompt) * per_prompt**2
    work = {
        "evaluation": evaluated * (5 * stored + _sampling(sizes)),
        "sampling": sizes.samples_per_collection * (4 * stored + _sampling(sizes)),
        "gradient steps": sizes.minibatch_size * (6 * stored + _kept(sizes)) + 6 * pairs,
        "pretraining": 0 if sizes.kind == "tabular" else sizes.pretraining_rows * (6 * stored + _kept(sizes)),
    }
    if sizes.comparisons:  # two responses each; in the end all are scored at once
        fitted = 2 * sizes.comparisons_at_once * (6 * stored + _kept(sizes))
        work["the reward model"] = max(fitted, 2 * sizes.comparisons * (2 * stored + _sampling(sizes)))
    largest = max(work, key=lambda name: work[name])
    order = 8 * sizes.inner_steps * (sizes.samples_per_collection // per_prompt)
    held = 4 * sizes.samples_per_collection * (3 * length + 6) + 24 * sizes.prompts
    measured = 8 * 16 * (1 + sizes.steps // sizes.evaluation_interval)
    return {
        "the policy": 10 * 4 * sizes.parameters,
        largest: work[largest],
        "the collection": held + order + measured + 16 * sizes.comparisons * (length + 1),
    }


def _sampling(sizes: Sizes) -> int:
    """Bytes a row of sampling and scoring one response without a gradient: caches, and one layer at work."""
    length = sizes.response_length
    if sizes.kind == "gpt":
        return 4 * length * ((4 * sizes.layers + 8) * sizes.width + 3 * sizes.heads * length)
    return 4 * (CONTEXT_SIZE + FEATURES + 4 * sizes.width) if sizes.kind == "mlp" else 0


def _kept(sizes: Sizes) -> int:
    """Bytes a row that a gradient step keeps of its forward pass, or has beside it."""
    length = sizes.response_length
    if sizes.kind == "gpt":
        return 4 * length * sizes.layers * (24 * sizes.width + 4 * sizes.heads * length)
    return 4 * (CONTEXT_SIZE + 4 * FEATURES + 4 * sizes.layers * sizes.width) if sizes.kind == "mlp" else 0


def of_the_host(sizes: Sizes) -> dict[str, int]:
    """Bytes beside the runs in training: Python with JAX, compiling, all runs' numbers and their results."""
    tokens = 4 * sizes.response_length * sizes.vocab_size * (1 + (sizes.collections if sizes.snapshots else 1))
    curves = 4 * 11 * (1 + sizes.collections * sizes.steps // sizes.evaluation_interval)
    layers = sizes.layers if sizes.kind == "gpt" else 0
    return {
        "Python, JAX and compiled programs": 600 * MiB + (240 * layers + sizes.response_length // 8) * MiB,
        "the triangle that tokens are drawn with": 24 * sizes.vocab_size**2,
        "policies at the reference": 2 * 4 * sizes.parameters * sizes.seeds,
        "all runs": sizes.runs * (20_000 + 24 * sizes.vocab_size),
        "results": 3 * sizes.runs * (curves + tokens),
    }


def estimate(sizes: Sizes, at_once: int) -> dict[str, int]:
    """Bytes on a CPU, whose devices share the host's memory.

    Args:
        sizes: of the experiment.
        at_once: runs that are trained at the same time.
    """
    return of_the_host(sizes) | {name: at_once * count for name, count in of_a_run(sizes).items()}


def to_lower(sizes: Sizes, at_once: int) -> str:
    """The name of the one size that needs least if it is set back to the default's; empty if none is above that."""
    usual = sizes_of(Experiment())
    larger = [
        name
        for name, size in sizes._asdict().items()
        if isinstance(size, int) and name not in ("heads", "evaluation_interval") and size > getattr(usual, name)
    ]
    if not larger:
        return ""
    needs = {name: sum(estimate(_with(sizes, name, getattr(usual, name)), at_once).values()) for name in larger}
    return min(needs, key=lambda name: needs[name])


def _with(sizes: Sizes, name: str, size: int) -> Sizes:
    """With that size, and what must not be above it."""
    changed = Sizes(**{**sizes._asdict(), name: size})
    if name == "samples_per_collection":
        per_prompt = min(changed.responses_per_prompt, size)
        changed = changed._replace(minibatch_size=min(changed.minibatch_size, size), responses_per_prompt=per_prompt)
    return changed


def runs_at_once(sizes: Sizes, mesh: Mesh) -> int:
    """How many runs the devices of a mesh take at once, a multiple of their number.

    One on each device of a CPU, where batching small products gains nothing; on accelerators as many as fit.
    """
    first = mesh.devices.flat[0]
    if first.platform == "cpu":
        return mesh.devices.size
    return fitting(sizes, mesh.devices.size, (first.memory_stats() or {}).get("bytes_limit"))


def fitting(sizes: Sizes, devices: int, memory: int | None) -> int:
    """How many runs devices take at once that have so many bytes each; None where that is not known.

    What fits is rounded down to a power of two, so that it is the same the next time, and then lowered to what makes
    groups of one size of all runs, so that few devices idle in the last.
    """
    fit = UNKNOWN if memory is None else max(1, int(USED * memory) // sum(of_a_run(sizes).values()))
    groups = -(-sizes.runs // (devices * (1 << (fit.bit_length() - 1))))
    return devices * -(-sizes.runs // (groups * devices))


def check_room(experiment: Experiment, at_once: int, free: int | None = None, *, mesh: Mesh | None = None) -> str:
    """Refuse an experiment that does not fit into memory; JAX may start, nothing else is done.

    Args:
        experiment: what shall be run.
        at_once: runs that the devices take at the same time.
        free: bytes that there are; measured, if not given.
        mesh: the devices; all of this process, if not given.

    Returns:
        what is needed, as a sentence, if that is much, or nothing.

    Raises:
        ValueError: more is needed than there is; it says how much, and which number to lower.
    """
    sizes = sizes_of(experiment)
    mesh = run_mesh() if mesh is None else mesh
    of_device = _device_bytes(mesh)
    if of_device is not None:
        _require(sizes, at_once, sum(of_a_run(sizes).values()) * -(-at_once // mesh.devices.size), of_device)
        # While runs in flight are saved, the host has what the devices hold of them.
        needed = sum(of_the_host(sizes).values()) + at_once * of_a_run(sizes)["the policy"]
    else:
        needed = sum(estimate(sizes, at_once).values())
    there = free_bytes() if free is None else free
    if there is not None:
        _require(sizes, at_once, needed, there)
    if needed < SAID:
        return ""
    return f"needs about {readable(needed)} of memory" + ("" if there is None else f"; {readable(there)} are free")


def _require(sizes: Sizes, at_once: int, needed: int, there: int) -> None:
    if needed <= there:
        return
    name = to_lower(sizes, at_once)
    advice = f"lower {NAMES.get(name, name)} (it is {getattr(sizes, name):,})" if name else "no size of it is large"
    raise ValueError(f"this needs about {readable(needed)} of memory, and {readable(there)} are free: {advice}")


def _device_bytes(mesh: Mesh) -> int | None:
    """What an accelerator of a mesh has left; None on a CPU, whose memory is the host's."""
    stats = mesh.devices.flat[0].memory_stats() or {}
    return int(stats["bytes_limit"] - stats.get("bytes_in_use", 0)) if "bytes_limit" in stats else None
