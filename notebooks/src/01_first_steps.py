# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # First steps
#
# Whoever knows softmax and logarithm can read this notebook; the words of the other ones are explained here, each before it
# is used. Numbers of equations and sections are those of Tajwar et al. (2024).
#
# A language model is asked a question x, and answers y with probability π(y | x). That distribution is its **policy**. To see
# all of it we let the model know five answers only. *What is the capital of Australia?*
#
# | answer | | how often the model gives it | how good it is |
# |---|---|---|---|
# | y₁ | Sydney. | .45 | −1 |
# | y₂ | Perhaps Canberra? | .25 | .5 |
# | y₃ | I do not know. | .15 | 0 |
# | y₄ | Melbourne, of course. | .10 | −1.5 |
# | y₅ | Canberra. | .05 | 1.5 |
#
# The policy is a softmax of one number per answer, its **logit** f: $\pi(y_j) = e^{f_j} / \sum_k e^{f_k}$. Training
# moves the logits. The policy before training is the **reference** π_ref: it has read a lot, and we want to change how
# it answers without making it forget that. How good an answer is, its **reward** r, is the last column.
#
# **Question.** How can a model be taught to give the better answers, and what do its teachers maximise?

# %% [markdown]
# ## From preferences to rewards
#
# Nobody can say how good an answer is on a scale, but whoever sees two can say which is better. That is a **preference**:
# y_w ≻ y_l, the chosen one (it *wins*) before the rejected one (it *loses*). Judges differ, so a preference has a probability.
# Bradley and Terry's model makes it of two rewards (eq. 1):
#
# $$P(y_1 \succ y_2) = \frac{e^{r(y_1)}}{e^{r(y_1)} + e^{r(y_2)}} = \sigma\bigl(r(y_1) - r(y_2)\bigr), \qquad
# \sigma(d) = \frac{1}{1 + e^{-d}}.$$
#
# Only the *difference* of two rewards counts; equal ones give one half. Turned around, rewards can be learnt from preferences:
# a **reward model** is fitted so that what was preferred has the larger reward, $\max_r \mathbb{E}[\log \sigma(r(y_w) -
# r(y_l))]$ (eq. 3; $\mathbb{E}$ is the mean over everything that can be drawn). Here the rewards are known.
#
# Move the **reward of y₅** and see its dot on the curve move; choose what it is **compared with**.

# %%
from modeseek.bandit.explore import FirstStepsExplorer

FirstStepsExplorer(
    preset="preference", hide=("preset", "reference", "beta", "draws", "learning_rate", "step", "state", "export")
)

# %% [markdown]
# ## Reward has a price: KL
#
# The **expected reward** of a policy is the mean of its answers' rewards, $\mathbb{E}_\pi[r] = \sum_j \pi(y_j)\, r(y_j)$; the
# reference's is −.4. The policy that always says y₅ would have the most. But rewards are learnt from few preferences, and far
# from the reference nobody has judged anything. So distance has a price, and it is measured by the **Kullback-Leibler
# divergence**
#
# $$\mathrm{KL}(\pi \,\|\, \pi_{\mathrm{ref}}) = \sum_j \pi(y_j) \log \frac{\pi(y_j)}{\pi_{\mathrm{ref}}(y_j)} .$$
#
# There is one term per answer: positive where the policy has more than the reference, negative where it has less, and
# weighed by what the *policy* does. The sum is never negative, and 0 only where both are equal. Its unit, with natural
# logarithms, is the **nat**. Exchange the two and it is another number, so always read who stands first.
#
# Fine-tuning maximises the reward minus its price of β per nat (eq. 2):
#
# $$\max_\pi\; \mathbb{E}_\pi[r] - \beta\, \mathrm{KL}(\pi \,\|\, \pi_{\mathrm{ref}}), \qquad\text{whose optimum is}\qquad
# \pi^*(y) = \frac{\pi_{\mathrm{ref}}(y)\, e^{r(y)/\beta}}{Z},$$
#
# Z being what makes it sum to 1. Below the policy is bent by hand, without any training: π_ref exp(λ r)/Z, with λ from
# 0 to 2/β. Here β = .5, and step 30 of 60 is λ = 1/β, which is π*. Move **step** and watch the terms of KL, and how the
# dotted reward goes on rising where reward less price falls; then change **β**.

# %%
FirstStepsExplorer(
    preset="kl", step=20, hide=("preset", "reference", "other", "draws", "learning_rate", "state", "export")
)

# %% [markdown]
# ## Policy gradient: answers of its own
#
# A policy is trained in **steps**. Each moves the logits a little in the direction in which something rises fastest, the
# **gradient**; how little says the **learning rate** η. What the methods differ in is the pull on every answer,
#
# $$w_j = -\frac{\partial L}{\partial \log \pi(y_j)},$$
#
# L being the **loss**, what the method minimises: it wants log π(y_j) up where w is positive, down where it is negative. A
# higher logit of y_j raises log π(y_j) at the rate 1 − π_j and lowers the log of each other answer at the rate π_j. So what is
# left of the pulls for this logit is $w_j - \pi_j \sum_k w_k$.
#
# The **policy gradient** (REINFORCE) lets the policy answer, and pulls each of its answers up or down by the answer's
# **advantage** A: how much better it is than the policy's own average, here with the price of eq. 2 in it (I.2.3):
#
# $$L = -\mathbb{E}_{y \sim \pi}\bigl[A(y) \log \pi(y)\bigr], \qquad
# A(y) = r(y) - \beta \log\frac{\pi(y)}{\pi_{\mathrm{ref}}(y)} - \text{its mean under } \pi .$$
#
# Samples and advantages count as given numbers while the gradient is taken: only the log π(y) that stands there is
# differentiated. (I.2.3 divides A by its standard deviation too; that changes how long a step is, not where it goes.
# Near π*, where all A are nearly zero, it keeps the steps long.) The policy gradient is **on-policy**: samples come
# from the policy that is being trained, new ones at every step. Pictures here show the mean over all samples that it
# could draw, so nothing in them is due to luck.

# %%
from modeseek.bandit.explore.first_steps.questions import predict_first

first = predict_first()
first

# %% [markdown]
# Arrows are the pulls w, black dashes what is left of them for the logits; dashed lines are π*. Play it, then make y₅ rare:
# drag its bar in the **reference** down to .01.

# %%
explorer = FirstStepsExplorer(preset="policy-gradient", step=3, hide=("preset", "other", "draws"))
explorer.after(first)

# %%
first.reveal

# %% [markdown]
# ## PPO: the same answers again, and a clip
#
# Answers are expensive to sample, so PPO takes several steps on the same ones. They come then from a policy of some steps
# ago, π_gen (the **behavior** policy), and count by the **ratio** ρ = π/π_gen. Nobody should go far on old answers, so the
# ratio is cut off, **clipped**, outside 1 ± ε (I.2.4; the paper prints max for min):
#
# $$L = -\mathbb{E}_{y \sim \pi_{\mathrm{gen}}}\bigl[\min\bigl(\rho A,\; \mathrm{clip}(\rho, 1-\varepsilon, 1+\varepsilon)\,
# A\bigr)\bigr].$$
#
# A good answer that is already 1 + ε times as likely, or a bad one below 1 − ε, is not pulled any further. Nor does the
# objective pull it back: the step that crosses the line ends beyond it. What still moves it are the pulls on the other
# answers, through the softmax. Here samples are fresh every sixth step, and ε = .2. Move **step** from 6 to 8: two
# arrows go out at 7, two more at 8, as their bars have passed a dashed line. The fifth answer, y₃, hardly moves.
# Without an arrow of its own y₂'s ratio still goes from 1.26 at step 7 back to 1.21 at step 11.

# %%
FirstStepsExplorer(preset="ppo", step=7, hide=("preset", "other", "reference", "draws", "state", "export"))

# %% [markdown]
# ## DPO: no rewards, only pairs
#
# Solve the formula of π* above for r: $r(y) = \beta \log \frac{\pi^*(y)}{\pi_{\mathrm{ref}}(y)} + \beta \log Z$. The
# constant β log Z is the same for all answers, and only differences of rewards count. So every policy is the best one
# for some reward, its **implicit reward** $\beta \log \frac{\pi(y)}{\pi_{\mathrm{ref}}(y)}$ (eq. 4). Put it into the
# reward model's objective (eq. 3), and preferences train the policy itself, with neither rewards nor samples of its
# own: **direct preference optimisation**.
#
# $$L = -\mathbb{E}_{y_w \succ y_l}\bigl[\log \sigma(\beta m)\bigr], \qquad m = \log\frac{\pi(y_w)}{\pi_{\mathrm{ref}}(y_w)} -
# \log\frac{\pi(y_l)}{\pi_{\mathrm{ref}}(y_l)} .$$
#
# m is the **margin** of a pair. DPO is **offline**: the pairs were drawn once, here from the reference. The chosen
# answer of a pair is pulled up by $w = \beta\, \sigma(-\beta m)$ (the derivative of log σ(βm) by m) and the rejected
# one down by as much. A pull downwards is called a **negative gradient**. At the reference m = 0 and the pull is β/2;
# it fades as the margin grows. The arrows are the mean over all pairs.

# %%
from modeseek.bandit.explore.first_steps.questions import predict_end

end = predict_end()
end

# %%
FirstStepsExplorer(preset="dpo", step=6, hide=("preset", "other", "reference", "draws", "state", "export")).after(end)

# %%
end.reveal

# %% [markdown]
# ## IPO: a margin to reach
#
# DPO's loss falls for ever as the margin grows; if a pair is always judged alike, nothing stops it. **IPO** asks each pair for a
# margin of 1/(2τ) nats, and no more (eq. 20):
#
# $$L = \mathbb{E}_{y_w \succ y_l}\Bigl[\Bigl(m - \frac{1}{2\tau}\Bigr)^2\Bigr].$$
#
# Its pulls are ±2 (1/(2τ) − m): zero at the target, and turned round beyond it. Where judges differ, a pair counts both
# ways round and the margin rests in between: the policy comes to $\pi_{\mathrm{ref}}(y) \exp(p(y)/\tau)/Z$, p(y) being
# how often y is preferred to an answer of the reference. Here τ = .15 (the control is called β (τ of IPO)), and each
# pair asks for 3.3 nats. Its judges do not always agree, so what they ask is partly contradictory, and the curve below
# right ends at −8.7 and not at 0.
#
# Two answers may end farther apart than one pair asks, but by less than 1/τ nats, twice as much: p differs between them
# by less than 1. A rare answer gains no more than that on another, however good it is.

# %%
FirstStepsExplorer(preset="ipo", step=1, hide=("preset", "other", "reference", "draws", "state", "export"))

# %% [markdown]
# ## RWR: weighed by the exponential of the reward
#
# The methods so far push something down. **Reward-weighted regression** only pulls up: it raises the log-likelihood of
# samples, the better the more (I.2.5; here rewards as they are, where the paper standardises them):
#
# $$L = -\mathbb{E}_{y \sim \pi_{\mathrm{ref}}}\bigl[F(y) \log \pi(y)\bigr], \qquad F(y) \propto e^{r(y)/\beta}.$$
#
# Here β = .5, and all arrows point upwards. What is pulled up less than its share goes down all the same, since
# probabilities sum to 1. Samples are the reference's here, and it comes to rest at π*; the paper draws them anew from
# the policy, again and again.

# %%
FirstStepsExplorer(preset="rwr", step=3, hide=("preset", "other", "reference", "draws", "state", "export"))

# %% [markdown]
# ## Best-of-N: the best of a few
#
# Simplest of all: draw N answers (N = 4 here), keep the best, raise its log-likelihood (I.2.1):
#
# $$L = -\log \pi(y_{\mathrm{best}}), \qquad P(y_{\mathrm{best}} = y_j) = \pi_{\mathrm{ref}}(r \le r_j)^N -
# \pi_{\mathrm{ref}}(r < r_j)^N .$$
#
# It needs no more than the order of the rewards. The policy comes to rest at the distribution of the best; **N** says how
# far that is from the reference.

# %%
best = FirstStepsExplorer(preset="best-of-n", step=3, hide=("preset", "other", "reference", "beta", "state", "export"))
best

# %% [markdown]
# ## Side by side
#
# | | learns from | samples of | pushes down? | comes to rest at |
# |---|---|---|---|---|
# | policy gradient | rewards | the policy | yes | π* |
# | PPO | rewards | the policy, a few steps ago | yes, until clipped | π* |
# | DPO | pairs | the reference | yes | π* |
# | IPO | pairs | the reference | yes | π_ref exp(p/τ)/Z |
# | RWR | rewards | the reference (or the policy) | no | π* (or the best answer alone) |
# | Best-of-N | the order of rewards | the reference (or the policy) | no | the best of N (or the best answer alone) |
#
# If most have one goal, why so many? Because none gets to the end: there are few samples and few steps, and 100¹⁰ answers
# instead of five. *Whose samples*, and *whether something is pushed down*, decide how far one gets. That is this course's
# question. In notebook 00 and in the recorded runs from 05 on the policy gradient and PPO have no price: β is 0 in the advantage,
# and they go on to the best answer alone.
#
# Why have a price at all? Here the rewards were known. A reward model that was fitted to few comparisons is wrong in
# places. In one of this project's trials a response has three tokens, the reward model is fitted to 50 comparisons, and
# PPO has no price. Then the policy's true reward rises to .76 and falls to .65 by the end of training, while the learnt
# one still gains .15: whoever watches the learnt reward does not see the fall (means of 400 seeds). With β = .1 the
# true reward hardly falls, from .57 to .55, but it never gets as high either, and ends below the run without a price.
# So this price prevents most of the fall, and does not pay for itself here. The picture is in `docs/followups.md`,
# chapter 2210.10760.

# %% [markdown]
# ## Exercises
#
# **1.** How much larger must an answer's reward be for it to be preferred nine times in ten? (Two digits.)

# %% tags=["exercise"]
from modeseek.bandit.explore.first_steps.questions import check_gap

check_gap(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# σ(d) = .9 is e^{−d} = 1/9: d = log 9.
#
# ```python
# import math
#
# check_gap(math.log(9))
# ```
# </details>

# %% [markdown]
# **2.** Two answers. The policy gives them (.5, .5), the reference (.25, .75). How many nats is KL(π ‖ π_ref)? (Two digits.)

# %% tags=["exercise"]
from modeseek.bandit.explore.first_steps.questions import check_kl

check_kl(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# ½ log(.5/.25) + ½ log(.5/.75) = ½ log(4/3). Your policy is the one whose probabilities stand in front of the logarithms.
#
# ```python
# check_kl(0.5 * math.log(4 / 3))
# ```
# </details>

# %% [markdown]
# **3.** y₅ is the best answer, and the reference gives it once in twenty times. What is the smallest N at which the best of N
# is y₅ at least half of the time?

# %% tags=["exercise"]
from modeseek.bandit.explore.first_steps.questions import check_draws

check_draws(...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# All N draws miss it with probability .95ᴺ, which is below one half from N = log 2/−log .95 = 13.5 on. Or move **N** of the
# last explorer until the dashed line of y₅ passes one half.
#
# ```python
# check_draws(14)
# ```
# </details>

# %% [markdown]
# **4.** DPO with β = .5, one pair. How strong is the pull on the chosen answer at the reference, and how strong where the
# margin has grown to 4 nats? (To .005.)

# %% tags=["exercise"]
from modeseek.bandit.explore.first_steps.questions import check_pull

check_pull(at_reference=..., at_four_nats=...)

# %% [markdown]
# <details><summary>A solution</summary>
#
# w = β σ(−βm). At m = 0 that is β/2 = .25; at m = 4 it is .5 σ(−2) = .5/(1 + e²).
#
# ```python
# check_pull(at_reference=0.25, at_four_nats=0.5 / (1 + math.exp(2)))
# ```
# </details>

# %% [markdown]
# ## What the paper claims, what we see
#
# | the paper | five answers, exact steps |
# |---|---|
# | On-policy RL minimises a reverse KL to π* (Lemma E.1). | The policy gradient comes to rest at π*. Eq. 6 prints its KL with the wrong sign; a loss needs + β KL. |
# | Weighted likelihood minimises a forward KL to a reweighted reference (Lemma E.3). | RWR's pull is that distribution, at every step, whatever the policy is. |
# | All methods aim to discover identical optimal policies (section 1). | Four of these six. IPO and Best-of-N have goals of their own. |

# %% [markdown]
# ## Take it with you
#
# Whatever an explorer shows is one line of text: send it to somebody, and they see the same. `export` writes the picture as
# PNG and SVG, its data as CSV, and a card that says how to make them again.

# %% tags=["code"]
from pathlib import Path
from tempfile import mkdtemp

print(explorer.to_state())
print(*sorted(path.name for path in explorer.export(Path(mkdtemp()) / "first-steps")), sep="\n")
