"""What `modeseek llm tune` is tried on: a model that reads words, six pairs, and settings that take seconds."""

import json

from llm_cases import command, copied, write_word_tokenizer


def word_model(folder):
    """The golden Pythia with a tokenizer of 53 whole words; w2 is EOS, as its configuration says."""
    folder = copied("pythia", folder)
    write_word_tokenizer(folder, [f"w{i}" for i in range(53)], "w1")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "w2"}))
    return folder


def word_pairs(folder):
    """Six preference pairs; the chosen response is the shorter one."""
    rows = [
        {"prompt": f"w{10 + i} w7", "chosen": f"w{20 + i}", "rejected": f"w{30 + i} w{31 + i} w40"} for i in range(6)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "pairs.jsonl"


SMALL = ["--max-prompt", "8", "--max-response", "8", "--max-new-tokens", "6", "--length-multiple", "16"]
SIZES = ["--samples-per-collection", "8", "--responses-per-prompt", "2", "--minibatch-size", "8", "--collections", "3"]
NO_EVALUATION = ["--held-out", "0"]


def tune(words, pairs, out, method, *more):
    return command(
        "tune",
        "--model",
        str(words),
        "--data",
        str(pairs),
        "--out",
        str(out),
        "--method",
        method,
        *SMALL,
        *SIZES,
        *(more if "--held-out" in more else [*NO_EVALUATION, *more]),
    )


def records(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
