"""Running cells into a folder: tune, judge on fresh seeds, keep what figures and claims need in one small file.

Every run that is done is kept at once, so that a process that is killed loses one run.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from modeseek.bandit.simulator.results import load, provenance, save, versions
from modeseek.bandit.simulator.summary import choose_learning_rate
from modeseek.bandit.studies.cells import Results
from modeseek.bandit.studies.store import cell_path, difference_in_identity, made_elsewhere, missing_cells
from modeseek.checks import require
from modeseek.files import read_json, replacing, writable_folder
from modeseek.llm.evaluation.evaluate import EvaluationConfig, evaluate
from modeseek.llm.inference.batched import score_rows
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.models.parameters import Params
from modeseek.llm.rewards.functions import of_examples
from modeseek.llm.studies.cells import LanguageCell
from modeseek.llm.studies.curves import Record, curves_of, variable
from modeseek.llm.studies.measures import CURVES, MEASURES
from modeseek.llm.studies.scales import Scale
from modeseek.llm.studies.scenarios import Scenario, World, evaluation_key
from modeseek.llm.studies.store import identity, read_cell
from modeseek.llm.training.algorithm1 import Algorithm1
from modeseek.llm.training.run_folder import LAST_BITS, are_places, here
from modeseek.llm.training.tune_config import TuneConfig
from modeseek.machine import machine, moved, names_of

Curve = dict[str, list[float]]
"""Name → its values at the evaluations of one run; NaN from where it diverged."""


class Runner:
    """Runs on one world; what all runs of a scenario measure alike is measured once.

    Args:
        scale: see there.
        world: with the scenarios that are needed.
    """

    def __init__(self, scale: Scale, world: World) -> None:
        self.scale, self.world = scale, world
        self._held_out: dict[str, np.ndarray] = {}
        self._starts: dict[tuple[str, int], dict[str, float]] = {}

    def run(self, cell: LanguageCell, learning_rate: float, seed: int) -> Curve:
        """One run from the reference on, measured as it goes.

        A loss that is not finite ends it; the rest of its curves is NaN.
        """
        scenario, config = self.world.scenarios[cell.scenario], cell.config(self.scale, learning_rate, seed)
        loop = self._loop(scenario, config)
        if (cell.scenario, seed) not in self._starts:
            self._starts[cell.scenario, seed] = self.measure(cell.scenario, self.world.reference.params, seed)
        state, records = loop.start(), list[Record]([self._starts[cell.scenario, seed]])
        for number in range(1, config.collections + 1):
            turned = list[Record]()
            try:
                state = loop.turn(state, turned.append)
            except ValueError as error:
                if "take a lower learning rate" not in str(error):
                    raise
                break
            records += turned
            if number % cell.evaluate_every(self.scale) == 0:
                records.append(self.measure(cell.scenario, loop.params(state), seed))
        found, points = curves_of(records), len(cell.measured_steps(self.scale))
        return {name: found[name] + [float("nan")] * (points - len(found[name])) for name in CURVES}

    def _loop(self, scenario: Scenario, config: TuneConfig) -> Algorithm1:
        """The method learns from the proxy, as in the paper; where the data's own preferences are enough, from them."""
        judged = config.variant.on_policy or "advantages" in config.variant.method.needs
        return Algorithm1(
            self.world.reference,
            scenario.pairs,
            config,
            reward=of_examples(scenario.proxy, name="the proxy reward") if judged else None,
            eos=(self.world.eos,),
            pad=self.world.corpus.tokens.pad,
        )

    def measure(self, name: str, params: Params, seed: int) -> dict[str, float]:
        """The record of an evaluation: samples on held-out prompts, and what the policy says of held-out pairs."""
        world, sizes = self.world, self.scale.sizes
        scenario, policy = world.scenarios[name], ModelWithParams(world.reference.model, params)
        prompts = [example.prompt.tolist() for example in world.corpus.held_out[: sizes.evaluate_prompts]]
        numbers = evaluate(
            policy,
            prompts,
            key=evaluation_key(seed),
            eos=(world.eos,),
            reference=world.reference,
            rewards={"gold": scenario.gold, "proxy": scenario.proxy},
            config=EvaluationConfig(max_new_tokens=sizes.max_response, batch=len(prompts)),
        ).numbers
        if name not in self._held_out:
            self._held_out[name] = _pair_log_probs(world.reference, scenario)
        chosen, rejected = (_pair_log_probs(policy, scenario) - self._held_out[name]).mean(axis=0)
        return {
            **numbers,
            "chosen_implicit_reward": float(chosen),
            "rejected_implicit_reward": float(rejected),
        }


def _pair_log_probs(policy: ModelWithParams, scenario: Scenario) -> np.ndarray:
    """log π(y | x) of held-out pairs, chosen first, nats, `[pairs, 2]`."""
    rows = [[*e.prompt.tolist(), *y.tolist()] for e in scenario.held_out for y in e.responses]
    starts = [len(e.prompt) for e in scenario.held_out for _ in e.responses]
    found = score_rows([policy], rows, starts, batch=len(rows))
    return np.array([each.log_prob for each in found]).reshape(-1, 2)


def run_cell(
    cell: LanguageCell,
    scale: Scale,
    runner: Callable[[], Runner],
    folder: Path,
    *,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[Any], Any] = lambda items: items,
) -> xarray.Dataset:
    """Run a cell, or read it if it was run before.

    Args:
        cell: which.
        scale: see there.
        runner: makes what runs; called only if something is to be run.
        folder: holds `NAME.nc` once done, and until then `NAME.runs.json` with the runs that are.
        say: takes a line if the runs that are done were made elsewhere.
        progress: wraps the runs.

    Raises:
        ValueError: the folder holds this cell of another protocol or configuration.
    """
    path = cell_path(folder, cell)
    if path.exists():
        return read_cell(cell, scale, folder)
    done, protocol = _Unfinished(writable_folder(folder) / f"{cell.name}.runs.json", cell, scale), scale.protocol
    if done.moved:
        say(f"note: {cell.name} was begun elsewhere ({done.moved}): {LAST_BITS}")
    tuning = [(rate, seed) for rate in protocol.learning_rates for seed in range(protocol.tuning_seeds)]
    for rate, seed in progress(tuning):
        done.make(rate, seed, runner)
    grid = done.dataset(protocol.learning_rates, range(protocol.tuning_seeds))
    rate = float(choose_learning_rate(grid, protocol.tie)["learning_rate"].item())
    fresh = range(protocol.first_judged_seed, protocol.first_judged_seed + protocol.fresh_seeds)
    for seed in progress(fresh):
        done.make(rate, seed, runner)
    curves = done.dataset((rate,), [*range(protocol.tuning_seeds), *fresh]).isel(learning_rate=0, drop=True)
    grids = {m.grid: m(grid).rename({"seed": "tuning_seed"}).astype(np.float32) for m in MEASURES}
    dataset = curves.assign({name: values.drop_vars("step", errors="ignore") for name, values in grids.items()})
    configuration = json.dumps(dataclasses.asdict(cell.config(scale, rate)))
    dataset.attrs = {
        **provenance(configuration, done.seconds, names_of(done.machines)),
        "identity": json.dumps(identity(cell, scale)),
        "learning_rate": rate,
        "tuning_seeds": protocol.tuning_seeds,
    }
    save(dataset, path, small=True)
    done.path.unlink(missing_ok=True)
    return load(path)


class _Unfinished:
    """The runs of a cell that are done, in a file that is replaced after each.

    Attributes:
        machines: that made them, one after the other (`here`).
        moved: in what this one differs from the last of them; empty if in nothing.

    Raises:
        ValueError: the file is of another protocol or configuration, or damaged.
    """

    def __init__(self, path: Path, cell: LanguageCell, scale: Scale) -> None:
        self.path, self.cell, self.scale = path, cell, scale
        self.seconds, self._runs = 0.0, dict[str, Curve]()
        self.machines, self.moved = list[dict[str, Any]](), ""
        if not path.exists():
            return
        try:
            found = read_json(path)
            self.seconds, self._runs, stored = float(found["seconds"]), dict(found["runs"]), dict(found["identity"])
            self.machines = found.get("machines", [])  # of none, if it was begun before they were kept
            require(are_places(self.machines), "it says of no machine")
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path} is damaged ({error}): delete it, and its runs are made again") from error
        if another := difference_in_identity(stored, identity(cell, scale)):
            raise ValueError(f"{path} is of {another}. Choose another --out, or move it away")
        self.moved = moved(self.machines[-1], here()) if self.machines else ""

    def make(self, rate: float, seed: int, runner: Callable[[], Runner]) -> None:
        """Make a run that is not there yet, and keep it."""
        if _name(rate, seed) in self._runs:
            return
        working = runner()
        began = time.monotonic()
        self._runs[_name(rate, seed)] = working.run(self.cell, rate, seed)
        self.seconds += time.monotonic() - began
        if not self.machines or moved(self.machines[-1], here()):
            self.machines.append(here())
        kept = {
            "identity": identity(self.cell, self.scale),
            "machines": self.machines,
            "seconds": self.seconds,
            "runs": self._runs,
        }
        with replacing(self.path) as temporary:
            temporary.write_text(json.dumps(kept), encoding="utf-8")

    def dataset(self, rates: Sequence[float], seeds: Iterable[int]) -> xarray.Dataset:
        """Curves `[learning_rate, seed, step]` of these runs, float32."""
        seeds = list(seeds)
        dims, data = ("learning_rate", "seed", "step"), {}
        for name in CURVES:
            values = [[self._runs[_name(rate, seed)][name] for seed in seeds] for rate in rates]
            data[name] = variable(name, dims, values)
        steps = self.cell.measured_steps(self.scale)
        return xarray.Dataset(data, {"learning_rate": list(rates), "seed": seeds, "step": steps})


def _name(rate: float, seed: int) -> str:
    return f"{rate:g}/{seed}"


def run_cells(
    cells: Sequence[LanguageCell],
    scale: Scale,
    runner: Callable[[], Runner],
    folder: Path,
    *,
    say: Callable[[str], None],
    progress: Callable[[Any], Any] = lambda items: items,
) -> Results:
    """Run what is missing of some cells.

    Args:
        cells: which.
        scale: see there.
        runner: as for `run_cell`.
        folder: where they are kept.
        say: takes a line of progress at each cell.
        progress: wraps the runs of each.

    Raises:
        ValueError: as `run_cell`; before any work, if the folder holds a cell of another protocol.
    """
    absent = missing_cells(cells, folder)
    done = {cell: read_cell(cell, scale, folder) for cell in cells if cell not in absent}
    if note := made_elsewhere(list(done.values()), {"machine": machine(), "versions": versions()}):
        say(note)
    for i, cell in enumerate(absent):
        say(f"cell {i + 1} of {len(absent)}: {cell.name}")
        done[cell] = run_cell(cell, scale, runner, folder, say=say, progress=progress)
    return {cell: done[cell] for cell in cells}
