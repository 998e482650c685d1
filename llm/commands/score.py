"""`modeseek llm score`: log-probs of given responses."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from modeseek.llm.commands.common import BATCHES, OnRows
from modeseek.progress import progress

if TYPE_CHECKING:
    from modeseek.llm.inference.batched import ResponseScores


@dataclasses.dataclass(frozen=True)
class Score(OnRows):
    """Log-probs of given texts or of responses to prompts, with entropy and KL to a second model if wanted.

    A line of a .jsonl file has prompt and response, or prompt_ids and response_ids (as `modeseek llm generate` writes
    them, so that what was sampled is scored and nothing is tokenised again), or text, or text_ids. Prompt and response
    are tokenised apart. Of a text alone, every token after the first is scored. All numbers are in nats.
    What is interrupted goes on by the same command with the same --out.

    Attributes:
        texts: texts to score.
        against: a second model with the same vocabulary, for KL(source ‖ against) of every next-token distribution.
        entropy: also the entropy of every next-token distribution.
        per_token: also every token's numbers, in JSON.
        chunk: tokens whose logits are held at once.
    """

    texts: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[TEXT ...]")] = ()
    against: str | None = None
    entropy: bool = False
    per_token: bool = False
    chunk: int = 1024

    def run(self) -> int:
        """Check everything, then load, score and write; 0 on success.

        Raises:
            ValueError: bad numbers, rows that the model cannot read, no tokenizer for text, too little memory.
        """
        self.check_counts("batch", "chunk")
        from modeseek.files import check_new_file
        from modeseek.llm.commands.lines import read_records, write
        from modeseek.llm.inference.batched import score_rows, scoring_memory
        from modeseek.llm.inference.language_model import (
            check_vocabularies,
            lazy_tokenizer,
            load_parameters,
            open_language_model,
        )
        from modeseek.llm.inference.padding import check_ids
        from modeseek.llm.inference.records import sequences
        from modeseek.llm.inference.scoring import ModelWithParams

        check_new_file(self.out)
        records = read_records(self.texts, self.file)
        opened = [open_language_model(source) for source in (self.source, self.against) if source is not None]
        configs = [each.config for each in opened]
        adapter = self.open_adapter(configs[0])
        rows, starts = sequences(records, lazy_tokenizer(opened[0].folder))
        for config in configs:
            check_ids(rows, config, name="record")
        check_vocabularies(configs)
        size = min(self.batch, len(rows))
        needed = scoring_memory(configs, self.compute_counted(), rows, size, self.chunk)
        self.check_fits(needed, f"scoring {size} sequences at once", "a smaller --batch or --chunk")
        with self.kept([each.folder for each in opened], [rows, starts], adapter, _scores) as keeper:
            scores = score_rows(
                [
                    ModelWithParams(*load_parameters(each, self.dtype, progress("tensors"), change))
                    for each, change in zip(opened, (adapter, None), strict=False)
                ],
                rows,
                starts,
                batch=self.batch,
                chunk=self.chunk,
                with_entropy=self.entropy,
                cure=self.overflow_cure(),
                keeper=keeper,
                progress=progress(BATCHES, delay=0),
            )
            results = [self._record(each) for each in scores]
            names = ("prompt", "response", "text")
            found = [{**{n: r[n] for n in names if n in r}, **s} for r, s in zip(records, results, strict=True)]
            write(found, _as_text(results), self.out, self.format)
        return 0

    def _record(self, scores: "ResponseScores") -> dict[str, Any]:
        """Sums over a response's tokens, and the tokens' own numbers if wanted."""
        numbers = {"log_prob": scores.log_probs, "entropy": scores.entropy, "kl": scores.kl}
        kept = {name: each for name, each in numbers.items() if each is not None}
        record: dict[str, Any] = {"tokens": len(scores.log_probs)}
        record |= {name: float(each.sum(dtype="float64")) for name, each in kept.items()}
        if self.per_token:
            record |= {f"{name}s_per_token": each.tolist() for name, each in kept.items()}
        return record


def _scores(fields: dict[str, Any]) -> "ResponseScores":
    from modeseek.llm.inference.batched import ResponseScores

    arrays: dict[str, Any] = {name: None if v is None else np.asarray(v, np.float32) for name, v in fields.items()}
    return ResponseScores(**arrays)


def _as_text(results: list[dict[str, Any]]) -> list[str]:
    names = [name for name in results[0] if not name.endswith("_per_token")]
    lines = ["".join(f"{name:>14}" for name in names)]
    for result in results:
        lines.append("".join(f"{result[name]:>14}" if name == "tokens" else f"{result[name]:>14.4f}" for name in names))
    return lines
