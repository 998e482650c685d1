"""A checkpoint folder: its configuration, its tensors, and everything that is wrong with it in one error."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from modeseek.files import read_json
from modeseek.llm.checkpoints.safetensors import FLOATS, Stored, read_header
from modeseek.llm.models.config import Head, ModelConfig
from modeseek.llm.models.hugging_face import config_from, head_of, read_config
from modeseek.llm.models.parameters import NAMES, Parameter, parameters

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A folder whose tensors are all there and fit its configuration.

    Attributes:
        folder: where.
        raw: the keys of its `config.json`.
        config: the model.
        heads: the head that it holds.
        tensors: by Hugging Face's name.
    """

    folder: Path
    raw: dict[str, Any]
    config: ModelConfig
    heads: tuple[Head]
    tensors: dict[str, Stored]

    @property
    def dtype(self) -> str:
        """The type of most of its tensors, by NumPy's name."""
        names = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
        kinds = [stored.dtype for stored in self.tensors.values()]
        return names[max(set(kinds), key=kinds.count)]


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read a folder's configuration and headers, and check them against each other; no weights are read.

    As in transformers, a tied model's one tensor may have either name; if it has two, they are compared, and a model
    whose unembedding differs from its embedding is not tied, whatever its configuration says.

    Raises:
        ValueError: the folder is not there, holds no safetensors, is of an unknown architecture, or has tensors
            that are missing, left over, misshapen or corrupt: all of them are listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds an adapter and no model: name its base as the model, and this as the adapter")
    raw = read_config(folder / "config.json")
    config = config_from(raw)
    heads = (head_of(raw),)
    stored, problems = _headers(folder)
    names = NAMES[config.architecture]
    twin = f"{names.lm}.weight"
    if config.tied and heads == ("lm",) and twin in stored:
        if names.embedding not in stored:
            stored[names.embedding] = stored.pop(twin)
        elif not _same(stored[names.embedding], stored[twin]):
            config, raw = dataclasses.replace(config, tied=False), raw | {"tie_word_embeddings": False}
    ignored = {twin} if config.tied else set()
    expected = {name: p for p in parameters(config, heads) for name in p.tensors}
    problems += [f"missing: {name}" for name in expected if name not in stored and not _mentioned(name, problems)]
    problems += [
        f"extra: {name}"
        for name in stored
        if name not in expected and name not in ignored and not name.endswith(names.ignored)
    ]
    for name, parameter in expected.items():
        if name in stored:
            problems += _misfits(name, stored[name], parameter)
    if problems:  # read now what is otherwise read later, so that one error holds everything
        fitting = {n: stored[n] for n, p in expected.items() if n in stored and not _misfits(n, stored[n], p)}
        problems += without_numbers(fitting)
        listed = "\n  ".join(problems)
        raise ValueError(f"the weights in {folder} do not fit its config.json ({len(problems)} problems):\n  {listed}")
    return Checkpoint(folder, raw, config, heads, {name: stored[name] for name in expected})


def without_numbers(tensors: dict[str, Stored]) -> list[str]:
    """A line for each tensor that holds NaN or infinity; reads them all."""
    return [not_finite(name) for name, tensor in tensors.items() if not np.isfinite(tensor.read()).all()]


def not_finite(name: str) -> str:
    """What is said of a tensor that holds NaN or infinity."""
    return f"corrupt: {name} holds NaN or infinity"


def beyond(tensor: np.ndarray, name: str, dtype: str) -> str:
    """What is said of a tensor whose numbers a type cannot hold."""
    largest, limit = float(np.abs(tensor.astype(np.float64)).max()), float(ml_dtypes.finfo(dtype).max)
    advice = ": choose bfloat16 or float32" if dtype == "float16" else ""
    return f"{name} holds {largest:.3g}, beyond {dtype}'s {limit:.5g}{advice}"


def damaged(folder: Path, problems: list[str]) -> ValueError:
    """The error of weights that can be read and must not be used."""
    listed = "\n  ".join(problems)
    return ValueError(f"the weights in {folder} are damaged ({len(problems)} problems):\n  {listed}")


def _same(a: Stored, b: Stored) -> bool:
    """Whether two matrices hold the same numbers; read row by row, until they differ."""
    if a.shape != b.shape or len(a.shape) != 2:
        return False
    return all(np.array_equal(x, y) for x, y in zip(a.read(), b.read(), strict=True))


def _mentioned(name: str, problems: list[str]) -> bool:
    return any(problem.startswith(f"corrupt: {name} ") for problem in problems)


def _misfits(name: str, stored: Stored, parameter: Parameter) -> list[str]:
    if stored.shape != parameter.tensor_shape:
        return [f"misshapen: {name} should be {list(parameter.tensor_shape)}, is {list(stored.shape)}"]
    if stored.dtype not in FLOATS:
        return [f"misshapen: {name} should hold floats, holds {stored.dtype}"]
    return []


def _headers(folder: Path) -> tuple[dict[str, Stored], list[str]]:
    """Every tensor in the folder's safetensors files, and what is wrong with the files.

    Where there is a single file, that one is read and an index is not: as transformers does.
    """
    if (folder / SINGLE).exists():
        return _files([folder / SINGLE])
    if (folder / INDEX).is_file():
        where = _index(folder / INDEX)
        stored, problems = _files([folder / name for name in sorted(set(where.values()))])
        astray = [n for n, file in where.items() if n in stored and stored[n].file.name != file]
        absent = [n for n, file in where.items() if n not in stored and not _mentioned(n, problems)]
        unlisted = [n for n in stored if n not in where]
        problems += [f"astray: {n} is in {stored[n].file.name}, the index says {where[n]}" for n in astray]
        problems += [f"corrupt index: {n} is not in {where[n]}" for n in absent if (folder / where[n]).exists()]
        problems += [f"corrupt index: {n} in {stored[n].file.name} is not listed" for n in unlisted]
        return stored, problems
    raise without_safetensors(str(folder), [file.name for file in folder.iterdir()])


def without_safetensors(source: str, files: Iterable[str]) -> ValueError:
    """The error of a place whose files, of these names, hold no weights that are read."""
    pickles = sorted(name for name in files if name.endswith((".bin", ".pt", ".pth", ".ckpt")))
    found = f"only pickled ones ({pickles[0]})" if pickles else f"neither {SINGLE} nor {INDEX}"
    return ValueError(
        f"{source} holds no safetensors weights, {found}. Pickles can run any code when they are opened and are never "
        "read here: ask for a revision with safetensors or, if you trust their source, open them with transformers "
        "and call save_pretrained, which writes safetensors"
    )


def _files(files: list[Path]) -> tuple[dict[str, Stored], list[str]]:
    stored: dict[str, Stored] = {}
    problems: list[str] = []
    for file in files:
        try:
            tensors, wrong = read_header(file)
        except ValueError as error:
            problems.append(f"corrupt: {error}")
            continue
        problems += [f"corrupt: {problem}" for problem in wrong]
        problems += [f"twice: {n} is in {stored[n].file.name} and in {file.name}" for n in tensors if n in stored]
        stored |= tensors
    return stored, problems


def _index(path: Path) -> dict[str, str]:
    where: dict[str, str] = {}
    try:
        where = read_json(path)["weight_map"]
        fine = all(isinstance(file, str) and Path(file).name == file for file in where.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        fine = False
    if not fine:
        raise ValueError(f"{path} is not an index: it must hold a weight_map from tensors to names of files beside it")
    return where
