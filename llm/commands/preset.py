"""`modeseek llm preset`: the paper's experiments on language models as complete commands."""

import dataclasses
import shlex
from textwrap import indent
from typing import Annotated

import tyro


@dataclasses.dataclass(frozen=True)
class Preset:
    """Print the commands of one of the paper's experiments on language models, with its grid (tables 4 to 10).

    Without a name all names are printed: data (alpacafarm, ultrafeedback, min-length, mode-length, skew-length), policy
    (pythia: 1.4 B, mistral: 7 B) and method. The commands run as they stand on a machine with the device and a way to
    the hub; anywhere else they can be planned.

    Attributes:
        name: of the preset; `min-length-pythia-dpo`, say.
        home: the folder that the commands write to.
        dry_run: plan every command in place of printing it alone: sizes, memory and hours, and the
            hours of all.
        device: that it is planned for.
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = ""
    home: str = "runs"
    dry_run: bool = False
    device: str = "h200"

    def run(self) -> int:
        """Print; 0.

        Raises:
            ValueError: no such preset, or no such device.
        """
        from modeseek.llm.runs.presets import NAMES, stages

        if not self.name:
            print("\n".join(NAMES))
            return 0
        hours, before = 0.0, ""
        for stage in stages(self.name, self.home):
            print(shlex.join(["modeseek", "llm", *stage.arguments]))
            if self.dry_run and stage.planned:
                told, spent = self._planned(stage.planned)
                print(indent("as the one before" if told == before else told, "    ") + "\n")
                hours, before = hours + spent, told
        if self.dry_run:
            print(f"hours of all commands but the evaluations, on one {self.device}: {hours:.1f}")
        return 0

    def _planned(self, arguments: tuple[str, ...]) -> tuple[str, float]:
        """What a command would take, as text, and its hours."""
        from modeseek.llm.commands.cli import parse
        from modeseek.llm.runs.plans import table

        command = parse([*arguments, "--device", self.device])
        plan = command.plan()
        return table(plan, command.dry.rate(), self.device), plan.hours
