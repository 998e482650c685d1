"""`modeseek llm generate`: continue prompts."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from modeseek.llm.commands.common import OnRows

if TYPE_CHECKING:
    import numpy as np

    from modeseek.llm.inference.sampling import Sampling
    from modeseek.llm.models.model import Model
    from modeseek.llm.models.parameters import Params


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
        stop: texts that end a response, beside the model's EOS: it is cut after the token that completes the first of
            them, however it was tokenised, and keeps them; all that follow the option are stops, so put prompts first.
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
        from modeseek.llm.commands.lines import check_new_file, check_text, prompt_ids, read_records, write
        from modeseek.llm.commands.loading import (
            eos_ids,
            lazy_tokenizer,
            load_model,
            open_language_model,
            tokenizer_to_show,
        )
        from modeseek.llm.inference.padding import bucket, check_ids
        from modeseek.llm.inference.sampling import Sampling, check_sampling
        from modeseek.llm.inference.stops import ordinary_ids
        from modeseek.llm.inference.tokenizer import decode
        from modeseek.llm.parallel import memory
        from modeseek.llm.parallel.mesh import MeshShape

        sampling = Sampling(self.temperature, self.top_k, self.top_p)
        check_sampling(sampling)
        if not 0 <= self.seed < 2**32:  # JAX would take other numbers for one of these
            raise ValueError(f"seed must be a whole number from 0 to {2**32 - 1}, got {self.seed}")
        for stop in self.stop:
            check_text(stop, "a stop")
            if not stop:
                raise ValueError("a stop must be a text of at least one character, got an empty one")
        if self.stop and not self.prompts and self.file is None:
            raise ValueError(
                f"there are no prompts: all {len(self.stop)} texts after --stop are stops; put prompts before it"
            )
        check_new_file(self.out)
        records = read_records(self.prompts, self.file)
        checkpoint = open_language_model(self.source)
        tokenizer = lazy_tokenizer(checkpoint.folder)
        stops = [] if self.ignore_eos else [[i] for i in eos_ids(checkpoint)]
        ids = prompt_ids(records, tokenizer, chat=self.chat)
        check_ids(ids, checkpoint.config, new_tokens=self.max_new_tokens)
        stops += [written for stop in self.stop for written in ordinary_ids(tokenizer(), stop)]
        shown_by = tokenizer_to_show(checkpoint.folder, tokenizer)
        rows = [row for row in ids for _ in range(self.samples)]
        size, prompt = min(self.batch, len(rows)), bucket(max(map(len, rows)))
        model_of = checkpoint.config, self.counted_in(), MeshShape()
        needed = memory.inference(*model_of, size, prompt + bucket(self.max_new_tokens), prompt)
        self.check_fits(needed, f"generating {size} responses at once", "a smaller --batch or fewer --max-new-tokens")
        self.check_fits(memory.unstacking(*model_of), "loading the model", "a smaller model")
        model, params = load_model(checkpoint, self.dtype)
        params = model.for_decoding(params, donate=True)
        results = self._generate(model, params, rows, size, sampling, stops, tokenizer)
        texts = None if shown_by is None else decode(shown_by, [r["response_ids"] for r in results])
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
        tokenizer: Callable[[], Any],
    ) -> list[dict[str, Any]]:
        """A record for each row, from its own key whatever batch it is in."""
        import jax
        import numpy as np

        from modeseek.llm.commands.common import in_batches
        from modeseek.llm.inference.generate import generate
        from modeseek.llm.inference.padding import pad_right

        key = jax.random.key(self.seed)
        how: dict[str, Any] = {"sampling": sampling, "stops": stops}

        def run(batch: list[int]) -> list[dict[str, Any]]:
            keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(np.array(batch))
            padded = pad_right([rows[i] for i in batch])
            out = jax.device_get(generate(model, params, *padded, self.max_new_tokens, keys=keys, **how))
            return [
                self._record(i, rows[i], tokens[:length].tolist(), log_probs[:length], bool(stopped), tokenizer)
                for i, tokens, length, stopped, log_probs in zip(
                    batch, out.tokens, out.lengths, out.stopped, out.log_probs, strict=True
                )
            ]

        return in_batches(rows, size, run)

    def _record(
        self,
        number: int,
        prompt: list[int],
        ids: list[int],
        log_probs: "np.ndarray",
        stopped: bool,
        tokenizer: Callable[[], Any],
    ) -> dict[str, Any]:
        """Of a response whose end the loop may have missed: it knows a stop's ordinary ids alone."""
        from modeseek.llm.inference.stops import end_of_text

        self.check_finite(log_probs, f"the log-prob of a response to prompt {number // self.samples}")

        end = end_of_text(tokenizer(), ids, self.stop) if self.stop else None
        kept = ids[:end]  # None keeps all
        return {
            "prompt_ids": prompt,
            "response_ids": kept,
            "log_prob": float(log_probs[: len(kept)].sum(dtype="float64")),
            "stopped": stopped or end is not None,
        }


def _as_text(texts: list[str]) -> list[str]:
    """One response a paragraph; alone, as it is."""
    if len(texts) == 1:
        return texts
    return [line for i, text in enumerate(texts) for line in (f"--- {i + 1}", text)]
