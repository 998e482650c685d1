"""Rows of the registry after DPO and IPO: offline methods that learn from preferences, or from single judgements."""

from modeseek.bandit.objectives import anchored_preference, noisy_preference, reference_free, unpaired
from modeseek.bandit.objectives.method import Method, Need, Objective, Seeking

_REFERENCE: frozenset[Need] = frozenset({"pairs", "reference"})
_ALONE: frozenset[Need] = frozenset({"pairs"})


def _of_pairs(
    name: str,
    title: str,
    objective: Objective,
    needs: frozenset[Need],
    hyper: tuple[str, ...],
    seeking: Seeking,
    source: str,
) -> Method:
    return Method(
        name=name,
        title=title,
        objective=objective,
        on_policy=False,
        sample_reuse=None,
        negative_gradient=True,
        seeking=seeking,
        source=source,
        hyper=(*hyper, "reward_gap"),
        needs=needs,
        min_responses=2,
    )


ROWS = (
    _of_pairs(
        "cdpo",
        "cDPO",
        noisy_preference.cdpo_losses,
        _REFERENCE,
        ("beta", "label_noise"),
        "mass",
        "Mitchell, 2023",
    ),
    _of_pairs(
        "robust_dpo",
        "Robust DPO",
        noisy_preference.robust_dpo_losses,
        _REFERENCE,
        ("beta", "label_noise"),
        "mass",
        "Ray Chowdhury et al., 2024",
    ),
    _of_pairs(
        "exo",
        "EXO",
        noisy_preference.exo_losses,
        _REFERENCE,
        ("beta", "label_noise"),
        "mode",
        "Ji et al., 2024",
    ),
    _of_pairs(
        "dpo_sft",
        "DPO + SFT (RPO)",
        anchored_preference.dpo_sft_losses,
        _REFERENCE,
        ("beta", "sft_weight"),
        "mass",
        "Pang et al., 2024",
    ),
    _of_pairs(
        "dpop",
        "DPO-Positive",
        anchored_preference.dpop_losses,
        _REFERENCE,
        ("beta", "positive_weight"),
        "mass",
        "Pal et al., 2024",
    ),
    _of_pairs(
        "chi_po",
        "χPO",
        anchored_preference.chi_po_losses,
        _REFERENCE,
        ("beta", "reward_bound"),
        "mode",
        "Huang et al., 2024",
    ),
    _of_pairs(
        "nca",
        "NCA",
        unpaired.nca_losses,
        _REFERENCE,
        ("beta",),
        "mass",
        "Chen et al., 2024",
    ),
    _of_pairs(
        "slic",
        "SLiC-HF",
        reference_free.slic_losses,
        _ALONE,
        ("target_margin", "sft_weight"),
        "mass",
        "Zhao et al., 2023",
    ),
    _of_pairs(
        "simpo",
        "SimPO",
        reference_free.simpo_losses,
        _ALONE,
        ("beta", "target_margin"),
        "mass",
        "Meng et al., 2024",
    ),
    _of_pairs(
        "cpo",
        "CPO",
        reference_free.cpo_losses,
        _ALONE,
        ("beta", "sft_weight"),
        "mass",
        "Xu et al., 2024",
    ),
    _of_pairs(
        "orpo",
        "ORPO",
        reference_free.orpo_losses,
        _ALONE,
        ("sft_weight",),
        "mass",
        "Hong et al., 2024",
    ),
    Method(
        name="kto",
        title="KTO",
        objective=unpaired.kto_losses,
        on_policy=False,
        sample_reuse=None,
        negative_gradient=True,
        seeking="mode",
        source="Ethayarajh et al., 2024",
        hyper=("beta", "negative_weight"),
        needs=frozenset({"unpaired labels", "reference"}),
    ),
)
"""Each one's source stands in its loss's docstring in full."""
