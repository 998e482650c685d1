"""A tokenizer that is sentencepiece's own file alone, read as sentencepiece reads it.

transformers takes the pieces of a `tokenizer.model`, and merges them in the order of their ids; the file has scores for
it. What the file says of blanks is passed over unless the model's class happens to know: `add_dummy_prefix` (one is put
before every text), without which Mistral's "Hello" is another token than the model was trained with, and
`remove_extra_whitespaces`. sentencepiece tells neither, so what it does to a text is seen on texts.
"""

import json
from pathlib import Path
from typing import Any

BLANK = "\N{LOWER ONE EIGHTH BLOCK}"
"""What sentencepiece writes for a blank."""


def as_sentencepiece(tokenizer: Any, file: Path) -> Any:
    """The tokenizer, which transformers made of the file, with blanks as the file has them; changed in place.

    A file that is not sentencepiece's (tiktoken's has the same name) or is not there changes nothing.
    """
    if not file.is_file() or getattr(tokenizer, "backend_tokenizer", None) is None:
        return tokenizer
    try:
        from sentencepiece import SentencePieceProcessor

        model = SentencePieceProcessor(model_file=str(file))
    except (ImportError, OSError, RuntimeError):
        return tokenizer
    backend = tokenizer.backend_tokenizer
    theirs = lambda text: "".join(model.encode(text, out_type=str))
    ours = lambda text: "".join(backend.encode(text, add_special_tokens=False).tokens)
    settings = json.loads(backend.to_str())
    if theirs("a") != ours("a"):  # they differ in the blank before it, and in nothing else
        settings |= _prefixed(settings) if theirs("a").startswith(BLANK) else _bare(settings)
    if theirs("a  b") == theirs("a b") != theirs("ab") and ours("a  b") != ours("a b"):
        settings |= _squeezed(settings)
    if merges := settings["model"].get("merges"):
        score = {model.id_to_piece(i): model.get_score(i) for i in range(len(model))}
        merges.sort(key=lambda pair: -score.get(pair[0] + pair[1], 0.0))
    backend.__setstate__(json.dumps(settings).encode())
    return tokenizer


def _prefixed(settings: dict[str, Any]) -> dict[str, Any]:
    """Changes of settings: a blank is put before every text, and taken away again."""
    *given, writes_blanks = _members(settings["normalizer"], "normalizers")
    prepend = {"type": "Prepend", "prepend": BLANK}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    return {
        "normalizer": {"type": "Sequence", "normalizers": [*given, prepend, writes_blanks]},
        "decoder": {"type": "Sequence", "decoders": [*_members(settings["decoder"], "decoders"), strip]},
    }


def _bare(settings: dict[str, Any]) -> dict[str, Any]:
    """Changes of settings: no blank is put before a text, and none is taken away."""
    kept = [each for each in _members(settings["decoder"], "decoders") if each["type"] != "Strip"]
    return {
        "pre_tokenizer": {**settings["pre_tokenizer"], "prepend_scheme": "never"},
        "decoder": {"type": "Sequence", "decoders": kept},
    }


def _squeezed(settings: dict[str, Any]) -> dict[str, Any]:
    """Changes of settings: of several blanks one is left, and none around a text."""
    given = _members(settings["normalizer"], "normalizers")
    normal = [each for each in given if each["type"] == "Precompiled"]  # makes blanks of other characters
    strip = {"type": "Strip", "strip_left": True, "strip_right": True}
    squeeze = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
    return {"normalizer": {"type": "Sequence", "normalizers": [*normal, strip, squeeze, *given[len(normal) :]]}}


def _members(part: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return list(part[name]) if part["type"] == "Sequence" else [part]
