"""Language models on one accelerator: what share of it they use, and whether a 7B model fits.

    python benchmarks/llm_device.py training --size 410m        # MFU of a step on 64 x 384
    python benchmarks/llm_device.py decoding --size 1.4b        # tokens/s of 64 and 512 rows beside the memory roofline
    python benchmarks/llm_device.py mistral                     # loads, scores, generates, takes a step of LoRA

Weights are random. It runs on any device that JAX finds; a share is printed where the device's peak is known. With
`--size 14m` all three can be tried on a CPU.
"""

import argparse
import dataclasses
import functools
import statistics
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from llm_training import ADAM, SIZES, config, our_side, tokens

from modeseek.llm.checkpoints.checkpoint import open_checkpoint
from modeseek.llm.checkpoints.load import load
from modeseek.llm.checkpoints.save import save
from modeseek.llm.inference.generate import generate, row_keys
from modeseek.llm.inference.scoring import ModelWithParams, score
from modeseek.llm.models.hugging_face import config_from
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.models.parameters import init
from modeseek.llm.parallel.memory import parameter_count, readable
from modeseek.llm.parallel.roofline import decoding_bytes, training_flop
from modeseek.llm.training import lora
from modeseek.llm.training.cross_entropy import CrossEntropy, TokenBatch
from modeseek.llm.training.optimizer import Adam, start
from modeseek.llm.training.step import make_step

PEAKS = {"NVIDIA H200": (989e12, 4.8e12), "NVIDIA H100": (989e12, 3.35e12)}
"""Dense bfloat16 FLOP/s and bytes/s of memory by the maker's sheets, by the beginning of the device's name."""
MISTRAL = {
    "model_type": "mistral",
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14_336,
    "max_position_embeddings": 32_768,
    "sliding_window": 4096,
    "rms_norm_eps": 1e-5,
}
"""mistralai/Mistral-7B-v0.1."""
SMALL = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 448}


def peaks():
    kind = jax.devices()[0].device_kind
    return next((both for name, both in PEAKS.items() if kind.startswith(name)), (None, None))


def share(what, value, peak, unit):
    """`value` beside the device's peak, if that is known."""
    known = "this device's peak is not known" if peak is None else f"{value / peak:.1%} of {peak:.3g} {unit}"
    return f"{what} {known}"


def seconds(work, repeats, warm=1):
    """Median of `repeats` calls after `warm` that are not counted."""
    times = []
    for _ in range(warm + repeats):
        begun = time.perf_counter()
        jax.block_until_ready(work())
        times.append(time.perf_counter() - begun)
    return statistics.median(times[warm:])


def random_weights(c, dtype):
    return jax.jit(lambda key: init(c, dtype=dtype, key=key))(jax.random.key(0))


def training(size, repeats, remat, rows, length):
    """Float32 master weights, computed in bfloat16; the FLOP that the model needs, none of them twice."""
    model, batch = Model(config(size), Compute("bfloat16", remat)), tokens((rows, length + 1), SIZES[size][3])
    step = our_side(model, random_weights(model.config, "float32"), batch)
    second = seconds(step, repeats, warm=3)
    rate = training_flop(model.config, rows, length) / second
    print(f"training {size}, {rows} x {length}, bfloat16 with float32 master weights, remat {remat}")
    print(f"  {1e3 * second:.1f} ms, {rows * length / second:,.0f} tokens/s, {rate / 1e12:.1f} TFLOP/s")
    print(share("  MFU", rate, peaks()[0], "FLOP/s"))


def decoding(size, repeats, row_counts, prompt, new):
    """Sampled tokens at temperature 1. The time a token is that of the second half of a response: both lengths run the
    same program, so that reading the prompt and starting cancel."""
    model = Model(config(size), Compute("bfloat16"))
    params = model.for_decoding(random_weights(model.config, "bfloat16"), donate=True)
    half = new // 2 + 1  # more than half: the same bucket, hence the same program
    for rows in row_counts:
        read, lengths = tokens((rows, prompt), SIZES[size][3]), np.full(rows, prompt)
        keys = row_keys(jax.random.key(0), rows)
        work = functools.partial(generate, model, params, read, lengths, keys=keys)
        took = {n: seconds(functools.partial(work, new_tokens=n), repeats) for n in (half, new)}
        token = (took[new] - took[half]) / (new - half)
        needed = decoding_bytes(model.config, rows, prompt + (half + new) // 2)
        print(f"decoding {size}, {rows} rows, {prompt} + {new} tokens, bfloat16, prompts and all {took[new]:.2f} s")
        print(f"  {1e3 * token:.2f} ms a token, {rows / token:,.0f} tokens/s, {needed / token / 1e12:.2f} TB/s needed")
        print(share("  of the memory roofline", needed / token, peaks()[1], "bytes/s"))


def mistral(raw, repeats, rows, length):
    """A checkpoint of 16-bit numbers is written, loaded, scored with, decoded with, and trained by adapters."""
    c = config_from(raw)
    model, count = Model(c, Compute("bfloat16")), parameter_count(c)
    print(f"Mistral, {count:,} parameters, bfloat16")
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "model", c, random_weights(c, "bfloat16"), dtype="bfloat16")
        begun = time.perf_counter()
        params = jax.block_until_ready(load(open_checkpoint(Path(folder) / "model"), dtype="bfloat16"))
        print(f"  loaded in {time.perf_counter() - begun:.1f} s")
    batch, lengths = tokens((rows, length + 1), c.vocab_size), np.full(rows, length + 1)
    scores = jax.jit(lambda p, t, n: score(ModelWithParams(model, p), t, n, chunk=4096).sums)
    second = seconds(lambda: scores(params, batch, lengths), repeats)
    print(f"  scoring {rows} x {length}: {rows * length / second:,.0f} tokens/s")
    print(share("  MFU", training_flop(c, rows, length) / 3 / second, peaks()[0], "FLOP/s"))

    adapters, adam = lora.init(c, 16, key=jax.random.key(1)), Adam(*map(jnp.float32, ADAM))
    small = dataclasses.replace(model, compute=dataclasses.replace(model.compute, remat="full"))
    state, step = start(adapters), make_step(CrossEntropy(small), lora.Adapters(c))
    rows_read = TokenBatch(jnp.asarray(batch), jnp.asarray(lengths, jnp.int32))
    for turn in range(2 + repeats):
        begun = time.perf_counter()
        state, loss = step(state, rows_read, adam, lora.Frozen(params, jnp.float32(1)))
        text = f"  LoRA step {turn}, {rows} x {length}, rank 16: loss {float(loss):.4f}"
        print(f"{text}, {1e3 * (time.perf_counter() - begun):.0f} ms")
    del state, adapters

    decoded = model.for_decoding(params, donate=True)
    keys = row_keys(jax.random.key(2), rows)
    second = seconds(lambda: generate(model, decoded, batch[:, :128], np.full(rows, 128), 128, keys=keys), repeats)
    print(f"  generating {rows} x 128 after prompts of 128: {rows * 128 / second:,.0f} tokens/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("training", "decoding", "mistral"))
    parser.add_argument("--size", choices=SIZES, default="410m", help="14m with mistral: a small model of its kind")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--remat", choices=("none", "dots", "full"), default="dots")
    parser.add_argument("--rows", type=int, nargs="+", help="64; of decoding 64 and 512; of mistral 16")
    parser.add_argument(
        "--length", type=int, default=384, help="tokens of a row; of decoding, a third of them are read"
    )
    options = parser.parse_args()
    device = jax.devices()[0]
    print(f"{device.device_kind}, jax {jax.__version__}")
    if options.what == "training":
        training(options.size, options.repeats, options.remat, (options.rows or [64])[0], options.length)
    elif options.what == "decoding":
        prompt = options.length // 3
        decoding(options.size, options.repeats, options.rows or [64, 512], prompt, options.length - prompt)
    else:
        raw = MISTRAL if options.size != "14m" else MISTRAL | SMALL
        mistral(raw, options.repeats, (options.rows or [16])[0], options.length)
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    if peak:
        print(f"most memory in use: {readable(peak)}")


if __name__ == "__main__":
    main()
