"""Lines in and lines out: prompts from arguments, files or standard input; results as text or JSON."""

import codecs
import io
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from modeseek.files import expanded, parse_json, replacing
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
    end. Standard input (`-`) and what has no ending (a pipe) are read as a .json file if they begin with a brace or are
    an array of objects.

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
    text, name = _read(file), _named(file)
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    ending = file.suffix.lower()
    whole = None if ending and ending != ".json" else _whole(text)
    if whole is not None and (ending or (whole and all(isinstance(each, dict) for each in whole))):
        found = [_record(value, f"record {n} of {name}", known) for n, value in enumerate(whole, 1)]
    elif ending in JSON_LINES or (not ending and text.lstrip().startswith("{")):
        named = [(f"line {n} of {name}", line) for n, line in enumerate(lines, 1) if line.strip()]
        found = [_record(parse_json(line, where), where, known) for where, line in named]
    else:
        for number, line in enumerate(lines, 1):
            check_text(line, f"line {number} of {name}")
        if lines and all(_whole(line) and line.lstrip().startswith("{") for line in lines):
            note = "is a JSON object, and is read as a prompt: to have it read as a record, name the file .jsonl"
            print(f"modeseek: note: every line of {name} {note}", file=sys.stderr)
        found = [{"prompt": line} for line in lines]
    if not found:
        raise ValueError(f"there are no prompts: {name} is empty")
    return found


def _named(file: Path) -> str:
    return "standard input" if str(file) == "-" else str(file)


def _read(file: Path) -> str:
    """The text of a file in UTF-8, whatever the terminal's encoding is; a byte order mark is no part of it."""
    try:
        if str(file) != "-":
            given = expanded(file).read_bytes()
        elif sys.stdin is None:
            raise ValueError("there are no prompts: standard input is closed")
        else:
            given = sys.stdin.buffer.read()
        return io.StringIO(given.decode("utf-8-sig"), newline=None).read()
    except OSError as error:
        raise ValueError(f"cannot read {_named(file)}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {_named(file)}: it is not text in UTF-8") from error


def _whole(text: str) -> list[Any] | None:
    """The records of a text that is one JSON array, or one object over several lines; None for lines of JSON."""
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


def write(records: Iterable[dict[str, Any]], text: "list[str]", out: Path | None, format: Format) -> None:
    """Print, or write to a file in one step: JSON Lines if asked for, or if the file's name ends so (one array if it
    ends in .json); else text."""
    ending = "" if out is None else out.suffix.lower()
    as_json = format == "jsonl" or (format == "auto" and ending in JSON_LINES)
    escaped = out is None and not _unicode(sys.stdout.encoding)
    lines = [json.dumps(record, ensure_ascii=escaped) for record in records] if as_json else text
    if out is None:
        print("\n".join(lines))
        return
    if format == "auto" and ending == ".json":
        lines = ["[", *(f"{line}," for line in lines[:-1]), lines[-1], "]"]
    with replacing(out) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    print(f"saved in {out}", file=sys.stderr)


def _unicode(encoding: str | None) -> bool:
    """Whether a stream's encoding has every character; in any other, JSON escapes what it may lack."""
    return encoding is None or codecs.lookup(encoding).name.startswith("utf")
