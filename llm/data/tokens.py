"""Texts to token ids and back, for a prompt and for what continues it, so that the two joined are the joined text.

A sentencepiece tokenizer (Mistral, Llama) puts a blank before every text, and its decoder takes one away: a response
tokenised like a text of its own would gain a blank within the sequence, or lose the one that it begins with. Such a
blank comes from the tokenizer's settings: `Metaspace`'s `prepend_scheme`, a `Prepend` normalizer, or `ByteLevel`'s
`add_prefix_space`. Responses therefore go through a copy of the tokenizer that puts no blank there and takes none away.

`Metaspace` puts no blank before a text that begins with one, and the decoder takes that one away: to such a text
another is given, as sentencepiece itself gives it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modeseek.foreign import foreign

Ids = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class TextTokens:
    """A tokenizer's two readings of text (`text_tokens` makes one).

    Attributes:
        prefix: ids that the tokenizer puts before a text (Mistral's BOS; none for Pythia).
        eos: id that ends a response.
        pad: an id other than EOS that fills rows up. Nothing depends on which one: rows carry their lengths.
        suffix: ids that the tokenizer puts behind a text that nothing follows (mostly none).
    """

    prefix: tuple[int, ...]
    eos: int
    pad: int
    suffix: tuple[int, ...]
    _beginning: Any
    _continuation: Any
    _whole: Any
    _swallows: bool

    @foreign("the tokenizer cannot read these texts")
    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of texts that nothing follows, with all that the tokenizer adds, special tokens by their names."""
        return [[*self.prefix, *ids, *self.suffix] for ids in self._begun(self._whole, texts)]

    @foreign("the tokenizer cannot read these texts")
    def encode_prompts(self, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
        """Ids of texts that stand at the beginning, special tokens by their names.

        Args:
            texts: one a row.
            special: the texts bring their own BOS; `prefix` is not added.
        """
        prefix = [] if special else list(self.prefix)
        return [prefix + ids for ids in self._begun(self._beginning, texts)]

    @foreign("the tokenizer cannot read these texts")
    def encode_responses(self, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
        """Ids of texts that continue a prompt, without EOS.

        Args:
            texts: one a row.
            special: a special token's name is that token (a chat template wrote it), and not ordinary text.
        """
        self._continuation.encode_special_tokens = not special
        return [row.ids for row in self._continuation.encode_batch_fast(list(texts), add_special_tokens=False)]

    @foreign("the tokenizer cannot write these ids")
    def decode(self, rows: Sequence[Ids]) -> list[str]:
        """The text of each row from its beginning, special tokens included."""
        return list(self._beginning.decode_batch(_lists(rows), skip_special_tokens=False))

    @foreign("the tokenizer cannot write these ids")
    def decode_responses(self, rows: Sequence[Ids]) -> list[str]:
        """The text that each row of ids writes behind a prompt: its leading blank stays."""
        return list(self._continuation.decode_batch(_lists(rows), skip_special_tokens=False))

    def _begun(self, backend: Any, texts: Sequence[str]) -> list[list[int]]:
        begun = [" " + text if self._swallows and text.startswith(" ") else text for text in texts]
        return [row.ids for row in backend.encode_batch_fast(begun, add_special_tokens=False)]


def text_tokens(tokenizer: Any, *, eos: int | None = None) -> TextTokens:
    """Both readings of one of transformers' tokenizers.

    Args:
        tokenizer: it is not changed.
        eos: the id that shall end responses; the tokenizer's own if not given.

    Raises:
        ValueError: the tokenizer is written in Python alone, or has no EOS, or has no such id.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(f"{type(tokenizer).__name__} has no tokenizer.json, which exact boundaries are read from")
    eos = tokenizer.eos_token_id if eos is None else eos
    if eos is None:
        raise ValueError(
            "the tokenizer has no EOS token, so a policy could not learn to end a response: choose the id that ends one"
        )
    size = len(tokenizer)
    if not 0 <= eos < size:
        raise ValueError(f"the EOS id must be one of the tokenizer's {size}, got {eos}")
    pad = tokenizer.pad_token_id
    if pad is None or pad == eos:
        pad = 0 if eos != 0 else 1
    settings = json.loads(backend.to_str())
    settings.update(truncation=None, padding=None)  # a file may switch either on
    whole = _backend(settings)
    prefix, suffix = _added(whole)
    return TextTokens(
        prefix=prefix,
        eos=eos,
        pad=pad,
        suffix=suffix,
        _beginning=_backend(_continued(settings)),
        _continuation=_backend(_continuing(settings)),
        _whole=whole,
        _swallows=_swallows(whole),
    )


def _lists(rows: Sequence[Ids]) -> list[list[int]]:
    return [np.asarray(row, int).tolist() for row in rows]  # rows may be arrays of NumPy's own integers


def _added(backend: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer adds before a text, and what behind one (an EOS), which has no place before a response."""
    bare, full = (backend.encode("a", add_special_tokens=special).ids for special in (False, True))
    begins = next((i for i in range(len(full)) if full[i : i + len(bare)] == bare), 0)
    return tuple(full[:begins]), tuple(full[begins + len(bare) :])


def _swallows(backend: Any) -> bool:
    """Whether a text loses the one blank that it begins with, and of two begins with one."""
    ids = lambda text: backend.encode(text, add_special_tokens=False).ids
    return bool(ids(" a") == ids("a") != ids("  a") and backend.decode(ids(" a")) == "a")


def _backend(settings: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(json.dumps(settings))


def _continued(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a tokenizer whose texts others continue: the blanks that they end with are not stripped."""
    return {**settings, "normalizer": _changed(settings["normalizer"], "normalizers", _no_right_strip)}


def _continuing(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a tokenizer whose texts continue others: no blank comes before them, and none is taken away."""
    return {
        **settings,
        "normalizer": _changed(settings["normalizer"], "normalizers", _no_prepend),
        "pre_tokenizer": _changed(settings["pre_tokenizer"], "pretokenizers", _no_prefix_space),
        "decoder": _changed(settings["decoder"], "decoders", _no_strip),
    }


def _changed(part: Any, members: str, change: Any) -> Any:
    """One part of the settings with `change` made to it, or to each of its sequence; None drops a member."""
    if part is None:
        return None
    if part["type"] != "Sequence":
        return change(part)
    inner = [_changed(member, members, change) for member in part[members]]
    return {**part, members: [member for member in inner if member is not None]}


def _no_right_strip(normalizer: dict[str, Any]) -> dict[str, Any]:
    return {**normalizer, "strip_right": False} if normalizer["type"] == "Strip" else normalizer


def _no_prepend(normalizer: dict[str, Any]) -> dict[str, Any] | None:
    if normalizer["type"] == "Strip":
        return {**normalizer, "strip_left": False}
    return None if normalizer["type"] == "Prepend" else normalizer


def _no_prefix_space(pre_tokenizer: dict[str, Any]) -> dict[str, Any]:
    if pre_tokenizer["type"] == "Metaspace":
        return {**pre_tokenizer, "prepend_scheme": "never"}
    return {**pre_tokenizer, "add_prefix_space": False} if "add_prefix_space" in pre_tokenizer else pre_tokenizer


def _no_strip(decoder: dict[str, Any]) -> dict[str, Any] | None:
    if decoder["type"] == "Strip":
        return {**decoder, "start": 0}
    return {**decoder, "prepend_scheme": "never"} if decoder["type"] == "Metaspace" else decoder
