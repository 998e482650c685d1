"""`modeseek llm generate`: continue prompts."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from llm.commands.lines import Format

if TYPE_CHECKING:
    from llm.models.model import Model
    from llm.models.parameters import Params


@dataclasses.dataclass(frozen=True)
class Generate:
    """Sample responses to prompts, one or several each, and their log-probs.

    A JSON record has prompt, response, prompt_ids, response_ids, log_prob (of the response, under the model), and
    stopped (false: it was cut at max-new-tokens); `modeseek llm score` reads such a file. The same seed gives the same
    responses, whatever the batch size.

    Attributes:
        source: a local folder, or a name on the Hugging Face hub (owner/name or owner/name@revision).
        prompts: texts to continue.
        file: prompts from a file: .jsonl, with prompt, messages or prompt_ids in each line, or text with one a line;
            - is standard input.
        chat: treat each prompt as a message of the user, in the model's chat template.
        max_new_tokens: the most that a response has.
        samples: responses to each prompt.
        temperature: divides the logits; 0 is greedy.
        top_k: draw from this many of the most probable tokens; 0 for all.
        top_p: draw from the most probable tokens that together have this probability; 1 for all.
        stop: texts that end a response once their tokens have been generated, beside the model's EOS.
        ignore_eos: go on after EOS.
        seed: of all draws.
        batch: responses at once.
        dtype: of computing.
        out: a new file; standard output, if not given.
        format: of the output; auto writes JSON to a file whose name ends in .jsonl, else text.
    """

    source: Annotated[str, tyro.conf.Positional]
    prompts: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    file: Path | None = None
    chat: bool = False
    max_new_tokens: int = 128
    samples: int = 1
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    seed: int = 0
    batch: int = 64
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    out: Path | None = None
    format: Format = "auto"

    def run(self) -> int:
        """Check everything, then load, generate and write; 0 on success.

        Raises:
            ValueError: bad numbers, prompts that the model cannot read, no tokenizer for text, too little memory.
        """
        for field in ("max_new_tokens", "samples", "batch"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")
        from llm import memory
        from llm.available import check_room
        from llm.commands.lines import check_new_file, prompt_ids, read_records, write
        from llm.commands.loading import eos_ids, lazy_tokenizer, load_model, open_language_model
        from llm.draw import Sampling, check_sampling
        from llm.models.model import Compute
        from llm.prompts import bucket, check_ids
        from llm.tokenizer import FILES, decode, encode_alone

        sampling = Sampling(self.temperature, self.top_k, self.top_p)
        check_sampling(sampling)
        check_new_file(self.out)
        records = read_records(self.prompts, self.file)
        checkpoint = open_language_model(self.source)
        tokenizer = lazy_tokenizer(checkpoint.folder)
        ids = prompt_ids(records, tokenizer, chat=self.chat)
        check_ids(ids, checkpoint.config, new_tokens=self.max_new_tokens)
        stops = [] if self.ignore_eos else [[i] for i in eos_ids(checkpoint)]
        stops += encode_alone(tokenizer(), self.stop) if self.stop else []
        rows = [row for row in ids for _ in range(self.samples)]
        length = bucket(max(map(len, rows))) + bucket(self.max_new_tokens)
        size = min(self.batch, len(rows))
        check_room(
            memory.inference(checkpoint.config, Compute(self.dtype), memory.Mesh(), size, length),
            f"generating {size} responses at once",
            "take a smaller --batch, fewer --max-new-tokens, or --dtype bfloat16",
        )
        model, params = load_model(checkpoint, self.dtype)
        results = self._generate(model, model.for_decoding(params), rows, size, sampling, stops)
        readable = any((checkpoint.folder / name).is_file() for name in FILES)
        texts = decode(tokenizer(), [r["response_ids"] for r in results]) if readable else None
        for i, result in enumerate(results):
            record = records[i // self.samples]
            given: dict[str, Any] = {name: record[name] for name in ("prompt", "messages") if name in record}
            results[i] = {**given, **({"response": texts[i]} if texts else {}), **result}
        shown = texts if texts is not None else [" ".join(map(str, r["response_ids"])) for r in results]
        write(results, self._as_text(shown), self.out, self.format)
        return 0

    def _generate(
        self, model: "Model", params: "Params", rows: list[list[int]], size: int, sampling: Any, stops: list[list[int]]
    ) -> list[dict[str, Any]]:
        """All rows, `size` at a time, the longest prompts first (each batch is then padded little), in their order."""
        import jax
        import numpy as np

        from llm.commands.common import progress
        from llm.generate import generate
        from llm.prompts import pad_right

        key = jax.random.key(self.seed)
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        results: list[dict[str, Any]] = [{} for _ in rows]
        for batch in progress("batches")(batches):
            filled = [*batch, *[batch[0]] * (size - len(batch))]  # one shape for the last batch too
            padded = pad_right([rows[i] for i in filled])
            keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(np.array(filled))
            out = generate(model, params, *padded, self.max_new_tokens, keys=keys, sampling=sampling, stops=stops)
            tokens, lengths, stopped, log_probs, _ = jax.device_get(out)
            for i, row, length, done, each in zip(batch, tokens, lengths, stopped, log_probs, strict=False):
                results[i] = {
                    "prompt_ids": rows[i],
                    "response_ids": row[:length].tolist(),
                    "log_prob": float(each[:length].sum(dtype="float64")),
                    "stopped": bool(done),
                }
        return results

    def _as_text(self, texts: list[str]) -> list[str]:
        """One response a paragraph; alone, as it is."""
        if len(texts) == 1:
            return texts
        return [line for i, text in enumerate(texts) for line in (f"--- {i + 1}", text)]
