"""`modeseek llm tune`: Algorithm 1 with any method, on preferences or on a policy's own samples."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import tyro

from modeseek.checks import require
from modeseek.llm.commands.training import Training, check_context
from modeseek.llm.data.scenarios import PAPER_MODE
from modeseek.llm.training.settings import OptimizerConfig
from modeseek.llm.training.tune_config import TuneConfig
from modeseek.progress import progress

if TYPE_CHECKING:
    from modeseek.llm.checkpoints.checkpoint import Checkpoint
    from modeseek.llm.commands.texts import Reading
    from modeseek.llm.rewards.functions import LengthGold
    from modeseek.llm.training.algorithm1 import Reward

POLICY = "policy"
"""The folder, within a run's, of what it trained."""
ADAPTER = "adapter"
"""The folder of the adapter alone, in PEFT's format, where one was trained; the policy has taken it in."""


@dataclasses.dataclass(frozen=True)
class Updates(OptimizerConfig):
    """An optimizer's settings beside its learning rate, which is one of the method's numbers."""

    learning_rate: tyro.conf.Suppress[float] = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tune(Training):
    """Fine-tune a language model on preferences, or on rewards of its own samples.

    The method is a row of `modeseek methods`, with offline_ or on_policy_ before its name to leave the paper's side.
    Offline, data are preference pairs, or completions that are judged or that a reward judges; on-policy, the policy
    answers the data's prompts, and a reward judges: --reward, or --reward-model. The output folder holds the
    configuration, a line of numbers for each collection and each gradient step (metrics.jsonl), and at the end the
    policy with its tokenizer and a model card (policy/), which transformers opens; of adapters (--lora-rank) also them
    alone (adapter/), which PEFT opens on the model that was tuned.

    Attributes:
        config: the method, and how it is trained.
        optimizer: how gradients become steps.
        reward: what judges responses: fewer words are better (min_length), or a number of words near --mode
            (mode_length); with none, and without --reward-model, the data's own preferences do.
        unit: what --reward counts.
        mode: the length with the highest mode_length.
        reward_model: a reward model that judges responses: a folder that `modeseek llm reward-model` has written, or a
            hub's, with the policy's vocabulary.
    """

    config: tyro.conf.OmitArgPrefixes[TuneConfig]
    optimizer: tyro.conf.OmitArgPrefixes[Updates] = dataclasses.field(default_factory=Updates)
    reward: Literal["none", "min_length", "mode_length"] = "none"
    unit: Literal["words", "tokens"] = "words"
    mode: float = PAPER_MODE
    reward_model: str | None = None
    max_response: int = 256

    def run(self) -> int:
        """Read, train, save, say what became of rewards and lengths; 0 on success.

        Raises:
            ValueError: no such model or data, settings that are impossible, a folder of another run.
        """
        from modeseek.files import free_folder
        from modeseek.llm.checkpoints import load as reading
        from modeseek.llm.checkpoints.adapters import save_adapter
        from modeseek.llm.checkpoints.save import check_new, save
        from modeseek.llm.commands.texts import reading_of
        from modeseek.llm.inference.language_model import open_language_model
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.models.model import Compute, Model
        from modeseek.llm.rewards.functions import LengthGold
        from modeseek.llm.rewards.reward_model import open_scorer
        from modeseek.llm.training.algorithm1 import check_data, tune
        from modeseek.llm.training.run_folder import RunFolder, read_metrics

        config = self.config
        require(
            self.reward == "none" or self.reward_model is None,
            "a response has one reward: give --reward or --reward-model, not both",
        )
        gold = None if self.reward == "none" else LengthGold(self.reward, self.unit, self.mode)
        optimizer = dataclasses.replace(self.optimizer, learning_rate=config.hyper.learning_rate)
        transformation = optimizer.transformation(config.gradient_steps)
        checkpoint = open_language_model(self.model)
        scorer = None if self.reward_model is None else open_scorer(self.reward_model, checkpoint)
        self._check_contexts(checkpoint, scorer)
        texts = reading_of(checkpoint)
        every = config.sampled_prompts == config.prompts_per_collection
        examples = self.examples("prompts" if every else "as they are", texts)
        print(examples.report)
        judged = gold is not None or scorer is not None
        check_data(checkpoint.config, examples.training, config, judged=judged, eos=texts.eos)
        identity = {**self.identity("tune"), "optimizer": dataclasses.asdict(optimizer)}
        with RunFolder(free_folder(self.out, "tune"), identity) as run:
            check_new(run.folder / POLICY)
            run.begin()
            params = reading.load(checkpoint, dtype="float32", progress=progress("tensors"))
            tuned = tune(
                ModelWithParams(Model(checkpoint.config, Compute(self.dtype)), params),
                examples.training,
                config,
                reward=self._reward(gold, scorer, texts),
                eos=texts.eos,
                pad=texts.tokens.pad,
                optimizer=transformation,
                report=run.append,
                progress=progress("collections (the first one compiles)"),
            )
            summary = f"A language model that was fine-tuned by {config.variant.title}."
            settings = {"reward": self._judge(), **dataclasses.asdict(config), **dataclasses.asdict(optimizer)}
            numbers = _numbers(read_metrics(run.folder))
            card = self.card(summary, config.variant.name, examples, settings, numbers)
            eos = texts.tokens.eos
            save(run.folder / POLICY, checkpoint.config, tuned.params, like=checkpoint, card=card, eos_id=eos)
            if tuned.adapter is not None:
                save_adapter(run.folder / ADAPTER, checkpoint.config, tuned.adapter, base=self.model)
        print("\n".join(f"{name}: {value:.4g}" for name, value in numbers.items()))
        print(f"saved in {run.folder / POLICY}")
        return 0

    def _check_contexts(self, checkpoint: "Checkpoint", scorer: "Checkpoint | None") -> None:
        sampled, prompts = self.config.sampled_prompts, self.config.prompts_per_collection
        longest = max(self.config.max_new_tokens if sampled else 0, self.max_response if sampled < prompts else 0)
        lower = "--max-prompt, --max-response or --max-new-tokens"
        check_context(checkpoint, self.max_prompt, longest, lower)
        if scorer is not None:
            check_context(scorer, self.max_prompt, longest, lower, "the reward model")

    def _reward(self, gold: "LengthGold | None", scorer: "Checkpoint | None", texts: "Reading") -> "Reward | None":
        """What judges a collection's responses; None for the data's own preferences."""
        from modeseek.llm.inference.language_model import load_parameters
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.rewards.functions import of_examples
        from modeseek.llm.rewards.reward_model import as_reward

        if scorer is not None:
            proxy = ModelWithParams(*load_parameters(scorer, self.dtype, progress("tensors")))
            pad = scorer.raw.get("pad_token_id")
            return of_examples(as_reward(proxy, pad=pad, batch=self.config.generation_batch), name="the reward model")
        if gold is not None:
            return of_examples(gold.function(texts.eos), texts.tokens, "the gold reward", eos=texts.eos)
        return None

    def _judge(self) -> str:
        """What judges responses, in words."""
        counted = {"none": "the data's preferences", "min_length": f"min_length of {self.unit}"}
        return self.reward_model or counted.get(self.reward, f"mode_length of {self.unit}, {self.mode:g}")


def _numbers(records: Sequence[Mapping[str, Any]]) -> dict[str, float | int]:
    """A run's gradient steps, its last loss, and what the first and the last collection's responses were like."""
    steps = [record for record in records if "loss" in record]
    collections = [record for record in records if "reward" in record]
    measured = {"mean reward": "reward", "mean tokens": "length", "share that ends with EOS": "ended"}
    numbers = {"gradient steps": len(steps), "loss, last step": steps[-1]["loss"]}
    for title, name in measured.items():
        for when, record in (("first", collections[0]), ("last", collections[-1])):
            numbers[f"{title}, {when} collection"] = record[name]
    return numbers
