"""`modeseek llm generate`: continue prompts."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from modeseek.llm.commands.common import BATCHES, OnRows
from modeseek.progress import progress

if TYPE_CHECKING:
    from modeseek.llm.inference.batched import Response


@dataclasses.dataclass(frozen=True)
class Generate(OnRows):
    """Sample responses to prompts, one or several each, and their log-probs.

    A line of a .jsonl file has prompt, messages (of a chat) or prompt_ids. A JSON record that comes out has prompt,
    response, prompt_ids, response_ids, log_prob (of the response, under the model), and stopped (false: it was cut at
    max-new-tokens); `modeseek llm score` reads such a file. The same seed gives the same responses, whatever the batch
    size. What is interrupted goes on by the same command with the same --out.

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
        import jax

        from modeseek.files import check_new_file
        from modeseek.llm.commands.lines import READ, read_records, write
        from modeseek.llm.inference.batched import generate_rows, generation_memory, stops_of
        from modeseek.llm.inference.ends import chat_ends
        from modeseek.llm.inference.language_model import (
            check_count,
            check_seed,
            check_stops,
            eos_ids,
            lazy_tokenizer,
            load_parameters,
            open_language_model,
            readable_tokenizer,
            with_texts,
        )
        from modeseek.llm.inference.padding import check_ids
        from modeseek.llm.inference.records import ends_turns, prompt_ids
        from modeseek.llm.inference.sampling import Sampling, check_sampling
        from modeseek.llm.parallel import memory
        from modeseek.llm.parallel.mesh import MeshShape

        sampling = Sampling(self.temperature, self.top_k, self.top_p)
        check_sampling(sampling)
        check_seed(self.seed)
        check_stops(self.stop)
        if self.stop and not self.prompts and self.file is None:
            raise ValueError(
                f"there are no prompts: all {len(self.stop)} texts after --stop are stops; put prompts before it"
            )
        check_new_file(self.out)
        records = read_records(self.prompts, self.file, READ)
        checkpoint = open_language_model(self.source)
        adapter = self.open_adapter(checkpoint.config)
        tokenizer = lazy_tokenizer(checkpoint.folder)
        ends = [] if self.ignore_eos else eos_ids(checkpoint)
        if ends_turns(records, chat=self.chat) and not self.ignore_eos:
            ends = chat_ends(ends, tokenizer(), checkpoint.config.vocab_size)
        ids = prompt_ids(records, tokenizer, chat=self.chat)
        check_ids(ids, checkpoint.config, new_tokens=self.max_new_tokens)
        stops = stops_of(ends, self.stop, tokenizer)
        shown_by = readable_tokenizer(checkpoint.folder, tokenizer)
        check_count(len(ids) * self.samples)
        size, compute = min(self.batch, len(ids) * self.samples), self.compute_counted()
        needed = generation_memory(checkpoint.config, compute, ids, self.max_new_tokens, size)
        self.check_fits(needed, f"generating {size} responses at once", "a smaller --batch or fewer --max-new-tokens")
        unstacking = memory.unstacking(checkpoint.config, compute, MeshShape())
        self.check_fits(unstacking, "loading the model", "a smaller model")
        with self.kept([checkpoint.folder], ids, adapter, _response) as keeper:
            model, params = load_parameters(checkpoint, self.dtype, progress("tensors"), adapter)
            responses = generate_rows(
                model,
                model.for_decoding(params, donate=True),
                ids,
                self.max_new_tokens,
                key=jax.random.key(self.seed),
                samples=self.samples,
                batch=self.batch,
                sampling=sampling,
                stops=stops,
                tokenizer=tokenizer,
                cure=self.overflow_cure(),
                keeper=keeper,
                progress=progress(BATCHES, delay=0),
            )
            if shown_by is not None:
                responses = with_texts(responses, shown_by)
            found = [_record(records[i // self.samples], response) for i, response in enumerate(responses)]
            texts = [" ".join(map(str, r.response_ids)) if r.text is None else r.text for r in responses]
            write(found, _as_text(texts), self.out, self.format)
        return 0


def _response(fields: dict[str, Any]) -> "Response":
    from modeseek.llm.inference.batched import Response

    return Response(**fields)


def _record(given: dict[str, Any], response: "Response") -> dict[str, Any]:
    """What is written of a response: what was given, its text if there is one, ids and numbers."""
    return {
        **{name: given[name] for name in ("prompt", "messages") if name in given},
        **({} if response.text is None else {"response": response.text}),
        "prompt_ids": response.prompt_ids,
        "response_ids": response.response_ids,
        "log_prob": response.log_prob,
        "stopped": response.stopped,
    }


def _as_text(texts: list[str]) -> list[str]:
    """One response a paragraph; alone, as it is."""
    if len(texts) == 1:
        return texts
    return [line for i, text in enumerate(texts) for line in (f"--- {i + 1}", text)]
