"""The folder of a run, and an optimizer's settings: what a killed run keeps, what is refused, which rate a step has."""

import json
import math
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import optax
import pytest

from modeseek.llm.training.run_folder import RunFolder, read_metrics
from modeseek.llm.training.settings import OptimizerConfig

CONFIGURATION = {"learning_rate": 0.1, "sampling": {"top_k": 5}, "sizes": (1, 2)}


def test_lines_come_back_and_go_on(tmp_path):
    with RunFolder(tmp_path / "run", CONFIGURATION) as run:
        run.append({"step": 1, "loss": 2.5})
    with RunFolder(tmp_path / "run", CONFIGURATION) as run:
        run.append({"step": 2})
    found = read_metrics(tmp_path / "run")
    assert [(line["step"], line.get("loss")) for line in found] == [(1, 2.5), (2, None)]
    assert all(line["seconds"] >= 0 for line in found)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["sizes"] == [1, 2]


def test_an_unfinished_line_is_cut_off_and_no_other(tmp_path):
    with RunFolder(tmp_path, CONFIGURATION) as run:
        run.append({"step": 1})
    with run.metrics.open("a") as file:
        file.write('{"step": 2, "lo')  # where the power failed
    assert len(read_metrics(tmp_path)) == 1
    with RunFolder(tmp_path, CONFIGURATION) as run:
        run.append({"step": 2})
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2]


def test_a_killed_process_loses_no_finished_line(tmp_path):
    """It says what it has written only afterwards, so every step that it named must be there."""
    code = (
        "import sys; from pathlib import Path; from modeseek.llm.training.run_folder import RunFolder\n"
        "run = RunFolder(Path(sys.argv[1]), {})\n"
        "for step in range(10**9): run.append({'step': step}); print(step, flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 20:
            break
    with pytest.raises(ValueError, match=f"another process is at work in {tmp_path}"):
        RunFolder(tmp_path, {})
    os.kill(process.pid, signal.SIGKILL)
    said = [20, *map(int, process.stdout.read().split())]
    process.wait()
    process.stdout.close()
    assert [line["step"] for line in read_metrics(tmp_path)][: said[-1] + 1] == list(range(said[-1] + 1))
    with RunFolder(tmp_path, {}) as run:  # the lock went with the process
        run.append({"step": -1})
    assert read_metrics(tmp_path)[-1]["step"] == -1


def test_another_configuration_is_refused_by_its_fields(tmp_path):
    RunFolder(tmp_path, CONFIGURATION).__exit__()
    changed = {**CONFIGURATION, "sampling": {"top_k": 7}}
    with pytest.raises(ValueError, match=r"another configuration \(sampling.top_k: there 5, here 7\)"):
        RunFolder(tmp_path, changed)
    RunFolder(tmp_path, CONFIGURATION).__exit__()  # a refusal holds no lock


def test_what_is_no_number_of_json_is_refused_and_writes_nothing(tmp_path):
    with RunFolder(tmp_path, {}) as run:
        with pytest.raises(ValueError, match="JSON"):
            run.append({"loss": math.nan})
        with pytest.raises(ValueError, match="cannot be written"):
            run.append({"loss": {1, 2}})
    assert read_metrics(tmp_path) == []


def test_an_attempt_anew_keeps_the_lines_of_the_one_before(tmp_path):
    with RunFolder(tmp_path, {}) as run:
        run.begin()
        for attempt in range(3):
            run.append({"attempt": attempt})
            if attempt < 2:
                run.begin()
    assert [line["attempt"] for line in read_metrics(tmp_path)] == [2]
    kept = [read_metrics(tmp_path / f"metrics-{number}.jsonl")[0]["attempt"] for number in (1, 2)]
    assert kept == [0, 1]


def test_the_rate_rises_and_falls():
    config = OptimizerConfig(learning_rate=0.5, schedule="linear", warmup_steps=4)
    rate = [float(config.rate(10)(step)) for step in range(11)]
    rising = [0.1, 0.2, 0.3, 0.4]
    falling = [0.5 * (1 - step / 6) for step in range(7)]
    assert rate == pytest.approx(rising + falling, abs=1e-7)
    cosine = OptimizerConfig(learning_rate=0.5, schedule="cosine").rate(8)
    assert [float(cosine(step)) for step in (0, 4, 8)] == pytest.approx([0.5, 0.25, 0.0], abs=1e-7)
    constant = OptimizerConfig(learning_rate=0.5, warmup_steps=1).rate(3)
    assert [float(constant(step)) for step in range(3)] == pytest.approx([0.25, 0.5, 0.5])
    with pytest.raises(ValueError, match=r"warmup_steps \(4\) must be fewer than the run's 4 steps"):
        config.rate(4)


def test_the_optimizer_is_clipping_and_adamw_by_hand():
    """One step from zero moments: m̂ / √v̂ is the gradient's sign, whatever clipping made of it; then the decay."""
    config = OptimizerConfig(learning_rate=0.1, clip_norm=1e-3, weight_decay=0.5, epsilon=1e-12)
    params, gradients = jnp.array([2.0, -4.0]), jnp.array([30.0, -40.0])
    optimizer = config.transformation(5)
    with jax.numpy_dtype_promotion("standard"):  # as a step calls it
        update, state = optimizer.update(gradients, optimizer.init(params), params)
    assert update == pytest.approx([-0.1 * (1 + 0.5 * 2.0), -0.1 * (-1 + 0.5 * -4.0)], rel=1e-5)
    means = optax.tree.get(state, "mu")  # where the clipped gradient shows: of norm .001, along (.6, -.8)
    assert means == pytest.approx([0.1 * 6e-4, 0.1 * -8e-4], rel=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate must be a positive number, got 0.0"),
        ({"clip_norm": -1.0}, "clip_norm must be a positive number, got -1.0"),
        ({"square_decay": 1.0}, "square_decay must be at least 0 and less than 1, got 1.0"),
        ({"weight_decay": math.nan}, "weight_decay must be a number of at least 0, got nan"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**fields)
