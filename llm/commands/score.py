"""`modeseek llm score`: log-probs of given responses."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from llm.commands.lines import Format


@dataclasses.dataclass(frozen=True)
class Score:
    """Log-probs of given texts or of responses to prompts, with entropy and KL to a second model if wanted.

    A JSON line gives prompt and response, or prompt_ids and response_ids (as `modeseek llm generate` writes them, so
    that what was sampled is scored and nothing is tokenised again), or text, or text_ids. Prompt and response are
    tokenised apart. Of a text alone, every token after the first is scored. All numbers are in nats.

    Attributes:
        source: a local folder, or a name on the Hugging Face hub (owner/name or owner/name@revision).
        texts: texts to score.
        file: what to score from a file: .jsonl as above, or text with one a line; - is standard input.
        against: a second model with the same vocabulary, for KL(source ‖ against) of every next-token distribution.
        entropy: also the entropy of every next-token distribution.
        per_token: also every token's numbers, in JSON.
        batch: sequences at once.
        chunk: tokens whose logits are held at once.
        dtype: of computing.
        out: a new file; standard output, if not given.
        format: of the output; auto writes JSON to a file whose name ends in .jsonl, else text.
    """

    source: Annotated[str, tyro.conf.Positional]
    texts: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    file: Path | None = None
    against: str | None = None
    entropy: bool = False
    per_token: bool = False
    batch: int = 8
    chunk: int = 1024
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    out: Path | None = None
    format: Format = "auto"

    def run(self) -> int:
        """Check everything, then load, score and write; 0 on success.

        Raises:
            ValueError: bad numbers, rows that the model cannot read, no tokenizer for text, too little memory.
        """
        for field in ("batch", "chunk"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")
        from llm import memory
        from llm.available import check_room
        from llm.commands.lines import check_new_file, read_records, write
        from llm.commands.loading import lazy_tokenizer, load_model, open_language_model
        from llm.models.model import Compute
        from llm.prompts import bucket, check_ids
        from llm.scoring import Policy

        check_new_file(self.out)
        records = read_records(self.texts, self.file)
        checkpoint = open_language_model(self.source)
        second = None if self.against is None else open_language_model(self.against)
        opened = [checkpoint] + ([second] if second is not None else [])
        rows, starts = _rows(records, lazy_tokenizer(checkpoint.folder))
        for each in opened:
            check_ids(rows, each.config)
        if second is not None and second.config.vocab_size != checkpoint.config.vocab_size:
            sizes = checkpoint.config.vocab_size, second.config.vocab_size
            raise ValueError(f"the KL of two models needs one vocabulary, got {sizes[0]} and {sizes[1]} entries")
        size = min(self.batch, len(rows))
        parts: dict[str, int] = {}
        for each in opened:
            need = memory.scoring(
                each.config, Compute(self.dtype), memory.Mesh(), size, bucket(max(map(len, rows))), self.chunk
            )
            parts = {name: parts.get(name, 0) + count for name, count in need.parts.items()}
        check_room(
            memory.Memory(parts), f"scoring {size} sequences at once", "take a smaller --batch, --chunk, or bfloat16"
        )
        policies = [Policy(*load_model(each, self.dtype)) for each in opened]
        results = self._score(policies, rows, starts, size)
        names = ("prompt", "response", "text")
        found = [{**{n: r[n] for n in names if n in r}, **s} for r, s in zip(records, results, strict=True)]
        write(found, _as_text(results), self.out, self.format)
        return 0

    def _score(self, policies: Any, rows: list[list[int]], starts: list[int], size: int) -> list[dict[str, Any]]:
        """All rows, `size` at a time, the longest first (each batch is then padded little), in their order."""
        import jax
        import numpy as np

        from llm.commands.common import progress
        from llm.prompts import bucket, pad_right
        from llm.scoring import Policy, score

        models = [policy.model for policy in policies]

        @jax.jit
        def run(params: Any, tokens: Any, lengths: Any, starts: Any) -> Any:
            both = [Policy(model, p) for model, p in zip(models, params, strict=True)]
            other = both[1] if len(both) > 1 else None
            how: dict[str, Any] = {"other": other, "with_entropy": self.entropy, "chunk": self.chunk}
            return score(both[0], tokens, lengths, starts, **how)

        params = [policy.params for policy in policies]
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        results: list[dict[str, Any]] = [{} for _ in rows]
        for batch in progress("batches")([order[i : i + size] for i in range(0, len(order), size)]):
            filled = [*batch, *[batch[0]] * (size - len(batch))]  # one shape for the last batch too
            # One more than a bucket: the last token is scored, not read.
            tokens, lengths = pad_right([rows[i] for i in filled], bucket(len(rows[batch[0]]) - 1) + 1)
            scores = jax.device_get(run(params, tokens, lengths, np.array([starts[i] for i in filled], np.int32)))
            numbers = {"log_prob": scores.log_probs, "entropy": scores.entropy, "kl": scores.kl}
            numbers = {name: each for name, each in numbers.items() if each is not None}
            for line, i in enumerate(batch):
                mask = scores.mask[line]
                result: dict[str, Any] = {"tokens": int(mask.sum())}
                for name, each in numbers.items():
                    result[name] = float(each[line][mask].sum(dtype="float64"))
                if self.per_token:
                    result |= {f"{name}s_per_token": each[line][mask].tolist() for name, each in numbers.items()}
                results[i] = result
        return results


def _rows(records: list[dict[str, Any]], tokenizer: Any) -> tuple[list[list[int]], list[int]]:
    """Whole sequences, and where what is scored begins in each."""
    from llm.tokenizer import encode, encode_alone

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
