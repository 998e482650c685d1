"""A language model as one object: loaded from a folder or the hub, it generates and scores texts."""

import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from modeseek.checks import require, whole
from modeseek.llm.checkpoints import load as reading
from modeseek.llm.checkpoints.adapters import open_adapter
from modeseek.llm.checkpoints.checkpoint import Checkpoint, open_checkpoint
from modeseek.llm.checkpoints.hub import local_folder
from modeseek.llm.inference.batched import (
    Progress,
    Response,
    ResponseScores,
    generate_rows,
    generation_memory,
    score_rows,
    scoring_memory,
    stops_of,
)
from modeseek.llm.inference.ends import chat_ends
from modeseek.llm.inference.padding import check_ids
from modeseek.llm.inference.records import Record, check_text, ends_turns, prompt_ids, sequences
from modeseek.llm.inference.sampling import Sampling, check_sampling
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.inference.tokenizer import FILES, Message, decode_responses, load_tokenizer, readings
from modeseek.llm.models.config import ModelConfig
from modeseek.llm.models.hugging_face import read_config
from modeseek.llm.models.low_rank import Adapter, merge
from modeseek.llm.models.model import Compute, Model
from modeseek.llm.models.parameters import Params
from modeseek.llm.parallel import memory
from modeseek.llm.parallel.device_memory import check_fits, compute_counted
from modeseek.llm.parallel.mesh import MeshShape

Prompt = str | Sequence[int] | Sequence[Message]
"""A text, token ids as they are, or the messages of a conversation (through the model's own template)."""


MOST_RESPONSES = 10_000_000
"""Their ids alone take gigabytes."""


@dataclasses.dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model that generates and scores, with its parameters on the device.

        model = load_model("EleutherAI/pythia-70m")
        for response in model.generate(["The capital of France is"], max_new_tokens=8, temperature=0.0):
            print(response.text)
        model.score(["The capital of France is"], [" Paris"])[0].log_prob

    Attributes:
        config: its sizes.
        model: its functions.
        params: its parameters, layers stacked.
        folder: where its files are.
        tokenizer: transformers' own; None if the folder has none that can be read: ids can do without.
        eos_ids: the ids that end a response.
    """

    config: ModelConfig
    model: Model
    params: Params
    folder: Path
    tokenizer: Any | None
    eos_ids: tuple[int, ...]

    def generate(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int = 128,
        samples: int = 1,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        ignore_eos: bool = False,
        seed: int = 0,
        batch: int = 64,
        progress: Progress = lambda items: items,
    ) -> list[Response]:
        """Responses to prompts, one prompt's after the other: `[r.text for r in model.generate(["Once", "Twice"])]`.

        The same seed gives the same responses, whatever the batch size.

        Args:
            prompts: texts, ids or conversations.
            max_new_tokens: the most that a response has.
            samples: responses to each prompt.
            temperature: divides the logits; 0 is greedy.
            top_k: how many of the most probable tokens may be drawn; 0 for all.
            top_p: the most probable tokens that together have this probability may be drawn; 1 for all.
            stop: texts that end a response, beside EOS; it is cut after the token that completes one, and keeps it.
            ignore_eos: go on after EOS.
            seed: of all draws.
            batch: responses at once.
            progress: wraps the batches, as `tqdm.tqdm` does.

        Raises:
            ValueError: bad numbers, prompts that the model cannot read, texts without a tokenizer, too little memory.
        """
        for name, value in (("max_new_tokens", max_new_tokens), ("samples", samples), ("batch", batch)):
            whole(name, value, 1)
        sampling = Sampling(temperature, top_k, top_p)
        check_sampling(sampling)
        check_seed(seed)
        check_stops(stop)
        records = _records(prompts)
        ids = prompt_ids(records, self._tokenizer)
        check_ids(ids, self.config, new_tokens=max_new_tokens)
        ends = [] if ignore_eos else list(self.eos_ids)
        if ends_turns(records) and not ignore_eos:
            ends = chat_ends(ends, self._tokenizer(), self.config.vocab_size)
        stops = stops_of(ends, stop, self._tokenizer)
        check_count(len(ids) * samples)
        size = min(batch, len(ids) * samples)
        needed = generation_memory(self.config, compute_counted(self.model.compute.dtype), ids, max_new_tokens, size)
        check_fits(needed, f"generating {size} responses at once", "take a smaller batch or fewer max_new_tokens")
        responses = generate_rows(
            self.model,
            self.model.for_decoding(self.params),
            ids,
            max_new_tokens,
            key=jax.random.key(seed),
            samples=samples,
            batch=batch,
            sampling=sampling,
            stops=stops,
            tokenizer=self._tokenizer,
            progress=progress,
        )
        return responses if self.tokenizer is None else with_texts(responses, self.tokenizer)

    def score(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str | Sequence[int]],
        *,
        against: "LanguageModel | None" = None,
        entropy: bool = False,
        batch: int = 8,
        chunk: int = 1024,
        progress: Progress = lambda items: items,
    ) -> list[ResponseScores]:
        """Log-probs of responses: `model.score(["2 + 2 ="], [" 4"])[0].log_prob` is log π(" 4" | "2 + 2 =").

        Prompt and response are tokenised apart; ids that were sampled are scored as they are.

        Args:
            prompts: texts, ids or conversations.
            responses: one to each prompt, texts or ids.
            against: a second model with the same vocabulary, for KL(self ‖ against) of every next-token distribution.
            entropy: also the entropy of every next-token distribution.
            batch: sequences at once.
            chunk: tokens whose logits are held at once.
            progress: wraps the batches, as `tqdm.tqdm` does.

        Raises:
            ValueError: another number of responses than of prompts, empty ones, ones that the model cannot read,
                another vocabulary, texts without a tokenizer, too little memory.
        """
        whole("batch", batch, 1)
        whole("chunk", chunk, 1)
        require(
            not isinstance(responses, str) and len(prompts) == len(responses),
            f"responses must be a list with one for each of the {len(prompts)} prompts, got {_shown(responses)}",
        )
        answers = [{"response": r} if isinstance(r, str) else {"response_ids": list(r)} for r in responses]
        for number, response in enumerate(responses):
            if isinstance(response, str):
                check_text(response, f"response {number}")
        records = [prompt | answer for prompt, answer in zip(_records(prompts), answers, strict=True)]
        rows, starts = sequences(records, self._tokenizer)
        models = [self] if against is None else [self, against]
        check_vocabularies([each.config for each in models])
        for each in models:
            check_ids(rows, each.config, name="record")
        size = min(batch, len(rows))
        counted = compute_counted(self.model.compute.dtype)
        needed = scoring_memory([each.config for each in models], counted, rows, size, chunk)
        advice = "take a smaller batch or chunk"
        check_fits(needed, f"scoring {size} sequences at once", advice, there=("parameters",))
        pairs = [ModelWithParams(each.model, each.params) for each in models]
        how: dict[str, Any] = {"batch": batch, "chunk": chunk, "with_entropy": entropy, "progress": progress}
        return score_rows(pairs, rows, starts, **how)

    def _tokenizer(self) -> Any:
        """The tokenizer, for texts; where there is none, reading it anew says why."""
        return load_tokenizer(self.folder) if self.tokenizer is None else self.tokenizer


def load_model(
    source: str | Path,
    *,
    revision: str | None = None,
    adapter: str | Path | None = None,
    dtype: str = "float32",
    progress: Progress = lambda items: items,
) -> LanguageModel:
    """Load a language model from the hub or a local folder.

    >>> model = modeseek.load_model("EleutherAI/pythia-70m", revision="step1000")
    >>> model.generate(["The capital of France is"], max_new_tokens=8, temperature=0)[0].text
    >>> model.score(["The capital of France is"], [" Paris"])[0].log_prob  # nats

    Only safetensors are read, and no code of the hub's is run.

    Args:
        source: a local folder, or a name on the Hugging Face hub (`owner/name`).
        revision: of a name on the hub: a branch, a tag or a commit.
        adapter: low-rank changes (LoRA) in PEFT's format, a folder or a name on the hub; they are merged.
        dtype: of parameters and computing: float32, bfloat16 or float16.
        progress: wraps the tensors that are read, as `tqdm.tqdm` does.

    Raises:
        ValueError: no such source, a faulty folder, a model with another head, an adapter of another base or kind, or
            too little memory.
    """
    checkpoint = open_language_model(str(source) if revision is None else f"{source}@{revision}")
    change = None if adapter is None else open_adapter(str(adapter), checkpoint.config)
    tokenizer = readable_tokenizer(checkpoint.folder, lazy_tokenizer(checkpoint.folder))
    ends = tuple(eos_ids(checkpoint))
    # What a load needs at most: the parameters in the dtype of computing.
    needed = memory.unstacking(checkpoint.config, compute_counted(dtype), MeshShape()).parts["parameters"]
    check_fits(memory.MemoryEstimate({"parameters": needed}), "loading the model", "take a smaller model, or bfloat16")
    model, params = load_parameters(checkpoint, dtype, progress, change)
    return LanguageModel(checkpoint.config, model, params, checkpoint.folder, tokenizer, ends)


def open_language_model(source: str) -> Checkpoint:
    """A checkpoint that can generate and score.

    Raises:
        ValueError: no such source, a faulty folder, or a model with another head.
    """
    checkpoint = open_checkpoint(local_folder(source))
    if checkpoint.heads != ("lm",):
        raise ValueError(f"{source} has a {checkpoint.heads[0]} head: this needs a language model")
    return checkpoint


def load_parameters(
    checkpoint: Checkpoint,
    dtype: str,
    progress: Progress = lambda items: items,
    adapter: Adapter | None = None,
) -> tuple[Model, Params]:
    """The model and its parameters, both in the dtype of computing, with an adapter merged: nothing is trained here."""
    params = reading.load(checkpoint, dtype=dtype, progress=progress)
    if adapter is not None:
        params = jax.jit(merge, donate_argnums=0)(params, adapter.tree, adapter.scale)
    return Model(checkpoint.config, Compute(dtype)), params


def lazy_tokenizer(folder: Path) -> Callable[[], Any]:
    """The folder's tokenizer, read when text first needs it: ids alone need none."""
    return functools.cache(lambda: load_tokenizer(folder))


def readable_tokenizer(folder: Path, tokenizer: Callable[[], Any]) -> Any | None:
    """What writes responses as text, read before any work; None if the folder has no tokenizer, and, with a note on
    standard error, if it cannot be read: prompts that came as ids can do without."""
    if not any((folder / name).is_file() for name in FILES):
        return None
    try:
        readings(tokenizer())
        return tokenizer()
    except ValueError as error:
        print(f"modeseek: note: {error}; responses are written as ids alone", file=sys.stderr)
        return None


def eos_ids(checkpoint: Checkpoint) -> list[int]:
    """The ids that end a response: of `generation_config.json`, else of `config.json`; possibly none.

    Raises:
        ValueError: the file cannot be read, or what it names is no id.
    """
    file, given = checkpoint.folder / "generation_config.json", None
    if file.exists():
        given = read_config(file).get("eos_token_id")
    if given is None:
        file, given = checkpoint.folder / "config.json", checkpoint.raw.get("eos_token_id")
    ids = [] if given is None else given if isinstance(given, list) else [given]
    if not all(type(i) is int and i >= 0 for i in ids):  # True is an int too
        raise ValueError(f"{file}: eos_token_id must be an id, a list of ids or null, got {json.dumps(given)}")
    return [i for i in ids if i < checkpoint.config.vocab_size]  # no other is ever generated


def with_texts(responses: Sequence[Response], tokenizer: Any) -> list[Response]:
    """The responses with their texts."""
    texts = decode_responses(tokenizer, [response.response_ids for response in responses])
    return [dataclasses.replace(r, text=text) for r, text in zip(responses, texts, strict=True)]


def check_seed(seed: int) -> None:
    """Raises ValueError for a seed that JAX would take for another one."""
    require(0 <= seed < 2**32, f"seed must be a whole number from 0 to {2**32 - 1}, got {seed}")


def check_count(responses: int) -> None:
    """Raises ValueError for more responses than a run holds."""
    require(
        responses <= MOST_RESPONSES,
        f"these would be {responses} responses, and at most {MOST_RESPONSES} are made at once: take several seeds",
    )


def check_stops(stops: Sequence[str]) -> None:
    """Raises ValueError for stops that are no texts, or empty."""
    require(not isinstance(stops, str), f"stop must be a list of texts, got the text {stops!r}")
    for stop in stops:
        check_text(stop, "a stop")
        require(stop != "", "a stop must be a text of at least one character, got an empty one")


def check_vocabularies(configs: Sequence[ModelConfig]) -> None:
    """Raises ValueError for two models whose next-token distributions have no KL."""
    if len({config.vocab_size for config in configs}) > 1:
        sizes = " and ".join(str(config.vocab_size) for config in configs)
        raise ValueError(f"the KL of two models needs one vocabulary, got {sizes} entries")


def _records(prompts: Sequence[Prompt]) -> list[Record]:
    require(not isinstance(prompts, str), f"prompts must be a list of prompts, got the text {prompts!r}")
    found: list[Record] = []
    for number, prompt in enumerate(prompts):
        if isinstance(prompt, str):
            check_text(prompt, f"prompt {number}")
            found.append({"prompt": prompt})
        elif len(prompt) and isinstance(prompt[0], dict):
            found.append({"messages": list(prompt)})
        else:
            found.append({"prompt_ids": list(prompt)})
    return found


def _shown(responses: Any) -> str:
    return f"the text {responses!r}" if isinstance(responses, str) else str(len(responses))
