"""What the paper claims about language models, as data: for each figure or table a tuple of claims."""

from modeseek.bandit.objectives.registry import variant
from modeseek.bandit.studies.claims import Claim
from modeseek.bandit.studies.contrasts import difference, difference_of_differences, level
from modeseek.bandit.studies.effects import Change
from modeseek.llm.studies.cells import (
    EOS,
    EOS_METHODS,
    OFFLINE,
    OFFLINE_PLAIN,
    OFFLINE_ULTRA,
    REUSE,
    SHORT,
    STALE,
    STALENESS,
    STALENESS_PLAIN,
    TOGETHER,
    LanguageCell,
)
from modeseek.llm.studies.measures import (
    CHOSEN,
    FINAL_GOLD,
    FINAL_PLAIN,
    MARGIN,
    MEAN_GOLD,
    MEAN_PROXY,
    REJECTED,
    SECONDS_TO_SHORT,
)

TITLES = {
    "min_length": "Min Length",
    "mode_length": "Mode Length",
    "skew_length": "Skew Length",
    "plain_words": "AlpacaFarm's stand-in",
    "ultrafeedback": "UltraFeedback",
}
"""The paper's names; `plain_words` stands in for AlpacaFarm wherever its policies are not the paper's."""

FAR = ("min_length", "skew_length")
"""Where the peak of the reward is far from the reference's."""

FASTER = "learns faster (mean gold reward over the run)"

RELEASED = {"on_policy_dpo": "both", "dpo": "no-first", "ppo": "no-eos", "rwr": "neither"}
"""Method → what the released code trains of a response's first token and its EOS."""


def _title(method: str) -> str:
    """In a sentence; Pref-FT has one side alone."""
    return variant(method).title.replace("Offline Pref", "Pref").replace("Off", "off").replace("On-", "on-")


def _fresh(method: str, scenario: str) -> tuple[LanguageCell, LanguageCell]:
    return STALENESS[method, scenario, 1], STALENESS[method, scenario, STALE]


def _fig5() -> tuple[Claim, ...]:
    claims = []
    for method in ("rwr", "reinforce"):
        named = variant(method).method.title
        for s in FAR:
            for name, measure, words in (("final", FINAL_GOLD, "ends higher"), ("mean", MEAN_GOLD, FASTER)):
                claims.append(
                    Claim(
                        f"fresh-{method}-{name}-{SHORT[s]}",
                        f"{TITLES[s]}: {named} {words} with B = M than with B = {STALE} M.",
                        "section 4.1, figure 5",
                        difference(measure, *_fresh(method, s)),
                    )
                )
        claims.append(
            Claim(
                f"fresh-{method}-alike-mode",
                f"Mode Length: {named} ends alike with B = M and B = {STALE} M.",
                "section 4.1, figure 5",
                difference(FINAL_GOLD, *_fresh(method, "mode_length")),
                "equal",
            )
        )
    return tuple(claims)


def _fig_ppo(scenario: str, source: str) -> tuple[Claim, ...]:
    """Figures 11 and 13."""
    pair, name = _fresh("ppo", scenario), SHORT[scenario]
    return (
        Claim(
            f"fresh-ppo-final-{name}",
            f"{TITLES[scenario]}: PPO's responses end shorter with B = M than with B = {STALE} M.",
            source,
            difference(FINAL_GOLD, *pair),
        ),
        Claim(
            f"fresh-ppo-proxy-{name}",
            f"{TITLES[scenario]}: PPO's proxy reward rises faster with B = M (mean over the run).",
            source,
            difference(MEAN_PROXY, *pair),
        ),
    )


def _fig12() -> tuple[Claim, ...]:
    pair = _fresh("ppo", "mode_length")
    return (
        Claim(
            "fresh-ppo-alike-mode",
            f"Mode Length: PPO ends as near to the mode with B = M as with B = {STALE} M.",
            "J.1, figure 12",
            difference(FINAL_GOLD, *pair),
            "equal",
        ),
        Claim(
            "fresh-ppo-proxy-alike-mode",
            f"Mode Length: PPO's proxy reward over the run is alike with B = M and B = {STALE} M.",
            "J.1, figure 12",
            difference(MEAN_PROXY, *pair),
            "equal",
        ),
    )


def _fig13() -> tuple[Claim, ...]:
    gaps = difference_of_differences(MEAN_PROXY, _fresh("ppo", "skew_length"), _fresh("ppo", "min_length"))
    text = "PPO's gap in proxy reward between B = M and larger B is larger on Skew Length than on Min Length."
    return (
        *_fig_ppo("skew_length", "J.1, figure 13"),
        Claim("fresh-ppo-gap-larger-on-skew", text, "J.1", gaps),
    )


def _rwr_proxy(scenario: str, source: str) -> tuple[Claim, ...]:
    """Figures 21 and 22; their lengths are figure 5's."""
    return (
        Claim(
            f"fresh-rwr-proxy-{SHORT[scenario]}",
            f"{TITLES[scenario]}: RWR's proxy reward rises faster with B = M (mean over the run).",
            source,
            difference(MEAN_PROXY, *_fresh("rwr", scenario)),
        ),
    )


def _fig6() -> tuple[Claim, ...]:
    claims = []
    for other in ("pref_ft", "offline_rwr"):
        for s in FAR:
            claims.append(
                Claim(
                    f"negative-over-{other}-{SHORT[s]}",
                    f"{TITLES[s]}: DPO's responses end shorter than those of {_title(other)}.",
                    "section 4.2, figure 6",
                    difference(FINAL_GOLD, OFFLINE["dpo", s], OFFLINE[other, s]),
                )
            )
        claims.append(
            Claim(
                f"negative-like-{other}-mode",
                f"Mode Length: DPO and {_title(other)} end alike.",
                "section 4.2, figure 6",
                difference(FINAL_GOLD, OFFLINE["dpo", "mode_length"], OFFLINE[other, "mode_length"]),
                "equal",
            )
        )
    return tuple(claims)


def _fig10() -> tuple[Claim, ...]:
    claims = []
    for s in FAR:
        for other in ("dpo", "ppo", "rwr"):
            for name, measure, words in (("final", FINAL_GOLD, "ends higher"), ("mean", MEAN_GOLD, FASTER)):
                claims.append(
                    Claim(
                        f"on-policy-dpo-over-{other}-{name}-{SHORT[s]}",
                        f"{TITLES[s]}: on-policy DPO {words} than {_title(other)}.",
                        "section 4.3, J.6, figure 10",
                        difference(measure, TOGETHER["on_policy_dpo", s], TOGETHER[other, s]),
                    )
                )
        claims.append(
            Claim(
                f"ppo-over-rwr-{SHORT[s]}",
                f"{TITLES[s]}: PPO ends higher than RWR.",
                "J.6",
                difference(FINAL_GOLD, TOGETHER["ppo", s], TOGETHER["rwr", s]),
            )
        )
    return tuple(claims)


def _fig20() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"on-policy-dpo-like-{other}-mode",
            f"Mode Length: on-policy DPO and {_title(other)} end alike.",
            "K.1, figures 10 and 20",
            difference(FINAL_GOLD, TOGETHER["on_policy_dpo", "mode_length"], TOGETHER[other, "mode_length"]),
            "equal",
        )
        for other in ("dpo", "ppo", "rwr", "pref_ft")
    )


def _table3() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"sooner-than-{other}-min",
            f"Min Length: on-policy DPO takes less time than {_title(other)} until responses are short.",
            "appendix D, Table 3",
            difference(SECONDS_TO_SHORT, TOGETHER[other, "min_length"], TOGETHER["on_policy_dpo", "min_length"]),
        )
        for other in ("dpo", "ppo", "rwr")
    )


def _reuse(scenario: str, source: str) -> tuple[Claim, ...]:
    """Figures 15 and 23."""
    name, title = SHORT[scenario], TITLES[scenario]
    cells = {(m, t): REUSE[m, scenario, t] for m in ("ppo", "best_of_n") for t in (1, 2, 8)}
    of_ppo = difference(FINAL_GOLD, cells["ppo", 1], cells["ppo", 8])
    alike = Claim(f"reuse-ppo-alike-{name}", f"{title}: PPO ends with T = 8 as with T = 1.", source, of_ppo, "equal")
    lower = f"{title}: PPO ends lower with T = 8 than with T = 1."
    unstable = Claim(f"reuse-ppo-unstable-{name}", lower, source, of_ppo)
    lost = lambda m: (cells[m, 1], cells[m, 8])
    return (
        Claim(
            f"reuse-2-over-1-{name}",
            f"{title}: Best-of-N {FASTER} with T = 2 than with T = 1.",
            source,
            difference(MEAN_GOLD, cells["best_of_n", 2], cells["best_of_n", 1]),
        ),
        Claim(
            f"reuse-8-hurts-{name}",
            f"{title}: much reuse hurts: Best-of-N {FASTER} with T = 1 than with T = 8.",
            source,
            difference(MEAN_GOLD, cells["best_of_n", 1], cells["best_of_n", 8]),
        ),
        alike if scenario == "min_length" else unstable,
        Claim(
            f"reuse-ppo-tolerates-{name}",
            f"{title}: PPO loses less from reuse (mean gold reward, T = 1 less T = 8) than Best-of-N.",
            source,
            difference_of_differences(MEAN_GOLD, lost("best_of_n"), lost("ppo")),
        ),
    )


def _fig7() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"fresh-{m}-final-plain",
            f"AlpacaFarm: {variant(m).method.title} ends higher with B = M than with B = {STALE} M.",
            "section 4.1, figure 7",
            difference(FINAL_PLAIN, STALENESS_PLAIN[m, 1], STALENESS_PLAIN[m, STALE]),
        )
        for m in ("rwr", "reinforce")
    )


_FULL_SCALE = {"plain_words": OFFLINE_PLAIN, "ultrafeedback": OFFLINE_ULTRA}


def _fig8() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            f"negative-over-pref_ft-{SHORT[s]}",
            f"{TITLES[s]}: DPO's gold reward rises more than that of Pref-FT.",
            "section 4.2, figure 8",
            difference(FINAL_PLAIN, cells["dpo"], cells["pref_ft"]),
        )
        for s, cells in _FULL_SCALE.items()
    )


def _fig9() -> tuple[Claim, ...]:
    claims = []
    for s, cells in _FULL_SCALE.items():
        signs = {"dpo": (-1.0 if s == "plain_words" else 1.0, -1.0), "pref_ft": (1.0, 1.0)}
        for method, both in signs.items():
            for name, measure, which, sign in zip(
                ("chosen", "rejected"), (CHOSEN, REJECTED), ("preferred", "dispreferred"), both, strict=True
            ):
                claims.append(
                    Claim(
                        f"{method}-{name}-{SHORT[s]}",
                        f"{TITLES[s]}: {_title(method)} {'raises' if sign > 0 else 'lowers'} the implicit reward of "
                        f"{which} held-out responses.",
                        "section 4.2, J.5, figure 9",
                        level(measure, cells[method], sign),
                    )
                )
    return tuple(claims)


def _fig17() -> tuple[Claim, ...]:
    both = {s: {m: OFFLINE[m, s] for m in ("dpo", "pref_ft")} for s in FAR} | _FULL_SCALE
    return tuple(
        Claim(
            f"margin-{SHORT[s]}",
            f"{TITLES[s]}: DPO raises the margin between held-out responses more than Pref-FT.",
            "J.5, figures 9 and 17",
            difference(MARGIN, cells["dpo"], cells["pref_ft"]),
        )
        for s, cells in both.items()
    )


def _eos() -> tuple[Claim, ...]:
    """Ours. The lead where all train both is figure 10's; what a method loses without them is what the lead gains."""
    ours, claims = EOS["on_policy_dpo", "both"], []
    for other in ("rwr", "ppo", "dpo"):
        both, released = EOS[other, "both"], EOS[other, RELEASED[other]]
        claims += [
            Claim(
                f"released-lead-over-{other}",
                f"Trained as in the released code, on-policy DPO {FASTER} than {_title(other)} (Min Length).",
                "ours",
                difference(MEAN_GOLD, ours, released),
            ),
            Claim(
                f"released-lead-larger-over-{other}",
                f"That lead over {_title(other)} is larger than where both train first token and EOS.",
                "ours",
                difference_of_differences(MEAN_GOLD, (ours, released), (ours, both)),
            ),
        ]
    return tuple(claims)


def _eos_changes() -> tuple[Change, ...]:
    left_out = {"no-first": "first token not trained", "no-eos": "EOS not trained", "neither": "neither trained"}
    return tuple(
        Change(f"{variant(m).title}: {words}", MEAN_GOLD, EOS[m, name], EOS[m, "both"])
        for m in EOS_METHODS
        for name, words in left_out.items()
    )


ON_FIG5, ON_FIG6, ON_FIG7, ON_FIG8, ON_FIG9, ON_FIG10 = _fig5(), _fig6(), _fig7(), _fig8(), _fig9(), _fig10()
ON_FIG11, ON_FIG12, ON_FIG13 = _fig_ppo("min_length", "J.1, figure 11"), _fig12(), _fig13()
ON_FIG15, ON_FIG23 = _reuse("min_length", "J.2, figure 15"), _reuse("skew_length", "K.3, figure 23")
ON_FIG17, ON_FIG20, ON_TABLE3 = _fig17(), _fig20(), _table3()
ON_FIG21, ON_FIG22 = _rwr_proxy("min_length", "K.2, figure 21"), _rwr_proxy("skew_length", "K.2, figure 22")
ON_EOS, EOS_CHANGES = _eos(), _eos_changes()
