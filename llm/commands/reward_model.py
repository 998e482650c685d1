"""`modeseek llm reward-model`: learn a reward from preferences."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import tyro

from modeseek.llm.commands.training import Training, check_context
from modeseek.llm.training.settings import RewardModelConfig
from modeseek.progress import progress

if TYPE_CHECKING:
    from modeseek.llm.rewards.reward_model import Trained
    from modeseek.llm.runs.plans import Plan

SCORER = "reward_model"
"""The folder, within a run's, of what it trained."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RewardModel(Training):
    """Train a reward model on preference pairs, after Bradley and Terry: a score of prompt and response.

    It begins as a language model whose head is taken off. How it judges pairs of prompts that were kept out of training
    is printed: its accuracy, and how far its confidence can be trusted. The output folder holds the configuration, a
    line of numbers for each step (metrics.jsonl), and at the end the model with its tokenizer and a model card
    (reward_model/), which `modeseek llm evaluate` and `modeseek llm tune` read and transformers opens
    (AutoModelForSequenceClassification).

    Attributes:
        held_out: the share of the prompts that is kept out of training, to judge the reward model on.
        config: how long and in which steps it is trained.
    """

    held_out: float = 0.05
    config: Annotated[RewardModelConfig, tyro.conf.arg(name="")] = dataclasses.field(default_factory=RewardModelConfig)

    def run(self) -> int:
        """Read, train, judge, save; 0 on success.

        Raises:
            ValueError: no such model or data, settings that are impossible, a folder of another run.
        """
        if self.dry.dry_run:
            return self.dry.show(self.plan())
        import jax

        from modeseek.llm.checkpoints import load as reading
        from modeseek.llm.checkpoints.save import check_new, save
        from modeseek.llm.commands.texts import reading_of
        from modeseek.llm.inference.language_model import check_seed, open_language_model
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.models.model import Compute, Model
        from modeseek.llm.rewards.reward_model import train
        from modeseek.llm.training.run_checkpoints import RunCheckpoints
        from modeseek.llm.training.tensorboard import Mirror

        check_seed(self.config.seed)
        checkpoint = open_language_model(self.model)
        check_context(checkpoint, self.max_prompt, self.max_response, "--max-prompt or --max-response")
        texts = reading_of(checkpoint, self.template)
        examples = self.examples("pairs", texts, held_out=self.held_out, seed=self.config.seed)
        print(examples.report)
        self.config.optimizer.rate(self.config.steps(len(examples.training)))  # refused before anything is loaded
        with (
            self.run_folder("reward-model", self.identity("reward-model")) as run,
            RunCheckpoints(run, self.checkpoint_every, self.keep) as checkpoints,
            Mirror(run, tensorboard=self.tensorboard) as mirror,
        ):
            check_new(run.folder / SCORER)
            key = jax.random.key(self.config.seed)
            params = reading.load(checkpoint, ("reward",), dtype="float32", key=key, progress=progress("tensors"))
            trained = train(
                ModelWithParams(Model(checkpoint.config, Compute(self.dtype)), params),
                examples.training,
                examples.held_out,
                self.config,
                checkpoints=checkpoints,
                report=mirror.append,
                progress=progress("steps (the first one compiles)"),
            )
            summary = "A reward model after Bradley and Terry: the score of a prompt with a response."
            settings = dataclasses.asdict(self.config)
            card = self.card(summary, "reward-model", examples, settings, _numbers(trained))
            save(
                run.folder / SCORER,
                checkpoint.config,
                trained.params,
                head="reward",
                like=checkpoint,
                pad_id=texts.tokens.pad,
                card=card,
            )
        print(f"{trained.steps} steps")
        if trained.held_out is not None:
            print(f"{trained.held_out}\n\n{trained.held_out.table()}\n")
        print(f"saved in {run.folder / SCORER}")
        return 0

    def plan(self) -> "Plan":
        """What it would take; nothing is downloaded or loaded.

        Raises:
            ValueError: sizes or rows that nobody knows, or too few rows.
        """
        from modeseek.llm.runs.plans import plan_epochs

        rows = self.dry.count(self.data, self.split, self.limit, self.held_out)
        model, length = self.dry.model(self.model, self.dtype), self.max_prompt + self.max_response
        return plan_epochs(model, self.config, rows, length, self.dry.rate(), responses=2, chunk=1)


def _numbers(trained: "Trained") -> dict[str, float | int]:
    found = trained.held_out
    if found is None:
        return {"steps": trained.steps}
    return {
        "steps": trained.steps,
        "held-out loss, nats a pair": found.loss,
        "held-out accuracy": found.accuracy,
        "held-out calibration error": found.calibration_error,
    }
