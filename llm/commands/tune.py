"""`modeseek llm tune`: Algorithm 1 with any method, on preferences or on a policy's own samples."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import tyro

from modeseek.checks import require, whole
from modeseek.llm.commands.training import Training, check_context
from modeseek.llm.data.scenarios import PAPER_MODE
from modeseek.llm.training.settings import OptimizerConfig
from modeseek.llm.training.tune_config import TuneConfig
from modeseek.progress import progress

if TYPE_CHECKING:
    from modeseek.llm.checkpoints.checkpoint import Checkpoint
    from modeseek.llm.commands.texts import Reading
    from modeseek.llm.data.examples import Examples, Kind
    from modeseek.llm.inference.scoring import ModelWithParams
    from modeseek.llm.models.parameters import Params
    from modeseek.llm.parallel.mesh import MeshShape
    from modeseek.llm.rewards.functions import RewardFunction
    from modeseek.llm.runs.plans import Plan
    from modeseek.llm.training.run_folder import RunFolder

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
    answers the data's prompts, and a reward judges: --reward, or --reward-model. With both, the reward model is what is
    trained on (the proxy), and the other one is measured beside it (the gold): a policy that raises the first and not
    the second over-optimises. The output folder holds the configuration, a line of numbers for each collection,
    gradient step and evaluation (metrics.jsonl), the same as arrays (results.nc, which modeseek.open_results reads),
    some of the evaluations' samples (samples.jsonl), and at the end the policy with its tokenizer and a model card
    (policy/), which transformers opens; of adapters (--lora-rank) also them alone (adapter/), which PEFT opens on the
    model that was tuned.

    Attributes:
        config: the method, and how it is trained.
        optimizer: how gradients become steps.
        reward: what judges responses: fewer words are better (min_length), or a number of words near --mode
            (mode_length); with none, and without --reward-model, the data's own preferences do. Beside --reward-model
            it is measured on held-out prompts, and nothing is trained on it.
        unit: what --reward counts.
        mode: the length with the highest mode_length.
        reward_model: a reward model that judges responses: a folder that `modeseek llm reward-model` has written, or a
            hub's, with the policy's vocabulary.
        held_out: the share of the prompts that is kept out of training, to evaluate the policy on; 0 evaluates nothing.
        evaluate_every: collections between two evaluations; the start and the end are always evaluated.
        evaluate_prompts: the most held-out prompts that are answered at an evaluation, each once.
        mesh: how all devices, of this machine or of several, share the work, as data=2,fsdp=4 or with tensor=N; without
            it, one works.
    """

    config: tyro.conf.OmitArgPrefixes[TuneConfig]
    optimizer: tyro.conf.OmitArgPrefixes[Updates] = dataclasses.field(default_factory=Updates)
    reward: Literal["none", "min_length", "mode_length"] = "none"
    unit: Literal["words", "tokens"] = "words"
    mode: float = PAPER_MODE
    reward_model: str | None = None
    held_out: float = 0.05
    evaluate_every: int = 10
    evaluate_prompts: int = 64
    mesh: str | None = None
    max_response: int = 256
    checkpoint_every: int = 10

    def run(self) -> int:
        """Read, train, save, say what became of rewards and lengths; 0 on success.

        Raises:
            ValueError: no such model or data, settings that are impossible, a folder of another run.
        """
        if self.dry.dry_run:
            return self.dry.show(self.plan())
        from modeseek.processes import initialize, one_voice

        several = initialize()
        require(
            not several or None not in (self.mesh, self.out),
            "several hosts share a run: give --mesh, of the devices of all, and --out, a folder that all of them see",
        )
        with one_voice():
            return self._run()

    def _run(self) -> int:
        from modeseek.llm.checkpoints import load as reading
        from modeseek.llm.checkpoints.adapters import save_adapter
        from modeseek.llm.checkpoints.save import check_new, save
        from modeseek.llm.commands.texts import reading_of
        from modeseek.llm.inference.language_model import open_language_model
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.models.model import Compute, Model
        from modeseek.llm.parallel.mesh import MeshShape, make_mesh, mesh_shape, parameter_shardings
        from modeseek.llm.rewards.functions import LengthGold, of_examples
        from modeseek.llm.rewards.reward_model import open_scorer
        from modeseek.llm.studies.results_file import ResultsFile
        from modeseek.llm.training.collection import check_data
        from modeseek.llm.training.idle import idle
        from modeseek.llm.training.phases import Phases
        from modeseek.llm.training.run_checkpoints import RunCheckpoints
        from modeseek.llm.training.tensorboard import Mirror
        from modeseek.llm.training.tune import tune

        config = self.config
        for name in ("evaluate_every", "evaluate_prompts"):
            whole(name, getattr(self, name), 1)
        require(
            self.reward == "none" or self.reward_model is None or self.held_out > 0,
            "beside --reward-model, --reward is measured on held-out prompts: --held-out must be above 0",
        )
        gold = None if self.reward == "none" else LengthGold(self.reward, self.unit, self.mode)
        optimizer = dataclasses.replace(self.optimizer, learning_rate=config.hyper.learning_rate)
        transformation = optimizer.transformation(config.gradient_steps)
        shape = MeshShape() if self.mesh is None else mesh_shape(self.mesh)
        checkpoint = open_language_model(self.model)
        scorer = None if self.reward_model is None else open_scorer(self.reward_model, checkpoint)
        self._check_contexts(checkpoint, scorer)
        texts = reading_of(checkpoint, self.template)
        every = config.sampled_prompts == config.prompts_per_collection
        kind: Kind = "prompts" if every else "as they are"
        examples = self.examples(kind, texts, held_out=self.held_out, seed=config.seed)
        print(examples.report)
        rows = config.minibatch_size // config.accumulate
        mesh = None if self.mesh is None else make_mesh(shape, checkpoint.config, rows)
        cut = None if mesh is None else parameter_shardings(mesh, checkpoint.config)
        print(f"what judges: {self._judge()}{f'; measured beside it: {self._gold()}' if scorer and gold else ''}")
        judged = gold is not None or scorer is not None
        check_data(checkpoint.config, examples.training, config, judged=judged, eos=texts.eos)
        if config.sampled_prompts or self.held_out:
            self._check_memory(checkpoint, shape, [e.prompt.tolist() for e in (*examples.training, *examples.held_out)])
        identity = {**self.identity("tune"), "optimizer": dataclasses.asdict(optimizer)}
        with (
            self.run_folder("tune", identity) as run,
            RunCheckpoints(run, self.checkpoint_every, self.keep) as checkpoints,
            Mirror(run, tensorboard=self.tensorboard) as mirror,
            ResultsFile(run, config, identity, self._gold() if gold else self._judge()),
        ):
            check_new(run.folder / POLICY)
            params = reading.load(checkpoint, dtype="float32", shardings=cut, progress=progress("tensors"))
            policy = ModelWithParams(Model(checkpoint.config, Compute(self.dtype)), params)
            rewards = {} if gold is None else {"gold": gold.function(texts.eos)}
            rewards |= {} if scorer is None else {"proxy": self._proxy(scorer)}
            judge = next((name for name in ("proxy", "gold") if name in rewards), None)
            phases = Phases()

            def report(record: Mapping[str, Any]) -> None:
                phases.add(record)
                mirror.append(record)

            tuned = tune(
                policy,
                examples.training,
                config,
                reward=judge and of_examples(rewards[judge], texts.tokens, f"the {judge} reward", eos=texts.eos),
                eos=texts.eos,
                pad=texts.tokens.pad,
                optimizer=transformation,
                mesh=mesh,
                evaluate=self._evaluation(policy, examples, rewards, texts, run),
                evaluate_every=self.evaluate_every,
                checkpoints=checkpoints,
                report=report,
                progress=progress("collections (the first one compiles)"),
            )
            summary = f"A language model that was fine-tuned by {config.variant.title}."
            settings = {"reward": self._judge(), **dataclasses.asdict(config), **dataclasses.asdict(optimizer)}
            records = run.records()
            numbers = _numbers(records)
            card = self.card(summary, config.variant.name, examples, settings, numbers)
            eos = texts.tokens.eos
            save(run.folder / POLICY, checkpoint.config, tuned.params, like=checkpoint, card=card, eos_id=eos)
            if tuned.adapter is not None:
                save_adapter(run.folder / ADAPTER, checkpoint.config, tuned.adapter, base=self.model)
        print("\n".join(f"{name}: {value:.4g}" for name, value in numbers.items()))
        print(phases)
        if warning := idle(records, config.variant.method):
            print(f"modeseek: warning: {warning}", file=sys.stderr)
        print(f"saved in {run.folder / POLICY}")
        return 0

    def plan(self) -> "Plan":
        """What it would take; nothing is downloaded or loaded.

        Raises:
            ValueError: sizes or rows that nobody knows, or too few rows.
        """
        from modeseek.llm.runs.plans import plan_tune

        rows = self.dry.count(self.data, self.split, self.limit, self.held_out)
        policy = self.dry.model(self.model, self.dtype)
        scorer = None if self.reward_model is None else self.dry.model(self.reward_model, self.dtype)
        sizes = self.max_prompt, self.max_response
        return plan_tune(policy, self.config, rows, *sizes, self.dry.rate(), scorer)

    def _check_contexts(self, checkpoint: "Checkpoint", scorer: "Checkpoint | None") -> None:
        sampled, prompts = self.config.sampled_prompts, self.config.prompts_per_collection
        answers = sampled or self.held_out
        longest = max(self.config.max_new_tokens if answers else 0, self.max_response if sampled < prompts else 0)
        lower = "--max-prompt, --max-response or --max-new-tokens"
        check_context(checkpoint, self.max_prompt, longest, lower)
        if scorer is not None:
            check_context(scorer, self.max_prompt, longest, lower, "the reward model")

    def _check_memory(self, checkpoint: "Checkpoint", mesh: "MeshShape", prompts: Sequence[Sequence[int]]) -> None:
        """Say what sampling needs, and refuse what does not fit."""
        from modeseek.llm.parallel.device_memory import check_fits, compute_counted
        from modeseek.llm.training.sampling_memory import sampling_memory
        from modeseek.memory import readable

        needed = sampling_memory(checkpoint.config, compute_counted(self.dtype), prompts, self.config, mesh=mesh)
        what = f"sampling {self.config.generation_batch} responses at once, beside what is trained,"
        print(f"{what} needs about {readable(needed.total)} on each device")
        check_fits(needed, what, "take a smaller --generation-batch, fewer --max-new-tokens, or adapters (--lora-rank)")

    def _proxy(self, scorer: "Checkpoint") -> "RewardFunction":
        from modeseek.llm.inference.language_model import load_parameters
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.rewards.reward_model import as_reward

        loaded = ModelWithParams(*load_parameters(scorer, self.dtype, progress("tensors")))
        return as_reward(loaded, pad=scorer.raw.get("pad_token_id"), batch=self.config.generation_batch)

    def _evaluation(
        self,
        policy: "ModelWithParams",
        examples: "Examples",
        rewards: Mapping[str, "RewardFunction"],
        texts: "Reading",
        run: "RunFolder",
    ) -> "Callable[[Params, int], Mapping[str, float]] | None":
        """What the policy does on held-out prompts; None where nothing is held out."""
        from modeseek.llm.evaluation.evaluate import EvaluationConfig
        from modeseek.llm.evaluation.held_out import held_out
        from modeseek.llm.training.run_folder import SAMPLES

        if not examples.held_out:
            return None
        prompts = dict.fromkeys(tuple(example.prompt.tolist()) for example in examples.held_out)
        config = self.config
        how = EvaluationConfig(max_new_tokens=config.max_new_tokens, batch=config.generation_batch, chunk=config.chunk)
        return held_out(
            policy,
            list(prompts)[: self.evaluate_prompts],
            seed=config.seed,
            eos=texts.eos,
            rewards=rewards,
            tokens=texts.tokens,
            config=how,
            log=lambda record: run.append(record, SAMPLES),
        )

    def _judge(self) -> str:
        """What judges the responses that are trained on, in words."""
        return self.reward_model or self._gold()

    def _gold(self) -> str:
        counted = {"none": "the data's preferences", "min_length": f"min_length of {self.unit}"}
        return counted.get(self.reward, f"mode_length of {self.unit}, {self.mode:g}")


def _numbers(records: Sequence[Mapping[str, Any]]) -> dict[str, float | int]:
    """A run's gradient steps, its last loss, and what its first and last collection and evaluation were like."""
    steps = [record for record in records if "loss" in record]
    collections = [record for record in records if "reward" in record]
    measured = {"mean reward": "reward", "mean tokens": "length", "share that ends with EOS": "ended"}
    numbers = {"gradient steps": len(steps), "loss, last step": steps[-1]["loss"]}
    for title, name in measured.items():
        for when, record in (("first", collections[0]), ("last", collections[-1])):
            numbers[f"{title}, {when} collection"] = record[name]
    evaluations = [record for record in records if "share_eos" in record]
    of_held_out = {"gold reward": "reward_gold", "proxy reward": "reward_proxy", "tokens": "tokens", "KL": "kl"}
    for title, name in of_held_out.items():
        for when, one in (("first", evaluations[:1]), ("last", evaluations[-1:])):
            numbers |= {f"held-out {title}, {when}": each[name] for each in one if name in each}
    return numbers
