"""`modeseek llm scenario`: preference data whose gold reward is known, from instruction data or a policy's samples."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from modeseek.checks import require, whole
from modeseek.llm.commands.common import BATCHES
from modeseek.llm.commands.dry_run import DryRun
from modeseek.llm.commands.texts import TemplateName
from modeseek.llm.commands.training import check_context
from modeseek.llm.data.scenarios import PAPER_MODE, PAPER_SHARE
from modeseek.progress import progress
from modeseek.report import Report

if TYPE_CHECKING:
    from modeseek.llm.data.examples import Source
    from modeseek.llm.data.tokens import TextTokens
    from modeseek.llm.runs.answers import Answered
    from modeseek.llm.runs.plans import Plan


@dataclasses.dataclass(frozen=True)
class MakeScenario:
    """Build Min Length, Mode Length or Skew Length preferences: which of two responses is better is known exactly.

    Responses are the data's own (several to a prompt, in one row or in many), or, with --model, that model's answers to
    the data's prompts. The output folder holds pairs.jsonl (prompt, chosen, rejected, chosen_reward, rejected_reward),
    which `modeseek llm reward-model` and `modeseek llm tune` read, a card with what was cut, dropped and tied, and a
    figure of the lengths of chosen and rejected responses. Responses are written as texts: those of a model that were
    cut at --max-new-tokens look like others, so train with --max-response at that number, and they get no EOS.

    Attributes:
        scenario: shorter is better (min_length), nearer to --mode is (mode_length), or shorter is, in data most of
            which was truncated (skew_length).
        data: a file (.jsonl, .json, .parquet), a folder, a data set of the hub, or python-docstrings.
        out: the output folder; without it, the first free folder of modeseek-results is taken.
        model: whose answers are compared, such as sft/policy: a local folder, or a name on the hub.
        samples: of the model, to each prompt.
        unit: what lengths count.
        tokenizer: a model whose tokens are counted, where lengths are in tokens and no model answers.
        mode: the length that mode_length rewards most.
        share: of responses, for each of which skew_length draws a length to truncate it to.
        scale: the mean of these lengths (they are exponentially distributed); skew_length must be given one.
        pairs: which responses of a prompt are compared: every two, or the best with the worst.
        split: the split of the data set that is read, where it has several.
        configuration: of the hub's data set, where it has several.
        streaming: read the hub's rows one by one, up to --limit, and store nothing.
        limit: how many of the data's first rows are read; all of them, if it is not given.
        template: what the model reads around a prompt.
        max_prompt: the most tokens of a prompt that the model reads; a longer one loses its oldest.
        max_new_tokens: the most tokens that the model's response has.
        batch: responses at once.
        dtype: the numbers that the model is computed in.
        seed: a whole number that samples and truncation follow from.
        dry: what the model's answers would take, and on which device.
    """

    scenario: Annotated[
        Literal["min_length", "mode_length", "skew_length"], tyro.conf.Positional, tyro.conf.arg(metavar="SCENARIO")
    ]
    data: str
    out: Path | None = None
    model: str | None = None
    samples: int = 4
    unit: Literal["words", "tokens"] = "words"
    tokenizer: str | None = None
    mode: float = PAPER_MODE
    share: float = PAPER_SHARE
    scale: float | None = None
    pairs: Literal["all", "best-and-worst"] = "all"
    split: str | None = None
    configuration: str | None = None
    streaming: bool = False
    limit: int | None = None
    template: TemplateName = "plain"
    max_prompt: int = 128
    max_new_tokens: int = 256
    batch: int = 64
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: int = 0
    dry: Annotated[DryRun, tyro.conf.arg(name="")] = dataclasses.field(default_factory=DryRun)

    def run(self) -> int:
        """Read, sample if asked to, compare, write; 0 on success.

        Raises:
            ValueError: impossible numbers, no such data or model, no preference at all.
        """
        from modeseek.bandit.figures.style import save_figure
        from modeseek.files import free_folder
        from modeseek.llm.data.examples import Source, records_from
        from modeseek.llm.data.scenarios import Scenario
        from modeseek.llm.figures.lengths import lengths_figure
        from modeseek.llm.runs import scenario as made
        from modeseek.llm.runs.answers import answered_by_data

        which: Literal["all", "best and worst"] = "all" if self.pairs == "all" else "best and worst"
        scenario = Scenario(self.scenario, self.mode, self.share, self.scale, which, self.seed)
        for name in ("samples", "max_prompt", "max_new_tokens", "batch"):
            whole(name, getattr(self, name), 1)
        require(self.model is None or self.samples > 1, f"samples must be at least 2 to compare, got {self.samples}")
        if self.dry.dry_run:
            require(self.model is not None, "without --model nothing is sampled: it takes seconds, and no plan")
            return self.dry.show(self.plan())
        folder = free_folder(self.out, f"scenario-{self.scenario.replace('_', '-')}")
        require(not (folder / made.PAIRS).exists(), f"{folder / made.PAIRS} is there already and is not overwritten")
        source = Source(
            self.data, self.split, self.configuration, limit=self.limit, streaming=self.streaming, held_out=0.0
        )
        tokens = None
        if self.model is not None:
            answered, tokens = self._asked(source)
        else:
            records, report = records_from(source, "as they are")
            answered = answered_by_data(records, str(report))
            tokens = None if self.unit == "words" else self._tokens()
        built = made.build(scenario, answered, tokens=tokens, unit=self.unit)
        title = self.scenario.replace("_", " ").title()
        parts, drawn = Report(), None
        with parts.part("the figure lengths"):
            drawn = lengths_figure(title, *made.lengths(built.rows))
        caption = "" if drawn is None else drawn.caption
        notes = [f"`{self.data}`" + ("" if self.split is None else f", split {self.split}"), *answered.notes]
        made.write(folder, built.rows, made.card(scenario, self.unit, notes, built.counts, caption))
        saved = [made.PAIRS, "README.md"]
        with parts.part("the picture of lengths"):
            if drawn is not None:
                saved += [path.name for path in save_figure(drawn.figure, folder / "lengths")]
        print("\n".join(answered.notes))
        print("\n".join(f"{count} {name}" for name, count in built.counts.items()))
        print(caption)
        print(f"saved in {folder}: {', '.join(saved)}")
        return parts.code

    def plan(self) -> "Plan":
        """What the model's answers would take.

        Raises:
            ValueError: sizes or rows that nobody knows.
        """
        from modeseek.llm.runs.plans import plan_samples

        assert self.model is not None
        prompts = self.dry.count(self.data, self.split, self.limit)
        sizes = self.samples, self.batch, self.max_prompt, self.max_new_tokens
        return plan_samples(self.dry.model(self.model, self.dtype), prompts, *sizes, self.dry.rate())

    def _tokens(self) -> "TextTokens":
        from modeseek.llm.checkpoints.hub import local_folder
        from modeseek.llm.checkpoints.save import COMPANIONS
        from modeseek.llm.data.tokens import text_tokens
        from modeseek.llm.inference.tokenizer import load_tokenizer

        require(self.tokenizer is not None, "lengths in tokens need a tokenizer: give --tokenizer, or --model")
        assert self.tokenizer is not None
        return text_tokens(load_tokenizer(local_folder(self.tokenizer, COMPANIONS)))

    def _asked(self, source: "Source") -> "tuple[Answered, TextTokens]":
        """The model's answers to the data's prompts."""
        import jax

        from modeseek.llm.commands.texts import reading_of, template
        from modeseek.llm.data.examples import records_from
        from modeseek.llm.data.tokenization import Limits, tokenize
        from modeseek.llm.inference.batched import generation_memory
        from modeseek.llm.inference.language_model import check_count, check_seed, load_parameters, open_language_model
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.parallel.device_memory import check_fits, compute_counted
        from modeseek.llm.runs.answers import answered_by_model, sampled

        assert self.model is not None
        check_seed(self.seed)
        checkpoint = open_language_model(self.model)
        check_context(checkpoint, self.max_prompt, self.max_new_tokens, "--max-prompt or --max-new-tokens")
        tokenizer, tokens, eos = reading_of(checkpoint, self.template)
        records, read = records_from(source, "prompts")
        asked = tokenize(records, tokens, template(self.template, tokenizer), Limits(self.max_prompt))
        asked.report.require_rows()
        prompts = [example.prompt.tolist() for example in asked.examples]
        check_count(len(prompts) * self.samples)
        size = min(self.batch, len(prompts) * self.samples)
        needed = generation_memory(checkpoint.config, compute_counted(self.dtype), prompts, self.max_new_tokens, size)
        check_fits(needed, f"generating {size} responses at once", "take a smaller --batch or fewer --max-new-tokens")
        model, params = load_parameters(checkpoint, self.dtype, progress("tensors"))
        groups = sampled(
            ModelWithParams(model, params),
            prompts,
            key=jax.random.key(self.seed),
            samples=self.samples,
            max_new_tokens=self.max_new_tokens,
            eos=eos,
            batch=self.batch,
            progress=progress(BATCHES, delay=0),
        )
        answered = answered_by_model(asked.records, groups, tokens, eos)
        room = f"up to {self.max_new_tokens} tokens"
        by = f"{self.samples} answers of `{self.model}` to each prompt, at temperature 1, {room}"
        return answered._replace(notes=[*str(read.then(asked.report)).splitlines(), by, *answered.notes]), tokens
