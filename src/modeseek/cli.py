"""The `modeseek` command: parses, calls, prints."""

import contextlib
import dataclasses
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro

from modeseek import __version__
from modeseek.bandit.commands.bench import Bench
from modeseek.bandit.commands.categorical import KL, Theory
from modeseek.bandit.commands.demo import Demo
from modeseek.bandit.commands.followups import Followups
from modeseek.bandit.commands.lab import Lab
from modeseek.bandit.commands.methods import Methods
from modeseek.bandit.commands.pages import Pages
from modeseek.bandit.commands.phase import Phase
from modeseek.bandit.commands.recommend import Recommend
from modeseek.bandit.commands.reproduce import Reproduce
from modeseek.bandit.commands.runs import Bandit, Repeat, Sweep
from modeseek.bandit.commands.slides import Slides
from modeseek.bandit.simulator.conventions import PRESETS
from modeseek.bandit.simulator.experiment import Experiment
from modeseek.checks import nearest
from modeseek.streams import READER_GONE, steady_streams


@dataclasses.dataclass(frozen=True)
class LanguageModels:
    """Fine-tune language models on preferences, generate, score, convert; `modeseek llm --help` lists commands."""

    def run(self) -> int:
        """Not reached: `modeseek llm` has commands of its own."""
        raise AssertionError("modeseek llm is parsed by modeseek.llm.commands")


GROUPS: dict[str, dict[str, Callable[..., Any]]] = {
    "first steps": {"demo": Demo, "lab": Lab, "methods": Methods},
    "experiments on the bandit": {"bandit": Bandit, "sweep": Sweep, "repeat": Repeat},
    "forward against reverse KL": {"kl": KL, "theory": Theory},
    "teaching": {"pages": Pages, "slides": Slides},
    "papers": {"reproduce": Reproduce, "followups": Followups},
    "which method where": {"phase": Phase, "recommend": Recommend},
    "language models": {"llm": LanguageModels},
    "this machine": {"bench": Bench},
}
"""What a person wants to do → the commands for it."""

COMMANDS: dict[str, Callable[..., Any]] = {name: each for group in GROUPS.values() for name, each in group.items()}


def overview() -> str:
    """The help of `modeseek` itself: every command with one line, under what it is for."""
    lines = ["usage: modeseek COMMAND [OPTIONS]", "", "See and measure how preference fine-tuning works.", ""]
    width = max(map(len, COMMANDS))
    for title, commands in GROUPS.items():
        lines.append(f"{title}:")
        lines += [f"  {name:<{width}}  {_first_line(command)}" for name, command in commands.items()]
        lines.append("")
    return "\n".join(
        [
            *lines,
            "Start with `modeseek demo`: two minutes, five methods, two rewards, figures.",
            "`modeseek COMMAND --help` lists every option of a command with its default.",
        ]
    )


def _first_line(command: Callable[..., Any]) -> str:
    return (inspect.getdoc(command) or "").splitlines()[0].rstrip(".")


def _take(arguments: list[str], option: str) -> str | None:
    """Remove `--option VALUE` or `--option=VALUE` from the arguments and return the value."""
    for i, argument in enumerate(arguments):
        if argument == option:
            if i + 1 == len(arguments):
                raise ValueError(f"{option} needs a value")
            value = arguments[i + 1]
            del arguments[i : i + 2]
            return value
        if argument.startswith(option + "="):
            del arguments[i]
            return argument.split("=", 1)[1]
    return None


def _with_base(command: Callable[..., Any], arguments: list[str]) -> Any:
    """The command's defaults, after `--preset` or `--config`, which every other option then overrides."""
    default = command()
    config, preset = _take(arguments, "--config"), _take(arguments, "--preset")
    if config is not None:
        default = dataclasses.replace(default, experiment=read_config(Path(config)))
    if preset is not None:
        if preset not in PRESETS:
            raise ValueError(f"--preset must be one of {', '.join(PRESETS)}, got {preset!r}")
        experiment = dataclasses.replace(default.experiment, conventions=PRESETS[preset])
        default = dataclasses.replace(default, experiment=experiment)
    return default


def read_config(path: Path) -> Experiment:
    """An experiment from a results file or from a JSON file of the same form.

    Raises:
        ValueError: the file is not there, or is neither.
    """
    if path.suffix == ".nc":
        from modeseek.bandit.simulator.results import experiment_of, load

        return experiment_of(load(path))
    try:
        return Experiment.from_json(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValueError(f"cannot read the configuration {path}: {error.strerror}") from error


_BASE_HELP = """

Two options set all defaults at once, before the others: --preset paper|released_code (every convention below as the
paper's text or its released code has it), and --config FILE (a results.nc, or its configuration as JSON)."""


def _parse(arguments: list[str]) -> Any:
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        near = nearest(name, COMMANDS)
        hint = f"did you mean {near!r}?" if near else f"there are {', '.join(COMMANDS)}."
        raise ValueError(f"there is no command {name!r}: {hint} `modeseek --help` says what each is for")
    if name == "llm":
        from modeseek.llm.commands.cli import parse  # here, so that no other command waits for it

        return parse(rest)
    command = COMMANDS[name]
    description = (inspect.getdoc(command) or "").split("Attributes:")[0].strip()
    if "experiment" not in {f.name for f in dataclasses.fields(command)}:  # type: ignore[arg-type]
        return tyro.cli(command, args=rest, prog=f"modeseek {name}", description=description)
    default = _with_base(command, rest)
    return tyro.cli(command, args=rest, prog=f"modeseek {name}", description=description + _BASE_HELP, default=default)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Bad input and files that fail end with one line on standard error and status 2, as does standard
    output that is full; Ctrl-C with 130; with MODESEEK_TRACEBACK set in the environment, errors show where they come
    from. What reads standard output may go away: the work is done all the same."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with steady_streams() as out, _drawing_to_files():
        code = _code(given)
        out.flush()
        if out.error is not None and out.error.errno not in READER_GONE:
            print(f"modeseek: error: cannot write to standard output: {out.error.strerror}", file=sys.stderr)
            code = code or 2
    raise SystemExit(code)


@contextlib.contextmanager
def _drawing_to_files() -> Iterator[None]:
    """A command opens no window: matplotlib need not, and with a backend that it does not know would not, start."""
    given = os.environ.get("MPLBACKEND")
    os.environ["MPLBACKEND"] = "agg"
    try:
        yield
    finally:
        del os.environ["MPLBACKEND"]
        if given is not None:
            os.environ["MPLBACKEND"] = given


@contextlib.contextmanager
def _refusals_in_one_line() -> Iterator[None]:
    """What a configuration of ours refuses while it is parsed is that one line, without the parser's box around it."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit as ended:
        if refusal := _refusal(ended):
            said = io.StringIO()
            raise ValueError(str(refusal)) from refusal
        raise
    finally:
        sys.stderr.write(said.getvalue())


def _refusal(ended: SystemExit) -> ValueError | None:
    """The error of ours that the parser ended for: it was raised in a module of ours, not by a type such as int."""
    cause: BaseException | None = ended
    while cause is not None:
        *_, (frame, _) = [(None, 0), *traceback.walk_tb(cause.__traceback__)]
        if isinstance(cause, ValueError) and frame and frame.f_globals.get("__name__", "").startswith("modeseek."):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


@contextlib.contextmanager
def _devices_that_are_there() -> Iterator[None]:
    """Where JAX finds no device, each version and place says so in its own way: here it is one line for all commands.

    Raises:
        ValueError: there is none of the platform that was asked for.
    """
    try:
        yield
    except (RuntimeError, AssertionError):
        if "jax" in sys.modules:  # a command that needs none does not wait for it
            from modeseek.bandit.simulator.devices import check_platform

            check_platform()
        raise


def _code(given: list[str]) -> int:
    """Do what is asked for; the status that the process ends with."""
    if given == ["--version"]:
        print(f"modeseek {__version__}")
        return 0
    if not given or given[0] in ("-h", "--help"):
        print(overview())
        return 0
    try:
        with _refusals_in_one_line():
            command = _parse(given)
        with _devices_that_are_there():
            code: int = command.run()
    except SystemExit as ended:  # of the parser, which has said why
        return ended.code if isinstance(ended.code, int) else 0
    except (ValueError, OSError) as error:
        if os.environ.get("MODESEEK_TRACEBACK"):
            raise
        print(f"modeseek: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"\nmodeseek: interrupted{f': {interrupt}' if str(interrupt) else ''}", file=sys.stderr)
        return 130
    return code


if __name__ == "__main__":
    main()
