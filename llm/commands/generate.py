"""`modeseek llm generate`: continue prompts."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from llm.commands.common import OnRows

if TYPE_CHECKING:
    from llm.draw import Sampling
    from llm.models.model import Model
    from llm.models.parameters import Params


@dataclasses.dataclass(frozen=True)
class Generate(OnRows):
    """Sample responses to prompts, one or several each, and their log-probs.

    A line of a .jsonl file has prompt, messages (of a chat) or prompt_ids. A JSON record that comes out has prompt,
    response, prompt_ids, response_ids, log_prob (of the response, under the model), and stopped (false: it was cut at
    max-new-tokens); `modeseek llm score` reads such a file. The same seed gives the same responses, whatever the batch
    size.

    Attributes:
        prompts: texts to continue.
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
    """

    prompts: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[PROMPT ...]")] = ()
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

    def run(self) -> int:
        """Check everything, then load, generate and write; 0 on success.

        Raises:
            ValueError: bad numbers, prompts that the model cannot read, no tokenizer for text, too little memory.
        """
        self.check_counts("max_new_tokens", "samples", "batch")
        from llm import memory
        from llm.commands.lines import check_new_file, prompt_ids, read_records, write
        from llm.commands.loading import eos_ids, lazy_tokenizer, load_model, open_language_model
        from llm.draw import Sampling, check_sampling
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
        size, prompt = min(self.batch, len(rows)), bucket(max(map(len, rows)))
        model_of = checkpoint.config, self.counted_in(), memory.Mesh()
        needed = memory.inference(*model_of, size, prompt + bucket(self.max_new_tokens), prompt)
        self.check_room(needed, f"generating {size} responses at once", "a smaller --batch or fewer --max-new-tokens")
        self.check_room(memory.taking_apart(*model_of), "loading the model", "a smaller model")
        model, params = load_model(checkpoint, self.dtype)
        results = self._generate(model, model.for_decoding(params, donate=True), rows, size, sampling, stops)
        readable = any((checkpoint.folder / name).is_file() for name in FILES)
        texts = decode(tokenizer(), [r["response_ids"] for r in results]) if readable else None
        for i, result in enumerate(results):
            record = records[i // self.samples]
            given: dict[str, Any] = {name: record[name] for name in ("prompt", "messages") if name in record}
            results[i] = {**given, **({"response": texts[i]} if texts else {}), **result}
        shown = texts if texts is not None else [" ".join(map(str, r["response_ids"])) for r in results]
        write(results, _as_text(shown), self.out, self.format)
        return 0

    def _generate(
        self,
        model: "Model",
        params: "Params",
        rows: list[list[int]],
        size: int,
        sampling: "Sampling",
        stops: list[list[int]],
    ) -> list[dict[str, Any]]:
        """A record for each row, from its own key whatever batch it is in."""
        import jax
        import numpy as np

        from llm.commands.common import in_batches
        from llm.generate import generate
        from llm.prompts import pad_right

        key = jax.random.key(self.seed)
        how: dict[str, Any] = {"sampling": sampling, "stops": stops}

        def run(batch: list[int]) -> list[dict[str, Any]]:
            keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(np.array(batch))
            padded = pad_right([rows[i] for i in batch])
            out = jax.device_get(generate(model, params, *padded, self.max_new_tokens, keys=keys, **how))
            return [
                {
                    "prompt_ids": rows[i],
                    "response_ids": tokens[:length].tolist(),
                    "log_prob": float(log_probs[:length].sum(dtype="float64")),
                    "stopped": bool(stopped),
                }
                for i, tokens, length, stopped, log_probs in zip(
                    batch, out.tokens, out.lengths, out.stopped, out.log_probs, strict=True
                )
            ]

        return in_batches(rows, size, run)


def _as_text(texts: list[str]) -> list[str]:
    """One response a paragraph; alone, as it is."""
    if len(texts) == 1:
        return texts
    return [line for i, text in enumerate(texts) for line in (f"--- {i + 1}", text)]
