"""What the commands that train a model share: their options, how they read data, what they write about a run."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from modeseek.checks import require
from modeseek.llm.commands.dry_run import DryRun
from modeseek.llm.commands.texts import TemplateName, template

if TYPE_CHECKING:
    from modeseek.llm.checkpoints.checkpoint import Checkpoint
    from modeseek.llm.commands.texts import Reading
    from modeseek.llm.data.examples import Examples, Kind
    from modeseek.llm.training.run_folder import RunFolder


NOT_OF_THE_RUN = ("out", "checkpoint_every", "keep", "tensorboard", "dry")
"""Options that change no number of a run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """Options of the commands that train a model.

    Attributes:
        model: the model that training begins with: a local folder, or a name on the Hugging Face hub (owner/name or
            owner/name@revision).
        data: what is trained on: a file (.jsonl, .json, .parquet), a folder, a data set of the hub, or
            python-docstrings (the standard library's, which have no preferences).
        out: the output folder; without it, the first free folder of modeseek-results is taken.
        split: the split of the data set that is read, where it has several.
        configuration: of the hub's data set, where it has several.
        streaming: read the hub's rows one by one, up to --limit, and store nothing.
        template: what stands around prompt and response: nothing, the paper's marks, or the tokenizer's chat template.
        max_prompt: the most tokens of a prompt; a longer one loses its oldest.
        max_response: the most tokens of a response in the data, EOS included; a longer one is cut, and has no EOS then.
        limit: how many of the data's first rows are read; all of them, if it is not given.
        dtype: the numbers that the model is computed in; parameters and optimizer are float32.
        checkpoint_every: steps (collections in `tune`) between two checkpoints, from the last of which the same command
            goes on if it was stopped; 0 for none.
        keep: how many of the last checkpoints stay in the folder.
        tensorboard: also write what metrics.jsonl holds as TensorBoard's events (tensorboard/ in the output folder).
        dry: what it would take, and for which device.
    """

    model: str
    data: str
    out: Path | None = None
    split: str | None = None
    configuration: str | None = None
    streaming: bool = False
    template: TemplateName = "plain"
    max_prompt: int = 128
    max_response: int = 384
    limit: int | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    checkpoint_every: int = 100
    keep: int = 2
    tensorboard: bool = False
    dry: Annotated[DryRun, tyro.conf.arg(name="")] = dataclasses.field(default_factory=DryRun)

    def identity(self, stage: str) -> dict[str, Any]:
        """What makes a run another one: all that was asked for but where and how it is written down."""
        asked = {name: value for name, value in dataclasses.asdict(self).items() if name not in NOT_OF_THE_RUN}
        return {"stage": stage, **asked}

    def run_folder(self, stage: str, identity: Mapping[str, Any]) -> "RunFolder":
        """The folder of the run, made only where JAX finds a device.

        Raises:
            ValueError: it finds none; or as `RunFolder`.
        """
        from modeseek.bandit.simulator.devices import check_platform
        from modeseek.files import free_folder
        from modeseek.llm.training.run_folder import RunFolder

        check_platform()
        return RunFolder(free_folder(self.out, stage), identity)

    def examples(
        self,
        kind: "Kind",
        reading: "Reading",
        *,
        held_out: float = 0.0,
        seed: int = 0,
        turns: Literal["last", "all"] = "last",
    ) -> "Examples":
        """The data as ids.

        Raises:
            ValueError: as `examples_from`.
        """
        from modeseek.llm.data.examples import Source, examples_from
        from modeseek.llm.data.tokenization import Limits

        return examples_from(
            Source(
                self.data,
                self.split,
                self.configuration,
                turns=turns,
                streaming=self.streaming,
                limit=self.limit,
                held_out=held_out,
                seed=seed,
            ),
            reading.tokens,
            kind,
            template=template(self.template, reading.tokenizer),
            limits=Limits(self.max_prompt, self.max_response),
        )

    def card(
        self, summary: str, method: str, examples: "Examples", settings: Mapping[str, Any], numbers: Mapping[str, Any]
    ) -> str:
        """The text of the trained model's card.

        Args:
            summary: a sentence about the model.
            method: as the registry or the stage names it.
            examples: that it was trained on.
            settings: by name; those of a group within it stand beside the others.
            numbers: measured → value.
        """
        from modeseek.llm.checkpoints.model_card import ModelCard

        return ModelCard(
            title=f"{Path(self.model).name}, fine-tuned",
            summary=summary,
            method=method,
            base=self.model,
            data=[f"`{self.data}`", f"template: {self.template}", *str(examples.report).splitlines()],
            settings=_flat(settings),
            numbers=numbers,
        ).text()


def check_context(checkpoint: "Checkpoint", prompt: int, response: int, options: str, model: str = "the model") -> None:
    """Raises ValueError if prompt and response have no room in a model; `options` names what is to be lowered."""
    require(
        prompt + response <= checkpoint.config.context,
        f"prompt and response may have {prompt} + {response} tokens, but {model}'s context is "
        f"{checkpoint.config.context}: lower {options}",
    )


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value) if isinstance(value, dict) else {name: value}
    return found
