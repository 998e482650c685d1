"""Tokenizers that tests train themselves, of each kind that treats the beginning of a text in its own way."""

import gzip
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[2] / "shared" / "data"
"""Real tokenizers and texts, which are no part of the project."""

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
"""What sentencepiece writes an unknown character with."""

BLANK = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
STRIPPING = {
    "type": "Sequence",
    "decoders": [
        BLANK,
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ],
}
PREPENDING = {
    "type": "Sequence",
    "normalizers": [
        {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    ],
}
BOS = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
}
BOS_AND_EOS = {
    **BOS,
    "single": [*BOS["single"], {"SpecialToken": {"id": "</s>", "type_id": 0}}],
    "special_tokens": {**BOS["special_tokens"], "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}},
}

KINDS = ("bytes", "bytes with a blank", "metaspace", "prepend", "metaspace decoder", "adds EOS")
"""Pythia's; GPT-2's with `add_prefix_space`; a converted `tokenizer.model`; the hub's `tokenizer.json` of Mistral and
Llama 2; a decoder of another kind; one that puts EOS behind every text."""


def trained_tokenizers(folder: Path, texts: list[str]) -> dict[str, Any]:
    """A tokenizer of each kind, trained on texts."""
    from transformers import AutoTokenizer

    from modeseek.llm.data.train_tokenizer import train_tokenizer

    train_tokenizer(texts, folder / "bytes", vocab_size=500)
    plain = json.loads((folder / "bytes" / "tokenizer.json").read_text())
    blank = {**plain, "pre_tokenizer": {**plain["pre_tokenizer"], "add_prefix_space": True}}
    sentences = _sentencepiece(texts)
    prepend = {**sentences, "normalizer": PREPENDING, "pre_tokenizer": None}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
    fused = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace, {"type": "Fuse"}]}
    ends = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    settings = {
        "bytes with a blank": (blank, {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}),
        "metaspace": (sentences, ends),
        "prepend": (prepend, ends),
        "metaspace decoder": ({**sentences, "decoder": fused}, ends),
        "adds EOS": ({**sentences, "post_processor": BOS_AND_EOS}, ends),
    }
    for kind, (backend, names) in settings.items():
        (folder / kind).mkdir()
        (folder / kind / "tokenizer.json").write_text(json.dumps(backend))
        names = {**names, "tokenizer_class": "PreTrainedTokenizerFast"}
        (folder / kind / "tokenizer_config.json").write_text(json.dumps(names))
    return {kind: AutoTokenizer.from_pretrained(folder / kind) for kind in KINDS}


def _sentencepiece(texts: list[str]) -> dict[str, Any]:
    """The settings of a BPE with byte fallback, as transformers makes them from Mistral's `tokenizer.model`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    special = ["<unk>", "<s>", "</s>", *BYTES]
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False)
    )
    settings = json.loads(tokenizer.to_str())
    settings["added_tokens"] = settings["added_tokens"][:3]  # the bytes are ordinary entries
    settings["pre_tokenizer"]["split"] = False
    return {**settings, "decoder": STRIPPING, "post_processor": BOS}


def real_tokenizer(name: str, folder: Path) -> Any:
    """Pythia's or Mistral's own tokenizer, from a folder made of its file; the test is skipped where that is not there,
    and others with tokenizers of ours cover the same calls."""
    from modeseek.llm.inference.tokenizer import load_tokenizer

    if not (DATA / name).is_file():
        pytest.skip(f"{name} is not in shared/data beside this clone")
    neox = name.endswith("json")
    shutil.copyfile(DATA / name, folder / ("tokenizer.json" if neox else "tokenizer.model"))
    settings = {"tokenizer_class": "GPTNeoXTokenizer" if neox else "LlamaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return load_tokenizer(folder)


def real_responses(count: int) -> list[str]:
    """The first answers of the real texts."""
    with gzip.open(DATA / "instruction_responses.jsonl.gz", "rt") as lines:
        return [json.loads(line)["response"] for line in itertools.islice(lines, count)]
