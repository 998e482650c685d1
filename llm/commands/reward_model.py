"""`modeseek llm reward-model`: learn a reward from preferences."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modeseek.checks import require
from modeseek.llm.commands.texts import TemplateName
from modeseek.progress import progress

if TYPE_CHECKING:
    from modeseek.llm.rewards.reward_model import Trained

SCORER = "reward_model"
"""The folder, within a run's, of what it trained."""


@dataclasses.dataclass(frozen=True)
class RewardModel:
    """Train a reward model on preference pairs, after Bradley and Terry: a score of prompt and response.

    It begins as a language model whose head is taken off. How it judges pairs of prompts that were kept out of training
    is printed: its accuracy, and how far its confidence can be trusted. The output folder holds the configuration, a
    line of numbers for each step (metrics.jsonl), and at the end the model with its tokenizer (reward_model/), which
    `modeseek llm evaluate` reads and transformers opens (AutoModelForSequenceClassification).

    Attributes:
        model: a local folder, or a name on the Hugging Face hub (owner/name or owner/name@revision).
        data: a file (.jsonl, .json, .parquet), a folder, or a data set of the hub, with preference pairs.
        out: output folder; without, the first free modeseek-results/reward-model-N.
        split: of the data set, where it has several.
        template: what stands around prompt and response: nothing, the paper's marks, or the tokenizer's chat template.
        max_prompt: tokens of a prompt; a longer one loses its oldest.
        max_response: tokens of a response, EOS included; a longer one is cut, and has no EOS then.
        limit: the first rows of the data alone.
        held_out: share of the prompts that is kept out of training.
        dtype: of computing; parameters and optimizer are float32.
        epochs: passes over the pairs; a second one mostly memorises.
        batch: pairs of a step.
        accumulate: parts that a step's pairs are taken in, to save memory; they change no number.
        learning_rate: of Adam.
        evaluate_every: steps between two judgements of the held-out pairs.
        seed: of the fresh head, the order of the pairs, and what is held out.
    """

    model: str
    data: str
    out: Path | None = None
    split: str | None = None
    template: TemplateName = "plain"
    max_prompt: int = 128
    max_response: int = 384
    limit: int | None = None
    held_out: float = 0.05
    dtype: Literal["float32", "bfloat16"] = "float32"
    epochs: float = 1.0
    batch: int = 64
    accumulate: int = 8
    learning_rate: float = 1e-5
    evaluate_every: int = 100
    seed: int = 0

    def run(self) -> int:
        """Read, train, judge, save; 0 on success.

        Raises:
            ValueError: no such model or data, settings that are impossible, a folder that is not empty.
        """
        import jax

        from modeseek.files import free_folder
        from modeseek.llm.checkpoints import load as reading
        from modeseek.llm.checkpoints.save import check_new, save
        from modeseek.llm.commands.texts import reading_of, template
        from modeseek.llm.data.examples import Source, examples_from
        from modeseek.llm.data.tokenization import Limits
        from modeseek.llm.inference.language_model import check_seed, open_language_model
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.models.model import Compute, Model
        from modeseek.llm.rewards.reward_model import RewardModelConfig, train

        check_seed(self.seed)
        if self.out is not None:
            check_new(self.out)
        how = ("epochs", "batch", "accumulate", "learning_rate", "evaluate_every", "seed")
        config = RewardModelConfig(**{name: getattr(self, name) for name in how})
        checkpoint = open_language_model(self.model)
        require(
            self.max_prompt + self.max_response <= checkpoint.config.context,
            f"prompt and response may have {self.max_prompt} + {self.max_response} tokens, but the model's context is "
            f"{checkpoint.config.context}: lower --max-prompt or --max-response",
        )
        tokenizer, tokens, _ = reading_of(checkpoint)
        examples = examples_from(
            Source(self.data, self.split, limit=self.limit, held_out=self.held_out, seed=self.seed),
            tokens,
            "pairs",
            template=template(self.template, tokenizer),
            limits=Limits(self.max_prompt, self.max_response),
        )
        print(examples.report)
        config.steps(len(examples.training))  # refused before anything is made or loaded
        out = free_folder(self.out, "reward-model")
        key = jax.random.key(self.seed)
        params = reading.load(checkpoint, ("reward",), key=key, progress=progress("tensors"))
        asked = json.dumps(dataclasses.asdict(self), indent=1, default=str)
        (out / "config.json").write_text(asked + "\n", encoding="utf-8")
        with (out / "metrics.jsonl").open("a", encoding="utf-8") as file:

            def report(record: Mapping[str, Any]) -> None:
                file.write(json.dumps(record, allow_nan=False) + "\n")
                file.flush()

            trained = train(
                ModelWithParams(Model(checkpoint.config, Compute(self.dtype)), params),
                examples.training,
                examples.held_out,
                config,
                report=report,
                progress=progress("steps (the first one compiles)"),
            )
        save(out / SCORER, checkpoint.config, trained.params, head="reward", like=checkpoint, pad_id=tokens.pad)
        _say(trained)
        print(f"saved in {out / SCORER}")
        return 0


def _say(trained: "Trained") -> None:
    print(f"{trained.steps} steps")
    if trained.held_out is not None:
        print(f"{trained.held_out}\n\n{trained.held_out.table()}\n")
