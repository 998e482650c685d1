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
from modeseek.llm.training.run_folder import LAST_BITS, here
from modeseek.machine import moved

RESULT = "result.json"
MADE = "made.json"
"""The file that says on which machine, and under which versions, a stage was done."""

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
        watch.say(f"{name}: done before{_elsewhere(own / MADE)}")
        done = read_json(own / RESULT)
        require(isinstance(done, dict), f"{own / RESULT} is damaged: delete the folder {own}, and it is made again")
        return dict(done)
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    watch.say(f"{name} …")
    result = make(own)
    for file, content in ((MADE, here()), (RESULT, result)):
        with replacing(own / file) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return result


def _elsewhere(path: Path) -> str:
    """In what the place where a stage was done differs from this one, in words; nothing of one that did not say."""
    if not path.exists():
        return ""
    found = read_json(path)
    require(isinstance(found, dict), f"{path} is damaged: delete it")
    differing = moved(found, here())
    return f" elsewhere ({differing}): {LAST_BITS}" if differing else ""
