"""`modeseek llm sft`: fine-tune a language model on completions."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from modeseek.llm.commands.training import Training, check_context
from modeseek.llm.training.settings import SFTConfig
from modeseek.progress import progress

if TYPE_CHECKING:
    from modeseek.llm.runs.plans import Plan
    from modeseek.llm.training.sft import Tuned

POLICY = "policy"
"""The folder, within a run's, of what it trained."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SFT(Training):
    """Fine-tune a language model on completions: each response after its prompt, EOS included.

    A pair's chosen response is learnt, and a judged completion if it is good. The output folder holds the
    configuration, a line of numbers for each step (metrics.jsonl) and, at the end, the policy with its tokenizer and a
    model card (policy/), which transformers opens.

    Attributes:
        held_out: the share of the prompts that is kept out of training, to measure the loss on.
        turns: of a conversation, whether the assistant's last turn is learnt or all of its turns, each behind what came
            before it.
        config: how long and in which steps it is trained.
    """

    turns: Literal["last", "all"] = "last"
    held_out: float = 0.05
    config: Annotated[SFTConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=SFTConfig)

    def run(self) -> int:
        """Read, train, save, say what became of the loss; 0 on success.

        Raises:
            ValueError: no such model or data, settings that are impossible, a folder of another run.
        """
        if self.dry.dry_run:
            return self.dry.show(self.plan())
        from modeseek.llm.checkpoints import load as reading
        from modeseek.llm.checkpoints.save import check_new, save
        from modeseek.llm.commands.texts import reading_of
        from modeseek.llm.inference.language_model import open_language_model
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.models.model import Compute, Model
        from modeseek.llm.training.run_checkpoints import RunCheckpoints
        from modeseek.llm.training.sft import sft
        from modeseek.llm.training.tensorboard import Mirror

        checkpoint = open_language_model(self.model)
        texts = reading_of(checkpoint, self.template)
        check_context(checkpoint, self.max_prompt, self.max_response, "--max-prompt or --max-response")
        examples = self.examples("completions", texts, held_out=self.held_out, seed=self.config.seed, turns=self.turns)
        print(examples.report)
        self.config.optimizer.rate(self.config.steps(len(examples.training)))  # refused before anything is loaded
        with (
            self.run_folder("sft", self.identity("sft")) as run,
            RunCheckpoints(run, self.checkpoint_every, self.keep) as checkpoints,
            Mirror(run, tensorboard=self.tensorboard) as mirror,
        ):
            check_new(run.folder / POLICY)
            params = reading.load(checkpoint, dtype="float32", progress=progress("tensors"))
            tuned = sft(
                ModelWithParams(Model(checkpoint.config, Compute(self.dtype)), params),
                examples.training,
                examples.held_out,
                self.config,
                pad=texts.tokens.pad,
                checkpoints=checkpoints,
                report=mirror.append,
                progress=progress("steps (the first one compiles)"),
            )
            summary = "A language model that was fine-tuned on completions."
            card = self.card(summary, "sft", examples, dataclasses.asdict(self.config), _numbers(tuned))
            eos = texts.tokens.eos
            save(run.folder / POLICY, checkpoint.config, tuned.params, like=checkpoint, card=card, eos_id=eos)
        if tuned.before is not None and tuned.after is not None:
            losses = f"{tuned.before.loss:.4f} → {tuned.after.loss:.4f}"
            print(f"held-out loss {losses} nats a token, over {tuned.after.tokens} tokens")
        print(f"saved in {run.folder / POLICY}")
        return 0

    def plan(self) -> "Plan":
        """What it would take; nothing is downloaded or loaded.

        Raises:
            ValueError: sizes or rows that nobody knows, or too few rows.
        """
        from modeseek.llm.runs.plans import plan_epochs

        rows = self.dry.count(self.data, self.split, self.limit, self.held_out)
        model, length = self.dry.model(self.model, self.dtype), self.max_prompt + self.max_response
        return plan_epochs(model, self.config, rows, length, self.dry.rate(), chunk=self.config.chunk)


def _numbers(tuned: "Tuned") -> dict[str, float | int]:
    measured = {"before": tuned.before, "after": tuned.after}
    losses = {
        f"held-out loss {when}, nats a token": found.loss for when, found in measured.items() if found is not None
    }
    return {"steps": tuned.steps, **losses}
