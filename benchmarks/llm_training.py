"""A training step of a small GPT-NeoX beside transformers and torch, in one run.

    python -m pip install torch==2.13.0 && python benchmarks/llm_training.py [--size 14m]

Both sides start from the same random weights, read the same tokens and take a step of AdamW in float32 with the same
number of threads: next-token cross-entropy of 4 rows of 128 tokens. They take turns, so that other work on the machine
slows both. The losses of the first steps are compared before anything is timed.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from modeseek.llm.checkpoints.save import save
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.models.parameters import init
from modeseek.llm.parallel.memory import parameter_count
from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
from modeseek.llm.training.optimizer import Adam, start
from modeseek.llm.training.step import make_step
from modeseek.llm.training.trainable import AllParameters

SIZES = {  # width, layers, heads, vocabulary
    "tiny": (64, 2, 4, 512),
    "1m": (128, 4, 4, 2048),
    "14m": (128, 6, 4, 50_304),
    "70m": (512, 6, 8, 50_304),
    "410m": (1024, 24, 16, 50_304),
    "1.4b": (2048, 24, 16, 50_304),
}
ADAM = Adam(1e-4, weight_decay=0.01)


def config(size):
    width, layers, heads, vocabulary = SIZES[size]
    return config_from(
        {
            "model_type": "gpt_neox",
            "vocab_size": vocabulary,
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": 4 * width,
            "max_position_embeddings": 2048,
        }
    )


def tokens(shape, vocabulary):
    return np.random.default_rng(0).integers(0, vocabulary, shape).astype(np.int32)


def torch_side(folder, batch):
    """A step of transformers' module, as a careful user writes it: fused AdamW, scaled_dot_product_attention."""
    import torch
    import torch.nn.functional as F
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=ADAM.learning_rate, weight_decay=ADAM.weight_decay, fused=True)
    rows = torch.tensor(batch.astype(np.int64))

    def step():
        optimizer.zero_grad(set_to_none=True)
        logits = model(rows[:, :-1], use_cache=False).logits
        loss = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1))
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def our_side(model, params, batch, chunk=4096):
    """A step of ours; the state stays on the device."""
    compiled, state = make_step(CrossEntropy(model, chunk), AllParameters(model.config)), start(params)
    rows = TokenBatch(jnp.asarray(batch), jnp.full(batch.shape[0], batch.shape[1], jnp.int32))
    adam = Adam(*map(jnp.float32, ADAM))

    def step():
        nonlocal state
        state, loss = compiled(state, rows, adam)
        return float(loss)

    return step


def beside_torch(size, repeats, chunk, remat):
    import torch
    import transformers

    model, batch = Model(config(size), Compute(remat=remat)), tokens((4, 129), SIZES[size][3])
    params = jax.jit(lambda key: init(model.config, key=key))(jax.random.key(0))
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "model", model.config, params)
        theirs = torch_side(Path(folder) / "model", batch)
    ours = our_side(model, params, batch, chunk)
    # The same losses, so the same work: three steps of each, which also warm both up.
    np.testing.assert_allclose([ours() for _ in range(3)], [theirs() for _ in range(3)], rtol=1e-4)
    times = {"ours": [], "theirs": []}
    for _ in range(repeats):
        for name, step in (("ours", ours), ("theirs", theirs)):
            begun = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - begun)
    count = batch.shape[0] * (batch.shape[1] - 1)
    ratio = statistics.median(b / a for a, b in zip(times["ours"], times["theirs"], strict=True))
    print(f"Pythia-{size} shape, {parameter_count(model.config):,} parameters, float32, remat {remat}")
    print("4 rows of 128 tokens, AdamW")
    print(
        f"jax {jax.__version__}, torch {torch.__version__}, transformers {transformers.__version__}, "
        f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}, {repeats} steps of each in turn"
    )
    for name, label in (("ours", "modeseek"), ("theirs", "transformers")):
        low, middle, high = np.quantile(times[name], [0.25, 0.5, 0.75])
        print(f"{label:14}{count / middle:9.0f} tokens/s   {1e3 * middle:7.0f} ms ({1e3 * low:.0f} … {1e3 * high:.0f})")
    print(
        f"{'ratio':14}{ratio:9.2f} (median of the steps' ratios), of medians "
        f"{statistics.median(times['theirs']) / statistics.median(times['ours']):.2f}, of the fastest "
        f"{min(times['theirs']) / min(times['ours']):.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="14m")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--chunk", type=int, default=4096, help="tokens whose logits exist at once")
    parser.add_argument("--remat", choices=("none", "dots", "full"), default="dots")
    options = parser.parse_args()
    beside_torch(options.size, options.repeats, options.chunk, options.remat)


if __name__ == "__main__":
    main()
