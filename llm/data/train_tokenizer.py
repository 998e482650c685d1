"""Train a small byte-level BPE tokenizer, and save it as a folder that transformers' AutoTokenizer opens."""

import json
from collections.abc import Iterable
from pathlib import Path

from modeseek.checks import install, whole
from modeseek.files import replacing, writable_folder

EOS = "<|endoftext|>"
PAD = "<|pad|>"
BYTES = 256


def train_tokenizer(texts: Iterable[str], folder: Path, *, vocab_size: int = 2048) -> Path:
    """Learn `vocab_size` tokens from texts: EOS and pad (ids 0 and 1), the 256 bytes, then merges.

    Any text can be written with the bytes, and decodes to itself: nothing is normalised, no blank is put before a text.
    The same texts in the same order give the same files.

    Args:
        texts: what to learn from.
        folder: made if it is not there; the files are `tokenizer.json` and `tokenizer_config.json`.
        vocab_size: tokens in all; fewer if the texts are too short for as many merges.

    Returns:
        The folder.

    Raises:
        ValueError: the tokenizers library is not installed, the vocabulary has no room for the bytes, or the folder
            cannot be written to.
    """
    whole("vocab_size", vocab_size, BYTES + 2)
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError as error:
        raise ValueError(f"training a tokenizer needs {install('llm')}") from error
    folder = writable_folder(folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
    }
    with replacing(folder / "tokenizer.json") as temporary:
        tokenizer.save(str(temporary))
    with replacing(folder / "tokenizer_config.json") as temporary:
        temporary.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return folder
