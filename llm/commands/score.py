"""`modeseek llm score`: log-probs of given responses."""

import dataclasses
from typing import Annotated, Any

import tyro

from modeseek.llm.commands.common import OnRows


@dataclasses.dataclass(frozen=True)
class Score(OnRows):
    """Log-probs of given texts or of responses to prompts, with entropy and KL to a second model if wanted.

    A line of a .jsonl file has prompt and response, or prompt_ids and response_ids (as `modeseek llm generate` writes
    them, so that what was sampled is scored and nothing is tokenised again), or text, or text_ids. Prompt and response
    are tokenised apart. Of a text alone, every token after the first is scored. All numbers are in nats.

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
        from modeseek.llm.commands.lines import check_new_file, read_records, write
        from modeseek.llm.commands.loading import lazy_tokenizer, load_model, open_language_model
        from modeseek.llm.inference.padding import bucket, check_ids
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.parallel import memory
        from modeseek.llm.parallel.mesh import MeshShape

        check_new_file(self.out)
        records = read_records(self.texts, self.file)
        opened = [open_language_model(source) for source in (self.source, self.against) if source is not None]
        rows, starts = _rows(records, lazy_tokenizer(opened[0].folder))
        for each in opened:
            check_ids(rows, each.config, name="record")
        if len({each.config.vocab_size for each in opened}) > 1:
            sizes = " and ".join(str(each.config.vocab_size) for each in opened)
            raise ValueError(f"the KL of two models needs one vocabulary, got {sizes} entries")
        size, length = min(self.batch, len(rows)), bucket(max(map(len, rows)) - 1)
        parts: dict[str, int] = {}
        for each in opened:
            need = memory.scoring(each.config, self.counted_in(), MeshShape(), size, length, self.chunk)
            parts = {name: parts.get(name, 0) + count for name, count in need.parts.items()}
        self.check_fits(
            memory.MemoryEstimate(parts), f"scoring {size} sequences at once", "a smaller --batch or --chunk"
        )
        policies = [ModelWithParams(*load_model(each, self.dtype)) for each in opened]
        results = self._score(policies, rows, starts, size)
        names = ("prompt", "response", "text")
        found = [{**{n: r[n] for n in names if n in r}, **s} for r, s in zip(records, results, strict=True)]
        write(found, _as_text(results), self.out, self.format)
        return 0

    def _score(self, policies: Any, rows: list[list[int]], starts: list[int], size: int) -> list[dict[str, Any]]:
        """A record for each row."""
        import jax
        import numpy as np

        from modeseek.llm.commands.common import in_batches
        from modeseek.llm.inference.padding import bucket, pad_right
        from modeseek.llm.inference.scoring import ModelWithParams, score

        models = [policy.model for policy in policies]
        params = [policy.params for policy in policies]

        @jax.jit
        def compiled(params: Any, tokens: Any, lengths: Any, starts: Any) -> Any:
            both = [ModelWithParams(model, p) for model, p in zip(models, params, strict=True)]
            other = both[1] if len(both) > 1 else None
            how: dict[str, Any] = {"other": other, "with_entropy": self.entropy, "chunk": self.chunk}
            return score(both[0], tokens, lengths, starts, **how)

        def run(batch: list[int]) -> list[dict[str, Any]]:
            # One more than a bucket: the last token is scored, not read.
            tokens, lengths = pad_right([rows[i] for i in batch], bucket(len(rows[batch[0]]) - 1) + 1)
            first = np.array([starts[i] for i in batch], np.int32)
            return self._records(batch, jax.device_get(compiled(params, tokens, lengths, first)))

        return in_batches(rows, size, run)

    def _records(self, batch: list[int], scores: Any) -> list[dict[str, Any]]:
        """Sums over each row's real tokens, and the tokens' own numbers if wanted."""
        numbers = {"log_prob": scores.log_probs, "entropy": scores.entropy, "kl": scores.kl}
        records = []
        for row, mask in enumerate(scores.mask):
            kept = {name: each[row][mask] for name, each in numbers.items() if each is not None}
            for name, each in kept.items():
                self.check_finite(each, f"the {name} of record {batch[row]}")
            record: dict[str, Any] = {"tokens": int(mask.sum())}
            record |= {name: float(each.sum(dtype="float64")) for name, each in kept.items()}
            if self.per_token:
                record |= {f"{name}s_per_token": each.tolist() for name, each in kept.items()}
            records.append(record)
        return records


def _rows(records: list[dict[str, Any]], tokenizer: Any) -> tuple[list[list[int]], list[int]]:
    """Whole sequences, and where what is scored begins in each."""
    from modeseek.llm.inference.tokenizer import encode, encode_alone

    rows, starts, problems = [], [], []
    for number, record in enumerate(records):
        if "response_ids" in record or "response" in record:
            ids, text = record.get("prompt_ids"), record.get("prompt")
            if ids is None and text is None:
                problems.append(f"record {number} has a response and no prompt")
                continue
            prompt = ids if ids is not None else encode(tokenizer(), [text or ""])[0]
            given = record.get("response_ids")
            response = given if given is not None else encode_alone(tokenizer(), [record["response"]])[0]
            if not prompt or not response:
                problems.append(f"record {number} has an empty {'prompt' if not prompt else 'response'}")
            rows.append([*prompt, *response])
            starts.append(len(prompt))
        elif any(name in record for name in ("text_ids", "text", "prompt")):
            row = record["text_ids"] if "text_ids" in record else encode(tokenizer(), [_text(record)])[0]
            if len(row) < 2:
                problems.append(f"record {number} has {len(row)} token(s): nothing predicts the first one")
            rows.append(row)
            starts.append(1)
        else:
            problems.append(f"record {number} has neither a response nor a text")
    if problems:
        raise ValueError("; ".join(problems))
    return rows, starts


def _text(record: dict[str, Any]) -> str:
    return str(record["text"] if "text" in record else record["prompt"])


def _as_text(results: list[dict[str, Any]]) -> list[str]:
    names = [name for name in results[0] if not name.endswith("_per_token")]
    lines = ["".join(f"{name:>14}" for name in names)]
    for result in results:
        lines.append("".join(f"{result[name]:>14}" if name == "tokens" else f"{result[name]:>14.4f}" for name in names))
    return lines
