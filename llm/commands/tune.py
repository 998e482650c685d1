"""`modeseek llm tune`: Algorithm 1 with any method, on preferences or on a policy's own samples."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from modeseek.checks import positive, require
from modeseek.llm.commands.common import progress
from modeseek.llm.data.scenarios import PAPER_MODE, min_length, mode_length
from modeseek.llm.training.tune_config import TuneConfig

if TYPE_CHECKING:
    from modeseek.llm.checkpoints.checkpoint import Checkpoint
    from modeseek.llm.data.tokenization import Example, Tokenized
    from modeseek.llm.data.tokens import TextTokens
    from modeseek.llm.training.algorithm1 import Record, Reward

POLICY = "policy"
"""The folder, within a run's, of what it trained."""


@dataclasses.dataclass(frozen=True)
class Tune:
    """Fine-tune a language model on preferences, or on rewards of its own samples.

    The method is a row of `modeseek methods`, with offline_ or on_policy_ before its name to leave the paper's side.
    Offline, data are preference pairs, or completions that are judged or that --reward judges; on-policy, the policy
    answers the data's prompts. The output folder holds the configuration, a line of numbers for each collection and
    each gradient step (metrics.jsonl), and at the end the policy with its tokenizer (policy/), which transformers
    opens.

    Attributes:
        model: a local folder, or a name on the Hugging Face hub (owner/name or owner/name@revision).
        data: a file (.jsonl, .json, .parquet), a folder, or a data set of the hub.
        config: the method and Algorithm 1's knobs.
        reward: of responses: fewer words are better, or a number of words near --mode; none takes the data's own
            preferences.
        mode: words of the response with the highest mode_length.
        out: output folder; without, the first free modeseek-results/tune-N.
        split: of the data set, where it has several.
        template: what stands around prompt and response: nothing, the paper's marks, or the tokenizer's chat template.
        max_prompt: tokens of a prompt; a longer one loses its oldest.
        max_response: tokens of a response in the data, EOS included; a longer one is cut, and has no EOS then.
        limit: the first rows of the data alone.
        clip_norm: gradients with a larger norm are scaled down to it; 0 clips none.
        dtype: of computing; parameters and optimizer are float32.
    """

    model: str
    data: str
    config: tyro.conf.OmitArgPrefixes[TuneConfig]
    reward: Literal["none", "min_length", "mode_length"] = "none"
    mode: float = PAPER_MODE
    out: Path | None = None
    split: str | None = None
    template: Literal["plain", "paper", "chat"] = "plain"
    max_prompt: int = 128
    max_response: int = 256
    limit: int | None = None
    clip_norm: float = 1.0
    dtype: Literal["float32", "bfloat16"] = "float32"

    def run(self) -> int:
        """Read, train, save, say what became of rewards and lengths; 0 on success.

        Raises:
            ValueError: no such model or data, settings that are impossible, a folder that is not empty.
        """
        positive("mode", self.mode)
        require(self.clip_norm >= 0, f"clip_norm must be a number of at least 0, got {self.clip_norm!r}")
        import optax

        from modeseek.files import free_folder, writable_folder
        from modeseek.llm.checkpoints import load as reading
        from modeseek.llm.checkpoints.save import check_new, save
        from modeseek.llm.data.tokens import text_tokens
        from modeseek.llm.inference.language_model import open_language_model
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.inference.tokenizer import load_tokenizer
        from modeseek.llm.models.model import Compute, Model
        from modeseek.llm.training.algorithm1 import check_data, tune
        from modeseek.llm.training.optimizer import Adam

        checkpoint = open_language_model(self.model)
        tokenizer = load_tokenizer(checkpoint.folder)
        tokens = text_tokens(tokenizer)
        self._check_context(checkpoint)
        tokenized = self._tokenized(tokenizer, tokens)
        print(tokenized.report.require_rows())
        judged = self.reward != "none"
        check_data(checkpoint.config, tokenized.examples, self.config, judged=judged, eos=[tokens.eos])
        out = free_folder(self.out, "tune")
        check_new(out)
        writable_folder(out)
        params = reading.load(checkpoint, dtype="float32", progress=progress("tensors"))
        clip = [optax.clip_by_global_norm(self.clip_norm)] if self.clip_norm else []
        with _lines(out, self) as report:
            tuned = tune(
                ModelWithParams(Model(checkpoint.config, Compute(self.dtype)), params),
                tokenized.examples,
                self.config,
                reward=self._reward(tokens),
                eos=[tokens.eos],
                pad=tokens.pad,
                optimizer=optax.chain(*clip, Adam(self.config.hyper.learning_rate).transformation()),
                report=report,
                progress=progress("collections (the first one compiles)"),
            )
        save(out / POLICY, checkpoint.config, tuned.params, like=checkpoint)
        print(f"{tuned.steps} gradient steps of {self.config.variant.title}; saved in {out / POLICY}")
        return 0

    def _check_context(self, checkpoint: "Checkpoint") -> None:
        longest = self.config.max_new_tokens if self.config.variant.on_policy else self.max_response
        require(
            self.max_prompt + longest <= checkpoint.config.context,
            f"prompt and response may have {self.max_prompt} + {longest} tokens, but the model's context is "
            f"{checkpoint.config.context}: lower --max-prompt, --max-response or --max-new-tokens",
        )

    def _tokenized(self, tokenizer: Any, tokens: "TextTokens") -> "Tokenized":
        """The data as ids, and what became of its rows."""
        from modeseek.llm.data.columns import normalize
        from modeseek.llm.data.read import read_rows
        from modeseek.llm.data.records import Record as DataRecord
        from modeseek.llm.data.records import as_prompts
        from modeseek.llm.data.screening import screen
        from modeseek.llm.data.templates import PAPER, PLAIN, Chat
        from modeseek.llm.data.tokenization import Limits, Tokenized, tokenize

        template = Chat(tokenizer) if self.template == "chat" else {"plain": PLAIN, "paper": PAPER}[self.template]
        normalized = normalize(read_rows(self.data, split=self.split, limit=self.limit), source=self.data)
        kept, screened = screen(normalized.records)
        normalized.report.then(screened).require_rows()
        every = self.config.sampled_prompts == self.config.prompts_per_collection
        records: list[DataRecord] = list(as_prompts(kept)) if every else kept
        tokenized = tokenize(records, tokens, template, Limits(self.max_prompt, self.max_response))
        if every:  # a prompt that comes twice is one prompt: no step of the others
            return tokenized
        return Tokenized(tokenized.examples, normalized.report.then(screened).then(tokenized.report))

    def _reward(self, tokens: "TextTokens") -> "Reward | None":
        import numpy as np

        if self.reward == "none":
            return None
        gold = min_length() if self.reward == "min_length" else mode_length(self.mode)

        def judge(examples: "Sequence[Example]") -> np.ndarray:
            rewards = np.zeros((len(examples), max(len(example.responses) for example in examples)), np.float32)
            for p, example in enumerate(examples):
                ended = [ids[:-1] if len(ids) and ids[-1] == tokens.eos else ids for ids in example.responses]
                rewards[p, : len(ended)] = [gold(text) for text in tokens.decode_responses(ended)]
            return rewards

        return judge


@contextlib.contextmanager
def _lines(folder: Path, command: Tune) -> "Iterator[Any]":
    """Writes the run's configuration, then a line of JSON for each record, on the disk as it comes."""
    configuration = json.dumps(dataclasses.asdict(command), indent=1, default=str)
    (folder / "config.json").write_text(configuration + "\n", encoding="utf-8")
    with (folder / "metrics.jsonl").open("a", encoding="utf-8") as file:

        def report(record: "Record") -> None:
            file.write(json.dumps(record, allow_nan=False) + "\n")
            file.flush()

        yield report
