"""What the paper claims about the bandit, as data: the words, where they stand, and the contrast that decides them."""

from typing import Any, NamedTuple

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.reproduce.contrasts import Contrast, difference, difference_of_differences, level
from modeseek.bandit.reproduce.verdicts import Kind

REWARD, NATS = 0.02, 1.0
"""Effects too small to matter: of expected rewards, and of log-probabilities and KLs in nats a response."""


FASTER = "learns faster (mean reward over the run)"
"""Every claim of speed is judged by one number, in which where a run ends counts too: one that rises first and then
stops below another may have the smaller one."""


class Claim(NamedTuple):
    """One statement.

    Attributes:
        name: short, unique.
        figure: whose cells it needs.
        text: the claim in our words.
        source: where the paper makes it.
        contrast: the number, one a seed; positive where the claim is right.
        kind: how the interval is read, see `verdicts`.
        margin: the effect that is too small to matter.
    """

    name: str
    figure: str
    text: str
    source: str
    contrast: Contrast
    kind: Kind = "more"
    margin: float = REWARD


def _fig4() -> list[Claim]:
    small = {r: f"best_of_n-B100-{r}" for r in ("R1", "R2")}
    large = {r: f"best_of_n-B1000-{r}" for r in ("R1", "R2")}
    claims = []
    for r in ("R1", "R2"):
        claims += [
            Claim(
                f"staleness-reward-{r}",
                "fig4",
                f"On {r}, on-policy Best-of-N ends higher with B = 100 than with B = 1000.",
                "section 4.1, figure 4",
                difference("final_reward", small[r], large[r]),
            ),
            Claim(
                f"staleness-speed-{r}",
                "fig4",
                f"On {r}, on-policy Best-of-N {FASTER} with B = 100 than with B = 1000.",
                "section 4.1, figure 4",
                difference("mean_reward", small[r], large[r]),
            ),
            Claim(
                f"staleness-kl-{r}",
                "fig4",
                f"On {r}, B = 1000 gives a higher peak of KL(policy ‖ behavior) than B = 100.",
                "section 4.1, figure 4",
                difference("peak_behavior_kl", large[r], small[r]),
                margin=NATS,
            ),
        ]
    claims.append(
        Claim(
            "staleness-milder-on-R2",
            "fig4",
            "What a larger B costs (mean reward, B = 100 less B = 1000) is milder on R2 than on R1.",
            "section 4.1",
            difference_of_differences("mean_reward", (small["R1"], large["R1"]), (small["R2"], large["R2"])),
        )
    )
    return claims


def _fig14() -> list[Claim]:
    def faster(more: int, fewer: int, claim: str, source: str = "J.2, figure 14") -> Claim:
        cells = f"rwr-T{more}-R1", f"rwr-T{fewer}-R1"
        return Claim(f"reuse-{more}-over-{fewer}", "fig14", claim, source, difference("mean_reward", *cells))

    drop = lambda m: (f"{m}-T1-R1", f"{m}-T10-R1")
    return [
        faster(2, 1, f"RWR {FASTER} with T = 2 than with T = 1 (R1).", "section 4.1"),
        faster(5, 2, f"RWR {FASTER} with T = 5 than with T = 2 (R1)."),
        faster(10, 7, f"RWR {FASTER} with T = 10 than with T = 7 (R1)."),
        faster(1, 10, f"Increasing T slows RWR down in general: it {FASTER} with T = 1 than with T = 10 (R1)."),
        Claim(
            "reuse-ppo-tolerates",
            "fig14",
            "PPO loses less from reuse (mean reward, T = 1 less T = 10) than Best-of-N (R1).",
            "section 4.1, J.2",
            difference_of_differences("mean_reward", drop("best_of_n"), drop("ppo")),
        ),
        Claim(
            "reuse-costs-ppo-little",
            "fig14",
            "PPO learns as fast (mean reward over the run) with T = 10 as with T = 1 (R1).",
            "section 4.1",
            difference("mean_reward", *reversed(drop("ppo"))),
            "at_least",
        ),
    ]


def _fig16() -> list[Claim]:
    cell = lambda method, r: f"{method}-100-steps-{r}"
    bon, rwr, negative, ipo = "offline_best_of_n", "offline_rwr", "best_of_n_negative", "ipo"
    named = {bon: "Best-of-N", rwr: "RWR", negative: "Best-of-N + negative gradient", ipo: "IPO"}
    short = {bon: "best_of_n", rwr: "rwr", negative: "negative", ipo: "ipo"}
    pairs = [(better, worse) for better in (ipo, negative) for worse in (bon, rwr)]

    def claim(name: str, text: str, source: str, contrast: Contrast, **other: Any) -> Claim:
        return Claim(name, "fig16", text, source, contrast, **other)

    def ends_higher(name: str, better: str, worse: str, r: str, text: str, **other: Any) -> Claim:
        return claim(name, text, "J.3", difference("final_reward", cell(better, r), cell(worse, r)), **other)

    claims = []
    for r in ("R1", "R2"):
        for better, worse in pairs:
            pair, name = (cell(better, r), cell(worse, r)), f"{short[better]}-over-{short[worse]}"
            both = f"Offline on {r}, {named[better]} {{}} {named[worse]}."
            claims += [
                claim(
                    f"{name}-final-{r}",
                    both.format("ends higher than"),
                    "section 4.2, J.3, figure 16",
                    difference("final_reward", *pair),
                ),
                claim(
                    f"{name}-mean-{r}",
                    both.format(f"{FASTER} than"),
                    "section 4.2, its heading",
                    difference("mean_reward", *pair),
                ),
            ]
        closes = f"Offline on {r}, Best-of-N + negative gradient closes the gap to IPO: it ends at least as high."
        falls_short = (
            f"Offline on {r}, Best-of-N + negative gradient ends lower than IPO (against J.3's closing the gap)."
        )
        claims += [
            ends_higher(f"negative-closes-gap-{r}", negative, ipo, r, closes, kind="at_least"),
            ends_higher(f"negative-underperforms-{r}", ipo, negative, r, falls_short)._replace(source="J.6"),
        ]
    claims += [
        claim(
            f"offline-gap-smaller-on-R2-{short[better]}-{short[worse]}",
            f"The lead of offline {named[better]} over offline {named[worse]} is smaller on R2 than on R1.",
            "J.3",
            difference_of_differences(
                "final_reward", (cell(better, "R1"), cell(worse, "R1")), (cell(better, "R2"), cell(worse, "R2"))
            ),
        )
        for better, worse in pairs
    ]
    rwr_best = "Offline on R2, RWR is the best without a negative gradient: it ends higher than Best-of-N."
    on_both = "Offline Best-of-N ends higher on R2 than on R1."
    claims += [
        ends_higher("offline-rwr-over-best_of_n-R2", rwr, bon, "R2", rwr_best),
        claim(
            "offline-best-of-n-better-on-R2",
            on_both,
            "J.3",
            difference("final_reward", cell(bon, "R2"), cell(bon, "R1")),
        ),
    ]
    claims += [
        claim(
            f"offline-trade-off-{short[worse]}-R1",
            f"Offline IPO has the better reward-KL trade-off on R1 than {named[worse]} (within 10 nats).",
            "J.3, figure 16",
            difference("reward_within_budget", cell(ipo, "R1"), cell(worse, "R1")),
        )
        for worse in (bon, rwr, negative)
    ]
    claims += [
        claim(
            f"larger-kl-{short[better]}-{short[worse]}-{r}",
            f"On {r}, {named[better]} reaches a larger KL(policy ‖ reference) than {named[worse]}.",
            "J.3, figure 16",
            difference("final_kl", cell(better, r), cell(worse, r)),
            margin=NATS,
        )
        for better, worse in pairs
        for r in ("R1", "R2")
    ]
    return claims


def _fig18() -> list[Claim]:
    few, many = "ipo-5-prompts-R1", "ipo-100-prompts-R1"
    texts = {
        "displacement-few-chosen": ("With 5 prompts offline IPO raises log π(y_w) (R1).", level("chosen", few)),
        "displacement-few-rejected": ("With 5 prompts it lowers log π(y_l).", level("rejected", few, -1.0)),
        "displacement-many-chosen": ("With 100 prompts log π(y_w) falls below its start.", level("chosen", many, -1.0)),
        "displacement-many-rejected": ("With 100 prompts log π(y_l) falls too.", level("rejected", many, -1.0)),
        "displacement-trend": ("log π(y_w) is lower with 100 prompts than with 5.", difference("chosen", few, many)),
    }
    return [
        Claim(name, "fig18", text, "J.5, figure 18", contrast, margin=NATS) for name, (text, contrast) in texts.items()
    ]


def _fig19() -> list[Claim]:
    claims = []
    for r in ("R1", "R2"):
        ours = f"on_policy_ipo-{r}"
        for other, title in (("ipo", "offline IPO"), ("rwr", "RWR")):
            for name, what in (("final_reward", "ends higher"), ("mean_reward", FASTER)):
                claims.append(
                    Claim(
                        f"on-policy-ipo-over-{other}-{name.split('_')[0]}-{r}",
                        "fig19",
                        f"On {r}, on-policy IPO {what} than {title}.",
                        "section 4.3, J.6, figure 19",
                        difference(name, ours, f"{other}-{r}"),
                    )
                )
        claims += [
            Claim(
                f"on-policy-ipo-matches-ppo-{r}",
                "fig19",
                f"On {r}, on-policy IPO ends at least as high as PPO.",
                "section 4.3, Table 3, J.6",
                difference("final_reward", ours, f"ppo-{r}"),
                "at_least",
            ),
            Claim(
                f"ppo-trade-off-{r}",
                "fig19",
                f"On {r}, PPO has a better reward-KL trade-off than RWR (within 10 nats).",
                "J.6",
                difference("reward_within_budget", f"ppo-{r}", f"rwr-{r}"),
            ),
        ]
    return claims


TABLE3 = {"ipo": 0.82, "ppo": 0.92, "rwr": 0.88, "on_policy_ipo": 0.92}
"""Reported rewards on R1."""


def _table3() -> list[Claim]:
    return [
        Claim(
            f"table3-{method}",
            "table3",
            f"{variant(method).title} ends at {value} on R1.",
            "Table 3",
            level("final_reward", f"{method}-R1", constant=value),
            "equal",
            0.03,
        )
        for method, value in TABLE3.items()
    ]


def _one_token() -> list[Claim]:
    return [
        Claim(
            "one-token-best-of-n-over-ipo-R2",
            "one-token",
            "In the one-token bandit offline Best-of-N ends higher than IPO on R2.",
            "J.3",
            difference("final_reward", "offline_best_of_n-one-token-R2", "ipo-one-token-R2"),
        )
    ]


_ALL = (*_fig4(), *_fig14(), *_fig16(), *_fig18(), *_fig19(), *_table3(), *_one_token())

CLAIMS: dict[str, Claim] = {claim.name: claim for claim in _ALL}
"""Every claim by name; all are judged together, whichever are shown."""
