"""What students believe, and the view that dissolves it; every number in a sentence is computed from the view-model."""

import numpy as np

from modeseek.bandit.explore.bandit.model import BanditModel
from modeseek.bandit.explore.bandit.questions import nats_at_half
from modeseek.bandit.explore.budget.model import BudgetModel
from modeseek.bandit.explore.budget.plan import samples
from modeseek.bandit.explore.demo.model import METHODS, DemoModel, DemoResult
from modeseek.bandit.explore.displacement.model import DisplacementModel
from modeseek.bandit.explore.figure18.model import Figure18Model
from modeseek.bandit.explore.first_steps.mechanics import REUSED
from modeseek.bandit.explore.first_steps.model import FirstStepsModel
from modeseek.bandit.explore.four_methods.model import METHODS as FOUR
from modeseek.bandit.explore.four_methods.model import FourMethodsModel
from modeseek.bandit.explore.kl.model import KLModel
from modeseek.bandit.explore.negative.model import NegativeModel
from modeseek.bandit.explore.on_policy.model import OnPolicyModel
from modeseek.bandit.explore.on_policy.presets import BUDGET, PASSES, SIZES
from modeseek.bandit.explore.out_of_distribution.model import OutOfDistributionModel
from modeseek.bandit.explore.phase.model import PhaseModel
from modeseek.bandit.explore.reproduce.model import ReproduceModel, tally
from modeseek.bandit.explore.teaching.view import Finding, View
from modeseek.bandit.objectives.registry import variant


def _offline(model: DemoModel) -> Finding:
    def ends(result: DemoResult) -> list[float]:
        return [float(result.reward[METHODS.index(name), -1]) for name in ("ipo", "on_policy_ipo")]

    (offline, fresh), other = ends(model.result), "R1" if model.values.preset == "R2" else "R2"
    less, more = ends(DemoModel(other).result)
    return Finding(
        fresh > offline + 0.2,
        f"IPO on a hundred responses of the reference ends at an expected reward of {offline:z.2f} on "
        f"{model.values.preset}; IPO that draws a hundred new ones from its policy every ten steps, and differs in "
        f"nothing else, at {fresh:z.2f}. That is not so of every reward: on {other} they end at {less:z.2f} and "
        f"{more:z.2f}.",
    )


def _clip(model: FirstStepsModel) -> Finding:
    probs, epsilon = np.exp(model.result.log_probs[:, -1]), float(model.result.problem.clip_epsilon)
    return Finding(
        bool(probs[-1] > 2 * (1 + epsilon) * probs[0]),
        f"The clip has ε = {epsilon:g}, and yet PPO takes y₅ from p = {probs[0]:z.2f} to {probs[-1]:z.2f}, and itself "
        f"{float(model.result.divergence[-1]):z.2f} nats from the reference. The clip ends the pull on an answer whose "
        f"ratio to the policy that sampled is beyond the band, and every {REUSED} steps there are new samples and a "
        "new band. Of the reference only β knows.",
    )


def _unseen(model: OutOfDistributionModel) -> Finding:
    path, rest = model.result.probs[0, :, 2], float(model.result.rests[0, 2])
    return Finding(
        bool(path.max() > path[0] + 0.1),
        f"DPO is told that y₁ is better than y₂. The mass of y₃, which no comparison mentions, goes from "
        f"{path[0]:z.2f} to {path.max():z.2f} at step {int(path.argmax())}, and would rest at {rest:z.2f}.",
    )


def _stopping(model: OutOfDistributionModel) -> Finding:
    reward = model.result.reward[0]
    worst = int(reward.argmin())
    return Finding(
        bool(0 < worst < reward.size - 1 and reward[worst] < min(reward[0], reward[-1]) - 0.1),
        f"DPO's true reward is {reward[0]:+z.2f} at the start, {reward[worst]:+z.2f} at step {worst} and "
        f"{reward[-1]:+z.2f} at step {reward.size - 1}.",
    )


def _pushed_rare(model: NegativeModel) -> Finding:
    flow, start = model.result.flow[0], np.asarray(model.values.start)
    others = [k for k in range(flow.size) if k != model.values.rejected]
    losers = [k for k in others if flow[k] < 0]
    return Finding(
        bool(losers) and int(np.argmax(flow)) == int(np.argmax(start)),
        f"Response {model.values.rejected} with p = {start[model.values.rejected]:g} is pushed down. Of the "
        f"{len(others)} others {len(losers)} lose with it, and response {int(np.argmax(flow))}, the likeliest with "
        f"p = {start.max():g}, gains most.",
    )


def _unaligned(model: NegativeModel) -> Finding:
    w = model.values.chosen
    with_push, without = np.exp(model.result.log_probs[:, :, w])
    return Finding(
        bool(model.result.gains[0, w] < 0 and with_push[1] < without[1]),
        f"After one step the preferred response has p = {with_push[1]:z.4f} with the push and {without[1]:z.4f} "
        f"without it: Lemma E.2's condition does not hold. (In the long run it has {with_push[-1]:z.2f} and "
        f"{without[-1]:z.2f}.)",
    )


def _pushers(model: FourMethodsModel) -> Finding:
    ends = dict(zip(FOUR, model.result.reward[:, -1].tolist(), strict=True))
    each = ", ".join(f"{FOUR[name]} {end:z.2f}" for name, end in ends.items())
    return Finding(
        ends["rwr"] > max(ends["ipo"], ends["best_of_n_negative"]),
        f"One token, exact gradients, R1, β = {model.values.beta:g}, τ = {model.values.tau:g}, N = "
        f"{model.values.draws}; expected reward at the end: {each}. RWR pushes nothing down. "
        "Other settings order them otherwise.",
    )


def _displaced(model: DisplacementModel) -> Finding:
    chosen, rejected = model.result.gains[:2, -1]
    sharing = model.values.length * (model.result.b - model.result.c)
    return Finding(
        bool(chosen < 0 and chosen > rejected and model.result.slope < 0),
        f"The margin has grown by {chosen - rejected:z.1f} nats, and the preferred response is {-chosen:z.1f} nats "
        f"less likely than under the reference: N (π_B - π_C) = {sharing:z.1f}, above 1.",
    )


def _prompts(model: Figure18Model) -> Finding:
    few, many = model.result.mean[0, [0, -1], -1]
    return Finding(
        bool(few > many),
        f"GPT-Nano, a small transformer, trained on the same loss: log π - log π_ref of the preferred responses ends "
        f"at {few:+z.2f} nats on {model.result.prompts[0]} prompts and at {many:+z.2f} on {model.result.prompts[-1]}. "
        "Of large networks that says nothing.",
    )


def _price(model: BanditModel) -> Finding:
    ppo, best = nats_at_half("R1-ppo"), nats_at_half("R1-best-of-n")
    return Finding(
        best > ppo + 2,
        f"Where its expected reward is one half, PPO is {ppo:z.1f} nats from the reference and Best-of-N {best:z.1f}.",
    )


def _refresh(model: OnPolicyModel) -> Finding:
    ends = model.result.reward[PASSES.index(int(model.values.inner_steps))]
    each = ", ".join(f"{end:z.2f} with B = {b}" for b, end in zip(SIZES, ends, strict=True))
    method = variant(model.values.method).title
    return Finding(
        bool(ends.max() > ends[-1] + 0.2), f"{BUDGET} samples, equally many gradient steps; {method} ends at {each}."
    )


def _aggressive(model: KLModel) -> Finding:
    i, j = model.values.first, model.values.second
    forward, reverse = model.result.push[:, 0, i] - model.result.push[:, 0, j]
    return Finding(
        bool(forward > reverse),
        f"The first step separates categories {i} and {j} by {forward:z.3f} η with forward KL and by "
        f"{reverse:z.3f} η with reverse KL: p = {model.values.start[i]:g} is too small.",
    )


def _same_end(model: KLModel) -> Finding:
    forward, reverse = model.result.progress[:, -1]
    halves = model.result.steps_to[:, 1]
    return Finding(
        bool(min(forward, reverse) > 0.9),
        f"After {model.values.steps} steps forward KL has done {forward:.0%} of the way to the target's reward and "
        f"reverse KL {reverse:.0%}; half of it they had at steps {halves[0]} and {halves[1]}. Here the policy can be "
        "the target. Where it cannot, as one bump on two modes, their optima differ, and reverse KL may choose a mode.",
    )


def _winners(model: PhaseModel) -> Finding:
    tied, winner = model.result.tied[:, 1:], model.result.winner[:, 1:]
    each = ", ".join(
        f"{variant(name).title} {count}"
        for m, name in enumerate(model.result.methods)
        if (count := int(((winner == m) & ~tied).sum()))
    )
    return Finding(
        bool(tied.mean() > 0.5),
        f"Of {tied.size} cells {int(tied.sum())} are ties: the 95 % intervals of the best two means overlap. Clearly "
        f"won are {tied.size - int(tied.sum())}: {each}.",
    )


def _verdicts(model: ReproduceModel) -> Finding:
    words = {row.assessment.verdict.word for row in model.result.rows if row.assessment and row.assessment.verdict}
    return Finding(len(words) >= 2, f"{tally(model.result.rows, f' about {model.values.preset}:')}.")


def _spent(model: BudgetModel) -> Finding:
    gains = {}
    for name in ("rwr", "dpo"):
        offline, fresh = model.result.rivals[name]
        gains[name] = fresh.score.mean - offline.score.mean
    offline, fresh = model.result.rivals["dpo"]
    return Finding(
        gains["rwr"] > 0.5 and abs(gains["dpo"]) < 0.1,
        f"Between its best offline plan and its best plan with fresh samples RWR's score rises by {gains['rwr']:z.2f}; "
        f"DPO's goes from {offline.score} to {fresh.score}. In these runs, of a table of logits on {samples()}, what "
        "fresh samples are worth depends on the method.",
    )


MISCONCEPTIONS = (
    View(
        "old-data",
        "Fresh samples can be worth more than fixed ones",
        "Once there are preferences, it does not matter whether their responses are drawn anew.",
        "demo?preset=R2&step=200",
        "the curve of offline IPO beside that of on-policy IPO",
        _offline,
    ),
    View(
        "clip",
        "The clip does not know the reference",
        "PPO's clip keeps the policy near the reference.",
        "steps?preset=ppo&step=60",
        "the bar of y₅ beside the reference's",
        _clip,
    ),
    View(
        "unseen-answer",
        "An answer that nobody compared can gain",
        "An answer that the data do not mention keeps its probability.",
        "ood?preset=y1-rare&step=40",
        "the path in the triangle, and the curve of y₃",
        _unseen,
    ),
    View(
        "early-stopping",
        "The worst place can lie on the way",
        "Stopping early is the safe choice: less training, less harm.",
        "ood?preset=y1-very-rare&step=72",
        "the curve of the true reward",
        _stopping,
    ),
    View(
        "pushed-mass",
        "A rare response that is pushed down feeds the likeliest",
        "What is taken from a bad response goes to all others.",
        "negative?preset=push-rare-down",
        "the arrows of this step's negative term",
        _pushed_rare,
    ),
    View(
        "helpful-push",
        "A push can cost the preferred response",
        "A negative gradient always helps the preferred response.",
        "negative?preset=E2-not-aligned&step=1",
        "the ring of w in Lemma E.2's gauge",
        _unaligned,
    ),
    View(
        "pushing-wins",
        "A method without a push can end higher",
        "A method with a negative gradient beats one without.",
        "fig16?preset=fig16-R1",
        "the four curves at their ends",
        _pushers,
    ),
    View(
        "chosen-rises",
        "The margin grows while the preferred response falls",
        "A loss that prefers y_w makes y_w more likely.",
        "displacement?preset=fig18-100-prompts&step=200",
        "the curve of y_w, below zero",
        _displaced,
    ),
    View(
        "more-prompts",
        "More prompts can push the preferred responses down",
        "Likelihood displacement needs a toy's shared table: a network with more data has none.",
        "fig18?preset=gpt",
        "the panels from few prompts to many",
        _prompts,
    ),
    View(
        "equal-reward",
        "Equal reward is not equal distance",
        "Two policies that earn the same are equally far from the reference.",
        "bandit?preset=R1-best-of-n&step=20",
        "reward against KL, beside the most that KL allows",
        _price,
    ),
    View(
        "same-samples",
        "When samples are drawn decides what they are worth",
        "A thousand samples are a thousand samples, whenever they are drawn.",
        "on_policy?preset=R1-best-of-n",
        "the map of B and T, its row for T = 20",
        _refresh,
    ),
    View(
        "aggressive-reverse",
        "Reverse KL is strong only where mass already is",
        "Reverse KL moves probability more aggressively.",
        "kl?preset=case-1-fails&step=1",
        "the arrows under the bars of categories 0 and 1",
        _aggressive,
    ),
    View(
        "other-optimum",
        "Both divergences have one optimum, if the policy can be it",
        "Reverse KL always ends on a mode, and forward KL covers all.",
        "kl?preset=R1&step=200",
        "both curves at their ends (one logit per category: the policy can be the target)",
        _same_end,
    ),
    View(
        "highest-mean",
        "The highest mean of a few seeds is mostly a tie",
        "The method with the highest mean has won.",
        "phase?preset=all&step=20",
        "the map of winners; hatched cells are ties",
        _winners,
    ),
    View(
        "claims",
        "A claim is confirmed, refuted, or undecided",
        "A table in a paper either replicates or does not.",
        "reproduce?preset=table3",
        "the intervals beside the margin that is too small to matter",
        _verdicts,
    ),
    View(
        "fresh-for-all",
        "What fresh samples gain depends on the method",
        "Fresh samples help every method alike.",
        "budget?preset=far-peak&scored=yes",
        "each method's open and filled mark on the right",
        _spent,
    ),
)
"""In the order of the course."""
