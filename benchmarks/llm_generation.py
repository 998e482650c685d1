"""Generation and scoring beside transformers + torch: same machine, same random weights, same batch, in one run.

    python -m pip install torch==2.13.0 && python benchmarks/llm_generation.py [--size 14m] [--rounds 3]

Each round times both sides, one after the other; what is printed is the median of the rounds and, beside it, the CPU
time (of all threads), which a loaded machine disturbs less. torch generates with its own cache (`generate`) under
`torch.inference_mode`, the EOS taken out on both sides, so that every row has all its tokens. The floor is the
arithmetic alone, at the rate of a 1000 x 1000 product on the same machine, measured by the same clock.
"""

import argparse
import os
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers

from modeseek.llm.inference.generate import generate, row_keys
from modeseek.llm.inference.sampling import Sampling
from modeseek.llm.inference.scoring import ModelWithParams, score
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Model
from modeseek.llm.models.parameters import parameters, tree_of
from modeseek.llm.parallel.memory import count_by_part

SIZES = {
    "14m": {"hidden_size": 128, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 512},
    "70m": {"hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "intermediate_size": 2048},
}
ROWS, PROMPT, NEW = 64, 32, 128
SCORED = (8, 257)


def both_sides(size):
    """transformers' module with random weights, and ours with the same."""
    config = transformers.GPTNeoXConfig(**SIZES[size], vocab_size=50304, rotary_pct=0.25, use_parallel_residual=True)
    torch.manual_seed(0)
    module = transformers.AutoModelForCausalLM.from_config(config).eval()
    state = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    ours = config_from(config.to_dict())

    def leaf(p):
        name = lambda n: state[n if n in state else n.replace("embed_out", "lm_head")]
        tensors = [name(n).T if p.transposed else name(n) for n in p.tensors]
        return jnp.asarray(np.ascontiguousarray(np.stack(tensors) if p.stacked else tensors[0]))

    return module, ModelWithParams(Model(ours), tree_of({p.path: leaf(p) for p in parameters(ours)}))


def timed(work):
    """Seconds on the clock, and of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def rate():
    """FLOP/s of a 1000 x 1000 product, best of ten."""
    x, product = jnp.ones((1000, 1000)), jax.jit(jnp.matmul)
    product(x, x).block_until_ready()
    return 2e9 / min(timed(lambda: product(x, x).block_until_ready())[0] for _ in range(10))


def workloads(size, names):
    """Name → (ours, theirs, tokens, FLOP a token)."""
    module, policy = both_sides(size)
    model, config = policy.model, policy.model.config
    rng = np.random.default_rng(0)
    prompts = rng.integers(2, 50_000, (ROWS, PROMPT)).astype(np.int32)
    lengths = np.full(ROWS, PROMPT, np.int32)
    decoding = model.for_decoding(policy.params)
    keys = row_keys(jax.random.key(0), ROWS)
    text = torch.tensor(prompts.astype(np.int64))
    found = {}
    how = {"greedy": Sampling(0.0), "sampled": Sampling(), "top-p .9": Sampling(1.0, 0, 0.9)}
    asked = {
        "greedy": {"do_sample": False},
        "sampled": {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0},
        "top-p .9": {"do_sample": True, "top_k": 0, "top_p": 0.9, "temperature": 1.0},
    }
    parts = count_by_part(config)
    flop = 2 * (sum(parts.values()) - parts["embed"])

    def generation(name):
        def ours():
            out = generate(model, decoding, prompts, lengths, NEW, keys=keys, sampling=how[name])
            assert int(out.lengths.sum()) == ROWS * NEW

        def theirs():
            with torch.inference_mode():
                out = module.generate(
                    text,
                    attention_mask=torch.ones_like(text),
                    max_new_tokens=NEW,
                    eos_token_id=None,
                    pad_token_id=1,
                    **asked[name],
                )
            assert out.shape == (ROWS, PROMPT + NEW)

        return ours, theirs, ROWS * NEW, flop * (ROWS * (PROMPT + NEW)) / (ROWS * NEW)

    rows = rng.integers(2, 50_000, SCORED).astype(np.int32)
    full, given = np.full(SCORED[0], SCORED[1], np.int32), torch.tensor(rows.astype(np.int64))
    scorer = jax.jit(lambda p: score(ModelWithParams(model, p), rows, full).sums)

    def their_scores():
        with torch.inference_mode():
            logits = module(given[:, :-1]).logits
            torch.log_softmax(logits, -1).gather(-1, given[:, 1:, None])[..., 0].sum(-1)

    for name in names:
        if name == "scoring":
            ours = lambda: scorer(policy.params).block_until_ready()
            found[name] = (ours, their_scores, SCORED[0] * (SCORED[1] - 1), flop)
        else:
            found[name] = generation(name)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="14m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=["greedy", "sampled", "top-p .9", "scoring"])
    arguments = parser.parse_args()
    speed = rate()
    print(
        f"Pythia-{arguments.size} shape, f32, {ROWS} rows of {PROMPT} + {NEW} tokens; scoring {SCORED[0]} x "
        f"{SCORED[1]}. {platform.processor() or platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}, jax {jax.__version__}, torch "
        f"{torch.__version__} ({torch.get_num_threads()} threads), transformers {transformers.__version__}; "
        f"{speed / 1e9:.0f} GFLOP/s\n"
    )
    print("| | ours, tokens/s | torch, tokens/s | ratio | ratio of CPU time | floor, tokens/s |")
    print("|---|---|---|---|---|---|")
    for name, (ours, theirs, tokens, flop) in workloads(arguments.size, arguments.only).items():
        ours()  # compiles
        mine, other = [], []
        for _ in range(arguments.rounds):
            mine.append(timed(ours))
            other.append(timed(theirs))
        (wall, cpu), (their_wall, their_cpu) = (
            tuple(statistics.median(column) for column in zip(*side, strict=True)) for side in (mine, other)
        )
        print(
            f"| {name} | {tokens / wall:.0f} | {tokens / their_wall:.0f} | {their_wall / wall:.2f} | "
            f"{their_cpu / cpu:.2f} | {speed / flop:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
