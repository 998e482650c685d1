"""Work in stages, each in its folder: one that is done has left `result.json`, and is not done again.

What an interrupted stage left is removed before it is begun anew. So the same call goes on where it was stopped, and
stages may be run one by one.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from modeseek.checks import require
from modeseek.files import read_json, replacing

RESULT = "result.json"

Record = Mapping[str, Any]


class Watch(NamedTuple):
    """What a stage tells while it runs.

    Attributes:
        say: a line to a person.
        report: a record of a step or an evaluation.
        progress: a stage's name → what wraps the numbers of its steps.
    """

    say: Callable[[str], None] = lambda text: None
    report: Callable[[Record], None] = lambda record: None
    progress: Callable[[str], Callable[[Any], Any]] = lambda name: lambda items: items


QUIET = Watch()


def stage(folder: Path, name: str, make: Callable[[Path], dict[str, Any]], watch: Watch = QUIET) -> dict[str, Any]:
    """The result of a stage: read, where it is there, else made.

    Args:
        folder: of all stages.
        name: of this one, and of its own folder within.
        make: does the work in the stage's folder, and gives what is kept of it in `result.json`.
        watch: told what is done.
    """
    own = folder / name
    if (own / RESULT).exists():
        watch.say(f"{name}: done before")
        done = read_json(own / RESULT)
        require(isinstance(done, dict), f"{own / RESULT} is damaged: delete the folder {own}, and it is made again")
        return dict(done)
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    watch.say(f"{name} …")
    result = make(own)
    with replacing(own / RESULT) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result
