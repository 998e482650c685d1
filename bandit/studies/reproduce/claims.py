"""What the paper claims about the bandit, as data: for each figure or table a tuple of claims."""

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import difference, difference_of_differences, level
from modeseek.bandit.studies.reproduce.cells import (
    DISPLACEMENT,
    HEADLINES,
    OFFLINE,
    ONE_TOKEN,
    REUSE,
    REWARDS,
    STALENESS,
)
from modeseek.bandit.studies.reproduce.measures import (
    CHOSEN,
    FINAL_KL,
    FINAL_REWARD,
    MEAN_REWARD,
    PEAK_BEHAVIOR_KL,
    REJECTED,
    REWARD_WITHIN_BUDGET,
)

FASTER = "learns faster (mean reward over the run)"
"""Every claim of speed is judged by one number, in which where a run ends counts too: one that rises first and then
stops below another may have the smaller one."""


def _fig4() -> tuple[Claim, ...]:
    small, large = ({r: STALENESS[b, r] for r in REWARDS} for b in (100, 1000))
    claims = []
    for r in REWARDS:
        claims += [
            Claim(
                f"staleness-reward-{r}",
                f"On {r}, on-policy Best-of-N ends higher with B = 100 than with B = 1000.",
                "section 4.1, figure 4",
                difference(FINAL_REWARD, small[r], large[r]),
            ),
            Claim(
                f"staleness-speed-{r}",
                f"On {r}, on-policy Best-of-N {FASTER} with B = 100 than with B = 1000.",
                "section 4.1, figure 4",
                difference(MEAN_REWARD, small[r], large[r]),
            ),
            Claim(
                f"staleness-kl-{r}",
                f"On {r}, B = 1000 gives a higher peak of KL(policy ‖ behavior) than B = 100.",
                "section 4.1, figure 4",
                difference(PEAK_BEHAVIOR_KL, large[r], small[r]),
            ),
        ]
    milder = Claim(
        "staleness-milder-on-R2",
        "What a larger B costs (mean reward, B = 100 less B = 1000) is milder on R2 than on R1.",
        "section 4.1",
        difference_of_differences(MEAN_REWARD, (small["R1"], large["R1"]), (small["R2"], large["R2"])),
    )
    return (*claims, milder)


def _fig14() -> tuple[Claim, ...]:
    def faster(more: int, fewer: int, text: str, source: str = "J.2, figure 14") -> Claim:
        contrast = difference(MEAN_REWARD, REUSE["rwr", more], REUSE["rwr", fewer])
        return Claim(f"reuse-{more}-over-{fewer}", text, source, contrast)

    once, ten_times = ({m: REUSE[m, t] for m in ("best_of_n", "ppo")} for t in (1, 10))
    drop = lambda m: (once[m], ten_times[m])
    return (
        faster(2, 1, f"RWR {FASTER} with T = 2 than with T = 1 (R1).", "section 4.1"),
        faster(5, 2, f"RWR {FASTER} with T = 5 than with T = 2 (R1)."),
        faster(10, 7, f"RWR {FASTER} with T = 10 than with T = 7 (R1)."),
        faster(1, 10, f"Increasing T slows RWR down in general: it {FASTER} with T = 1 than with T = 10 (R1)."),
        Claim(
            "reuse-ppo-tolerates",
            "PPO loses less from reuse (mean reward, T = 1 less T = 10) than Best-of-N (R1).",
            "section 4.1, J.2",
            difference_of_differences(MEAN_REWARD, drop("best_of_n"), drop("ppo")),
        ),
        Claim(
            "reuse-costs-ppo-little",
            "PPO learns as fast (mean reward over the run) with T = 10 as with T = 1 (R1).",
            "section 4.1",
            difference(MEAN_REWARD, ten_times["ppo"], once["ppo"]),
            "at_least",
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
                    "section 4.2, J.3, figure 16",
                    difference(FINAL_REWARD, *pair),
                ),
                Claim(
                    f"{name}-mean-{r}",
                    both.format(f"{FASTER} than"),
                    "section 4.2, its heading",
                    difference(MEAN_REWARD, *pair),
                ),
            ]
        claims += [
            Claim(
                f"negative-closes-gap-{r}",
                f"Offline on {r}, Best-of-N + negative gradient closes the gap to IPO: it ends at least as high.",
                "J.3",
                difference(FINAL_REWARD, OFFLINE[negative, r], OFFLINE[ipo, r]),
                "at_least",
            ),
            Claim(
                f"negative-underperforms-{r}",
                f"Offline on {r}, Best-of-N + negative gradient ends lower than IPO (against J.3's closing the gap).",
                "J.6",
                difference(FINAL_REWARD, OFFLINE[ipo, r], OFFLINE[negative, r]),
            ),
        ]
    claims += [
        Claim(
            f"offline-gap-smaller-on-R2-{short[better]}-{short[worse]}",
            f"The lead of offline {named[better]} over offline {named[worse]} is smaller on R2 than on R1.",
            "J.3",
            difference_of_differences(
                FINAL_REWARD,
                (OFFLINE[better, "R1"], OFFLINE[worse, "R1"]),
                (OFFLINE[better, "R2"], OFFLINE[worse, "R2"]),
            ),
        )
        for better, worse in pairs
    ]
    claims += [
        Claim(
            "offline-rwr-over-best_of_n-R2",
            "Offline on R2, RWR is the best without a negative gradient: it ends higher than Best-of-N.",
            "J.3",
            difference(FINAL_REWARD, OFFLINE[rwr, "R2"], OFFLINE[bon, "R2"]),
        ),
        Claim(
            "offline-best-of-n-better-on-R2",
            "Offline Best-of-N ends higher on R2 than on R1.",
            "J.3",
            difference(FINAL_REWARD, OFFLINE[bon, "R2"], OFFLINE[bon, "R1"]),
        ),
    ]
    claims += [
        Claim(
            f"offline-trade-off-{short[worse]}-R1",
            f"Offline IPO has the better reward-KL trade-off on R1 than {named[worse]} (within 10 nats).",
            "J.3, figure 16",
            difference(REWARD_WITHIN_BUDGET, OFFLINE[ipo, "R1"], OFFLINE[worse, "R1"]),
        )
        for worse in (bon, rwr, negative)
    ]
    claims += [
        Claim(
            f"larger-kl-{short[better]}-{short[worse]}-{r}",
            f"On {r}, {named[better]} reaches a larger KL(policy ‖ reference) than {named[worse]}.",
            "J.3, figure 16",
            difference(FINAL_KL, OFFLINE[better, r], OFFLINE[worse, r]),
        )
        for better, worse in pairs
        for r in REWARDS
    ]
    return tuple(claims)


def _fig18() -> tuple[Claim, ...]:
    few, many = DISPLACEMENT[5], DISPLACEMENT[100]
    texts = {
        "displacement-few-chosen": ("With 5 prompts offline IPO raises log π(y_w) (R1).", level(CHOSEN, few)),
        "displacement-few-rejected": ("With 5 prompts it lowers log π(y_l).", level(REJECTED, few, -1.0)),
        "displacement-many-chosen": ("With 100 prompts log π(y_w) falls below its start.", level(CHOSEN, many, -1.0)),
        "displacement-many-rejected": ("With 100 prompts log π(y_l) falls too.", level(REJECTED, many, -1.0)),
        "displacement-trend": ("log π(y_w) is lower with 100 prompts than with 5.", difference(CHOSEN, few, many)),
    }
    return tuple(Claim(name, text, "J.5, figure 18", contrast) for name, (text, contrast) in texts.items())


def _fig19() -> tuple[Claim, ...]:
    claims = []
    for r in REWARDS:
        ours, ppo, rwr = (HEADLINES[m, r] for m in ("on_policy_ipo", "ppo", "rwr"))
        for other, title in (("ipo", "offline IPO"), ("rwr", "RWR")):
            for name, measure, what in (("final", FINAL_REWARD, "ends higher"), ("mean", MEAN_REWARD, FASTER)):
                claims.append(
                    Claim(
                        f"on-policy-ipo-over-{other}-{name}-{r}",
                        f"On {r}, on-policy IPO {what} than {title}.",
                        "section 4.3, J.6, figure 19",
                        difference(measure, ours, HEADLINES[other, r]),
                    )
                )
        claims += [
            Claim(
                f"on-policy-ipo-matches-ppo-{r}",
                f"On {r}, on-policy IPO ends at least as high as PPO.",
                "section 4.3, Table 3, J.6",
                difference(FINAL_REWARD, ours, ppo),
                "at_least",
            ),
            Claim(
                f"ppo-trade-off-{r}",
                f"On {r}, PPO has a better reward-KL trade-off than RWR (within 10 nats).",
                "J.6",
                difference(REWARD_WITHIN_BUDGET, ppo, rwr),
            ),
        ]
    return tuple(claims)


TABLE3 = {"ipo": 0.82, "ppo": 0.92, "rwr": 0.88, "on_policy_ipo": 0.92}
"""Method → reported reward on R1."""


def _table3() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"table3-{method}",
            f"{variant(method).title} ends at {value} on R1.",
            "Table 3",
            level(FINAL_REWARD, HEADLINES[method, "R1"], constant=value),
            "equal",
            0.03,
        )
        for method, value in TABLE3.items()
    )


ON_FIG4, ON_FIG14, ON_FIG16, ON_FIG18, ON_FIG19, ON_TABLE3 = (
    _fig4(),
    _fig14(),
    _fig16(),
    _fig18(),
    _fig19(),
    _table3(),
)

ON_ONE_TOKEN = (
    Claim(
        "one-token-best-of-n-over-ipo-R2",
        "In the one-token bandit offline Best-of-N ends higher than IPO on R2.",
        "J.3",
        difference(FINAL_REWARD, ONE_TOKEN["offline_best_of_n", "R2"], ONE_TOKEN["ipo", "R2"]),
    ),
)
