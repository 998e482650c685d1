"""Rows of the registry after PPO: policy gradients with a group's own baseline, tapered ones, and games."""

from modeseek.bandit.objectives import games, group_policy_gradient, policy_gradient, preference
from modeseek.bandit.objectives.method import Clip, Method, Need, Objective

TOKEN_CLIP = Clip("token")
"""GRPO's, whatever ratio the options say."""


def _grouped(
    name: str,
    title: str,
    objective: Objective,
    source: str,
    hyper: tuple[str, ...] = ("clip_epsilon",),
    needs: frozenset[Need] = frozenset({"group rewards", "behavior"}),
    clip: Clip = TOKEN_CLIP,
) -> Method:
    return Method(
        name=name,
        title=title,
        objective=objective,
        on_policy=True,
        sample_reuse=True,
        negative_gradient=True,
        seeking="mode",
        source=source,
        hyper=hyper,
        needs=needs,
        min_responses=2,
        policy_gradient=True,
        clip=clip,
    )


ROWS = (
    Method(
        name="topr",
        title="TOPR",
        objective=policy_gradient.topr_losses,
        on_policy=False,
        sample_reuse=None,
        negative_gradient=True,
        seeking="mass",
        source="Le Roux et al., 2025",
        needs=frozenset({"advantages", "behavior"}),
        policy_gradient=True,
    ),
    Method(
        name="rloo",
        title="RLOO",
        objective=group_policy_gradient.rloo_losses,
        on_policy=True,
        sample_reuse=False,
        negative_gradient=True,
        seeking="mass",
        source="Ahmadian et al., 2024",
        needs=frozenset({"group rewards"}),
        min_responses=2,
        policy_gradient=True,
    ),
    _grouped(
        "grpo",
        "GRPO",
        group_policy_gradient.grpo_losses,
        "Shao et al., 2024, eqs. 3-4",
        ("clip_epsilon", "kl_coefficient"),
        frozenset({"group rewards", "behavior", "reference"}),
    ),
    _grouped("dr_grpo", "Dr. GRPO", group_policy_gradient.dr_grpo_losses, "Liu et al., 2025"),
    _grouped(
        "dapo",
        "DAPO",
        group_policy_gradient.dapo_losses,
        "Yu et al., 2025, eqs. 8-11, without drawing anew",
        ("clip_epsilon", "clip_epsilon_high"),
        clip=Clip("token", "clip_epsilon_high"),
    ),
    _grouped(
        "gspo",
        "GSPO",
        group_policy_gradient.gspo_losses,
        "Zheng et al., 2025, eqs. 5-7",
        clip=Clip("geometric mean"),
    ),
    Method(
        name="sppo",
        title="SPPO",
        objective=games.sppo_losses,
        on_policy=True,
        sample_reuse=True,
        negative_gradient=True,
        seeking="mass",
        source="Wu et al., 2024",
        hyper=("eta",),
        needs=frozenset({"groups", "behavior"}),
        min_responses=2,
    ),
    Method(
        name="nash_md",
        title="Nash-MD",
        objective=games.nash_md_losses,
        on_policy=True,
        sample_reuse=False,
        negative_gradient=True,
        seeking="mass",
        source="Munos et al., 2024",
        hyper=("kl_coefficient",),
        needs=frozenset({"groups", "reference"}),
        min_responses=2,
        policy_gradient=True,
        drawn_from="policy and mixture",
    ),
    Method(
        name="ipo_md",
        title="IPO-MD",
        objective=preference.ipo_losses,
        on_policy=True,
        sample_reuse=True,
        negative_gradient=True,
        seeking="mass",
        source="Calandriello et al., 2024",
        hyper=("tau", "reward_gap"),
        needs=frozenset({"pairs", "reference"}),
        min_responses=2,
        drawn_from="mixture",
    ),
)
