"""The commands of `modeseek llm`, by name."""

import inspect
from collections.abc import Callable
from typing import Any

import tyro

from modeseek.llm.commands.convert import Convert
from modeseek.llm.commands.demo import Demo
from modeseek.llm.commands.evaluate import Evaluate
from modeseek.llm.commands.generate import Generate
from modeseek.llm.commands.info import Info
from modeseek.llm.commands.plot import Plot
from modeseek.llm.commands.preset import Preset
from modeseek.llm.commands.reproduce import Reproduce
from modeseek.llm.commands.reward_model import RewardModel
from modeseek.llm.commands.scenario import MakeScenario
from modeseek.llm.commands.score import Score
from modeseek.llm.commands.sft import SFT
from modeseek.llm.commands.tune import Tune

COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": Demo,
    "sft": SFT,
    "scenario": MakeScenario,
    "reward-model": RewardModel,
    "tune": Tune,
    "evaluate": Evaluate,
    "preset": Preset,
    "plot": Plot,
    "reproduce": Reproduce,
    "generate": Generate,
    "score": Score,
    "convert": Convert,
    "info": Info,
}

DESCRIPTION = """Language models: GPT-NeoX (Pythia), Mistral and Llama in JAX, from and to Hugging Face folders.

`modeseek llm COMMAND --help` lists every option of a command with its default."""


def parse(arguments: list[str]) -> Any:
    """The command that the arguments after `modeseek llm` ask for."""
    if arguments and arguments[0] in COMMANDS:
        command = COMMANDS[arguments[0]]
        description = (inspect.getdoc(command) or "").split("Attributes:")[0].strip()
        return tyro.cli(command, args=arguments[1:], prog=f"modeseek llm {arguments[0]}", description=description)
    return tyro.extras.subcommand_cli_from_dict(COMMANDS, args=arguments, prog="modeseek llm", description=DESCRIPTION)
