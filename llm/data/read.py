"""Rows of data, column by column's name: from a file, a folder, or the Hugging Face hub.

JSON Lines and JSON, gzipped or not, need nothing but Python. Parquet needs pyarrow, and the hub and folders that
`datasets` saved need `datasets`: both come with the `llm` extra, and are imported when they are needed.
"""

import gzip
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modeseek.checks import install, require, whole
from modeseek.files import expanded, parse_json
from modeseek.foreign import foreign

SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")
SPLITS = ("train", "validation", "valid", "dev", "test", "eval")
"""Names of splits that a file's name, or its folder's, may begin with."""


def read_rows(
    source: str | Path,
    *,
    configuration: str | None = None,
    split: str | None = None,
    streaming: bool = False,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of a data set, one after another.

    Args:
        source: a file or folder that is there, or the name of a data set on the hub.
        configuration: one of the hub's data set, where it has several.
        split: of the hub's data set (`train` if not given), or of a folder: files named by it.
        streaming: the hub's rows come as they are read, and nothing is stored.
        limit: the first rows alone.

    Raises:
        ValueError: there is no such source, it cannot be read, or a row is no object; the file and line are named. What
            the arguments alone show is raised at once, the rest when its row is reached.
    """
    if limit is not None:
        whole("limit", limit, 1)
    path = expanded(source)
    if path.exists():
        require(not streaming and configuration is None, "streaming and configuration are for data on the hub")
        rows = _folder(path, split) if path.is_dir() else _file(path)
    else:
        require(is_of_hub(source), f"there is no file or folder {source}")
        rows = _hub(str(source), configuration, split or "train", streaming)
    return itertools.islice(rows, limit)


def is_of_hub(source: str | Path) -> bool:
    """Whether a name that is no file here can be that of a data set on the hub."""
    looks_local = str(source).startswith((".", "/", "~")) or str(source).lower().endswith(SUFFIXES)
    return not looks_local and str(source).count("/") <= 1


def _folder(folder: Path, split: str | None) -> Iterator[dict[str, Any]]:
    if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return _saved(folder, split)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and _suffix(path) in SUFFIXES)
    require(bool(files), f"{folder} holds no file that ends in {', '.join(SUFFIXES)}")
    splits = sorted({name for path in files if (name := _split(path, folder)) is not None})
    if split is not None:
        require(split in splits, f"{folder} has no files of the split {split!r}, but of {splits or 'none'}")
        files = [path for path in files if _split(path, folder) == split]
    else:
        require(len(splits) < 2, f"{folder} has files of several splits: choose one of {', '.join(splits)}")
    return itertools.chain.from_iterable(map(_file, files))


def _split(path: Path, folder: Path) -> str | None:
    """The split that a name of the path begins with: `train-00000-of-00002.parquet`, `test/a.jsonl`."""
    for part in reversed(path.relative_to(folder).parts):
        for split in SPLITS:
            rest = part.lower().removeprefix(split)
            if rest != part.lower() and (not rest or not rest[0].isalnum()):
                return split
    return None


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), path.suffix)


def _file(path: Path) -> Iterator[dict[str, Any]]:
    suffix = _suffix(path)
    require(suffix in SUFFIXES, f"{path} must end in {', '.join(SUFFIXES)}, got {path.suffix or 'no suffix'!r}")
    require(path.is_file(), f"cannot read {path}: it is not a file")  # a pipe would be waited for, and cannot be reread
    return _parquet(path) if suffix == ".parquet" else _json(path)


def _json(path: Path) -> Iterator[dict[str, Any]]:
    """JSON Lines, or one array: by what the file begins with, since `.json` is used for both."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig") as file:
            first = next((line for line in file if line.strip()), "")
            if first.lstrip().startswith("["):
                yield from _array(first + file.read(), path)
                return
            file.seek(0)
            for number, line in enumerate(file, 1):
                if line.strip():
                    where = f"line {number} of {path}"
                    yield _object(parse_json(line, where), where)
    except (OSError, EOFError, zlib.error) as error:  # a damaged gzip file is any of the three
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {path}: it is not text in UTF-8") from error


def _array(text: str, path: Path) -> Iterator[dict[str, Any]]:
    rows = parse_json(text, str(path))
    for number, row in enumerate(rows, 1):
        yield _object(row, f"element {number} of {path}")


def _object(row: Any, where: str) -> dict[str, Any]:
    require(isinstance(row, dict), f"{where} must be a JSON object, got {type(row).__name__}")
    return dict(row)


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ValueError(f"Parquet files need {install('llm')}") from error
    with foreign(f"cannot read {path}"), parquet.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from batch.to_pylist()


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ValueError(f"data sets of the hub need {install('llm')}") from error
    return datasets


def _saved(folder: Path, split: str | None) -> Iterator[dict[str, Any]]:
    """What `datasets` wrote by `save_to_disk`."""
    datasets = _datasets()
    with foreign(f"cannot read {folder}"):
        data = datasets.load_from_disk(str(folder))
    if hasattr(data, "keys"):
        splits = sorted(data.keys())
        require(split in splits, f"{folder} has several splits: choose one of {', '.join(splits)}, got {split!r}")
        data = data[split]
    return _rows(data, f"cannot read {folder}")


def _hub(name: str, configuration: str | None, split: str, streaming: bool) -> Iterator[dict[str, Any]]:
    datasets = _datasets()
    with foreign(f"{name} is no file or folder here, and the hub's data set could not be loaded"):
        data = datasets.load_dataset(name, configuration, split=split, streaming=streaming)
    return _rows(data, f"the hub's data set {name} could not be read on")


def _rows(data: Any, fault: str) -> Iterator[dict[str, Any]]:
    """The rows of what `datasets` gives, which come when they are asked for, and may fail then."""
    with foreign(fault):
        for row in data:
            yield dict(row)
