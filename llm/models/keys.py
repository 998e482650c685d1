"""The keys of a `config.json` that are read, and what each may hold: checked here once, before any is used."""

import reprlib
import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """What a key may hold.

    Attributes:
        says: what it is called in an error.
        fits: whether a value is of it.
    """

    says: str
    fits: Callable[[Any], bool]


def _number(value: Any) -> bool:
    """Neither a truth value nor NaN, infinite, or a whole number beyond every float."""
    largest = sys.float_info.max
    return isinstance(value, int | float) and not isinstance(value, bool) and -largest <= value <= largest


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _size(value: Any) -> bool:
    return _whole(value) and value >= 1


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _or_null(kind: Kind) -> Kind:
    return Kind(kind.says, lambda value: value is None or kind.fits(value))


SIZE = Kind("a whole number of at least 1", _size)
COUNT = Kind("a whole number of at least 0", lambda value: _whole(value) and value >= 0)
ID = Kind("a whole number", _whole)
NUMBER = Kind("a number", _number)
SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("a string", lambda value: isinstance(value, str))
TEXTS = Kind("a list of strings", _texts)
OBJECT = Kind("an object", lambda value: isinstance(value, dict))

SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
"""What every configuration must have."""

KEYS: dict[str, Kind] = {
    **dict.fromkeys(SIZES, SIZE),
    **dict.fromkeys(("num_key_value_heads", "head_dim", "sliding_window", "num_labels"), _or_null(SIZE)),
    "max_position_embeddings": SIZE,
    "original_max_position_embeddings": SIZE,
    "max_window_layers": COUNT,
    "pad_token_id": _or_null(ID),
    **dict.fromkeys(
        ("initializer_range", "layer_norm_eps", "rms_norm_eps", "rope_theta", "rotary_emb_base", "rotary_pct"),
        _or_null(NUMBER),
    ),
    "partial_rotary_factor": _or_null(NUMBER),
    **dict.fromkeys(
        ("tie_word_embeddings", "use_parallel_residual", "attention_bias", "mlp_bias", "use_sliding_window"), SWITCH
    ),
    "hidden_act": TEXT,
    **dict.fromkeys(("architectures", "layer_types"), _or_null(TEXTS)),
    **dict.fromkeys(("id2label", "rope_parameters", "rope_scaling"), _or_null(OBJECT)),
}

ROTARY_KEYS: dict[str, Kind] = {
    **dict.fromkeys(("rope_type", "type"), _or_null(TEXT)),
    **dict.fromkeys(
        ("rope_theta", "partial_rotary_factor", "factor", "low_freq_factor", "high_freq_factor"), _or_null(NUMBER)
    ),
    "original_max_position_embeddings": _or_null(SIZE),
}
"""Those inside `rope_parameters` and `rope_scaling`."""


def check_keys(raw: dict[str, Any]) -> None:
    """Every key that is there holds what it may, and those that must be there are; the rest is not looked at.

    Raises:
        ValueError: sizes that are missing, or keys of the wrong kind: all of them are listed.
    """
    missing = [key for key in SIZES if raw.get(key) is None]
    if missing:
        raise ValueError(f"the configuration lacks {', '.join(missing)}")
    problems = _misfits(raw, KEYS, "")
    for name in ("rope_parameters", "rope_scaling"):
        if isinstance(raw.get(name), dict):
            problems += _misfits(raw[name], ROTARY_KEYS, f"{name}'s ")
    if problems:
        raise ValueError("; ".join(problems))


def _misfits(raw: dict[str, Any], kinds: dict[str, Kind], whose: str) -> list[str]:
    return [
        f"{whose}{key} must be {kind.says}, got {_shown(raw[key])}"
        for key, kind in kinds.items()
        if key in raw and not kind.fits(raw[key])
    ]


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def _shown(value: Any) -> str:
    """A value in an error: a file may hold a list of a million entries where a number should be."""
    return _SHORT.repr(value)
