"""How fast is the categorical simulator, and how far from what this machine could do? Prints a markdown table.

    python benchmarks/categorical.py            # all of it, about a minute
    python benchmarks/categorical.py --runs 1000

Every time is the minimum over repetitions, after compilation. The floor stands beside the batched run: arithmetic, from
the measured throughput of one exponential and of one multiply-add in this very runtime on arrays that stay in cache;
and bandwidth, from a measured large copy and the bytes that one step must move if nothing stays in cache.
"""

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from modeseek.bandit.categorical.dynamics import PAIR, batched, simulate, trajectories
from modeseek.bandit.categorical.optimizers import Settings
from modeseek.bandit.categorical.presets import named_problem
from modeseek.bandit.categorical.problem import Problem
from modeseek.bandit.categorical.theory import table
from modeseek.bandit.simulator.devices import run_mesh, use_host_devices

EXPONENTIALS = 1
"""A category and step: the one of the softmax; metrics reuse it."""
STEP_MULTIPLY_ADDS, METRIC_MULTIPLY_ADDS = 7, 7
"""A category and step of forward KL: gradient 1, update 1, maximum 1, shift 1, sum 1, normalising 2; and metrics."""
STEP_STREAMS, METRIC_STREAMS = 5, 3
"""Arrays of the batch that a step touches: q read, log p and p read and written; metrics read log q, log π_ref, r."""


def fastest(work: Callable[[], Any], repetitions: int) -> float:
    """Seconds of the fastest of some runs, the first (compiling) one not counted."""
    jax.block_until_ready(work())
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        jax.block_until_ready(work())
        times.append(time.perf_counter() - began)
    return min(times)


def on_all_devices(loop: Callable[[Any], Any], shape: tuple[int, ...]) -> Callable[[], Any]:
    """`loop` on every device at once, each over an array of its own of that shape: the batch uses them all too."""
    mesh = run_mesh()
    spec = PartitionSpec("runs")
    array = jax.device_put(jnp.full((mesh.size * shape[0], *shape[1:]), 0.5, jnp.float32), NamedSharding(mesh, spec))
    run = jax.jit(jax.shard_map(loop, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False))
    return lambda: run(array)


def per_element(body: Callable[[Any], Any], loops: int = 400) -> float:
    """Seconds an element of a loop over an array that fits into every core's cache, all devices together."""
    rows, columns = 128, 512
    loop = lambda x: jax.lax.fori_loop(0, loops, lambda _, y: body(y), x)
    return fastest(on_all_devices(loop, (rows, columns)), 7) / (run_mesh().size * rows * columns * loops)


def chain(x: Any) -> Any:
    """Sixteen dependent multiply-adds an element: the array's traffic is spread over them."""
    for _ in range(16):
        x = x * 0.999 + 0.0005
    return x


def bandwidth() -> float:
    """Bytes a second of passes over 128 MB a device, read and write counted; in one loop, so that no page is new."""
    size, passes = 32 * 2**20, 8
    loop = lambda x: jax.lax.fori_loop(0, passes, lambda _, y: y + 1.0, x)
    return 2 * passes * run_mesh().size * size * 4 / fastest(on_all_devices(loop, (size,)), 5)


def pair_times() -> tuple[float, float]:
    """Milliseconds of a 100-category, 2000-step pair of trajectories with every metric: JAX and NumPy."""
    problem, start, _ = named_problem("R1")
    single = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), problem)
    settings = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), Settings())
    log_start = jnp.log(jnp.asarray(start, jnp.float32))
    compiled = fastest(lambda: trajectories(single, log_start, settings, objectives=PAIR, steps=2000), 30)
    plain = fastest(lambda: simulate(problem, start, steps=2000)[0], 7)
    return compiled * 1e3, plain * 1e3


def batch_time(runs: int, categories: int, steps: int, objective: str, every: int) -> float:
    """Seconds of `runs` random problems, every metric at each `every`-th step."""
    rng = np.random.default_rng(0)
    to_array = lambda x: jnp.asarray(x, jnp.float32)
    q, p = (rng.dirichlet(np.ones(categories), runs) for _ in range(2))
    one = to_array(np.ones(runs))
    logs = to_array(np.log(q)), to_array(np.log(p)), to_array(np.log(p)), to_array(np.log(q / p))
    problems = Problem(*logs, one, one, one, one)
    settings = jax.tree.map(to_array, Settings(*(np.full(runs, value) for value in Settings())))
    return fastest(lambda: batched(problems, logs[1], settings, objective=objective, steps=steps, every=every), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--categories", type=int, default=100)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=100_000, help="random instances a statement of the theory")
    chosen = parser.parse_args()
    use_host_devices()
    elements = chosen.runs * chosen.categories * chosen.steps
    exponential, multiply_add = per_element(lambda x: jnp.exp(x) - 1.0), per_element(chain) / 16
    speed = bandwidth()
    compiled, plain = pair_times()
    print(
        f"{platform.processor() or platform.machine()}, {jax.devices()[0].device_kind} x {jax.local_device_count()}, "
    )
    print(f"Python {platform.python_version()}, jax {jax.__version__}, numpy {np.__version__}\n")
    print("| what | measured | goal |\n|---|---:|---:|")
    print(f"| pair of trajectories, K = 100, 2000 steps, all metrics, JAX float32 | {compiled:.2f} ms | 5 ms |")
    print(f"| the same in NumPy float64 | {plain:.1f} ms | 60 ms |")
    began = time.perf_counter()
    tried = sum(finding.tried for finding in table(chosen.instances))
    rate = tried / (time.perf_counter() - began) * 60
    print(f"| theory: random instances a minute | {rate / 1e6:.1f} million | 1 million |")
    shape = f"{chosen.runs} problems x {chosen.steps} steps, K = {chosen.categories}"
    for every in (1, 10):
        adds, streams = STEP_MULTIPLY_ADDS + METRIC_MULTIPLY_ADDS / every, STEP_STREAMS + METRIC_STREAMS / every
        arithmetic = elements * (EXPONENTIALS * exponential + adds * multiply_add)
        streaming = elements * streams * 4 / speed
        when = "every step" if every == 1 else f"every {every}th step"
        for objective in PAIR:
            seconds = batch_time(chosen.runs, chosen.categories, chosen.steps, objective, every)
            ratio = f"{seconds / max(arithmetic, streaming):.2f} x the larger floor"
            print(f"| {objective}: {shape}, all metrics at {when} | {seconds:.2f} s, {ratio} | 1.30 x |")
        print(f"| floors of these: arithmetic, bandwidth | {arithmetic:.2f} s, {streaming:.2f} s | |")
    cost = f"{exponential * 1e9:.3f} ns an exp, {multiply_add * 1e9:.4f} ns an FMA, {speed / 1e9:.1f} GB/s"
    print(f"| measured: {cost} | | |")


if __name__ == "__main__":
    main()
