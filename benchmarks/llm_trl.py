"""Preference fine-tuning of one small model by modeseek and by TRL, in turn, on the same data and settings.

    python -m venv trl && trl/bin/pip install torch==2.13.0 trl==1.16.0
    python benchmarks/llm_trl.py --trl trl/bin/python [--work dpo online-dpo rloo] [--size 14m]

Both sides start from the same random weights (GPT-NeoX, float32) and take AdamW's steps on the same prompts with the
same threads; each side is a process of its own, and they take turns. DPO learns one batch of pairs again and again, so
that the losses of both sides must be equal step by step, and they are compared. On-policy, random weights hardly ever
write EOS: both sides sample responses of full length, judge them by the same function (shorter is better), and learn
from them. The first two steps of each process, which compile or warm up, are not counted.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKS = ("dpo", "online-dpo", "rloo")
SIZES = ("1m", "14m", "70m")
WARM = 2


def prepare(folder, size, prompts):
    """A random model with a tokenizer, and pairs of real text, in files that both sides read."""
    import jax
    from llm_training import config as shape

    from modeseek.llm.checkpoints.save import save
    from modeseek.llm.data.python_docstrings import DocstringLimits, python_docstrings
    from modeseek.llm.data.train_tokenizer import train_tokenizer
    from modeseek.llm.inference.tokenizer import load_tokenizer
    from modeseek.llm.models.parameters import init

    records = python_docstrings(DocstringLimits(most=200, most_signature=80))
    train_tokenizer((text for r in records for text in (r.prompt, *r.responses)), folder / "tokenizer", vocab_size=2048)
    tokenizer = load_tokenizer(folder / "tokenizer")
    config = shape(size)
    params = jax.jit(lambda key: init(config, key=key))(jax.random.key(0))
    ids = {"pad_id": tokenizer.pad_token_id, "eos_id": tokenizer.eos_token_id}
    save(folder / "model", config, params, tokenizer=folder / "tokenizer", **ids)
    pairs = [
        {"prompt": a.prompt, "chosen": a.responses[0], "rejected": b.responses[0]}
        for a, b in zip(records[:prompts], records[prompts : 2 * prompts], strict=True)
    ]
    text = "".join(json.dumps(pair) + "\n" for pair in pairs)
    (folder / "pairs.jsonl").write_text(text, encoding="utf-8")


def ours(folder, work, how):
    """Our side, in this process: seconds of each collection with its step, losses, memory."""
    import jax

    from modeseek.bandit.objectives.batch import HyperParameters
    from modeseek.llm.checkpoints.checkpoint import open_checkpoint
    from modeseek.llm.checkpoints.load import load
    from modeseek.llm.commands.texts import reading_of
    from modeseek.llm.data.examples import Source, examples_from
    from modeseek.llm.data.tokenization import Limits
    from modeseek.llm.inference.scoring import ModelWithParams
    from modeseek.llm.models.model import Compute, Model
    from modeseek.llm.training.settings import OptimizerConfig
    from modeseek.llm.training.tune import tune
    from modeseek.llm.training.tune_config import TuneConfig

    checkpoint = open_checkpoint(folder / "model")
    texts = reading_of(checkpoint)
    source = Source(str(folder / "pairs.jsonl"), held_out=0.0)
    limits = Limits(how["length"] // 2, how["length"])
    data = examples_from(source, texts.tokens, "as they are" if work == "dpo" else "prompts", limits=limits).training
    rows = how["prompts"] * how["responses"]
    config = TuneConfig(
        method={"dpo": "dpo", "online-dpo": "on_policy_dpo", "rloo": "reinforce"}[work],
        samples_per_collection=rows,
        responses_per_prompt=how["responses"],
        minibatch_size=rows,
        collections=how["steps"],
        max_new_tokens=how["new_tokens"],
        standardization="batch" if work != "rloo" else "per_prompt",
        hyper=HyperParameters(
            learning_rate=how["learning_rate"],
            beta=how["beta"],
            kl_coefficient=how["beta"] if work == "rloo" else 0.0,
        ),
        generation_batch=rows,
        length_multiple=16,
    )
    optimizer = OptimizerConfig(learning_rate=how["learning_rate"], clip_norm=1.0)
    shorter = lambda examples: [[-float(len(ids)) for ids in example.responses] for example in examples]
    losses, times = [], [time.perf_counter()]

    def report(record):
        if "loss" in record:
            losses.append(record["loss"])
            times.append(time.perf_counter())

    tune(
        ModelWithParams(Model(checkpoint.config, Compute()), load(checkpoint, dtype="float32")),
        data,
        config,
        reward=None if work == "dpo" else shorter,
        eos=texts.eos,
        pad=texts.tokens.pad,
        optimizer=optimizer.transformation(config.gradient_steps),
        report=report,
    )
    found = {
        "seconds": [b - a for a, b in itertools.pairwise(times)],
        "losses": losses,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "versions": f"jax {jax.__version__}",
    }
    print("RESULT " + json.dumps(found))


def measured(command):
    """What a side's process printed."""
    quiet = dict(os.environ, JAX_PLATFORMS="cpu", TRL_EXPERIMENTAL_SILENCE="1", TOKENIZERS_PARALLELISM="false")
    done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise SystemExit(f"{command[1]} gave no result:\n{done.stderr[-3000:]}")
    return json.loads(lines[-1].removeprefix("RESULT "))


def compare(folder, work, how, trl, rounds):
    """Both sides in turn."""
    settings = json.dumps(how)
    sides = {
        "modeseek": [sys.executable, __file__, "--side", str(folder), work, settings],
        "TRL": [trl, str(Path(__file__).with_name("trl_side.py")), str(folder), work, settings],
    }
    found = {name: [] for name in sides}
    for _ in range(rounds):
        for name, command in sides.items():
            found[name].append(measured(command))
    print(f"{work}: {how['prompts']} prompts x {how['responses']} responses a step, {rounds} x {how['steps']} steps")
    medians = {}
    for name, runs in found.items():
        seconds = [second for run in runs for second in run["seconds"][WARM:]]
        medians[name] = statistics.median(seconds)
        pairs = how["prompts"] * how["responses"] / 2 / medians[name]
        memory = max(run["peak_bytes"] for run in runs) / 2**20
        start = statistics.median(sum(run["seconds"][:WARM]) for run in runs)
        print(
            f"  {name:9}{1e3 * medians[name]:8.1f} ms a step ({1e3 * min(seconds):.1f} … {1e3 * max(seconds):.1f}), "
            f"{pairs:7.2f} pairs/s, most memory {memory:,.0f} MiB, first {WARM} steps {start:.1f} s, "
            f"{runs[0]['versions']}"
        )
    print(f"  modeseek is {medians['TRL'] / medians['modeseek']:.2f} times as fast")
    if work == "dpo":
        a, b = found["modeseek"][0]["losses"], found["TRL"][0]["losses"]
        worst = max(abs(x - y) for x, y in zip(a, b, strict=True))
        print(f"  losses of {len(a)} steps: {a[0]:.4f} → {a[-1]:.4f} and {b[0]:.4f} → {b[-1]:.4f}, ", end="")
        print(f"at most {worst:.1g} apart")


def main():
    if sys.argv[1:2] == ["--side"]:
        return ours(Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trl", required=True, help="the Python of an environment with trl and torch")
    parser.add_argument("--work", choices=WORKS, nargs="+", default=WORKS)
    parser.add_argument("--size", choices=SIZES, default="14m")
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    threads, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"GPT-NeoX of {options.size}'s shape, float32, {threads} threads, load {load:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), options.size, options.prompts)
        for work in options.work:
            how = {
                "prompts": options.prompts,
                "responses": 4 if work == "rloo" else 2,
                "new_tokens": options.new_tokens,
                "length": 128,
                "steps": options.steps,
                "learning_rate": 1e-4,
                "beta": 0.1,
            }
            compare(Path(folder), work, how, options.trl, options.rounds)
    return None


if __name__ == "__main__":
    main()
