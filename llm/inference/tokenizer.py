"""Tokenizers and chat templates, through transformers; imported only when text is at hand."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modeseek.checks import install
from modeseek.foreign import foreign
from modeseek.llm.data.tokens import TextTokens, text_tokens
from modeseek.llm.inference.sentencepiece import as_sentencepiece

Message = dict[str, str]
"""`{"role": …, "content": …}`."""


FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
"""A tokenizer's own content is in one of these."""

READ = (".json", ".model", ".jinja", ".txt")
"""How names of files end that transformers may open beside it."""


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a local folder (see `modeseek.llm.checkpoints.hub`); code from the hub is never run.

    Raises:
        ValueError: transformers is not installed, or the folder has no tokenizer that it knows.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ValueError(f"tokenizers need {install('llm')}") from error
    if not any((folder / name).is_file() for name in FILES):  # transformers would make up an empty one
        raise ValueError(f"no tokenizer could be read from {folder}: it holds none of {', '.join(FILES)}")
    pipes = [each.name for each in folder.iterdir() if each.suffix in READ and each.is_fifo()]
    if pipes:  # they would be waited for
        raise ValueError(f"no tokenizer could be read from {folder}: {', '.join(sorted(pipes))} is not a file")
    with foreign(f"no tokenizer could be read from {folder}"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        return tokenizer if (folder / FILES[0]).is_file() else as_sentencepiece(tokenizer, folder / FILES[1])


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of whole texts, with what the tokenizer itself adds (Mistral's BOS; nothing for Pythia).

    Raises:
        ValueError: the tokenizer is written in Python alone (and so below).
    """
    return readings(tokenizer).encode_texts(texts)


def encode_prompts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts that something follows: with what the tokenizer puts before a text, not behind it."""
    return readings(tokenizer).encode_prompts(texts)


def encode_responses(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts that stand after something, and nothing else: behind a prompt's ids they are its text's
    continuation, letter by letter. A special token's name is that token."""
    return readings(tokenizer).encode_responses(texts, special=True)


def decode_responses(tokenizer: Any, rows: Sequence[Sequence[int]]) -> list[str]:
    """The text that each row of ids writes after something, special tokens included: what was sampled is what is
    shown, and a blank that it begins with stays."""
    return readings(tokenizer).decode_responses(rows)


@functools.lru_cache(maxsize=4)
def readings(tokenizer: Any) -> TextTokens:
    """How the tokenizer reads a text's beginning and what continues one; which id is its EOS plays no part."""
    eos = tokenizer.eos_token_id
    return text_tokens(tokenizer, eos=0 if eos is None else eos)


def encode_chats(tokenizer: Any, chats: Sequence[Sequence[Message]]) -> list[list[int]]:
    """Token ids of each conversation in the model's own template, up to where the assistant is to answer.

    Raises:
        ValueError: the tokenizer has no chat template, or its template does not take these messages.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError("the tokenizer has no chat template: give plain text, or a model that was made for chat")
    with foreign("the chat template does not take these messages"):
        return [
            list(tokenizer.apply_chat_template(list(chat), add_generation_prompt=True, return_dict=False))
            for chat in chats
        ]
