"""`modeseek bench`: how long the work unit takes on this machine, beside the arithmetic it cannot go below."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from modeseek.bandit.simulator.config import EvaluationConfig, Static
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.checks import whole
from modeseek.files import check_new_file, replacing, writable_folder


class Row(NamedTuple):
    """One line of the table: what, least and median milliseconds, and GFLOP of one unit (0: not counted)."""

    name: str
    least: float
    median: float
    gflop: float


def forward_gflop(config: Static, rows: int) -> float:
    """Multiply-adds of one forward pass over `rows` responses, in GFLOP: products with weights, and attention."""
    tokens, width, layers = config.new_tokens, config.policy.width, config.policy.layers
    weights = 12 * layers * width**2 + width * config.vocab_size
    attention = 2 * layers * tokens * width
    return 2 * rows * tokens * (weights + attention) / 1e9


@dataclasses.dataclass(frozen=True)
class Bench:
    """Time the work unit on this machine: one gradient step of on-policy IPO with the paper's evaluation after it.

    10 prompts x 10 responses x 10 tokens, all 45 pairs a prompt; evaluation on 100 prompts with exact KL. Prints the
    least and median milliseconds, and what the arithmetic alone would take at this machine's measured rate.

    Attributes:
        repeats: times each thing is measured.
        out: also write the table there, as JSON.
    """

    repeats: int = 12
    out: Path | None = None

    def run(self) -> int:
        """Measure and print."""
        whole("repeats", self.repeats, 2)
        if self.out is not None:
            writable_folder(self.out.parent)
            check_new_file(self.out)
        from modeseek.bandit.simulator.devices import use_host_devices

        use_host_devices()
        import jax

        from modeseek.machine import processor

        rate = matmul_gflops(self.repeats)
        rows, compile_seconds = measure(self.repeats)
        machine = (
            f"{processor()}, {jax.device_count()} JAX {jax.devices()[0].platform} device(s), jax {jax.__version__}"
        )
        print(f"machine: {machine}")
        print(f"a 1000 x 1000 product runs at {rate:.0f} GFLOP/s on one device")
        print(f"from nothing to the first collection: {compile_seconds:.1f} s")
        print(f"\n{'':58s}{'least ms':>9s}{'median':>9s}{'GFLOP':>8s}{'floor ms':>10s}")
        for row in rows:
            floor = f"{row.gflop / rate * 1e3:10.1f}" if row.gflop else " " * 10
            print(f"{row.name:58s}{row.least:9.2f}{row.median:9.2f}{row.gflop:8.2f}{floor}")
        print("\nfloor: the GFLOP at the rate of the large product; in a sweep, divided by the number of devices.")
        if self.out is not None:
            content = {"machine": machine, "gflops": rate, "compile_seconds": compile_seconds}
            with replacing(self.out) as temporary:
                temporary.write_text(json.dumps(content | {"rows": [r._asdict() for r in rows]}, indent=1))
        return 0


def _times(call: Callable[[], Any], repeats: int) -> list[float]:
    """Milliseconds of each of `repeats` calls, after one that is not counted."""
    import jax

    jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append((time.perf_counter() - start) * 1e3)
    return times


def _row(name: str, times: list[float], units: float, gflop: float) -> Row:
    ordered = sorted(times)
    return Row(name, ordered[0] / units, ordered[len(ordered) // 2] / units, gflop)


def matmul_gflops(repeats: int) -> float:
    """GFLOP/s of a large square product on one device: the rate that the floor assumes."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones((1000, 1000))
    product = jax.jit(jnp.matmul)
    return 2 / (min(_times(lambda: product(a, a), repeats)) / 1e3)


class _Turn:
    """One collection after the other: each call goes on from the state that the last one left."""

    def __init__(self, programs: Any, states: Any, runs: Any) -> None:
        self.programs, self.states, self.runs = programs, states, runs

    def __call__(self) -> Any:
        self.states, metrics = self.programs("collection", self.states, self.runs)
        return metrics


def measure(repeats: int) -> tuple[list[Row], float]:
    """All rows of the table, and the seconds that the sweep's programs took to compile."""
    import jax
    import numpy as np

    from modeseek.bandit.simulator.collect import collect
    from modeseek.bandit.simulator.devices import run_mesh
    from modeseek.bandit.simulator.groups import GroupPrograms
    from modeseek.bandit.simulator.memory import runs_at_once, sizes_of
    from modeseek.bandit.simulator.objective import loss_and_batch
    from modeseek.bandit.simulator.plan import make_plan
    from modeseek.bandit.simulator.policy import make_policy
    from modeseek.bandit.simulator.sampling import sample
    from modeseek.bandit.simulator.train import gradient_step, initial_state

    rows = []
    experiment = Experiment()
    config, plan = experiment.static, make_plan(experiment)
    run = jax.tree.map(lambda a: jax.numpy.asarray(a[0]), plan.runs)
    policy = make_policy(config)
    key = jax.random.key(0)
    state = initial_state(policy.init(key), run, config)
    collected, _ = jax.jit(
        lambda s: collect(policy, s.params, s.reference_params, s.prompts, s.moments, run, config, key=key)
    )(state)
    state = state._replace(batch=collected)
    forward = forward_gflop(config, 100)
    everything = jax.numpy.arange(config.algorithm.prompts_per_collection)

    gradient = jax.jit(jax.grad(lambda p: loss_and_batch(p, state.batch, run, config, policy, key=key)[0]))
    rows.append(
        _row("forward and backward, one device", _times(lambda: gradient(state.params), repeats), 1, 3 * forward)
    )
    step = jax.jit(lambda s: gradient_step(s, everything, run, config, policy, key=key))
    rows.append(_row("gradient step (with Adam), one device", _times(lambda: step(state), repeats), 1, 3 * forward))
    drawing = jax.jit(lambda p: sample(policy, p, jax.numpy.arange(100), config.new_tokens, key=key))
    rows.append(_row("sampling 100 responses, one device", _times(lambda: drawing(state.params), repeats), 1, forward))

    compile_seconds = 0.0
    steps = config.algorithm.steps_per_collection
    for behavior_kl, label in ((False, ""), (True, " and KL to behavior")):
        unit = Experiment(evaluation=EvaluationConfig(behavior_kl=behavior_kl))
        group = runs_at_once(sizes_of(dataclasses.replace(unit, seeds=64)), run_mesh())
        programs = GroupPrograms(unit.static, group)
        start = time.perf_counter()
        programs.compile_for(plan.runs)
        rows_of = np.zeros(group, int)
        runs = programs.put(plan.runs, rows_of)
        pretrained = programs("pretrain", runs.problem, runs.seed)
        states, *_ = programs("start", pretrained.params, runs)
        states, _ = programs("collection", states, runs)
        compile_seconds = max(compile_seconds, time.perf_counter() - start)

        turn = _Turn(programs, states, runs)

        gflop = (4 + behavior_kl + 2 / steps) * forward
        rows.append(
            _row(f"step and run in a sweep, evaluation, exact KL{label}", _times(turn, repeats), steps * group, gflop)
        )
    return rows, compile_seconds
