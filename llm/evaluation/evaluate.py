"""What a policy does on held-out prompts: its rewards, lengths, and how far it has left the reference.

Every number is measured on samples of the policy itself, at temperature 1 and without truncation: what gold and proxy
reward say of the same samples shows over-optimisation, and a KL along them is the policy's.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array

from modeseek.checks import whole
from modeseek.llm.data.scenarios import words
from modeseek.llm.data.tokens import TextTokens
from modeseek.llm.inference.batched import Progress, ResponseScores, Stops, generate_rows, score_rows
from modeseek.llm.inference.padding import check_ids
from modeseek.llm.inference.scoring import ModelWithParams
from modeseek.llm.rewards.functions import RewardFunction, call, responses_of, without_end

NO_REWARDS: Mapping[str, RewardFunction] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How a policy is evaluated.

    Attributes:
        samples: responses to each prompt.
        max_new_tokens: the most that a response has, EOS included.
        batch: responses at once.
        chunk: tokens whose logits are held at once in scoring.
    """

    samples: int = 1
    max_new_tokens: int = 256
    batch: int = 32
    chunk: int = 1024

    def __post_init__(self) -> None:
        """Raises ValueError for what is no whole number of at least 1."""
        for field in dataclasses.fields(self):
            whole(field.name, getattr(self, field.name), 1)


class Sample(NamedTuple):
    """One response and what is known of it.

    Attributes:
        prompt: number of its prompt.
        response_ids: EOS included.
        text: without EOS; None where there is no tokenizer.
        ended: whether EOS ended it; otherwise it was cut.
        rewards: by name.
        log_prob: log π(y | x), nats.
        entropy: of the next-token distributions along it, their sum, nats.
        log_ratio: log π(y | x) - log π_ref(y | x), nats; None without a reference.
        kl: KL(policy ‖ reference) of the next-token distributions along it, their sum, nats; None without a reference.
    """

    prompt: int
    response_ids: list[int]
    text: str | None
    ended: bool
    rewards: Mapping[str, float]
    log_prob: float
    entropy: float
    log_ratio: float | None
    kl: float | None


class Evaluation(NamedTuple):
    """Numbers of a policy, the samples that they are means over, and the seconds that each phase took.

    Attributes:
        numbers: by name; means over all samples, each prompt counting alike.

            - `reward_NAME`, `reward_NAME_error`: of each reward function, and the mean's standard error over prompts
              (if there are several).
            - `tokens`, `words`: lengths of responses without EOS; words where there is a tokenizer.
            - `share_eos`: share of the responses that EOS ended.
            - `entropy`: nats a token.
            - `kl`: KL(policy ‖ reference), nats a response: exact in each next token, along sampled prefixes.
            - `kl_sampled`: the same number estimated by log-ratios alone, so with more noise; may be below 0.
            - `kl_per_token`: `kl` over the tokens of a response, EOS included.
        samples: one prompt's after the other.
        seconds: by phase: generate, score, reward.
    """

    numbers: dict[str, float]
    samples: list[Sample]
    seconds: dict[str, float]


def evaluate(
    policy: ModelWithParams,
    prompts: Sequence[Sequence[int]],
    *,
    key: Array,
    eos: Sequence[int],
    reference: ModelWithParams | None = None,
    rewards: Mapping[str, RewardFunction] = NO_REWARDS,
    tokens: TextTokens | None = None,
    config: EvaluationConfig | None = None,
    progress: Progress = lambda items: items,
) -> Evaluation:
    """Sample responses to held-out prompts, and measure them.

    The same key gives the same samples, whatever the batch size.

    Args:
        policy: with a language-model head.
        prompts: ids of each.
        key: of the samples; consumed.
        eos: the ids that end a response.
        reference: what the policy is compared with.
        rewards: gold, proxy, or whatever is to be known of a response, by name.
        tokens: writes the responses' texts.
        config: how many samples of which length.
        progress: wraps the batches of each phase.

    Raises:
        ValueError: prompts that the model cannot read, a reference of another vocabulary, a reward that fails, numbers
            that are not finite.
    """
    config = EvaluationConfig() if config is None else config
    ids = [[int(token) for token in prompt] for prompt in prompts]
    check_ids(ids, policy.model.config, new_tokens=config.max_new_tokens)
    seconds: dict[str, float] = {}

    began = time.monotonic()
    responses = generate_rows(
        policy.model,
        policy.model.for_decoding(policy.params),
        ids,
        config.max_new_tokens,
        key=key,
        samples=config.samples,
        batch=config.batch,
        stops=Stops([[token] for token in eos]),
        progress=progress,
    )
    began = _clock(seconds, "generate", began)

    rows = [[*each.prompt_ids, *each.response_ids] for each in responses]
    starts = [len(each.prompt_ids) for each in responses]
    how: dict[str, Any] = {"batch": config.batch, "chunk": config.chunk, "progress": progress}
    models = [policy] if reference is None else [policy, reference]
    found = score_rows(models, rows, starts, with_entropy=True, **how)
    others = None if reference is None else score_rows([reference], rows, starts, **how)
    began = _clock(seconds, "score", began)

    groups = [responses[i : i + config.samples] for i in range(0, len(responses), config.samples)]
    read = responses_of(ids, [[each.response_ids for each in group] for group in groups], tokens, eos=eos)
    rewarded = {name: call(function, read, f"the reward {name!r}") for name, function in rewards.items()}
    _clock(seconds, "reward", began)

    samples = []
    for number, (response, scores) in enumerate(zip(responses, found, strict=True)):
        p, n = divmod(number, config.samples)
        sample = Sample(
            prompt=p,
            response_ids=response.response_ids,
            text=None if read.texts is None else read.texts[p][n],
            ended=response.stopped,
            rewards={name: float(values[p, n]) for name, values in rewarded.items()},
            log_prob=scores.log_prob,
            entropy=_sum(scores.entropy),
            log_ratio=None if others is None else scores.log_prob - others[number].log_prob,
            kl=None if others is None else _sum(scores.kl),
        )
        samples.append(sample)
    return Evaluation(_numbers(samples, found, rewarded, eos), samples, seconds)


def _clock(seconds: dict[str, float], phase: str, began: float) -> float:
    now = time.monotonic()
    seconds[phase] = round(now - began, 3)
    return now


def _sum(values: np.ndarray | None) -> float:
    assert values is not None  # they were asked for
    return float(np.sum(values, dtype=np.float64))


def _numbers(
    samples: Sequence[Sample],
    scores: Sequence[ResponseScores],
    rewarded: Mapping[str, np.ndarray],
    eos: Sequence[int],
) -> dict[str, float]:
    mean = lambda values: float(np.mean(np.asarray(values, np.float64)))
    tokens = sum(len(each.log_probs) for each in scores)
    numbers: dict[str, float] = {}
    for name, values in rewarded.items():
        by_prompt = values.astype(np.float64).mean(axis=1)
        numbers[f"reward_{name}"] = mean(values)
        if len(by_prompt) > 1:
            numbers[f"reward_{name}_error"] = float(by_prompt.std(ddof=1) / len(by_prompt) ** 0.5)
    numbers["tokens"] = mean([len(without_end(each.response_ids, eos)) for each in samples])
    if samples[0].text is not None:
        numbers["words"] = mean([words(each.text or "") for each in samples])
    numbers["share_eos"] = mean([each.ended for each in samples])
    numbers["entropy"] = sum(each.entropy for each in samples) / tokens
    if samples[0].kl is not None:
        numbers["kl"] = mean([each.kl for each in samples])
        numbers["kl_sampled"] = mean([each.log_ratio for each in samples])
        numbers["kl_per_token"] = numbers["kl"] * len(samples) / tokens
    return numbers
