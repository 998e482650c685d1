"""`modeseek llm evaluate`: what a policy does on held-out prompts."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modeseek.checks import whole
from modeseek.llm.commands.common import BATCHES, Source
from modeseek.llm.commands.texts import TemplateName
from modeseek.llm.commands.training import check_context
from modeseek.llm.data.scenarios import PAPER_MODE
from modeseek.progress import progress

if TYPE_CHECKING:
    from modeseek.llm.evaluation.evaluate import Evaluation


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Sample responses to prompts, and measure them: rewards, lengths, the share that ends with EOS, entropy, KL.

    Samples are the model's own, at temperature 1. A gold reward (a known function of a response) and a proxy (a reward
    model) are measured on the same samples: a policy that raises the second and not the first has over-optimised.

    Attributes:
        source: the policy: a local folder, or a name on the Hugging Face hub (owner/name or owner/name@revision).
        data: a file (.jsonl, .json, .parquet), a folder, or a data set of the hub, whose prompts are answered: some
            that the policy was not trained on.
        reference: a second model with the same vocabulary, for KL(source ‖ reference).
        reward_model: a folder that `modeseek llm reward-model` has written, or a hub's, with the policy's vocabulary.
        gold: fewer words are better (min_length), or a number of words near --mode (mode_length).
        unit: what gold counts.
        mode: the length with the highest mode_length.
        split: the split of the data set that is read, where it has several.
        template: what stands around the prompt: nothing, the paper's marks, or the tokenizer's chat template.
        limit: how many of the data's first rows are read; all of them, if it is not given.
        max_prompt: the most tokens of a prompt; a longer one loses its oldest.
        max_new_tokens: the most tokens that a response has.
        samples: how many responses each prompt is given.
        batch: how many responses are written at once.
        seed: a whole number that the samples follow from.
        dtype: the numbers that models are computed in.
        out: a new .json file, which also holds every sample.
    """

    source: Source
    data: str
    reference: str | None = None
    reward_model: str | None = None
    gold: Literal["none", "min_length", "mode_length"] = "none"
    unit: Literal["words", "tokens"] = "words"
    mode: float = PAPER_MODE
    split: str | None = None
    template: TemplateName = "plain"
    limit: int | None = None
    max_prompt: int = 128
    max_new_tokens: int = 256
    samples: int = 1
    batch: int = 32
    seed: int = 0
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    out: Path | None = None

    def run(self) -> int:
        """Check everything, then load, sample, measure and print; 0 on success.

        Raises:
            ValueError: no such model or data, another vocabulary, impossible numbers, too little memory.
        """
        for name in ("max_prompt", "max_new_tokens", "samples", "batch"):
            whole(name, getattr(self, name), 1)
        import jax

        from modeseek.files import check_new_file
        from modeseek.llm.commands.texts import reading_of, template
        from modeseek.llm.data.examples import Source as Data
        from modeseek.llm.data.examples import examples_from
        from modeseek.llm.data.tokenization import Limits
        from modeseek.llm.evaluation.evaluate import EvaluationConfig, evaluate
        from modeseek.llm.inference.batched import generation_memory
        from modeseek.llm.inference.language_model import (
            check_count,
            check_seed,
            check_vocabularies,
            load_parameters,
            open_language_model,
        )
        from modeseek.llm.inference.scoring import ModelWithParams
        from modeseek.llm.parallel.device_memory import check_fits, compute_counted
        from modeseek.llm.rewards.functions import LengthGold
        from modeseek.llm.rewards.reward_model import as_reward, open_scorer

        check_seed(self.seed)
        gold = None if self.gold == "none" else LengthGold(self.gold, self.unit, self.mode)
        check_new_file(self.out)
        opened = [open_language_model(name) for name in (self.source, self.reference) if name is not None]
        checkpoint = opened[0]
        check_vocabularies([each.config for each in opened])
        tokenizer, tokens, eos = reading_of(checkpoint, self.template)
        scorer = None if self.reward_model is None else open_scorer(self.reward_model, checkpoint)
        for each in (*opened, *([] if scorer is None else [scorer])):
            lower = "--max-prompt or --max-new-tokens"
            check_context(each, self.max_prompt, self.max_new_tokens, lower, str(each.folder))
        data = Data(self.data, self.split, limit=self.limit, held_out=0.0)
        limits = Limits(self.max_prompt, self.max_new_tokens)
        examples = examples_from(data, tokens, "prompts", template=template(self.template, tokenizer), limits=limits)
        print(examples.report)
        prompts = [example.prompt.tolist() for example in examples.training]
        check_count(len(prompts) * self.samples)
        size = min(self.batch, len(prompts) * self.samples)
        needed = generation_memory(checkpoint.config, compute_counted(self.dtype), prompts, self.max_new_tokens, size)
        check_fits(needed, f"generating {size} responses at once", "take a smaller --batch or fewer --max-new-tokens")
        loaded = [ModelWithParams(*load_parameters(each, self.dtype, progress("tensors"))) for each in opened]
        rewards = {} if gold is None else {"gold": gold.function(eos)}
        if scorer is not None:
            proxy = ModelWithParams(*load_parameters(scorer, self.dtype, progress("tensors")))
            rewards["proxy"] = as_reward(proxy, pad=scorer.raw.get("pad_token_id"), batch=self.batch)
        found = evaluate(
            loaded[0],
            prompts,
            key=jax.random.key(self.seed),
            eos=eos,
            reference=loaded[1] if len(loaded) > 1 else None,
            rewards=rewards,
            tokens=tokens,
            config=EvaluationConfig(self.samples, self.max_new_tokens, self.batch),
            progress=progress(BATCHES, delay=0),
        )
        print("\n".join(f"{name:<24}{value:>14.4f}" for name, value in found.numbers.items()))
        print(", ".join(f"{phase} {spent:.1f} s" for phase, spent in found.seconds.items()))
        if self.out is not None:
            self._write(self.out, found, prompts)
        return 0

    def _write(self, out: Path, found: "Evaluation", prompts: list[list[int]]) -> None:
        from modeseek.files import replacing

        asked: dict[str, Any] = dataclasses.asdict(self) | {"out": str(out)}
        samples = [{**each._asdict(), "prompt_ids": prompts[each.prompt]} for each in found.samples]
        written = {"asked": asked, "numbers": found.numbers, "seconds": found.seconds, "samples": samples}
        with replacing(out) as temporary:
            temporary.write_text(json.dumps(written, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(f"saved in {out}")
