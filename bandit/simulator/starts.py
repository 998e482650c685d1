"""Policies at the reference, kept in this process: a sweep of seeds that another one had starts from the same ones.

Pretraining reads neither a reward nor a method nor, fitted exactly, a prompt set, and is a pure function of the rest: a
phase diagram of thousands of short runs fits a dozen policies, not thousands.
"""

import collections
import dataclasses
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np

from modeseek.bandit.simulator.config import Static
from modeseek.bandit.simulator.pretrain import Pretrained

MOST = 64
"""How many are kept: of GPT-Nano, 25 MB."""

_kept: "collections.OrderedDict[Any, Pretrained]" = collections.OrderedDict()


def _what_decides(static: Static, place: Hashable, reference: np.ndarray, seed: int) -> Any:
    """Everything that a policy at the reference is a function of; with the place, whose programs decide last bits."""
    fields = {field.name: getattr(static, field.name) for field in dataclasses.fields(static)}
    for unread in ("methods", "evaluation", "algorithm", "reference_moves"):
        del fields[unread]
    prompts = static.algorithm.prompt_set_size if static.conventions.pretraining == "prompt_set" else None
    return tuple(fields.items()), prompts, place, reference.tobytes(), seed


def policies_at_reference(
    static: Static,
    place: Hashable,
    references: np.ndarray,
    seeds: np.ndarray,
    fit: Callable[[np.ndarray], Pretrained],
) -> Pretrained:
    """One policy a seed, with a leading axis over seeds, on the host.

    Args:
        static: what they are fitted under.
        place: devices, and how many runs they take at once.
        references: log π_ref of each seed, `[S, V]`.
        seeds: of their networks, each once, `[S]`.
        fit: fits those seeds that it is given, as indices into `seeds`.
    """
    keys = [_what_decides(static, place, *each) for each in zip(references, seeds.tolist(), strict=True)]
    missing = np.asarray([i for i, key in enumerate(keys) if key not in _kept], int)
    found = {key: _kept[key] for key in keys if key in _kept}
    if missing.size:
        fitted = fit(missing)
        found |= {keys[i]: jax.tree.map(lambda a, row=row: a[row], fitted) for row, i in enumerate(missing)}
    for key in keys:
        _kept[key] = found[key]
        _kept.move_to_end(key)
    while len(_kept) > MOST:
        _kept.popitem(last=False)
    whole: Pretrained = jax.tree.map(lambda *leaves: np.stack(leaves), *(found[key] for key in keys))
    return whole
