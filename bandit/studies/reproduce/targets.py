"""The study of the paper's bandit, as data: its figures and Table 3 with their cells and claims, and two of ours."""

from collections.abc import Iterable

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.claims import Claim, Trend
from modeseek.bandit.studies.effects import Change
from modeseek.bandit.studies.reproduce import claims
from modeseek.bandit.studies.reproduce.cells import (
    CONTRASTIVE_METHODS,
    DISPLACEMENT,
    FIRST_STEPS,
    FRESHNESS,
    HEADLINE_METHODS,
    HEADLINES,
    HEADLINES_WITHIN,
    MENDED,
    MENDED_METHODS,
    MENDS,
    OFFLINE,
    OFFLINE_WITHIN,
    ONE_TOKEN,
    REGULARISED,
    RELEASED,
    REMEDIES,
    REUSE,
    REWARDS,
    STALENESS,
    WHOLE_RUN,
    BanditCell,
)
from modeseek.bandit.studies.reproduce.measures import FINAL_REWARD
from modeseek.bandit.studies.reproduce.protocols import FULL, MORE, MORE_OF_SHORT, QUICK, SHORT, TEN
from modeseek.bandit.studies.study import Study, Target

BanditTarget = Target[BanditCell]


def _papers(
    name: str,
    about: str,
    cells: Iterable[BanditCell],
    claims: tuple[Claim, ...] = (),
    *,
    trends: tuple[Trend, ...] = (),
    deviations: str,
) -> BanditTarget:
    """A figure or table of the paper, under all conventions."""
    return Target(
        name,
        about,
        tuple(cells),
        protocols=(MORE, FULL, TEN, SHORT, QUICK),
        default=FULL,
        claims=claims,
        trends=trends,
        deviations=f"Against the paper: {deviations}",
    )


def _ours(
    name: str, about: str, cells: Iterable[BanditCell], changes: Iterable[Change], *, only: str, deviations: str
) -> BanditTarget:
    """A target that the paper has not: what changes do under one set of conventions."""
    return Target(
        name,
        about,
        tuple(cells),
        protocols=(MORE_OF_SHORT, SHORT, QUICK),
        default=SHORT,
        changes=tuple(changes),
        only=only,
        deviations=f"Against the paper: {deviations}",
    )


FIG2 = _papers(
    "fig2",
    "The reference policy and the two rewards.",
    (),
    deviations="Its caption has R2's peak (token 20) roughly at the reference's mode. That is so of the interior, "
    "where token 17 is likeliest; token 0, which takes a tail, is likelier where tails are piled up (18 times) and as "
    "released (2.7 times). With the tails discarded the mode is the interior's, as the caption has it.",
)
FIG4 = _papers(
    "fig4",
    "On-policy Best-of-N with B samples per collection: the same data and gradient steps for each B.",
    STALENESS.values(),
    claims.ON_FIG4,
    deviations="The paper names neither B nor the minibatch: B = 100, 200, 500, 1000, minibatches of 100, 100 prompts. "
    "A point of the KL is the highest since the point before.",
)
FIG14 = _papers(
    "fig14",
    "RWR with T passes over each collection; Best-of-N and PPO beside it for the claim about reuse.",
    REUSE.values(),
    claims.ON_FIG14,
    trends=(claims.TREND_OF_REUSE,),
    deviations="500 gradient steps for each T (the paper: 100 collections, so fewer steps for small T); R1 alone.",
)
FIG16 = _papers(
    "fig16",
    "Four offline methods, 10 prompts, 100 gradient steps on the whole data set.",
    (*OFFLINE.values(), *OFFLINE_WITHIN.values()),
    claims.ON_FIG16,
    deviations="The paper does not say how many prompts: 10. Each gradient step sees the whole data set.",
)
FIG18 = _papers(
    "fig18",
    "Implicit reward of preferred and dispreferred responses in offline IPO, by the number of prompts.",
    DISPLACEMENT.values(),
    claims.ON_FIG18,
    deviations="The paper does not say which reward, nor which pairs. On R1 implicit rewards are means over all pairs; "
    "on R2 y_w is each prompt's best response and y_l are its others, as the released script has both. Each gradient "
    "step sees the whole data set.",
)
FIG19 = _papers(
    "fig19",
    "On-policy IPO, offline IPO, RWR and PPO over 1000 gradient steps.",
    (*HEADLINES.values(), *HEADLINES_WITHIN.values(), *FIRST_STEPS.values()),
    claims.ON_FIG19,
    deviations="Measured every 10 steps: where RWR passes 10 nats before the second measurement (R2), its reward "
    "within them lies on the line from the start.",
)
TABLE3 = _papers(
    "table3",
    "Final rewards on R1 beside the paper's. The time is for all learning rates and seeds that were run.",
    [HEADLINES[method, "R1"] for method in HEADLINE_METHODS],
    claims.ON_TABLE3,
    deviations="Ten prompts for offline IPO too, whose number the paper does not say, and 1000 gradient steps where it "
    "ran to convergence. Its hours are of other machines; ours are in benchmarks/README.md.",
)
ONE_TOKEN_BANDIT = _papers(
    "one-token",
    "Responses of one token, offline. The released code's is a small network of its own, which reads contexts.",
    ONE_TOKEN.values(),
    claims.ON_ONE_TOKEN,
    deviations="Offline, 10 prompts, 100 gradient steps, as figure 16. As released, on both rewards, what the scripts "
    "run on R2: 200 steps, 5 prompts for Best-of-N, 100 for IPO, whose pairs differ by .2 or more.",
)
ABLATION = _ours(
    "ablation",
    "R1 under the released conventions, and with one difference at a time brought to the paper's text.",
    (*RELEASED.values(), *MENDED.values()),
    [
        Change(f"{variant(method).title}: {name}", FINAL_REWARD, MENDED[method, name], RELEASED[method])
        for method in MENDED_METHODS
        for name, mend in MENDS.items()
        if method in mend.methods
    ],
    deviations="Ours. 500 steps, three learning rates, 2 tuning seeds.",
    only="released_code",
)
REMEDIES_TARGET = _ours(
    "remedies",
    "On-policy IPO on R1 under the paper's conventions, and what might help it.",
    [remedy.cell for remedy in REMEDIES.values()],
    [
        Change(remedy.title, FINAL_REWARD, remedy.cell, REMEDIES["none"].cell)
        for name, remedy in REMEDIES.items()
        if name != "none"
    ],
    deviations="Ours. 500 steps (2000 for `longer`), three learning rates, 2 tuning seeds.",
    only="paper",
)
REGULARISED_TARGET = _ours(
    "regularised",
    "PPO with the same regularisation as on-policy IPO: β KL(policy ‖ reference) in the reward, and exactly.",
    REGULARISED.values(),
    [
        Change(f"{text}, {r}, against on-policy IPO", FINAL_REWARD, REGULARISED[name, r], REGULARISED["ipo", r])
        for name, text in (("kl-in-reward", "β in the reward"), ("exact-kl", "exact KL in the loss"))
        for r in REWARDS
    ],
    deviations="Ours. 500 steps, three learning rates, 2 tuning seeds. With that β the optimum of KL-regularised RL is "
    "7.0 nats away, as far as that of IPO at τ = .05; networks that IPO trains rest farther.",
    only="paper",
)
WHOSE_SAMPLES = _ours(
    "whose-samples",
    "DPO and IPO on R1 from as many samples: the policy's own, those of a policy ever longer ago, and, where one "
    "collection holds them all, the reference's alone (appendix C on iterated DPO).",
    FRESHNESS.values(),
    [
        Change(
            f"{variant(m).title}: " + (f"B = {b}" if b < WHOLE_RUN else "all samples from the reference"),
            FINAL_REWARD,
            FRESHNESS[m, b],
            FRESHNESS[m, 100],
        )
        for m in CONTRASTIVE_METHODS
        for b in (1000, 10_000, WHOLE_RUN)
    ],
    deviations="Ours. 500 steps of 100 fresh samples, each used once; three learning rates, 2 tuning seeds. The "
    "reference of the loss stays the reference.",
    only="paper",
)

STUDY: Study[BanditCell] = Study(
    (
        FIG2,
        FIG4,
        FIG14,
        FIG16,
        FIG18,
        FIG19,
        TABLE3,
        ONE_TOKEN_BANDIT,
        ABLATION,
        REMEDIES_TARGET,
        REGULARISED_TARGET,
        WHOSE_SAMPLES,
    ),
    conditions={
        "paper": "text, tails piled up",
        "figure2": "text, tails discarded",
        "released_code": "released code",
    },
    condition="Conventions",
    provisional=frozenset({SHORT, QUICK}),
    neighbours="tuning seeds: rates ÷3 · tuned · ×3",
)
TARGETS = {target.name: target for target in STUDY.targets}
CLAIMS = STUDY.claims
