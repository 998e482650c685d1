"""The study of the paper's language models, as data: its figures and Table 3 with cells and claims, and one of ours."""

from collections.abc import Iterable

from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.effects import Change
from modeseek.bandit.studies.study import Study, Target
from modeseek.llm.studies import claims
from modeseek.llm.studies.cells import (
    EOS,
    LENGTHS,
    OFFLINE,
    OFFLINE_PLAIN,
    OFFLINE_ULTRA,
    REUSE,
    STALE,
    STALENESS,
    STALENESS_PLAIN,
    TOGETHER,
    LanguageCell,
)
from modeseek.llm.studies.scales import GPU, LAPTOP, PAPER

LanguageTarget = Target[LanguageCell]


def _target(
    name: str,
    about: str,
    cells: Iterable[LanguageCell],
    judged: tuple[Claim, ...] = (),
    *,
    deviations: str,
    changes: Iterable[Change] = (),
) -> LanguageTarget:
    """A figure or a table at every scale."""
    return Target(
        name,
        about,
        tuple(dict.fromkeys(cells)),
        protocols=(LAPTOP.protocol, GPU.protocol, PAPER),
        default=LAPTOP.protocol,
        claims=judged,
        changes=tuple(changes),
        deviations=f"Against the paper: {deviations}",
    )


def _stale(method: str, scenario: str) -> list[LanguageCell]:
    return [STALENESS[method, scenario, k] for k in (1, STALE)]


PPO_ROW = "PPO is the registry's row, with ratios of tokens and standardised rewards, without a value function."
OUTSIDE = (
    "Nearly all of Skew Length's data end with EOS, and what the reward model has not seen, long responses that are "
    "cut, it prefers to long ones that end: runs that go there raise the proxy and lower the gold reward."
)
TWO_B = f"two B, M and {STALE} M, where the paper has four from 64 to 256 at M = 64"

FIG3 = _target(
    "fig3",
    "Lengths of preferred and dispreferred responses in the preference data of Min and Skew Length.",
    (),
    deviations="tokens where it counts words. No run, and no claim that seeds could decide.",
)
FIG5 = _target(
    "fig5",
    "On-policy RWR and REINFORCE with B samples per collection: gold reward over the same gradient steps.",
    [cell for m in ("rwr", "reinforce") for s in LENGTHS for cell in _stale(m, s)],
    claims.ON_FIG5,
    deviations=f"{TWO_B}. With B = M all of REINFORCE's samples are the policy's own: its runs are PPO's.",
)
FIG6 = _target(
    "fig6",
    "Three offline methods: length of responses.",
    OFFLINE.values(),
    claims.ON_FIG6,
    deviations="offline RWR learns from the proxy's rewards of the pairs.",
)
FIG7 = _target(
    "fig7",
    "On-policy RWR and REINFORCE with B samples per collection, where the gold reward is not length.",
    STALENESS_PLAIN.values(),
    claims.ON_FIG7,
    deviations=f"common words stand in for AlpacaFarm's human preferences; {TWO_B}.",
)
FIG8 = _target(
    "fig8",
    "DPO and Pref-FT, offline, where the gold reward is not length.",
    [*OFFLINE_PLAIN.values(), *OFFLINE_ULTRA.values()],
    claims.ON_FIG8,
    deviations="common words stand in for AlpacaFarm; UltraFeedback, with other models' responses, has no stand-in.",
)
FIG9 = _target(
    "fig9",
    "Implicit rewards of preferred and dispreferred held-out responses under DPO and Pref-FT.",
    [*OFFLINE_PLAIN.values(), *OFFLINE_ULTRA.values()],
    claims.ON_FIG9,
    deviations="as figure 8.",
)
FIG10 = _target(
    "fig10",
    "On-policy sampling and negative gradients, together and apart, on Min and Skew Length.",
    [TOGETHER[m, s] for m in ("on_policy_dpo", "dpo", "ppo", "rwr", "pref_ft") for s in claims.FAR],
    claims.ON_FIG10,
    deviations=f"Mode Length is figure 20's. {PPO_ROW} {OUTSIDE}",
)
FIG11 = _target(
    "fig11",
    "PPO with B samples per collection on Min Length.",
    _stale("ppo", "min_length"),
    claims.ON_FIG11,
    deviations=f"{TWO_B}. {PPO_ROW}",
)
FIG12 = _target(
    "fig12",
    "PPO with B samples per collection on Mode Length.",
    _stale("ppo", "mode_length"),
    claims.ON_FIG12,
    deviations=f"{TWO_B}. {PPO_ROW}",
)
FIG13 = _target(
    "fig13",
    "PPO with B samples per collection on Skew Length; Min Length's beside it for the claim about gaps.",
    [*_stale("ppo", "skew_length"), *_stale("ppo", "min_length")],
    claims.ON_FIG13,
    deviations=f"{TWO_B}. {PPO_ROW} {OUTSIDE}",
)
FIG15 = _target(
    "fig15",
    "PPO and on-policy Best-of-N with T passes over each collection, on Min Length.",
    [cell for (_, s, _), cell in REUSE.items() if s == "min_length"],
    claims.ON_FIG15,
    deviations=f"T = 1, 2, 8; as many gradient steps for each T. {PPO_ROW}",
)
FIG17 = _target(
    "fig17",
    "The margin of log-probabilities between preferred and dispreferred held-out responses, DPO and Pref-FT.",
    [
        *(OFFLINE[m, s] for m in ("dpo", "pref_ft") for s in claims.FAR),
        *OFFLINE_PLAIN.values(),
        *OFFLINE_ULTRA.values(),
    ],
    claims.ON_FIG17,
    deviations="the margin is that of log policy - log reference, so that it begins at 0.",
)
FIG20 = _target(
    "fig20",
    "All methods on Mode Length.",
    [TOGETHER[m, "mode_length"] for m in ("on_policy_dpo", "dpo", "ppo", "rwr", "pref_ft")],
    claims.ON_FIG20,
    deviations=f"the mode is the mean length of the reference's own samples, in tokens. {PPO_ROW}",
)
FIG21 = _target(
    "fig21",
    "RWR with B samples per collection on Min Length.",
    _stale("rwr", "min_length"),
    claims.ON_FIG21,
    deviations=f"{TWO_B}. The claim about length is figure 5's.",
)
FIG22 = _target(
    "fig22",
    "RWR with B samples per collection on Skew Length.",
    _stale("rwr", "skew_length"),
    claims.ON_FIG22,
    deviations=f"{TWO_B}. The claim about length is figure 5's.",
)
FIG23 = _target(
    "fig23",
    "PPO and on-policy Best-of-N with T passes over each collection, on Skew Length.",
    [cell for (_, s, _), cell in REUSE.items() if s == "skew_length"],
    claims.ON_FIG23,
    deviations=f"T = 1, 2, 8; as many gradient steps for each T. {PPO_ROW}",
)
TABLE3 = _target(
    "table3",
    "Length of responses at the end on Min and Skew Length, and time until responses are short.",
    [TOGETHER[m, s] for m in ("dpo", "ppo", "rwr", "on_policy_dpo") for s in claims.FAR],
    claims.ON_TABLE3,
    deviations="tokens where it counts words, and seconds of one core until a response has four tokens where it has "
    f"hours until convergence on an A40. The order of lengths is judged at figure 10. {PPO_ROW}",
)
EOS_TARGET = _target(
    "eos",
    "How much of on-policy DPO's lead comes from what is trained: Min Length with and without a response's first token "
    "and its EOS among the targets.",
    EOS.values(),
    claims.ON_EOS,
    changes=claims.EOS_CHANGES,
    deviations="ours. In the released code on-policy DPO trains both by accident, offline DPO all but the first token, "
    f"PPO all but EOS, RWR neither; a learning rate is chosen for each. {PPO_ROW}",
)

STUDY: Study[LanguageCell] = Study(
    (
        *(FIG3, FIG5, FIG6, FIG7, FIG8, FIG9, FIG10, FIG11, FIG12, FIG13, FIG15, FIG17, FIG20, FIG21, FIG22, FIG23),
        *(TABLE3, EOS_TARGET),
    ),
    conditions={"laptop": "on a laptop"},
    condition="Scale",
    neighbours="tuning seeds: rates ÷3 · tuned · ×3",
    least_seeds=LAPTOP.protocol.fresh_seeds,
)
TARGETS = {target.name: target for target in STUDY.targets}
CLAIMS = STUDY.claims
