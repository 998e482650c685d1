"""A run's records as labelled curves: what a study keeps of each of its runs, and a single run of its own."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray

from modeseek.bandit.simulator.results import UNITS, provenance
from modeseek.llm.studies.measures import CURVES
from modeseek.llm.training.tune_config import TuneConfig

Record = Mapping[str, Any]

PHASES = ("generate_seconds", "score_seconds", "update_seconds")

OF_EVALUATIONS = {
    "reward_gold": "expected_reward",
    "reward_gold_error": "expected_reward_error",
    "reward_proxy": "proxy_reward",
    "reward_proxy_error": "proxy_reward_error",
    "kl": "kl_to_reference",
}
OF_STEPS = {name: f"batch_{name}" for name in ("kl_to_reference", "kl_from_behavior", "length", "ended")}
OF_COLLECTIONS = {name: f"collection_{name}" for name in ("reward", "length", "ended")}
"""A number's name in the records → that of its variable, where the bandit's results have another one for it, or a
number of another kind of record has the same one."""


def curves_of(records: Iterable[Record]) -> dict[str, list[float]]:
    """What the evaluations of a run have measured, the start's first: variable → its values.

    `kl_from_behavior` is the highest of the gradient steps since the evaluation before. `seconds` are those of training
    so far, a collection counted as the median one: what compiles, or waits for other processes, is not the method's.
    """
    found, spent, stale = list[dict[str, float]](), list[float](), 0.0
    for record in records:
        if is_evaluation(record):
            found.append({**_numbers(record, OF_EVALUATIONS), "kl_from_behavior": stale, "seconds": len(spent)})
            stale = 0.0
            continue
        if is_collection(record):
            spent.append(0.0)
        if spent:
            spent[-1] += sum(record.get(name, 0.0) for name in PHASES)
        stale = max(stale, record.get("kl_from_behavior", 0.0))
    each = float(np.median(spent or [0.0]))
    points = [point | {"seconds": each * point["seconds"]} for point in found]
    return {name: [point.get(name, np.nan) for point in points] for name in _names(points)}


def is_evaluation(record: Record) -> bool:
    """Whether a record is of held-out prompts."""
    return "share_eos" in record


def is_collection(record: Record) -> bool:
    """Whether a record is of a collection; those of its gradient steps follow."""
    return "generate_seconds" in record


def is_step(record: Record) -> bool:
    """Whether a record is of a gradient step."""
    return "loss" in record


def variable(name: str, dims: Sequence[str], values: Any) -> tuple[Sequence[str], np.ndarray, dict[str, str]]:
    """A curve in float32 with its long name and unit, as `xarray.Dataset` takes it."""
    known = CURVES.get(name) or UNITS.get(name)
    return dims, np.array(values, np.float32), {} if known is None else {"long_name": known[0], "units": known[1]}


def run_dataset(
    records: Sequence[Record],
    config: TuneConfig,
    identity: Mapping[str, Any],
    reward: str,
    machines: Sequence[str] = (),
) -> xarray.Dataset:
    """One run as a study's cell with one fresh seed, so that figures, measures and verdicts read it.

    Curves of the evaluations are `[seed, step]`; beside them stand what each gradient step reported,
    `[seed, gradient_step]`, and what each collection did, `[seed, collection]`. NaN is what was not measured there.

    Args:
        records: the run's lines so far.
        config: its knobs.
        identity: all that makes it another run than others.
        reward: what the gold reward is, in words.
        machines: that it was made on, as `provenance` takes them.
    """
    steps = [record for record in records if is_step(record)]
    collections = [record for record in records if is_collection(record)]
    tables = {
        "step": (curves_of(records), [r["step"] for r in records if is_evaluation(r)]),
        "gradient_step": (_table(steps, OF_STEPS), [r["step"] for r in steps]),
        "collection": (_table(collections, OF_COLLECTIONS), [r["collection"] for r in collections]),
    }
    data: dict[str, Any] = {
        name: variable(name, ("seed", dim), [values])
        for dim, (table, _) in tables.items()
        for name, values in table.items()
    }
    data["finished"] = ("seed", np.array([len(steps) == config.gradient_steps], np.int8))
    rate = config.hyper.learning_rate
    coords = {dim: labels for dim, (_, labels) in tables.items() if labels} | {
        "seed": [config.seed],
        "algorithm": config.variant.name,
        "reward": reward,
        "learning_rate": rate,
    }
    phases = sum(value for record in records for name, value in record.items() if name.endswith("_seconds"))
    attributes = provenance(json.dumps(dataclasses.asdict(config)), phases, machines)
    own = {"identity": json.dumps(identity), "learning_rate": rate, "tuning_seeds": 0}
    return xarray.Dataset(data, coords, attributes | own)


def _table(records: Sequence[Record], renamed: Mapping[str, str]) -> dict[str, list[float]]:
    rows = [_numbers(record, renamed) for record in records]
    return {name: [row.get(name, np.nan) for row in rows] for name in _names(rows)}


def _numbers(record: Record, renamed: Mapping[str, str]) -> dict[str, float]:
    """A record's numbers by the names of their variables, without its place and its seconds."""
    left_out = {"step", "collection", "seconds"}
    return {
        renamed.get(name, name): value
        for name, value in record.items()
        if name not in left_out and not name.endswith("_seconds")
    }


def _names(rows: Iterable[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(itertools.chain(*rows)))
