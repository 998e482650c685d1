"""Lines in and lines out: prompts from arguments, files or standard input; results as text or JSON."""

import codecs
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from modeseek.files import expanded, parse_json, replacing, temporary_beside
from modeseek.llm.inference.records import PROMPT_KEYS, RESPONSE_KEYS, TEXT_KEYS, WRITTEN_KEYS, check_text

Format = Literal["auto", "text", "jsonl"]
JSON_LINES = (".jsonl", ".ndjson", ".json")
READ = (*PROMPT_KEYS, *RESPONSE_KEYS, *WRITTEN_KEYS)
"""The keys of what `modeseek llm generate` writes."""


def read_records(
    arguments: Sequence[str], file: Path | None, known: Sequence[str] = (*READ, *TEXT_KEYS)
) -> list[dict[str, Any]]:
    """What a person gave, as records.

    Arguments are prompts. A file whose name ends in .jsonl or .ndjson holds one JSON object (or string) a line, one in
    .json those, or all of them in an array; any other file holds one prompt a line, as it stands but for the line's
    end. Standard input (`-`) and what has no ending (a pipe) are read as JSON if they begin with a brace.

    Args:
        arguments: prompts.
        file: where records are.
        known: the keys that a record may have.

    Raises:
        ValueError: both or neither is given, the file cannot be read, a line is not what it should be, or has keys
            that are not known, there are none.
    """
    if arguments and file is not None:
        raise ValueError("prompts came as arguments and in a file: give one of them")
    if arguments:
        for number, argument in enumerate(arguments, 1):
            check_text(argument, f"argument {number}")
        return [{"prompt": text} for text in arguments]
    if file is None:
        raise ValueError("there are no prompts: give some as arguments, or --file PATH (- for standard input)")
    text = _read(file)
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    ending = file.suffix.lower()
    whole = _array(text) if ending == ".json" else None
    if whole is not None:
        found = [_record(value, f"record {n} of {_named(file)}", known) for n, value in enumerate(whole, 1)]
    elif ending in JSON_LINES or (not ending and text.lstrip().startswith("{")):
        named = [(f"line {n} of {_named(file)}", line) for n, line in enumerate(lines, 1) if line.strip()]
        found = [_record(parse_json(line, where), where, known) for where, line in named]
    else:
        for number, line in enumerate(lines, 1):
            check_text(line, f"line {number} of {_named(file)}")
        found = [{"prompt": line.rstrip("\r")} for line in lines]
    if not found:
        raise ValueError(f"there are no prompts: {_named(file)} is empty")
    return found


def _named(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _read(file: Path) -> str:
    try:
        text = sys.stdin.read() if str(file) == "-" else expanded(file).read_text(encoding="utf-8")
        return text.removeprefix("\ufeff")  # a byte order mark is no part of the first prompt
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {file}: it is not text in UTF-8") from error


def _array(text: str) -> list[Any] | None:
    """The records of a file that is one JSON array, or one object over several lines; None for lines of JSON."""
    try:
        whole = parse_json(text)
    except ValueError:
        return None
    return whole if isinstance(whole, list) else [whole]


def _record(given: Any, where: str, known: Sequence[str]) -> dict[str, Any]:
    record = {"prompt": given} if isinstance(given, str) else given
    if not isinstance(record, dict):
        raise ValueError(f"{where} must be a JSON object or a string, got {type(record).__name__}")
    strange = [name for name in record if name not in known]
    if strange:
        raise ValueError(f"{where} has {', '.join(strange)}, which is not read: known are {', '.join(known)}")
    check_text(json.dumps(record, ensure_ascii=False), where)
    for name, value in record.items():
        if name in ("prompt", "response", "text") and not isinstance(value, str):
            raise ValueError(f"{where}: {name} must be a string")
        if name in ("prompt_ids", "response_ids", "text_ids") and not _ids(value):
            raise ValueError(f"{where}: {name} must be a list of whole numbers")
        if name == "messages" and not _messages(value):
            raise ValueError(f"{where}: messages must be a list of objects with the strings role and content")
    return record


def _ids(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) for v in value)


def _messages(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(v, dict) and isinstance(v.get("role"), str) and isinstance(v.get("content"), str) for v in value
    )


def check_new_file(out: Path | None) -> None:
    """Refuse to write over a file, before any work.

    Raises:
        ValueError: it exists, its folder does not, or nothing can be written there.
    """
    if out is None:
        return
    try:
        if out.exists():
            raise ValueError(f"{out} is there already and is not overwritten")
        if not out.parent.is_dir():
            raise ValueError(f"there is no folder {out.parent}")
        probe = temporary_beside(out)
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {out}: {error.strerror or error}") from error


def write(records: Iterable[dict[str, Any]], text: "list[str]", out: Path | None, format: Format) -> None:
    """Print, or write to a file in one step: JSON Lines if asked for, or if the file's name ends so; else text."""
    as_json = format == "jsonl" or (format == "auto" and out is not None and out.suffix == ".jsonl")
    escaped = out is None and not _unicode(sys.stdout.encoding)
    lines = [json.dumps(record, ensure_ascii=escaped) for record in records] if as_json else text
    if out is None:
        print("\n".join(lines))
        return
    with replacing(out) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    print(f"saved in {out}", file=sys.stderr)


def _unicode(encoding: str | None) -> bool:
    """Whether a stream's encoding has every character; in any other, JSON escapes what it may lack."""
    return encoding is None or codecs.lookup(encoding).name.startswith("utf")
