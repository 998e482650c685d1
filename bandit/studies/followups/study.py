"""All follow-ups, judged paper by paper."""

from modeseek.bandit.studies.followups.asymmetric_reinforce import FOLLOWUP as ASYMMETRIC_REINFORCE
from modeseek.bandit.studies.followups.ches import FOLLOWUP as CHES
from modeseek.bandit.studies.followups.dpo_against_ppo import FOLLOWUP as DPO_AGAINST_PPO
from modeseek.bandit.studies.followups.followup import Followup, FollowupCell
from modeseek.bandit.studies.followups.kl_estimators import FOLLOWUP as KL_ESTIMATORS
from modeseek.bandit.studies.followups.mode_collapse import FOLLOWUP as MODE_COLLAPSE
from modeseek.bandit.studies.followups.on_policy_dpo import FOLLOWUP as ON_POLICY_DPO
from modeseek.bandit.studies.followups.over_optimization import FOLLOWUP as OVER_OPTIMIZATION
from modeseek.bandit.studies.followups.razor import FOLLOWUP as RAZOR
from modeseek.bandit.studies.followups.retaining import FOLLOWUP as RETAINING
from modeseek.bandit.studies.followups.roads import FOLLOWUP as ROADS
from modeseek.bandit.studies.followups.store import CONDITION
from modeseek.bandit.studies.study import Study

FOLLOWUPS: dict[str, Followup] = {
    each.name: each
    for each in (
        ON_POLICY_DPO,
        MODE_COLLAPSE,
        ASYMMETRIC_REINFORCE,
        RETAINING,
        RAZOR,
        KL_ESTIMATORS,
        CHES,
        ROADS,
        DPO_AGAINST_PPO,
        OVER_OPTIMIZATION,
    )
}
"""By the number of the paper in the arXiv, in the order in which they are shown."""

STUDY: Study[FollowupCell] = Study(
    tuple(FOLLOWUPS.values()), conditions={CONDITION: "verdict"}, condition="", neighbours=""
)
