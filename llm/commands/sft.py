"""`modeseek llm sft`: fine-tune a language model on completions."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from modeseek.checks import require
from modeseek.llm.training.settings import SFTConfig
from modeseek.progress import progress

if TYPE_CHECKING:
    from modeseek.llm.checkpoints.checkpoint import Checkpoint
    from modeseek.llm.checkpoints.model_card import ModelCard
    from modeseek.llm.data.examples import Examples
    from modeseek.llm.data.templates import Template
    from modeseek.llm.training.sft import Tuned

POLICY = "policy"
"""The folder, within a run's, of what it trained."""


@dataclasses.dataclass(frozen=True)
class SFT:
    """Fine-tune a language model on completions: each response after its prompt, EOS included.

    A pair's chosen response is learnt, and a judged completion if it is good. The output folder holds the
    configuration, a line of numbers for each step (metrics.jsonl) and, at the end, the policy with its tokenizer and a
    model card (policy/), which transformers opens.

    Attributes:
        model: a local folder, or a name on the Hugging Face hub (owner/name or owner/name@revision).
        data: a file (.jsonl, .json, .parquet), a folder, a data set of the hub, or python-docstrings (the standard
            library's).
        out: output folder; without, the first free modeseek-results/sft-N.
        split: of the data set, where it has several.
        template: what stands around prompt and response: nothing, the paper's marks, or the tokenizer's chat template.
        max_prompt: tokens of a prompt; a longer one loses its oldest.
        max_response: tokens of a response, EOS included; a longer one is cut, and has no EOS then.
        limit: the first rows of the data alone.
        held_out: share of the prompts that is kept out of training, to measure the loss on.
        dtype: of computing; parameters and optimizer are float32.
        config: of the training.
    """

    model: str
    data: str
    out: Path | None = None
    split: str | None = None
    template: Literal["plain", "paper", "chat"] = "plain"
    max_prompt: int = 128
    max_response: int = 384
    limit: int | None = None
    held_out: float = 0.05
    dtype: Literal["float32", "bfloat16"] = "float32"
    config: Annotated[SFTConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=SFTConfig)

    def run(self) -> int:
        """Read, train, save, say what became of the loss; 0 on success.

        Raises:
            ValueError: no such model or data, settings that are impossible, a folder of another run.
        """
        from modeseek.files import free_folder
        from modeseek.llm.checkpoints import load as reading
        from modeseek.llm.checkpoints.save import check_new, save
        from modeseek.llm.data.examples import Source, examples_from
        from modeseek.llm.data.tokenization import Limits
        from modeseek.llm.data.tokens import text_tokens
        from modeseek.llm.inference.language_model import open_language_model
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.inference.tokenizer import load_tokenizer
        from modeseek.llm.models.model import Compute, Model
        from modeseek.llm.training.run_folder import RunFolder
        from modeseek.llm.training.sft import sft

        checkpoint = open_language_model(self.model)
        tokenizer = load_tokenizer(checkpoint.folder)
        tokens = text_tokens(tokenizer)
        source = Source(self.data, self.split, limit=self.limit, held_out=self.held_out, seed=self.config.seed)
        limits = Limits(self.max_prompt, self.max_response)
        require(
            self.max_prompt + self.max_response <= checkpoint.config.context,
            f"prompt and response may have {self.max_prompt} + {self.max_response} tokens, but the model's context is "
            f"{checkpoint.config.context}: lower --max-prompt or --max-response",
        )
        examples = examples_from(
            source, tokens, "completions", template=_template(self.template)(tokenizer), limits=limits
        )
        print(examples.report)
        self.config.optimizer.rate(self.config.steps(len(examples.training)))  # refused before anything is loaded
        with RunFolder(free_folder(self.out, "sft"), _identity(self)) as run:
            check_new(run.folder / POLICY)
            run.begin()
            params = reading.load(checkpoint, dtype="float32", progress=progress("tensors"))
            policy = ModelWithParams(Model(checkpoint.config, Compute(self.dtype)), params)
            tuned = sft(
                policy,
                examples.training,
                examples.held_out,
                self.config,
                pad=tokens.pad,
                report=run.append,
                progress=progress("steps (the first one compiles)"),
            )
            card = self._card(checkpoint, examples, tuned).text()
            save(run.folder / POLICY, checkpoint.config, tuned.params, like=checkpoint, card=card, eos_id=tokens.eos)
        if tuned.before is not None and tuned.after is not None:
            losses = f"{tuned.before.loss:.4f} → {tuned.after.loss:.4f}"
            print(f"held-out loss {losses} nats a token, over {tuned.after.tokens} tokens")
        print(f"saved in {run.folder / POLICY}")
        return 0

    def _card(self, checkpoint: "Checkpoint", examples: "Examples", tuned: "Tuned") -> "ModelCard":
        from modeseek.llm.checkpoints.model_card import ModelCard

        config = dataclasses.asdict(self.config)
        numbers: dict[str, float | int] = {"steps": tuned.steps}
        for name, found in (("before", tuned.before), ("after", tuned.after)):
            if found is not None:
                numbers[f"held-out loss {name}, nats a token"] = found.loss
        return ModelCard(
            title=f"{Path(self.model).name}, fine-tuned",
            summary="A language model that was fine-tuned on completions.",
            method="sft",
            base=self.model,
            data=[f"`{self.data}`", f"template: {self.template}", *str(examples.report).splitlines()],
            settings={**config.pop("optimizer"), **config},
            numbers=numbers,
        )


def _identity(command: SFT) -> dict[str, Any]:
    """What makes a run another one: all that was asked for but the folder."""
    return {"stage": "sft", **{k: v for k, v in dataclasses.asdict(command).items() if k != "out"}}


def _template(name: str) -> "Callable[[Any], Template]":
    """A tokenizer → the template of that name."""
    from modeseek.llm.data.templates import PAPER, PLAIN, Chat

    templates: dict[str, Callable[[Any], Template]] = {"plain": lambda _: PLAIN, "paper": lambda _: PAPER, "chat": Chat}
    return templates[name]
