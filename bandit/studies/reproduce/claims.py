"""What the paper claims about the bandit, as data: for each figure or table a tuple of claims."""

from typing import NamedTuple

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.claims import Claim, Trend
from modeseek.bandit.studies.contrasts import Contrast, Term, difference, difference_of_differences, level
from modeseek.bandit.studies.reproduce.cells import (
    DISPLACEMENT,
    FIRST_STEPS,
    HEADLINES,
    HEADLINES_WITHIN,
    OFFLINE,
    OFFLINE_WITHIN,
    ONE_TOKEN,
    REUSE,
    REWARDS,
    STALENESS,
)
from modeseek.bandit.studies.reproduce.measures import (
    CHOSEN,
    EARLY_REWARD,
    EARLY_STEPS,
    FINAL_KL,
    FINAL_REWARD,
    MEAN_REWARD,
    PEAK_BEHAVIOR_KL,
    PEAK_REWARD,
    REJECTED,
    REWARD_WITHIN_BUDGET,
)
from modeseek.bandit.studies.verdicts import Kind

FASTER = "learns faster (mean reward over the run)"
"""Every claim of speed is judged by one number, in which where a run ends counts too: one that rises first and then
stops below another may have the smaller one."""
AT_FIRST = (
    f"learns faster at first (mean reward over the first {EARLY_STEPS} steps, each at the rate that is best for them)"
)


def _fig4() -> tuple[Claim, ...]:
    small, large = ({r: STALENESS[b, r] for r in REWARDS} for b in (100, 1000))
    better = "smaller batches, results in better performance with both"
    claims = []
    for r in REWARDS:
        claims += [
            Claim(
                f"staleness-reward-{r}",
                f"On {r}, on-policy Best-of-N ends higher with B = 100 than with B = 1000.",
                "section 4.1, figure 4",
                difference(FINAL_REWARD, small[r], large[r]),
                quote=better,
            ),
            Claim(
                f"staleness-speed-{r}",
                f"On {r}, on-policy Best-of-N {FASTER} with B = 100 than with B = 1000.",
                "section 4.1, figure 4",
                difference(MEAN_REWARD, small[r], large[r]),
                quote="better performance and faster convergence for best-of-N",
            ),
            Claim(
                f"staleness-kl-{r}",
                f"On {r}, B = 1000 gives a higher peak of KL(policy ‖ behavior) than B = 100.",
                "section 4.1, figure 4",
                difference(PEAK_BEHAVIOR_KL, large[r], small[r]),
                quote="larger B results in higher peak values of this divergence",
            ),
        ]
    milder = Claim(
        "staleness-milder-on-R2",
        "What a larger B costs (mean reward, B = 100 less B = 1000) is milder on R2 than on R1.",
        "section 4.1",
        difference_of_differences(MEAN_REWARD, (small["R1"], large["R1"]), (small["R2"], large["R2"])),
        quote="degradation with more off-policy updates is substantially milder for R2",
    )
    return (*claims, milder)


def _fig14() -> tuple[Claim, ...]:
    def faster(more: int, fewer: int, source: str = "ours, a step of the trend", quote: str = "") -> Claim:
        text = f"RWR {FASTER} with T = {more} than with T = {fewer} (R1)."
        contrast = difference(MEAN_REWARD, REUSE["rwr", more], REUSE["rwr", fewer])
        return Claim(f"reuse-{more}-over-{fewer}", text, source, contrast, quote=quote)

    once, ten_times = ({m: REUSE[m, t] for m in ("best_of_n", "ppo")} for t in (1, 10))
    drop = lambda m: (once[m], ten_times[m])
    return (
        faster(2, 1, "section 4.1, of figures 14 and 15; caption of 15", "T = 2 learns faster than T = 1"),
        faster(5, 2, "J.2, figure 14", "T = 5 learns faster than T = 2"),
        faster(7, 5),
        faster(10, 7, "J.2, figure 14", "T = 10 learns faster than T = 7"),
        Claim(
            "reuse-slows",
            f"RWR {FASTER} with T = 1 than with T = 10 (R1).",
            "J.2, figure 14",
            difference(MEAN_REWARD, REUSE["rwr", 1], REUSE["rwr", 10]),
            "can",
            quote="increasing T can slow down convergence in general",
        ),
        Claim(
            "reuse-ppo-tolerates",
            "PPO loses less from reuse (mean reward, T = 1 less T = 10) than Best-of-N (R1).",
            "section 4.1, J.2: of language models, carried over by us",
            difference_of_differences(MEAN_REWARD, drop("best_of_n"), drop("ppo")),
            quote="PPO seem to have little performance degradation … Best-of-N observe large drops",
        ),
        Claim(
            "reuse-costs-ppo-little",
            "PPO learns as fast (mean reward over the run) with T = 10 as with T = 1 (R1).",
            "section 4.1, J.2: of language models, carried over by us",
            difference(MEAN_REWARD, ten_times["ppo"], once["ppo"]),
            "at_least",
            quote="off-policy updates induced due to sample reuse do not hurt performance",
        ),
    )


def _fig16() -> tuple[Claim, ...]:
    bon, rwr, negative, ipo = "offline_best_of_n", "offline_rwr", "best_of_n_negative", "ipo"
    named = {bon: "Best-of-N", rwr: "RWR", negative: "Best-of-N + negative gradient", ipo: "IPO"}
    short = {bon: "best_of_n", rwr: "rwr", negative: "negative", ipo: "ipo"}
    pairs = [(better, worse) for better in (ipo, negative) for worse in (bon, rwr)]

    claims = []
    for r in REWARDS:
        for better, worse in pairs:
            pair, name = (OFFLINE[better, r], OFFLINE[worse, r]), f"{short[better]}-over-{short[worse]}"
            both = f"Offline on {r}, {named[better]} {{}} {named[worse]}."
            claims += [
                Claim(
                    f"{name}-final-{r}",
                    both.format("ends higher than"),
                    "section 4.2, figure 16",
                    difference(FINAL_REWARD, *pair),
                    quote="IPO and best-of-N + negative gradient learn a better policy",
                ),
                Claim(
                    f"{name}-mean-{r}",
                    both.format(f"{FASTER} than"),
                    "section 4.2, its heading",
                    difference(MEAN_REWARD, *pair),
                    quote="negative gradient implies faster convergence",
                ),
            ]
        claims += [
            Claim(
                f"negative-closes-gap-{r}",
                f"Offline on {r}, a negative gradient closes more than half of the gap from Best-of-N to IPO.",
                "J.3; half is our threshold",
                Contrast(
                    (
                        Term(1.0, OFFLINE[negative, r], FINAL_REWARD),
                        Term(-0.5, OFFLINE[bon, r], FINAL_REWARD),
                        Term(-0.5, OFFLINE[ipo, r], FINAL_REWARD),
                    )
                ),
                quote="closes the performance gap to IPO",
            ),
            Claim(
                f"negative-underperforms-{r}",
                f"Offline on {r}, Best-of-N + negative gradient still ends lower than IPO.",
                "J.6 (figure 16 has IPO)",
                difference(FINAL_REWARD, OFFLINE[ipo, r], OFFLINE[negative, r]),
                quote="outperforms vanilla best-of-N but underperforms DPO in Figure 16",
            ),
        ]
    claims += [
        Claim(
            "offline-gap-smaller-on-R2",
            "The lead of offline IPO over offline RWR is smaller on R2 than on R1.",
            "J.3",
            difference_of_differences(
                FINAL_REWARD, (OFFLINE[ipo, "R1"], OFFLINE[rwr, "R1"]), (OFFLINE[ipo, "R2"], OFFLINE[rwr, "R2"])
            ),
            quote="reward function R2 … a smaller gap between the best algorithm without a negative gradient",
        ),
        Claim(
            "offline-rwr-over-best_of_n-R2",
            "Offline on R2, RWR is the best without a negative gradient: it ends higher than Best-of-N.",
            "J.3",
            difference(FINAL_REWARD, OFFLINE[rwr, "R2"], OFFLINE[bon, "R2"]),
            quote="the best algorithm without a negative gradient (i.e., RWR)",
        ),
        Claim(
            "offline-best-of-n-better-on-R2",
            "Offline Best-of-N ends higher on R2 than on R1.",
            "J.3",
            difference(FINAL_REWARD, OFFLINE[bon, "R2"], OFFLINE[bon, "R1"]),
            quote="best-of-N attains a higher reward when the reward function is given by R2",
        ),
    ]
    claims += [
        Claim(
            f"offline-trade-off-{short[worse]}-R1",
            f"Offline IPO has the better reward-KL trade-off on R1 than {named[worse]} (within 10 nats, each at the "
            "rate that is best for it).",
            "J.3, figure 16",
            difference(REWARD_WITHIN_BUDGET, OFFLINE_WITHIN[ipo, "R1"], OFFLINE_WITHIN[worse, "R1"]),
            quote="IPO achieves a better KL-reward trade-off in R1",
        )
        for worse in (bon, rwr, negative)
    ]
    claims += [
        Claim(
            f"larger-kl-{short[better]}-{short[worse]}-{r}",
            f"On {r}, {named[better]} reaches a larger KL(policy ‖ reference) than {named[worse]}.",
            "figure 16's caption",
            difference(FINAL_KL, OFFLINE[better, r], OFFLINE[worse, r]),
            quote="this leads to larger KL values",
        )
        for better, worse in pairs
        for r in REWARDS
    ]
    return tuple(claims)


def _fig18(reward: str) -> tuple[Claim, ...]:
    few, many = DISPLACEMENT[5, reward], DISPLACEMENT[100, reward]

    def claim(name: str, text: str, contrast: Contrast, quote: str, kind: Kind = "more") -> Claim:
        return Claim(
            f"displacement-{name}-{reward}", f"On {reward}, {text}", "J.5, figure 18", contrast, kind, quote=quote
        )

    can, falls = "can increase the likelihood of y_w", "likelihood of both positives and negatives might reduce"
    return (
        claim("few-chosen", "with 5 prompts, offline IPO raises log π(y_w).", level(CHOSEN, few), can, "can"),
        claim(
            "few-rejected",
            "with 5 prompts, it lowers log π(y_l).",
            level(REJECTED, few, -1.0),
            "while reducing the likelihood of y_l",
            "can",
        ),
        claim(
            "many-chosen",
            "with 100 prompts, log π(y_w) falls below its start.",
            level(CHOSEN, many, -1.0),
            "results in a decreasing value of log π(y_w) - log π_ref(y_w)",
        ),
        claim("many-rejected", "with 100 prompts, log π(y_l) falls too.", level(REJECTED, many, -1.0), falls, "can"),
        claim(
            "trend",
            "log π(y_w) is lower with 100 prompts than with 5.",
            difference(CHOSEN, few, many),
            "as the number of prompts increases",
        ),
    )


def _fig19() -> tuple[Claim, ...]:
    better = "both faster convergence and better performance compared to the offline version"
    claims = []
    for r in REWARDS:
        ours, offline, rwr = (HEADLINES[m, r] for m in ("on_policy_ipo", "ipo", "rwr"))
        readings = (
            ("final", FINAL_REWARD, "ends higher"),
            ("peak", PEAK_REWARD, "reaches a higher peak (highest reward of the run)"),
            ("mean", MEAN_REWARD, FASTER),
        )
        claims += [
            Claim(
                f"on-policy-ipo-over-ipo-{name}-{r}",
                f"On {r}, on-policy IPO {what} than offline IPO.",
                "J.6, figure 19",
                difference(measure, ours, offline),
                quote=better,
            )
            for name, measure, what in readings
        ]
        claims += [
            Claim(
                f"on-policy-ipo-over-ipo-early-{r}",
                f"On {r}, on-policy IPO {AT_FIRST} than offline IPO.",
                "J.6, figure 19",
                difference(EARLY_REWARD, FIRST_STEPS["on_policy_ipo", r], FIRST_STEPS["ipo", r]),
                quote=better,
            ),
            Claim(
                f"on-policy-ipo-over-rwr-final-{r}",
                f"On {r}, on-policy IPO ends higher than RWR.",
                "figure 19's caption",
                difference(FINAL_REWARD, ours, rwr),
                quote="performs better than offline IPO … and RWR",
            ),
            Claim(
                f"ppo-trade-off-{r}",
                f"On {r}, PPO has a better reward-KL trade-off than RWR (within 10 nats, each at the rate that is best "
                "for it).",
                "J.6, figure 19",
                difference(REWARD_WITHIN_BUDGET, HEADLINES_WITHIN["ppo", r], HEADLINES_WITHIN["rwr", r]),
                quote="PPO also improves over RWR … a better reward-KL tradeoff in Figure 19",
            ),
            Claim(
                f"on-policy-ipo-trade-off-ipo-{r}",
                f"On {r}, on-policy IPO has a better reward-KL trade-off than offline IPO (within 10 nats, each at the "
                "rate that is best for it).",
                "ours, after figure 19's axes",
                difference(REWARD_WITHIN_BUDGET, HEADLINES_WITHIN["on_policy_ipo", r], HEADLINES_WITHIN["ipo", r]),
            ),
            Claim(
                f"on-policy-ipo-trade-off-rwr-{r}",
                f"On {r}, on-policy IPO has a better reward-KL trade-off than RWR (within 10 nats, each at the rate "
                "that is best for it).",
                "ours, after figure 19's axes",
                difference(REWARD_WITHIN_BUDGET, HEADLINES_WITHIN["on_policy_ipo", r], HEADLINES_WITHIN["rwr", r]),
            ),
        ]
    ours, ppo = HEADLINES["on_policy_ipo", "R1"], HEADLINES["ppo", "R1"]
    claims += [
        Claim(
            "on-policy-ipo-matches-ppo-R1",
            "On R1, on-policy IPO ends at least as high as PPO.",
            "Table 3 (.92 both)",
            difference(FINAL_REWARD, ours, ppo),
            "at_least",
            quote="on-policy contrastive approaches achieve both superior reward and wall-clock time",
        ),
        Claim(
            "on-policy-ipo-over-ppo-early-R1",
            f"On R1, on-policy IPO {AT_FIRST} than PPO.",
            "ours; J.6's explanation",
            difference(EARLY_REWARD, FIRST_STEPS["on_policy_ipo", "R1"], FIRST_STEPS["ppo", "R1"]),
            quote="can quickly reconfigure the policy distribution",
        ),
    ]
    return tuple(claims)


class Reported(NamedTuple):
    """A number of the paper, with the standard error that stands behind it."""

    value: float
    standard_error: float


TABLE3 = {
    "ipo": Reported(0.82, 0.04),
    "ppo": Reported(0.92, 0.01),
    "rwr": Reported(0.88, 0.01),
    "on_policy_ipo": Reported(0.92, 0.01),
}
"""Method → reported reward on R1. As released the prompt counts as one of ten tokens, and .918 is the most that any
policy can score: the two .92 are that ceiling."""


def _table3() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"table3-{method}",
            f"{variant(method).title} ends at {reported.value} on R1.",
            "Table 3",
            level(FINAL_REWARD, HEADLINES[method, "R1"], constant=reported.value),
            "equal",
            0.03,
            quote=f"{reported.value} ({reported.standard_error})",
            standard_error=reported.standard_error,
        )
        for method, reported in TABLE3.items()
    )


ON_FIG4, ON_FIG14, ON_FIG16, ON_FIG18, ON_FIG19, ON_TABLE3 = (
    _fig4(),
    _fig14(),
    _fig16(),
    _fig18("R1") + _fig18("R2"),
    _fig19(),
    _table3(),
)

ON_ONE_TOKEN = (
    Claim(
        "one-token-best-of-n-over-ipo-R2",
        "In the one-token bandit offline Best-of-N ends higher than IPO on R2.",
        "J.3",
        difference(FINAL_REWARD, ONE_TOKEN["offline_best_of_n", "R2"], ONE_TOKEN["ipo", "R2"]),
        quote="we found best-of-N to be better than IPO for R2",
    ),
)

TREND_OF_REUSE = Trend(
    "reuse-not-monotone",
    "RWR's speed (mean reward over the run) is not monotone in T (R1): some step up in T raises it, another lowers it.",
    "figure 14's caption",
    "We observe non-monotonic performance trends while varying T",
    ("reuse-2-over-1", "reuse-5-over-2", "reuse-7-over-5", "reuse-10-over-7"),
)
