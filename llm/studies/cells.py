"""The cells of every figure, as data: one method, one scenario, one setting of Algorithm 1."""

import dataclasses

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.cells import Cell
from modeseek.bandit.studies.protocol import Protocol
from modeseek.llm.studies.scales import PAPER, SCALES, Scale
from modeseek.llm.training.conventions import MATHEMATICS, Conventions
from modeseek.llm.training.tune_config import LANGUAGE_HYPER, TuneConfig

EVERY: frozenset[Protocol] = frozenset({*(scale.protocol for scale in SCALES.values()), PAPER})


@dataclasses.dataclass(frozen=True)
class LanguageCell(Cell):
    """One method on one scenario under one setting of Algorithm 1.

    Attributes:
        name: in file names and tables; its scenario is its last part.
        method: as `modeseek.bandit.objectives.registry.variant` reads it.
        scenario: of `modeseek.llm.studies.scenarios`.
        staleness: B / M, minibatches of a collection.
        inner_steps: T.
        conventions: which tokens are trained.
        protocols: those that run it.
    """

    method: str
    scenario: str
    staleness: int = 1
    inner_steps: int = 1
    conventions: Conventions = MATHEMATICS
    protocols: frozenset[Protocol] = dataclasses.field(default=EVERY, kw_only=True)

    def config(self, scale: Scale, learning_rate: float = LANGUAGE_HYPER.learning_rate, seed: int = 0) -> TuneConfig:
        """Algorithm 1's knobs at a scale: the same gradient steps whatever B and T, as far as collections are whole."""
        batch = scale.minibatch_size * self.staleness
        responses = scale.responses_per_prompt if variant(self.method).on_policy else 2
        return TuneConfig(
            method=self.method,
            samples_per_collection=batch,
            responses_per_prompt=responses,
            minibatch_size=scale.minibatch_size,
            inner_steps=self.inner_steps,
            collections=max(1, scale.steps // (self.staleness * self.inner_steps)),
            max_new_tokens=scale.sizes.max_response,
            hyper=dataclasses.replace(LANGUAGE_HYPER, learning_rate=learning_rate),
            critic=False,  # PPO is compared with the others as the registry has it
            conventions=self.conventions,
            generation_batch=batch,
            length_multiple=scale.length_multiple,
            seed=seed,
        )

    def evaluate_every(self, scale: Scale) -> int:
        """Collections between two evaluations."""
        return max(1, scale.evaluate_every // (self.staleness * self.inner_steps))

    def measured_steps(self, scale: Scale) -> list[int]:
        """The gradient steps at which runs are evaluated, the start among them."""
        config, every = self.config(scale), self.evaluate_every(scale)
        return [number * config.steps_per_collection for number in range(0, config.collections + 1, every)]


LENGTHS = ("min_length", "mode_length", "skew_length")
"""The paper's three scenarios with a known gold reward."""

SHORT = {
    "min_length": "min",
    "mode_length": "mode",
    "skew_length": "skew",
    "plain_words": "plain",
    "ultrafeedback": "ultra",
}
"""Scenario → its name in those of cells."""

STALE = 4
"""The larger B in minibatches: the paper's 256 against 64."""

REUSES = (1, 2, 8)
"""T of figures 15 and 23 (the paper has 4, too)."""


def _cell(method: str, scenario: str, staleness: int = 1, inner_steps: int = 1) -> LanguageCell:
    knobs = (f"-B{staleness}M" if staleness > 1 else "") + (f"-T{inner_steps}" if inner_steps > 1 else "")
    return LanguageCell(f"{method}{knobs}-{SHORT[scenario]}", method, scenario, staleness, inner_steps)


STALENESS = {
    # With B = M and T = 1 every ratio is 1, and PPO's gradient is REINFORCE's: one cell is both.
    (m, s, k): _cell("ppo" if (m, k) == ("reinforce", 1) else m, s, k)
    for m in ("rwr", "reinforce", "ppo")
    for s in LENGTHS
    for k in (1, STALE)
}
"""Figures 5, 11 to 13, 21, 22: on-policy method, scenario, B / M."""

STALENESS_PLAIN = {(m, k): _cell(m, "plain_words", k) for m in ("rwr", "reinforce") for k in (1, STALE)}
"""Figure 7: on-policy method, B / M."""

REUSE = {
    (m, s, t): STALENESS[m, s, 1] if (m, t) == ("ppo", 1) else _cell(m, s, inner_steps=t)
    for m in ("ppo", "best_of_n")
    for s in ("min_length", "skew_length")
    for t in REUSES
}
"""Figures 15 and 23: on-policy method, scenario, T."""

OFFLINE = {(m, s): _cell(m, s) for m in ("dpo", "pref_ft", "offline_rwr") for s in LENGTHS}
"""Figure 6: offline method, scenario."""

OFFLINE_PLAIN = {m: _cell(m, "plain_words") for m in ("dpo", "pref_ft")}
"""Figures 8, 9 and 17."""

OFFLINE_ULTRA = {
    m: dataclasses.replace(_cell(m, "ultrafeedback"), protocols=frozenset({PAPER})) for m in ("dpo", "pref_ft")
}
"""Figures 8, 9 and 17: on responses of other models, which only those have."""

TOGETHER = {
    **{("on_policy_dpo", s): _cell("on_policy_dpo", s) for s in LENGTHS},
    **{("dpo", s): OFFLINE["dpo", s] for s in LENGTHS},
    **{("pref_ft", s): OFFLINE["pref_ft", s] for s in LENGTHS},
    **{(m, s): STALENESS[m, s, 1] for m in ("ppo", "rwr") for s in LENGTHS},
}
"""Figures 10 and 20, Table 3: method, scenario."""

TRAINED = {
    "both": MATHEMATICS,
    "no-first": Conventions(train_first_token=False),
    "no-eos": Conventions(train_eos=False),
    "neither": Conventions(train_first_token=False, train_eos=False),
}
"""Which of a response's first token and its EOS are trained."""

EOS_METHODS = ("on_policy_dpo", "rwr", "ppo", "dpo")

EOS = {
    (m, name): TOGETHER[m, "min_length"]
    if conventions is MATHEMATICS
    else LanguageCell(f"{m}-{name}-min", m, "min_length", conventions=conventions)
    for m in EOS_METHODS
    for name, conventions in TRAINED.items()
}
"""Our own question: method, what is trained."""


def every_cell() -> tuple[LanguageCell, ...]:
    """All that a scale of our own runs, those that most figures need first."""
    groups = (TOGETHER, EOS, OFFLINE, OFFLINE_PLAIN, STALENESS, REUSE, STALENESS_PLAIN)
    return tuple(dict.fromkeys(cell for group in groups for cell in group.values()))
