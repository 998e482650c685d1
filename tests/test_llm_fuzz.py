"""Whatever stands in a file that `modeseek llm` reads, it is read or refused with one line, and soon.

The same few examples are drawn every time; those marked search go on, and print what they find.
"""

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_cases import CASES, golden

from modeseek.files import parse_json
from modeseek.llm.checkpoints.adapters import open_adapter
from modeseek.llm.checkpoints.checkpoint import INDEX, SINGLE, open_checkpoint
from modeseek.llm.checkpoints.safetensors import DTYPES, read_header
from modeseek.llm.commands.lines import read_records
from modeseek.llm.commands.partial import PartialRows
from modeseek.llm.data.columns import FORMS, normalize
from modeseek.llm.data.read import read_rows
from modeseek.llm.data.templates import PAPER
from modeseek.llm.inference.language_model import eos_ids
from modeseek.llm.inference.records import sequences
from modeseek.llm.models.hugging_face import config_from, head_of, read_config
from modeseek.llm.models.keys import KEYS, ROTARY_KEYS
from modeseek.llm.models.model import Compute
from modeseek.llm.models.parameters import parameters
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.mesh import MeshShape
from modeseek.llm.runs.recorded import grouped, read_runs, seconds, series

SOON = 5000
"""Milliseconds that an example may take."""
FEW = settings(max_examples=150, deadline=SOON, database=None, derandomize=True)
MANY = settings(max_examples=3000, deadline=SOON, database=None, derandomize=False, print_blob=True)


class Raw(NamedTuple):
    """JSON as it stands."""

    text: str


RAW = st.one_of(st.sampled_from([99, 101, 3000]).map(lambda n: Raw("[" * n + "]" * n)), st.just(Raw("1" * 5000)))
"""Lists within lists, and more digits than Python reads."""


WORDS = [
    "full_attention",
    "sliding_attention",
    "default",
    "linear",
    "llama3",
    "silu",
    "user",
    "",
    "1",
    "\ud800",
    "a\nb",
]
SIZES = [10**400, 10**30, -(2**63), 2**63, 2**31, 2**31 - 1, 10_001, 128, 2, 1, 0, -1]
OTHERS = [1.5, 2.0, -0.0, 1e-320, float("nan"), float("inf"), None, True, False, [], {}, [0], {"a": 1}]
ODD = st.one_of(st.sampled_from(SIZES), st.sampled_from(OTHERS), st.sampled_from(WORDS), RAW)
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 70), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """Another value in its place, or in the place of a part of it."""
    if isinstance(value, dict | list) and value and draw(st.booleans()):
        place = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        part = draw(changed(value[place]))
        return {**value, place: part} if isinstance(value, dict) else [*value[:place], part, *value[place + 1 :]]
    return draw(st.one_of(ODD, ODD, ANY))


@st.composite
def objects(draw: st.DrawFn, known: dict[str, Any], keys: st.SearchStrategy[str]) -> dict[str, Any]:
    """A good object of which one to three keys are changed, added or taken away."""
    found = dict(known)
    for _ in range(draw(st.integers(1, 3))):
        key = draw(keys)
        if draw(st.integers(0, 5)):
            found[key] = draw(changed(found.get(key)))
        else:
            found.pop(key, None)
    return found


def written(value: Any) -> str:
    """As JSON: numbers of any size, half pairs of surrogates, and what stands as it is."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(k))}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def refused(read: Callable[[], Any]) -> Any:
    """What reading gives, None for a refusal; any other error is the test's."""
    try:
        return read()
    except ValueError as error:
        assert str(error).strip()
        return None


CONFIGS = st.sampled_from(sorted(CASES)).flatmap(
    lambda case: objects(CASES[case] | {"rope_parameters": {"rope_theta": 500.0}}, st.sampled_from([*KEYS, *EXTRA]))
)
EXTRA = ("model_type", "quantization_config", "per_layer_config", "eos_token_id")
ROTARIES = objects(CASES["llama3"]["rope_scaling"], st.sampled_from(sorted(ROTARY_KEYS)))


def config(text: str) -> None:
    """A config.json, up to what its model's tensors and memory are."""
    raw = refused(lambda: parse_json(text))
    if raw is None:
        return
    found = refused(lambda: (config_from(raw), head_of(raw)))
    if found is None:
        return
    sizes = found[0]
    assert all(np.isfinite([sizes.norm_epsilon, sizes.rotary_base, sizes.init_std]))
    assert sum(len(p.tensors) for p in parameters(sizes)) > sizes.layers
    assert memory.inference(sizes, Compute(), MeshShape(), 8, sizes.context).total > 0


def header(data: bytes) -> None:
    """A safetensors file: each of its tensors can be read, or is named."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / SINGLE
        file.write_bytes(data)
        found = refused(lambda: read_header(file))
        for stored in () if found is None else found[0].values():
            array = refused(stored.read)
            assert array is None or (array.shape == stored.shape and array.dtype == DTYPES[stored.dtype])


ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
ENTRIES = objects(ENTRY, st.sampled_from(sorted(ENTRY)))
HEADERS = objects({"__metadata__": {"format": "pt"}, "a": ENTRY}, st.sampled_from(["a", "b", "__metadata__"]))


def stored(entries: Any, tail: bytes = bytes(24), length: int = 0) -> bytes:
    """A file with this header, its length off by so much."""
    encoded = written(entries).encode()
    return max(len(encoded) + length, 0).to_bytes(8, "little") + encoded + tail


FILES = st.one_of(
    st.builds(stored, HEADERS),
    st.builds(lambda entry: stored({"a": entry}), ENTRIES),
    st.builds(stored, st.just({"a": ENTRY}), st.binary(max_size=30), st.sampled_from([-1, 1, 2**40])),
    st.binary(max_size=60),
)

TURN = {"role": "user", "content": "why?"}
GOOD_ROWS = [
    dict.fromkeys(form.columns, "a") | more
    for form in FORMS
    for more in ({}, {form.columns[-1]: [TURN, TURN | {"role": "assistant"}]}, {"input": "b", "chosen_reward": 1.0})
]
ROWS = st.sampled_from(GOOD_ROWS).flatmap(lambda row: objects(row, st.sampled_from([*row, "extra"]))).map(written)
LINES = st.lists(st.one_of(ROWS, ROWS, ROWS, st.one_of(ODD, ANY).map(written), st.text(max_size=9)), max_size=2)


def data(lines: list[str], name: str) -> None:
    """Rows of data, up to the texts that a model reads."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes("\n".join(lines).encode(errors="surrogatepass"))
        found = refused(lambda: normalize(read_rows(file)))
        for record in () if found is None else found.records:
            text = refused(functools.partial(PAPER.write, record))
            assert text is None or [each.encode() for each in (text.prompt, *text.responses)]


RECORDS = objects(
    {"prompt": "a", "response": "b"},
    st.sampled_from(["prompt", "messages", "prompt_ids", "response", "response_ids", "text", "text_ids", "stopped"]),
).map(written)


def prompts(lines: list[str], name: str) -> None:
    """Records of `generate` and `score`, up to ids."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes("\n".join(lines).encode(errors="surrogatepass"))
        found = refused(lambda: read_records((), file))
        known = [
            r for r in found or () if set(r) <= {"prompt_ids", "response_ids", "text_ids"}
        ]  # no tokenizer is asked
        refused(lambda: sequences(known, lambda: None))


def beside(name: str, text: str) -> None:
    """What stands beside a model's weights or a run's results."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for file in golden("pythia").iterdir():
            (folder / file.name).symlink_to(file)
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(text.encode(errors="surrogatepass"))
        BESIDE[name](folder)


def _index(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "part.safetensors")
    refused(lambda: open_checkpoint(folder))


def _adapter(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(stored({}))
    refused(lambda: open_adapter(str(folder), config_from(CASES["pythia"])))


def _partial(folder: Path) -> None:
    refused(lambda: PartialRows(folder / "out.jsonl", {"command": "this"}, lambda fields: dict(**fields)))


def _runs(folder: Path) -> None:
    for group in grouped(refused(lambda: read_runs(folder)) or []):
        seconds(group)
        found = series(group, "loss")
        assert found is None or len(found.steps) == len(found.mean)


BESIDE: dict[str, Callable[[Path], None]] = {
    "config.json": lambda folder: refused(lambda: open_checkpoint(folder)),
    "generation_config.json": lambda folder: refused(lambda: eos_ids(open_checkpoint(folder))),
    INDEX: _index,
    "adapter_config.json": _adapter,
    "out.jsonl.partial": _partial,
    "metrics.jsonl": _runs,
}
ROW = {"step": 1, "loss": 2.0, "update_seconds": 0.1, "row": 0, "fields": {"a": 1}, "command": "this"}
FILES_BESIDE: dict[str, st.SearchStrategy[str]] = {
    "config.json": objects(read_config(golden("pythia") / "config.json"), st.sampled_from([*KEYS, *EXTRA])).map(
        written
    ),
    "generation_config.json": objects({"eos_token_id": 1}, st.just("eos_token_id")).map(written),
    INDEX: objects({"weight_map": {"a": "part.safetensors"}}, st.just("weight_map")).map(written),
    "adapter_config.json": objects(
        {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["dense"], "bias": "none"},
        st.sampled_from(["peft_type", "r", "lora_alpha", "target_modules", "bias", "init_lora_weights", "use_rslora"]),
    ).map(written),
    **dict.fromkeys(
        ("out.jsonl.partial", "metrics.jsonl"),
        st.lists(objects(ROW, st.sampled_from(sorted(ROW))).map(written), max_size=3).map(
            lambda n: "\n".join([*n, ""])
        ),
    ),
}
NAMES = st.sampled_from(["rows.jsonl", "rows.json"])
SEARCHES: dict[str, tuple[Callable[..., None], st.SearchStrategy[tuple[Any, ...]]]] = {
    "config": (config, st.tuples(CONFIGS.map(written))),
    "rotary": (config, st.tuples(ROTARIES.map(lambda found: written(CASES["llama3"] | {"rope_scaling": found})))),
    "header": (header, st.tuples(FILES)),
    "data": (data, st.tuples(LINES, NAMES)),
    "prompts": (prompts, st.tuples(st.lists(st.one_of(RECORDS, st.text(max_size=9)), max_size=3), NAMES)),
    **{
        name: (beside, st.tuples(st.just(name), st.one_of(found, found, st.one_of(ODD, ANY).map(written), st.text())))
        for name, found in FILES_BESIDE.items()
    },
}


@pytest.mark.parametrize("what", SEARCHES)
def test_it_is_read_or_refused(what):
    check, drawn = SEARCHES[what]
    FEW(given(found=drawn)(lambda found: check(*found)))()


@pytest.mark.search
@pytest.mark.parametrize("what", SEARCHES)
def test_it_is_read_or_refused_whatever_is_drawn(what):
    check, drawn = SEARCHES[what]
    MANY(given(found=drawn)(lambda found: check(*found)))()
